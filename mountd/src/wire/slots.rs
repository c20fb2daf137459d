//! A slot: where a request lies and its answer is put, so that neither is lost if the daemon dies.
//!
//! A slot has four parts, each from a page boundary:
//!
//! | part | bytes | what |
//! |---|---|---|
//! | notes | 4096 | [`ANSWERED`], [`RESULT`] |
//! | headers | 4096 | `struct fuse_uring_req_header` |
//! | staging | [`STAGING`] | an answer whose payload would overwrite its request |
//! | payload | of the mount | payload of the request, then of the answer |
//!
//! The steps of an answer, and what the next daemon does if this one dies behind them:
//!
//! 1. *The kernel puts a request there*, its number at byte 8 of the headers. Answer it: the
//!    request is whole, for so far nothing of it is overwritten. Reads and listings write to the
//!    payload directly, but have nothing there that they need. What was carried out already is
//!    seen as done ([`crate::overlay::Attempt`]).
//! 2. *The answer's length or error is noted, then the number of the request as answered.* Do the
//!    next steps.
//! 3. *The answer is copied from the staging part to the payload, its header written.*
//! 4. *The slot is given back to the kernel.* It does not know the request any more; the slot is
//!    free.
//!
//! The first step can happen while the thread is being ended: so all that the kernel writes to is
//! brought in beforehand. It would refuse a dying thread to do that, and the request would fail.

use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::abi::{IN_HEADER, OUT_HEADER};
use super::dispatch::{Answerer, Told};
use super::reply;
use super::request::Header;
use crate::sys::ring::{Buffers, HEADERS, SlotMemory};
use crate::sys::shared::SharedPart;
use crate::takeover::{Kept, Placing};

/// Note: number of the last request whose answer is complete.
const ANSWERED: usize = 0;
/// Note: its error (upper 32 bits, positive), the place of the answer (bit 31) and its length.
const RESULT: usize = 1;
/// In [`RESULT`]: the answer is in the staging part.
const STAGED: u64 = 1 << 31;

const PAGE: usize = 4096;
const _: () = assert!(HEADERS <= PAGE);
/// Room for the longest extended attribute (64 KiB), which is the longest answer that is staged.
const STAGING: usize = 17 * PAGE;

/// Where the fields of the operation begin in the headers of a slot.
const FIELDS: usize = 128;
/// Where the length of the payload stands, behind two 64-bit fields.
const PAYLOAD_LENGTH: usize = 256 + 16;
/// Where the number of a request stands, in its header and in that of its answer.
const UNIQUE: usize = 8;

/// The memory of all slots, of each thread its own. The payload of a request has up to `asked`
/// bytes, that of an answer up to `payload`.
pub(super) fn memory(
    placings: &[Placing],
    (asked, payload): (usize, usize),
    kept: &Kept,
) -> std::io::Result<Vec<Vec<SlotMemory>>> {
    let count = placings.iter().map(|placing| placing.queues.len()).sum();
    let of_each = [PAGE, PAGE, STAGING, payload.next_multiple_of(PAGE)];
    let parts = kept.buffers(&of_each.repeat(count))?;
    for slot in parts.chunks(of_each.len()) {
        if let [_, headers, _, payload] = slot {
            headers.populate(PAGE)?;
            payload.populate(asked.next_multiple_of(PAGE))?;
        }
    }
    let mut parts = parts.into_iter();
    let mut slot = |queue| {
        Some(SlotMemory {
            queue,
            notes: parts.next()?,
            headers: parts.next()?,
            staging: parts.next()?,
            payload: parts.next()?,
        })
    };
    let slots = placings.iter().map(|placing| {
        let queues = placing.queues.iter();
        queues.filter_map(|&queue| slot(queue)).collect()
    });
    Ok(slots.collect())
}

