//! The index inside an image: appended by the writer, unpacked by whoever opens the image first.
//!
//! `docs/mksysb-format.md` describes the two skippable frames. The index cannot know size, time
//! and hashes of the file that it is in; it has those of the bytes before it, and whoever unpacks
//! it compares them and puts those of the whole file in their place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::atomic::AtomicFile;
use super::super::format::{
    FILE_BYTES, FilePlace, FileRecord, Fingerprint, HEADER_BYTES, IndexHeader, MAGIC, Section,
    VERSION, hash,
};
use super::super::seekable::seek_table;
use super::frames::Finished;

/// Magic number of the skippable frame that holds the index.
const FRAME_MAGIC: u32 = 0x184D_2A50;
/// Magic number of the skippable frame that holds the seek table, and of its footer.
const SEEK_FRAME_MAGIC: u32 = 0x184D_2A5E;
const SEEK_FOOTER_MAGIC: u32 = 0x8F92_EAB1;
const SEEK_FOOTER: u64 = 9;
/// The last bytes of the index frame.
const TRAILER: usize = 64;
const TRAILER_MAGIC: [u8; 8] = *b"WPARIEMB";
const TRAILER_VERSION: u32 = 1;
/// Level at which the index is packed.
const LEVEL: i32 = 3;
/// An index that claims to be so many times longer than it is packed is none.
const MOST_RATIO: u64 = 512;

/// Where the packed index is, as the trailer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trailer {
    /// Where the frame begins: the length of the frames of data.
    frame: u64,
    packed: u64,
    plain: u64,
}

impl Trailer {
    fn encode(self) -> [u8; TRAILER] {
        let mut bytes = [0; TRAILER];
        bytes[..8].copy_from_slice(&TRAILER_MAGIC);
        bytes[8..12].copy_from_slice(&TRAILER_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(TRAILER as u32).to_le_bytes());
        let numbers = [self.frame, self.packed, self.plain];
        for (slot, number) in bytes[16..].chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        let sum = hash(&bytes[..TRAILER - 8]);
        bytes[TRAILER - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; TRAILER]) -> Option<Self> {
        let number = |at: usize| {
            let slot = bytes.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(slot))
        };
        let known = bytes[..8] == TRAILER_MAGIC
            && bytes[8..12] == TRAILER_VERSION.to_le_bytes()
            && number(TRAILER - 8)? == hash(&bytes[..TRAILER - 8]);
        known.then_some(Self {
            frame: number(16)?,
            packed: number(24)?,
            plain: number(32)?,
        })
    }
}

/// Appends index and seek table to the file, which ends with the last frame of data; answers what
/// the index takes.
pub(super) fn append(mut file: &File, mut index: &File, finished: &Finished) -> io::Result<u64> {
    let plain = index.seek(SeekFrom::End(0))?;
    index.seek(SeekFrom::Start(0))?;
    let mut packed = Vec::new();
    let mut encoder = ::zstd::stream::Encoder::new(&mut packed, LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(
        &mut io::BufReader::with_capacity(1 << 20, index),
        &mut encoder,
    )?;
    encoder.finish()?;
    let content = packed.len() + TRAILER;
    let content = u32::try_from(content)
        .map_err(|_| io::Error::other("its index would be larger than 4 GiB"))?;
    let trailer = Trailer {
        frame: finished.stored_bytes,
        packed: packed.len() as u64,
        plain,
    };
    let mut frame = Vec::with_capacity(packed.len() + TRAILER + 8);
    frame.extend(FRAME_MAGIC.to_le_bytes());
    frame.extend(content.to_le_bytes());
    frame.extend(packed);
    frame.extend(trailer.encode());
    file.seek(SeekFrom::Start(finished.stored_bytes))?;
    file.write_all(&frame)?;
    file.write_all(&seek_table(&finished.chunks, Some(frame.len())))?;
    Ok(frame.len() as u64)
}

/// Looks for an index at the end of an image: two reads, whatever the image's size.
fn find(file: &File) -> io::Result<Option<(Trailer, Table)>> {
    let Some(table) = find_table(file)? else {
        return Ok(None);
    };
    let Some(at) = table.frame.checked_sub(TRAILER as u64) else {
        return Ok(None);
    };
    let mut bytes = [0; TRAILER];
    file.read_exact_at(&mut bytes, at)?;
    let trailer = Trailer::decode(&bytes).filter(|trailer| {
        let length = trailer.packed.checked_add(8);
        length.and_then(|length| trailer.frame.checked_add(length)) == Some(at)
            && trailer.plain >= HEADER_BYTES as u64
            && trailer.plain / MOST_RATIO <= trailer.packed
    });
    Ok(trailer.map(|trailer| (trailer, table)))
}

/// A seek table as its footer says.
#[derive(Clone, Copy, Debug)]
struct Table {
    /// Where its frame begins.
    frame: u64,
    entries: u64,
}

/// Looks for a seek table without checksums, as it is written here.
fn find_table(file: &File) -> io::Result<Option<Table>> {
    let size = file.metadata()?.len();
    let Some(footer_at) = size.checked_sub(SEEK_FOOTER) else {
        return Ok(None);
    };
    let mut footer = [0; SEEK_FOOTER as usize];
    file.read_exact_at(&mut footer, footer_at)?;
    let [a, b, c, d, descriptor, magic @ ..] = footer;
    let entries = u64::from(u32::from_le_bytes([a, b, c, d]));
    let length = 8 + entries * 8 + SEEK_FOOTER;
    let Some(frame) = size.checked_sub(length) else {
        return Ok(None);
    };
    let mut magic_there = [0; 4];
    file.read_exact_at(&mut magic_there, frame)?;
    let known = descriptor == 0
        && magic == SEEK_FOOTER_MAGIC.to_le_bytes()
        && magic_there == SEEK_FRAME_MAGIC.to_le_bytes();
    Ok(known.then_some(Table { frame, entries }))
}

/// A frame of data.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeekEntry {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its length there.
    pub(super) packed: u32,
    /// Its length decoded.
    pub(super) plain: u32,
}

