//! Mounts of one image that share what they decode.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use wpar_mountd::error::FsError;
use wpar_mountd::lower::tar::{Silent, TarLower, ensure_index, shared_file};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::EntryName;

/// Bytes of the one file in the image: several chunks.
const SIZE: usize = 12 << 20;

fn noise() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..SIZE / 8).flat_map(|_| next()).collect()
}

/// A compressed image of `contents`, and its index.
fn image(directory: &Path, contents: &[u8]) -> (PathBuf, PathBuf) {
    let path = directory.join("image.tar.zst");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(contents.len() as u64);
    archive.append_data(&mut header, "file", contents).unwrap();
    let archive = archive.into_inner().unwrap();
    let mut file = File::create(&path).unwrap();
    for part in archive.chunks(1 << 20) {
        file.write_all(&zstd::bulk::compress(part, 1).unwrap())
            .unwrap();
    }
    let index = ensure_index(&path, directory, &mut Silent).unwrap().path;
    (path, index)
}

fn read(lower: &TarLower, offset: usize, length: usize) -> Result<Vec<u8>, FsError> {
    let name = EntryName::new(b"file").unwrap();
    let (node, _) = lower.lookup(LowerNode::ROOT, name)?.unwrap();
    let mut buffer = vec![0; length];
    let count = lower.open(node)?.read_at(&mut buffer, offset as u64)?;
    buffer.truncate(count);
    Ok(buffer)
}

#[test]
fn what_one_mount_decoded_another_reads_without_decoding_it() {
    let directory = tempfile::tempdir().unwrap();
    let contents = noise();
    let (image, index) = image(directory.path(), &contents);
    let shared = shared_file(&index, &directory.path().join("chunks"));
    let open = || TarLower::open_sharing(&image, &index, &shared).unwrap();
    let (one, other) = (open(), open());
    let alone = TarLower::open(&image, &index).unwrap();
    assert!(read(&one, 0, SIZE).unwrap() == contents);
    // What follows cannot be decoded from the archive any more.
    let file = File::options().write(true).open(&image).unwrap();
    let middle = fs::metadata(&image).unwrap().len() / 2;
    file.write_all_at(&[0; 1 << 20], middle).unwrap();
    assert_eq!(read(&alone, 0, SIZE), Err(FsError::Damaged));
    // Who decoded it was answered first, and gives it to others afterwards.
    let is_shared = || read(&other, 0, SIZE).is_ok_and(|read| read == contents);
    assert!((0..6000).any(|_| {
        let shared = is_shared();
        if !shared {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        shared
    }));
    assert_eq!(
        read(&other, 5_000_000, 9).unwrap(),
        contents[5_000_000..5_000_009]
    );
}

#[test]
fn without_a_place_to_share_each_decodes_for_itself() {
    let directory = tempfile::tempdir().unwrap();
    let contents = noise();
    let (image, index) = image(directory.path(), &contents);
    let nowhere = directory.path().join("image.tar.zst/chunks");
    let lower = TarLower::open_sharing(&image, &index, &nowhere).unwrap();
    assert!(read(&lower, 0, SIZE).unwrap() == contents);
}
