//! Contents of packed members, read at any place.
//!
//! A member is unpacked in blocks. Where the codes of each block begin is noted down when it is first
//! met, so that a later reader goes on there; only the way to a block that nobody was near before
//! is unpacked once in vain. So memory is bounded by the blocks that are kept and eight bytes for
//! each block of the members that were read lately, whatever a member's size, and nothing is written
//! to a disk.
//!
//! Packed data carries no checksum. Damage shows as [`FsError::Damaged`] where codes lead nowhere or
//! the end does not come at the size that the header claims; else as other bytes.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::error::{FsError, FsResult};
use crate::lower::tar::MemberData;

use super::unpack::{Codes, Decoded, HEADER_LONGEST};

/// What a block holds; the last one of a member may be shorter.
const BLOCK: usize = 256 << 10;
/// Blocks that are kept: 8 MiB.
const BLOCKS_KEPT: NonZeroUsize = NonZeroUsize::new(32).unwrap();
/// Members of which it is known where blocks begin: at most 128 KiB each, for 4 GiB.
const MEMBERS_KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// What is read of the stored data in one piece.
const WINDOW: usize = 64 << 10;

/// Fills a buffer from this place of the stream.
pub(in crate::lower) type ReadStream<'r> = dyn Fn(&mut [u8], u64) -> FsResult<()> + 'r;

/// Where a packed member is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::lower) struct Place {
    /// Where it begins in the stream.
    pub(in crate::lower) offset: u64,
    /// Length in the stream.
    pub(in crate::lower) stored: u64,
    /// Length when it is unpacked.
    pub(in crate::lower) size: u64,
}

/// What is kept of the packed members of an image.
#[derive(Debug)]
pub(in crate::lower) struct PackedStore {
    members: Mutex<LruCache<Place, Arc<Packed>>>,
    blocks: Mutex<LruCache<(Place, u64), Block>>,
}

/// An unpacked block.
type Block = Arc<Vec<u8>>;

/// What is known of a member.
#[derive(Debug)]
struct Packed {
    codes: Codes,
    /// The bits, from the beginning of the stored data, at which blocks begin.
    marks: Mutex<Vec<u64>>,
}

impl Default for PackedStore {
    fn default() -> Self {
        Self {
            members: Mutex::new(LruCache::new(MEMBERS_KEPT)),
            blocks: Mutex::new(LruCache::new(BLOCKS_KEPT)),
        }
    }
}

impl PackedStore {
    /// Fills `buffer` with the contents of a member from `offset` on, all of which must lie within
    /// its size.
    ///
    /// # Errors
    /// [`FsError::Damaged`] if it cannot be unpacked to that size, and those of `stream`.
    pub(in crate::lower) fn read(
        &self,
        place: Place,
        buffer: &mut [u8],
        offset: u64,
        stream: &ReadStream<'_>,
    ) -> FsResult<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            let block = self.block(place, at / BLOCK as u64, stream)?;
            let from = (at % BLOCK as u64) as usize;
            let there = block.get(from..).unwrap_or_default();
            let count = there.len().min(buffer.len() - filled);
            if count == 0 {
                return Err(FsError::Damaged);
            }
            buffer[filled..filled + count].copy_from_slice(&there[..count]);
            filled += count;
        }
        Ok(())
    }

    fn block(&self, place: Place, number: u64, stream: &ReadStream<'_>) -> FsResult<Block> {
        if let Some(block) = self.blocks.lock().get(&(place, number)) {
            return Ok(Arc::clone(block));
        }
        let block = Arc::new(self.member(place, stream)?.block(place, number, stream)?);
        self.blocks.lock().put((place, number), Arc::clone(&block));
        Ok(block)
    }

    fn member(&self, place: Place, stream: &ReadStream<'_>) -> FsResult<Arc<Packed>> {
        if let Some(member) = self.members.lock().get(&place) {
            return Ok(Arc::clone(member));
        }
        let member = Arc::new(Packed::open(place, stream)?);
        self.members.lock().put(place, Arc::clone(&member));
        Ok(member)
    }
}