/// Answers the request in `buffers`, in place; returns its number.
pub(super) fn answer(buffers: Buffers<'_>, answerer: Answerer<'_>) -> u64 {
    let unique = unique(buffers.headers);
    carry_out(buffers, unique, answerer);
    unique
}

/// Answers what another daemon left in `buffers`, if that is a request; returns its number.
pub(super) fn answer_again(buffers: Buffers<'_>, answerer: Answerer<'_>) -> Option<u64> {
    let unique = unique(buffers.headers);
    if unique == 0 {
        return None;
    }
    if note(buffers.notes, ANSWERED) == unique {
        put(buffers, unique);
    } else {
        carry_out(
            buffers,
            unique,
            Answerer {
                again: true,
                ..answerer
            },
        );
    }
    Some(unique)
}

fn carry_out(buffers: Buffers<'_>, unique: u64, answerer: Answerer<'_>) {
    let Buffers {
        notes,
        headers,
        staging,
        payload,
    } = buffers;
    let (message, rest) = headers.split_at_mut_checked(FIELDS).unwrap_or_default();
    let length = payload_length(rest);
    let fields = rest.get(..FIELDS).unwrap_or(&[]);
    let told = match Header::decode(message.get(..IN_HEADER).unwrap_or(&[])) {
        Ok(header) => answerer.answer(&header, fields, payload, length, staging),
        Err(error) => Err(error.errno()),
    };
    let result = match told {
        Ok(Told::InPlace(length)) => length as u64,
        Ok(Told::Staged(length)) => length as u64 | STAGED,
        Err(errno) => u64::from(errno.raw_os_error().unsigned_abs()) << 32,
    };
    set_note(notes, RESULT, result);
    set_note(notes, ANSWERED, unique);
    put(
        Buffers {
            notes,
            headers,
            staging,
            payload,
        },
        unique,
    );
}

/// Puts the answer that the notes tell of where the kernel takes it from.
fn put(buffers: Buffers<'_>, unique: u64) {
    let result = note(buffers.notes, RESULT);
    // Never more than the payload, whose length is checked below.
    let length = (result & (STAGED - 1)) as usize;
    let error = i32::try_from(result >> 32).unwrap_or(Errno::IO.raw_os_error());
    if result & STAGED != 0
        && let (Some(to), Some(from)) = (
            buffers.payload.get_mut(..length),
            buffers.staging.get(..length),
        )
    {
        to.copy_from_slice(from);
    }
    let (message, rest) = buffers
        .headers
        .split_at_mut_checked(FIELDS)
        .unwrap_or_default();
    let header = message.get_mut(..OUT_HEADER).unwrap_or_default();
    if let Err(error) = reply::header(header, unique, error.saturating_neg(), length) {
        log::error!("cannot answer request {unique}: {error}");
    }
    set_payload_length(rest, length);
}

fn note(notes: &SharedPart, index: usize) -> u64 {
    notes
        .number(index)
        .map_or(0, |note| note.load(Ordering::Acquire))
}

fn set_note(notes: &SharedPart, index: usize, value: u64) {
    if let Some(note) = notes.number(index) {
        note.store(value, Ordering::Release);
    }
}

fn unique(headers: &[u8]) -> u64 {
    let number = headers
        .get(UNIQUE..)
        .and_then(|number| number.first_chunk());
    number.map_or(0, |number| u64::from_ne_bytes(*number))
}

fn payload_length(rest: &[u8]) -> usize {
    let at = PAYLOAD_LENGTH - FIELDS;
    let field = rest.get(at..).and_then(|field| field.first_chunk());
    field.map_or(0, |field| u32::from_ne_bytes(*field) as usize)
}

fn set_payload_length(rest: &mut [u8], length: usize) {
    let at = PAYLOAD_LENGTH - FIELDS;
    if let Some(field) = rest.get_mut(at..).and_then(|field| field.first_chunk_mut()) {
        *field = u32::try_from(length).unwrap_or(0).to_ne_bytes();
    }
}
