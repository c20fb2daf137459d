//! The table `Packages` of an SQLite file, with what its write-ahead log has that is not in it yet.
//!
//! Format: sqlite.org/fileformat2.html; sections 1.3 (header), 1.6 (b-trees), 2.1 (records), 2.6 (the
//! schema). Only tables are read, no index, and nothing of SQL. rpm's schema: `Packages(hnum
//! INTEGER PRIMARY KEY, blob BLOB)`.

use super::Damage;
use super::bytes::{array, be16, be32, place, slice};
use super::wal::Log;

const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER: usize = 100;
const LEAF: u8 = 13;
const INTERIOR: u8 = 5;

const CUT: Damage = "a page of the SQLite file is not there or makes no sense";
const LOOP: Damage = "the pages of the SQLite file form a loop";

/// Calls `sink` with each blob of the table.
pub(super) fn headers(file: &[u8], log: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Damage> {
    let mut pages = Pages::new(file, log)?;
    let mut root = None;
    pages.each_record(1, &mut |record| {
        let text = |column| record.column(column).map(|value| value.bytes);
        if text(0) == Some(b"table") && text(1) == Some(b"Packages") {
            root = record.column(3).and_then(|value| value.number());
        }
    })?;
    let root = root.ok_or("it has no table 'Packages'")?;
    pages.each_record(root, &mut |record| {
        if let Some(blob) = record.column(1) {
            sink(blob.bytes);
        }
    })
}

/// The pages of a data base as its last transaction left them.
struct Pages<'a> {
    file: &'a [u8],
    log: Log<'a>,
    size: usize,
    /// Bytes of a page that are used.
    usable: usize,
    /// How many bytes of contents may still be read: no page holds two records' contents.
    budget: usize,
}

impl<'a> Pages<'a> {
    fn new(file: &'a [u8], log: &'a [u8]) -> Result<Self, Damage> {
        let log = Log::read(log);
        // A new data base can be in its log alone, but for an empty file.
        let first = log.page(1).or(file.get(..HEADER)).ok_or(CUT)?;
        if !first.starts_with(MAGIC) {
            return Err("it is no SQLite file");
        }
        let size = match be16(first, 16).ok_or(CUT)? {
            1 => 65536,
            size => usize::from(size),
        };
        let [reserved] = array(first, 20).ok_or(CUT)?;
        let usable = size - usize::from(reserved).min(size);
        if !size.is_power_of_two() || size < 512 || usable < 480 {
            return Err("its page size makes no sense");
        }
        Ok(Self {
            budget: file.len().saturating_add(log.bytes()),
            file,
            log: log.with_pages_of(size),
            size,
            usable,
        })
    }

    /// A page, counted from 1.
    fn page(&self, number: u32) -> Result<&'a [u8], Damage> {
        if let Some(page) = self.log.page(number) {
            return Ok(page);
        }
        let index = number.checked_sub(1).and_then(place).ok_or(CUT)?;
        let start = index.checked_mul(self.size).ok_or(CUT)?;
        slice(self.file, start, self.size).ok_or(CUT)
    }

    /// Calls `sink` with each record of the table whose root is page `root`.
    fn each_record(&mut self, root: u32, sink: &mut dyn FnMut(&Record<'_>)) -> Result<(), Damage> {
        let mut todo = vec![root];
        let mut left = self.file.len() / self.size + self.log.pages();
        while let Some(number) = todo.pop() {
            left = left.checked_sub(1).ok_or(LOOP)?;
            let page = self.page(number)?;
            // The first page begins with the header of the file.
            let start = if number == 1 { HEADER } else { 0 };
            let [kind] = array(page, start).ok_or(CUT)?;
            let count = usize::from(be16(page, start + 3).ok_or(CUT)?);
            let pointers = start + if kind == INTERIOR { 12 } else { 8 };
            let cell = |index: usize| be16(page, pointers + 2 * index).map(usize::from);
            match kind {
                INTERIOR => {
                    todo.push(be32(page, start + 8).ok_or(CUT)?);
                    // The last to be read is pushed first.
                    for index in (0..count).rev() {
                        todo.push(cell(index).and_then(|at| be32(page, at)).ok_or(CUT)?);
                    }
                }
                LEAF => {
                    for index in 0..count {
                        let payload = self.payload(page, cell(index).ok_or(CUT)?)?;
                        if let Some(record) = Record::parse(&payload) {
                            sink(&record);
                        }
                    }
                }
                _ => return Err(CUT),
            }
        }
        Ok(())
    }

    /// The contents of the cell at `at` of a leaf, with what overflows to other pages.
    fn payload(&mut self, page: &[u8], at: usize) -> Result<Vec<u8>, Damage> {
        let (length, after) = varint(page, at).ok_or(CUT)?;
        let (_row, start) = varint(page, after).ok_or(CUT)?;
        let length = usize::try_from(length).map_err(|_| CUT)?;
        self.budget = self.budget.checked_sub(length).ok_or(LOOP)?;
        let local = self.local(length);
        let mut payload = slice(page, start, local).ok_or(CUT)?.to_vec();
        if local == length {
            return Ok(payload);
        }
        let mut next = be32(page, start + local).ok_or(CUT)?;
        while payload.len() < length {
            let page = self.page(next)?;
            let part = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(slice(page, 4, part).ok_or(CUT)?);
            next = be32(page, 0).ok_or(CUT)?;
        }
        Ok(payload)
    }

    /// How much of a payload is in its own page (section 1.6, "cell payload overflow").
    fn local(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        match least + (length - least) % (self.usable - 4) {
            fits if fits <= most => fits,
            _ => least,
        }
    }
}

/// A number of one to nine bytes, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for index in 0..8 {
        let [byte] = array(bytes, at.checked_add(index)?)?;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    let [byte] = array(bytes, at.checked_add(8)?)?;
    Some((value << 8 | u64::from(byte), at + 9))
}

/// A row: serial types, then values.
struct Record<'a> {
    values: Vec<Value<'a>>,
}

#[derive(Clone, Copy)]
struct Value<'a> {
    kind: u64,
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// More columns than rpm and the schema have are not looked at.
    const COLUMNS: usize = 8;

    fn parse(payload: &'a [u8]) -> Option<Self> {
        let (length, mut at) = varint(payload, 0)?;
        let kinds = usize::try_from(length).ok()?;
        let mut start = kinds;
        let mut values = Vec::new();
        while at < kinds && values.len() < Self::COLUMNS {
            let (kind, after) = varint(payload, at)?;
            let bytes = slice(payload, start, stored(kind)?)?;
            values.push(Value { kind, bytes });
            at = after;
            start += bytes.len();
        }
        Some(Self { values })
    }

    fn column(&self, index: usize) -> Option<Value<'a>> {
        self.values.get(index).copied()
    }
}

/// Bytes of a value of this serial type.
fn stored(kind: u64) -> Option<usize> {
    match kind {
        0 | 8 | 9 => Some(0),
        1..=4 => usize::try_from(kind).ok(),
        5 => Some(6),
        6 | 7 => Some(8),
        10 | 11 => None,
        _ => usize::try_from((kind - 12) / 2).ok(),
    }
}

impl Value<'_> {
    /// A page number: a whole number that is not negative.
    fn number(self) -> Option<u32> {
        match self.kind {
            8 => Some(0),
            9 => Some(1),
            1..=6 => {
                let folded = self.bytes.iter().try_fold(0u64, |value, &byte| {
                    Some(value.checked_mul(256)? + u64::from(byte))
                });
                folded.and_then(|value| u32::try_from(value).ok())
            }
            _ => None,
        }
    }
}