/// The contents of a member of which all that is stored is at hand; `None` if that is too little, or
/// damaged.
pub(in crate::lower) fn whole(data: &MemberData, stored: &[u8]) -> Option<Vec<u8>> {
    let Some(length) = data.packed else {
        return (stored.len() as u64 == data.size).then(|| stored.to_vec());
    };
    let place = Place {
        offset: 0,
        stored: length,
        size: data.size,
    };
    let stream = |buffer: &mut [u8], at: u64| {
        let piece = stored
            .get(at as usize..)
            .and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(piece.ok_or(FsError::Damaged)?);
        Ok(())
    };
    let mut bytes = vec![0; usize::try_from(data.size).ok()?];
    let read = PackedStore::default().read(place, &mut bytes, 0, &stream);
    read.ok().map(|()| bytes)
}

impl Packed {
    fn open(place: Place, stream: &ReadStream<'_>) -> FsResult<Self> {
        // Each byte that is stored gives eight at most, so that no member costs more time than its
        // stored length is worth.
        if place.size > place.stored.saturating_mul(8) {
            return Err(FsError::Damaged);
        }
        let mut header = vec![0; HEADER_LONGEST.min(place.stored as usize)];
        stream(&mut header, place.offset)?;
        let (codes, length) = Codes::parse(&header).ok_or(FsError::Damaged)?;
        let marks = Mutex::new(vec![length as u64 * 8]);
        Ok(Self { codes, marks })
    }

    /// Unpacks a block, and those before it of which it is not known where they end.
    fn block(&self, place: Place, number: u64, stream: &ReadStream<'_>) -> FsResult<Vec<u8>> {
        let (mut at, mut bit) = self.nearest(number).ok_or(FsError::Damaged)?;
        let mut window = Window::new(place, stream);
        let mut block = Vec::new();
        loop {
            let length = (BLOCK as u64).min(place.size.saturating_sub(at * BLOCK as u64));
            block.clear();
            self.unpack(&mut window, &mut bit, &mut block, length as usize)?;
            if (at * BLOCK as u64) + length == place.size {
                self.check_end(&mut window, bit)?;
            }
            if at == number {
                self.note(at + 1, bit);
                return Ok(block);
            }
            at += 1;
            self.note(at, bit);
        }
    }

    /// The nearest block up to `number` of which it is known where it begins.
    fn nearest(&self, number: u64) -> Option<(u64, u64)> {
        let marks = self.marks.lock();
        let at = number.min((marks.len() as u64).checked_sub(1)?);
        Some((at, *marks.get(at as usize)?))
    }

    fn note(&self, number: u64, bit: u64) {
        let mut marks = self.marks.lock();
        if marks.len() as u64 == number {
            marks.push(bit);
        }
    }

    fn unpack(
        &self,
        window: &mut Window<'_>,
        bit: &mut u64,
        out: &mut Vec<u8>,
        length: usize,
    ) -> FsResult<()> {
        while out.len() < length {
            let (input, last) = window.at(*bit / 8)?;
            let mut within = (*bit % 8) as usize;
            let room = length - out.len();
            let step = self.codes.decode(input, last, &mut within, out, room);
            *bit = *bit / 8 * 8 + within as u64;
            if step.is_none_or(|step| step == Decoded::End) {
                return Err(FsError::Damaged);
            }
        }
        Ok(())
    }

    /// The code after the last byte must be that of the end.
    fn check_end(&self, window: &mut Window<'_>, bit: u64) -> FsResult<()> {
        let (input, last) = window.at(bit / 8)?;
        let mut within = (bit % 8) as usize;
        let step = self
            .codes
            .decode(input, last, &mut within, &mut Vec::new(), 1);
        match step {
            Some(Decoded::End) => Ok(()),
            _ => Err(FsError::Damaged),
        }
    }
}

/// A piece of the stored data.
struct Window<'w> {
    place: Place,
    stream: &'w ReadStream<'w>,
    start: u64,
    bytes: Vec<u8>,
}

impl<'w> Window<'w> {
    fn new(place: Place, stream: &'w ReadStream<'w>) -> Self {
        let (start, bytes) = (0, Vec::new());
        Self {
            place,
            stream,
            start,
            bytes,
        }
    }

