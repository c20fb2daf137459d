//! What is saved comes back, whoever reads it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use wpar::backup::restore::restore;
use wpar_mountd::lower::tar::{Silent, TarLower, ensure_index, save::verify};

use crate::scratch;
use crate::tar_support::{Comparison, Contents, Random, extract, is_root, make_tree, open};
use crate::{save, save_packed};

/// Saves a tree with everything in it; compares the source, what GNU tar extracts, and what is
/// restored here, with what the image shows.
fn comes_back(level: Option<i32>) {
    if !is_root() {
        return;
    }
    let (_temp, dir) = scratch("round-trip");
    let source = dir.join("source");
    fs::create_dir(&source).unwrap();
    make_tree(&source, Contents::Attributes);
    fs::write(source.join("large"), Random::new(9).text(5_000_001)).unwrap();
    let image = dir.join("image");
    let outcome = save(&source, &image, level).unwrap();
    assert!(outcome.is_whole(), "{outcome:?}");
    assert_eq!(fs::metadata(&image).unwrap().mode() & 0o7777, 0o600);

    let layer = open(&image).unwrap();
    let objects = Comparison::new(&layer, true, true).run(&source);
    assert_eq!(objects as u64, outcome.entries);
    let extracted = dir.join("tar");
    extract(&image, &extracted);
    assert_eq!(
        Comparison::new(&layer, true, false).run(&extracted),
        objects
    );
    let restored = dir.join("restored");
    fs::create_dir(&restored).unwrap();
    let done = restore(&layer, &restored, &[], &mut |_, _| true).unwrap();
    assert!(done.troubles.is_empty(), "{:?}", done.troubles);
    // The root is the directory that one restores into, and stays as it is.
    let times = fs::metadata(&source).unwrap();
    let time = rustix::fs::Timespec {
        tv_sec: times.mtime(),
        tv_nsec: times.mtime_nsec(),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(
        rustix::fs::CWD,
        &restored,
        &times,
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
    assert_eq!(Comparison::new(&layer, true, true).run(&restored), objects);
}

#[test]
fn a_tree_with_everything_comes_back() {
    comes_back(Some(3));
}

#[test]
fn a_plain_image_comes_back() {
    comes_back(None);
}

#[test]
fn opening_an_image_scans_nothing_and_says_what_a_scan_says() {
    if !is_root() {
        return;
    }
    let (_temp, dir) = scratch("inside");
    let source = dir.join("source");
    fs::create_dir(&source).unwrap();
    make_tree(&source, Contents::Attributes);
    let image = dir.join("image");
    save_packed(&source, &image);
    let inside = ensure_index(&image, &dir, &mut Silent).unwrap();
    assert!(!inside.built, "{inside:?}");
    let again = ensure_index(&image, &dir, &mut Silent).unwrap();
    assert!(!again.built);

    // Without the index and the seek table it is an archive like any other.
    let bare = dir.join("bare");
    let bytes = fs::read(&image).unwrap();
    let index_frame = find_last(&bytes, &0x184D_2A50_u32.to_le_bytes());
    fs::write(&bare, &bytes[..index_frame]).unwrap();
    let scanned = ensure_index(&bare, &dir, &mut Silent).unwrap();
    assert!(scanned.built);
    assert_eq!(inside.entries, scanned.entries);
    assert_eq!(inside.stream_bytes, scanned.stream_bytes);
    assert!(inside.carries_xattrs && scanned.carries_xattrs);
    assert_eq!((&inside.warnings, &scanned.warnings), (&vec![], &vec![]));
    let (inside, scanned) = (sections(&inside.path), sections(&scanned.path));
    for (name, (inside, scanned)) in ["inodes", "dentries", "strings", "extents", "attributes"]
        .iter()
        .zip(inside.iter().zip(&scanned))
    {
        assert!(inside == scanned, "{name} differ");
    }
}

fn find_last(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .rposition(|window| window == what)
        .unwrap()
}

/// The sections of an index, by its documentation.
fn sections(index: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(index).unwrap();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    (0..5)
        .map(|section| {
            let (offset, length) = (number(88 + section * 24), number(96 + section * 24));
            bytes[offset..offset + length].to_vec()
        })
        .collect()
}

#[test]
fn an_image_opens_where_its_index_cannot_be_written_beside_it() {
    let (_temp, dir) = scratch("cache");
    let source = dir.join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "contents").unwrap();
    // A name that leaves no room for the index's.
    let image = dir.join("x".repeat(250));
    save_packed(&source, &image);
    let cache = dir.join("cache");
    let report = ensure_index(&image, &cache, &mut Silent).unwrap();
    assert!(
        !report.built && report.path.starts_with(&cache),
        "{report:?}"
    );
    TarLower::open(&image, &report.path).unwrap();
    let checked = verify(&image, 2, &mut Silent).unwrap().unwrap();
    assert_eq!(checked.bytes, report.stream_bytes);
}

#[test]
fn zstd_and_tar_see_nothing_but_the_archive() {
    let (_temp, dir) = scratch("stock");
    let source = dir.join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), Random::new(3).text(3_000_000)).unwrap();
    let (packed, plain) = (dir.join("packed"), dir.join("plain"));
    save_packed(&source, &packed);
    save(&source, &plain, None).unwrap();
    let unpacked = crate::tar_support::run("zstd", ["-dc", packed.to_str().unwrap()]);
    assert!(
        unpacked.stdout == fs::read(&plain).unwrap(),
        "the streams differ"
    );
    let list = crate::tar_support::run("tar", ["--zstd", "-tf", packed.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&list.stdout), "./\n./file\n");
}
