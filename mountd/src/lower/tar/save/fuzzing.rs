//! Images of our own with any index inside: it is used if it is one of that image, or the image is
//! scanned.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::super::format::{ChunkRecord, HEADER_BYTES, IndexHeader, hash};
use super::super::fuzzing::use_all;
use super::super::{Silent, TarLower, ensure_index};
use super::embedded;
use super::frames::Finished;
use super::{Entry, EntryKind, ImageWriter, SaveOptions, verify};
use crate::fuzzing::scratch;
use crate::types::Timestamp;

/// An image, and what is in it.
#[derive(Clone)]
struct Made {
    /// The frames of data.
    frames: Vec<u8>,
    chunks: Vec<ChunkRecord>,
    /// The index as it is inside.
    index: Vec<u8>,
}

/// Puts `data` into an image as its index, and uses the tree that comes of it.
pub(crate) fn embedded(data: &[u8]) {
    is_used(data);
}

/// The same; answers whether the index was taken as it is.
fn is_used(data: &[u8]) -> bool {
    let made = made();
    scratch::emptied(|directory| {
        let image = directory.join("image");
        let packed = directory.join("packed");
        fs::write(&image, &made.frames).unwrap();
        fs::write(&packed, data).unwrap();
        let finished = Finished {
            chunks: made.chunks,
            stored_bytes: made.frames.len() as u64,
        };
        let file = File::options().read(true).write(true).open(&image);
        embedded::append(&file.unwrap(), &File::open(&packed).unwrap(), &finished).unwrap();
        // Whatever the index says, the frames are what they were.
        let verified = verify(&image, 1, &mut Silent).unwrap();
        assert!(verified.is_none_or(|report| report.frames == finished.chunks.len() as u64));
        let report = ensure_index(&image, directory, &mut Silent).unwrap();
        let layer = TarLower::open(&image, &report.path).unwrap();
        layer.index().verify().expect("an index that was accepted");
        use_all(&layer, report.built);
        let names = fs::read_dir(directory).unwrap();
        assert_eq!(names.count(), 3, "image, what was packed, index");
        !report.built
    })
}

/// An index that was inside an image.
pub(crate) fn indexes() -> Vec<Vec<u8>> {
    vec![made().index]
}

/// Gives the header its length, and header and sections their hashes again.
pub(crate) fn mend(bytes: &mut [u8]) {
    let Some(mut header) = bytes
        .first_chunk::<HEADER_BYTES>()
        .and_then(IndexHeader::decode)
    else {
        return;
    };
    header.file_bytes = bytes.len() as u64;
    for place in &mut header.sections {
        let end = place.offset.saturating_add(place.bytes);
        if let Some(section) = bytes.get(place.offset as usize..end as usize) {
            place.hash = hash(section);
        }
    }
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
}

fn made() -> Made {
    thread_local! {
        static MADE: OnceCell<Made> = const { OnceCell::new() };
    }
    MADE.with(|made| {
        let make = || scratch::emptied(|directory| make(&directory.join("image")));
        made.get_or_init(make).clone()
    })
}

fn make(path: &Path) -> Made {
    let options = SaveOptions {
        level: Some(1),
        threads: 1,
        permissions: 0o600,
        time: Timestamp::default(),
    };
    let mut writer = ImageWriter::create(path, options).unwrap();
    let entry = |path, kind| Entry {
        path,
        kind,
        permissions: 0o755,
        uid: 1,
        gid: 2,
        mtime: Timestamp::default(),
        xattrs: &[],
    };
    writer.add(&entry(b"./", EntryKind::Directory)).unwrap();
    writer.add(&entry(b"./etc", EntryKind::Directory)).unwrap();
    for name in [&b"./etc/hostname"[..], b"./etc/hosts", b"./file"] {
        let file = entry(name, EntryKind::File(5));
        writer.add_file(&file, None, &mut &b"hello"[..]).unwrap();
        writer.cut().unwrap();
    }
    let link = entry(b"./link", EntryKind::Symlink(b"etc/hosts"));
    writer.add(&link).unwrap();
    writer.finish().unwrap();
    let bytes = fs::read(path).unwrap();
    let table = embedded::seek_entries(&File::open(path).unwrap());
    let table = table.unwrap().unwrap();
    let chunks = table.iter().map(|entry| ChunkRecord {
        stored_offset: entry.offset,
        stored_bytes: entry.packed.into(),
        length: entry.plain,
        ..Default::default()
    });
    let end = table.last().unwrap();
    let end = end.offset as usize + end.packed as usize;
    let mut index = Vec::new();
    let frame = zstd::stream::Decoder::new(&bytes[end + 8..]).unwrap();
    frame.single_frame().read_to_end(&mut index).unwrap();
    Made {
        frames: bytes[..end].to_vec(),
        chunks: chunks.collect(),
        index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_used_if_its_hashes_hold() {
        let mut index = made().index;
        assert!(is_used(&index));
        // The time of the last inode.
        let at = HEADER_BYTES + 60;
        index[at] ^= 1;
        assert!(!is_used(&index));
        mend(&mut index);
        assert!(is_used(&index));
    }
}