    /// Stored bytes from `offset` on, 16 or more unless they are the last ones, which is told.
    fn at(&mut self, offset: u64) -> FsResult<(&[u8], bool)> {
        const LEAST: u64 = 16;
        let offset = offset.min(self.place.stored);
        let end = self.start + self.bytes.len() as u64;
        let is_there = offset >= self.start
            && (offset + LEAST <= end || offset <= end && end == self.place.stored);
        if !is_there {
            let length = (WINDOW as u64).min(self.place.stored - offset);
            self.bytes.resize(length as usize, 0);
            self.start = offset;
            (self.stream)(&mut self.bytes, self.place.offset + offset)?;
        }
        let last = self.start + self.bytes.len() as u64 == self.place.stored;
        let from = (offset - self.start) as usize;
        Ok((self.bytes.get(from..).unwrap_or_default(), last))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::writer::pack;
    use super::*;

    struct Stored {
        bytes: Vec<u8>,
        reads: Cell<u64>,
    }

    const BEFORE: u64 = 77;

    impl Stored {
        fn new(bytes: Vec<u8>) -> Self {
            let reads = Cell::new(0);
            Self { bytes, reads }
        }

        fn place(&self, size: u64) -> Place {
            let stored = self.bytes.len() as u64;
            Place {
                offset: BEFORE,
                stored,
                size,
            }
        }

        fn read(&self, buffer: &mut [u8], offset: u64) -> FsResult<()> {
            let from = (offset - BEFORE) as usize;
            let bytes = self.bytes.get(from..from + buffer.len());
            buffer.copy_from_slice(bytes.ok_or(FsError::Damaged)?);
            self.reads.set(self.reads.get() + buffer.len() as u64);
            Ok(())
        }
    }

    fn text(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 24) as u8).min(90)
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn any_range_is_what_was_packed() {
        let text = text(3 * BLOCK + 1234);
        let stored = Stored::new(pack(&text));
        let place = stored.place(text.len() as u64);
        let store = PackedStore::default();
        let read = |buffer: &mut [u8], offset| stored.read(buffer, offset);
        for (from, length) in [
            (3 * BLOCK + 1200, 34),
            (0, 10),
            (BLOCK - 5, 10),
            (BLOCK, BLOCK),
            (0, text.len()),
            (text.len(), 0),
        ] {
            let mut buffer = vec![0; length];
            store.read(place, &mut buffer, from as u64, &read).unwrap();
            assert_eq!(buffer, text[from..from + length], "{length} at {from}");
        }
    }

    #[test]
    fn a_block_is_reached_without_those_before_it_once_its_place_is_known() {
        let text = text(20 * BLOCK);
        let stored = Stored::new(pack(&text));
        let place = stored.place(text.len() as u64);
        let store = PackedStore::default();
        let read = |buffer: &mut [u8], offset| stored.read(buffer, offset);
        let mut byte = [0];
        let last = text.len() as u64 - 1;
        store.read(place, &mut byte, last, &read).unwrap();
        for number in 0..20 {
            store.blocks.lock().clear();
            stored.reads.set(0);
            let at = number * BLOCK as u64 + 5;
            store.read(place, &mut byte, at, &read).unwrap();
            assert_eq!(byte[0], text[at as usize]);
            let most = (BLOCK + 2 * WINDOW) as u64;
            assert!(stored.reads.get() < most, "{} bytes", stored.reads.get());
        }
    }

    #[test]
    fn damage_is_an_error_and_never_more_than_was_claimed() {
        let text = text(500);
        let good = pack(&text);
        let all = |bytes: Vec<u8>, size: u64| {
            let stored = Stored::new(bytes);
            let mut buffer = vec![0; size as usize];
            let read = |buffer: &mut [u8], offset| stored.read(buffer, offset);
            let place = stored.place(size);
            let done = PackedStore::default().read(place, &mut buffer, 0, &read);
            done.map(|()| buffer)
        };
        assert_eq!(all(good.clone(), 500).as_ref(), Ok(&text));
        for size in [499, 501, 1000, good.len() as u64 * 8 + 1] {
            assert_eq!(
                all(good.clone(), size),
                Err(FsError::Damaged),
                "size {size}"
            );
        }
        for length in 0..good.len() {
            assert_eq!(
                all(good[..length].to_vec(), 500),
                Err(FsError::Damaged),
                "{length}"
            );
        }
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = all(flipped, 500);
            assert!(read.is_err() || read.is_ok_and(|read| read.len() == 500));
        }
    }
}
