//! The write-ahead log of an SQLite file: pages of whole transactions that are not in the file yet.
//!
//! Format: sqlite.org/fileformat2.html, section 4. A frame is valid if it has the salts of the log's
//! header and the right checksum over all before it; what comes after the last frame that ends a
//! transaction never happened.

use std::collections::HashMap;

use super::bytes::{be32, le32, place, slice};

const HEADER: usize = 32;
const FRAME: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// What a log adds to its file.
#[derive(Debug, Default)]
pub(super) struct Log<'a> {
    log: &'a [u8],
    size: usize,
    /// Where the newest copy of each page is.
    pages: HashMap<u32, usize>,
}

impl<'a> Log<'a> {
    /// Reads a log; one that is empty or makes no sense has nothing to say.
    pub(super) fn read(log: &'a [u8]) -> Self {
        Self::parse(log).unwrap_or_default()
    }

    fn parse(log: &'a [u8]) -> Option<Self> {
        let magic = be32(log, 0)?;
        let mut sums = Sums {
            is_big_endian: match magic.checked_sub(MAGIC)? {
                0 => false,
                1 => true,
                _ => return None,
            },
            ..Sums::default()
        };
        let size = place(be32(log, 8)?)?;
        if !size.is_power_of_two() || !(512..=65536).contains(&size) {
            return None;
        }
        sums.add(slice(log, 0, 24)?);
        if !sums.are(log, 24) {
            return None;
        }
        let salts = slice(log, 16, 8)?;
        let mut found = Self {
            log,
            size,
            pages: HashMap::new(),
        };
        let mut transaction = HashMap::new();
        let mut at = HEADER;
        while let (Some(head), Some(page)) = (slice(log, at, FRAME), slice(log, at + FRAME, size)) {
            sums.add(slice(head, 0, 8)?);
            sums.add(page);
            if slice(head, 8, 8)? != salts || !sums.are(head, 16) {
                break;
            }
            transaction.insert(be32(head, 0)?, at + FRAME);
            if be32(head, 4)? != 0 {
                found.pages.extend(transaction.drain());
            }
            at += FRAME + size;
        }
        Some(found)
    }

    /// The newest copy of a page, if the log has one.
    pub(super) fn page(&self, number: u32) -> Option<&'a [u8]> {
        slice(self.log, *self.pages.get(&number)?, self.size)
    }

    /// The same log if its pages have this size, else one that says nothing.
    pub(super) fn with_pages_of(self, size: usize) -> Self {
        if self.size == size {
            self
        } else {
            Self::default()
        }
    }

    /// Number of pages that it has.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes of these pages.
    pub(super) fn bytes(&self) -> usize {
        self.pages.len() * self.size
    }
}

/// The running checksum (section 4.2).
#[derive(Default)]
struct Sums {
    is_big_endian: bool,
    first: u32,
    second: u32,
}

impl Sums {
    fn add(&mut self, bytes: &[u8]) {
        let word = |pair: &[u8], at| {
            let word = if self.is_big_endian {
                be32(pair, at)
            } else {
                le32(pair, at)
            };
            word.unwrap_or(0)
        };
        let (mut first, mut second) = (self.first, self.second);
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(pair, 0)).wrapping_add(second);
            second = second.wrapping_add(word(pair, 4)).wrapping_add(first);
        }
        (self.first, self.second) = (first, second);
    }

    /// Whether these are the sums that are stored at `at`.
    fn are(&self, bytes: &[u8], at: usize) -> bool {
        (be32(bytes, at), be32(bytes, at + 4)) == (Some(self.first), Some(self.second))
    }
}
