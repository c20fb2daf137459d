//! Berkeley DB, `Packages`: a hash of package numbers and headers.
//!
//! Format (Berkeley DB, `dbinc/db_page.h`, methods hash, versions 8 and later; numbers in the order of
//! the machine that wrote it, told by the magic): page 0 has magic, page size and number of the last
//! page. A page of the hash holds pairs of key and value, addressed by 16-bit offsets behind its
//! header of 26 bytes, and filled from its end. A value is in place, or a chain of overflow pages.

use super::Damage;
use super::bytes::{array, place, slice};

const MAGIC: u32 = 0x0006_1561;
const PAGE_HEADER: usize = 26;

/// Types of pages.
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;

/// Types of items.
const IN_PLACE: u8 = 1;
const OFF_PAGE: u8 = 3;

/// A value shorter than this is no header: package 0 holds the next package number.
const SHORTEST: usize = 16;

const CUT: Damage = "a page of the Berkeley DB file is not there or makes no sense";

/// Calls `sink` with each header.
pub(super) fn headers(file: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Damage> {
    let magic: [u8; 4] = array(file, 12).ok_or(CUT)?;
    let is_big_endian = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (MAGIC, _) => false,
        (_, MAGIC) => true,
        _ => return Err("it is no hash of Berkeley DB"),
    };
    let mut pages = Pages {
        file,
        is_big_endian,
        size: 0,
        budget: file.len(),
    };
    pages.size = pages.number(file, 20).and_then(place).ok_or(CUT)?;
    if !pages.size.is_power_of_two() || !(512..=65536).contains(&pages.size) {
        return Err("its page size makes no sense");
    }
    let [encryption] = array(file, 24).ok_or(CUT)?;
    if encryption != 0 {
        return Err("it is encrypted");
    }
    let last = pages.number(file, 32).ok_or(CUT)?;
    for number in 1..=last {
        pages.each_value(number, sink)?;
    }
    Ok(())
}

struct Pages<'a> {
    file: &'a [u8],
    is_big_endian: bool,
    size: usize,
    /// How many bytes of values may still be read: no two share pages.
    budget: usize,
}

impl<'a> Pages<'a> {
    fn number(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = array(bytes, at)?;
        Some(match self.is_big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }

    fn short(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let bytes = array(bytes, at)?;
        Some(usize::from(match self.is_big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        }))
    }

    fn page(&self, number: u32) -> Result<&'a [u8], Damage> {
        let start = place(number).and_then(|number| number.checked_mul(self.size));
        start
            .and_then(|start| slice(self.file, start, self.size))
            .ok_or(CUT)
    }

    /// Calls `sink` with each value of a page, if it is one of the hash.
    fn each_value(&mut self, number: u32, sink: &mut dyn FnMut(&[u8])) -> Result<(), Damage> {
        let page = self.page(number)?;
        let [kind] = array(page, 25).ok_or(CUT)?;
        if kind != HASH && kind != HASH_UNSORTED {
            return Ok(());
        }
        let count = self.short(page, 20).ok_or(CUT)?;
        for value in (1..count).step_by(2) {
            let offset = |index: usize| self.short(page, PAGE_HEADER + 2 * index).ok_or(CUT);
            let (start, end) = (offset(value)?, offset(value - 1)?);
            let item = page.get(start..end).ok_or(CUT)?;
            match item.first() {
                Some(&IN_PLACE) if item.len() > SHORTEST => {
                    self.spend(item.len())?;
                    sink(item.get(1..).unwrap_or_default());
                }
                Some(&OFF_PAGE) => sink(&self.chain(item)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Damage> {
        self.budget = self.budget.checked_sub(bytes).ok_or(CUT)?;
        Ok(())
    }

    /// A value on pages of its own: the item has the first page and the length.
    fn chain(&mut self, item: &[u8]) -> Result<Vec<u8>, Damage> {
        let mut next = self.number(item, 4).ok_or(CUT)?;
        let length = self.number(item, 8).and_then(place).ok_or(CUT)?;
        self.spend(length)?;
        let mut value = Vec::new();
        while value.len() < length {
            let page = self.page(next)?;
            let used = self.short(page, 22).ok_or(CUT)?;
            let part = used.min(length - value.len());
            if array(page, 25) != Some([OVERFLOW]) || part == 0 {
                return Err(CUT);
            }
            value.extend_from_slice(slice(page, PAGE_HEADER, part).ok_or(CUT)?);
            next = self.number(page, 16).ok_or(CUT)?;
        }
        Ok(value)
    }
}
