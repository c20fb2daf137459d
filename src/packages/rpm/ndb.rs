//! rpm's own format, `Packages.db`: pages of slots, each with the place of a header.
//!
//! Format (rpm, `lib/backend/ndb/rpmpkg.c`; all numbers little-endian): 32 bytes of header with magic
//! `RpmP`, version 0, generation and number of pages of slots; slots of 16 bytes with magic `Slot`,
//! package number, first block and number of blocks, of 16 bytes each; at the blocks magic `BlbS`,
//! package number, generation, length, and the header.

use super::Damage;
use super::bytes::{le32, place, slice};

const HEADER: usize = 32;
const SLOT: usize = 16;
const PAGE: usize = 4096;
const BLOCK: usize = 16;
const BLOB_HEAD: usize = 16;

const CUT: Damage = "a slot or package of it is not there or makes no sense";

/// Calls `sink` with each header.
pub(super) fn headers(file: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Damage> {
    if !file.starts_with(b"RpmP") {
        return Err("it is no data base of rpm");
    }
    if le32(file, 4) != Some(0) {
        return Err("its version is not known");
    }
    let pages = le32(file, 12).and_then(place).ok_or(CUT)?;
    let end = pages.checked_mul(PAGE).ok_or(CUT)?;
    let slots = file.get(HEADER..end).ok_or(CUT)?;
    // Two slots cannot share blocks.
    let mut budget = file.len();
    for slot in slots.chunks_exact(SLOT) {
        if !slot.starts_with(b"Slot") {
            return Err(CUT);
        }
        if le32(slot, 8) == Some(0) {
            continue;
        }
        let header = blob(file, slot).ok_or(CUT)?;
        budget = budget.checked_sub(header.len()).ok_or(CUT)?;
        sink(header);
    }
    Ok(())
}

/// The header of a slot.
fn blob<'a>(file: &'a [u8], slot: &[u8]) -> Option<&'a [u8]> {
    let start = place(le32(slot, 8)?)?.checked_mul(BLOCK)?;
    let length = place(le32(slot, 12)?)?.checked_mul(BLOCK)?;
    let blob = slice(file, start, length)?;
    if !blob.starts_with(b"BlbS") || le32(blob, 4)? != le32(slot, 4)? {
        return None;
    }
    slice(blob, BLOB_HEAD, place(le32(blob, 12)?)?)
}
