//! Reading files: where they have data, whether they stand still, while somebody watches.

use std::io;

use wpar_mountd::lower::tar::save::{Contents, DataRange};
use wpar_mountd::types::Attr;

use super::{SMALL, Watcher};
use crate::backup::tree::OpenFile;

/// A large file that is read while somebody watches.
pub(super) struct Watched<'a> {
    pub(super) open: &'a mut dyn OpenFile,
    pub(super) watcher: &'a mut dyn Watcher,
    pub(super) entries: u64,
    pub(super) done: u64,
}

impl Contents for Watched<'_> {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.watcher.interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = self.open.read_at(buffer, offset)?;
        self.done += count as u64;
        self.watcher.advance(self.entries, self.done);
        Ok(count)
    }
}

/// Whether it takes less space than it has bytes.
pub(super) fn has_holes(attr: &Attr) -> bool {
    attr.blocks.saturating_mul(512) < attr.size
}

/// Where a file has data, if it has holes that are worth it.
pub(super) fn ranges(attr: &Attr, open: &mut dyn OpenFile) -> Option<Vec<DataRange>> {
    if !has_holes(attr) {
        return None;
    }
    let ranges = open.data_ranges(attr.size).ok()?;
    let whole = [DataRange {
        offset: 0,
        length: attr.size,
    }];
    (ranges != whole).then_some(ranges)
}

/// Whether nothing happened to a file between two looks.
pub(super) fn same(before: &Attr, after: &Attr) -> bool {
    before.size == after.size && before.mtime == after.mtime && before.ctime == after.ctime
}

/// Reads a whole file of about `size` bytes.
pub(super) fn read_to_end(
    open: &mut dyn OpenFile,
    size: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    // One byte more, so that the end shows without another look in the usual case.
    let room = usize::try_from(size.min(SMALL)).unwrap_or(0) + 1;
    buffer.clear();
    buffer.resize(room, 0);
    let mut filled = 0;
    while filled < buffer.len() {
        let count = match open.read_at(&mut buffer[filled..], filled as u64) {
            Ok(count) => count,
            Err(error) => {
                buffer.truncate(size as usize);
                return Err(error);
            }
        };
        filled += count;
        // A file that does not end where it should has grown; what is more waits for another turn.
        if count == 0 || filled as u64 >= size {
            break;
        }
    }
    buffer.truncate(filled.min(usize::try_from(size).unwrap_or(usize::MAX)));
    Ok(())
}