/// The frames of data of an image that was written here; `None` for any other file.
pub(super) fn seek_entries(file: &File) -> io::Result<Option<Vec<SeekEntry>>> {
    let Some((trailer, table)) = find(file)? else {
        return Ok(None);
    };
    let mut bytes = vec![0; table.entries as usize * 8];
    file.read_exact_at(&mut bytes, table.frame + 8)?;
    let mut offset = 0;
    let mut entries = Vec::with_capacity(table.entries as usize);
    for entry in bytes.chunks_exact(8) {
        let number = |at: usize| {
            u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        if offset >= trailer.frame {
            break;
        }
        let (packed, plain) = (number(0), number(4));
        entries.push(SeekEntry {
            offset,
            packed,
            plain,
        });
        offset += u64::from(packed);
    }
    Ok((offset == trailer.frame).then_some(entries))
}

/// Unpacks the index inside `file` to `target`, with the identity of the whole file; `None` if
/// there is none, or none that can be used, and the image has to be scanned.
pub(in super::super) fn unpack(
    file: &File,
    target: &Path,
    permissions: u32,
) -> io::Result<Option<()>> {
    let Some((trailer, _)) = find(file)? else {
        return Ok(None);
    };
    let mut packed = file;
    packed.seek(SeekFrom::Start(trailer.frame + 8))?;
    let mut plain = ::zstd::stream::Decoder::new(packed.take(trailer.packed))?;
    let out = AtomicFile::create(target, permissions)?;
    let mut sink = out.file();
    if !copy_exactly(&mut plain, &mut sink, trailer.plain)?
        || !make_whole(file, out.file(), trailer)?
    {
        return Ok(None);
    }
    out.commit()?;
    Ok(Some(()))
}

/// Puts the identity of the whole file in the place of that of the bytes before the index; false
/// if this is no index, or one of something else. An index that names other files is refused: an
/// image must not choose what of a host is shown.
fn make_whole(file: &File, index: &File, trailer: Trailer) -> io::Result<bool> {
    let mut bytes = [0; HEADER_BYTES];
    index.read_exact_at(&mut bytes, 0)?;
    let this_version = bytes[..8] == MAGIC && bytes[8..12] == VERSION.to_le_bytes();
    let Some(mut header) = IndexHeader::decode(&bytes).filter(|_| this_version) else {
        return Ok(false);
    };
    let Some(place) = header.sections.get_mut(Section::Files as usize) else {
        return Ok(false);
    };
    let one = place.bytes == FILE_BYTES as u64
        && place
            .offset
            .checked_add(place.bytes)
            .is_some_and(|end| end <= trailer.plain);
    if !one || header.file_bytes != trailer.plain || header.copy_bytes != 0 {
        return Ok(false);
    }
    let mut bytes = [0; FILE_BYTES];
    index.read_exact_at(&mut bytes, place.offset)?;
    let Some(record) = FileRecord::decode(&bytes) else {
        return Ok(false);
    };
    if record.place != FilePlace::Image
        || record.fingerprint != Fingerprint::of_prefix(file, trailer.frame)?
    {
        return Ok(false);
    }
    let whole = Fingerprint::of(file)?;
    let record = FileRecord {
        fingerprint: whole,
        ..record
    };
    let bytes = record.encode();
    index.write_all_at(&bytes, place.offset)?;
    place.hash = hash(&bytes);
    header.image_bytes = whole.size;
    index.write_all_at(&header.encode(), 0)?;
    Ok(true)
}

/// Copies exactly `expected` bytes; false if the source is damaged, or has fewer or more. Errors
/// are those of writing.
fn copy_exactly(from: &mut dyn Read, to: &mut dyn Write, expected: u64) -> io::Result<bool> {
    let mut buffer = vec![0; 256 * 1024];
    let mut done = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(done == expected),
            Ok(count) => {
                done += count as u64;
                if done > expected {
                    return Ok(false);
                }
                to.write_all(&buffer[..count])?;
            }
            Err(_) => return Ok(false),
        }
    }
}
