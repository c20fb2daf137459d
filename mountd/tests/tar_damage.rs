//! Whatever the bytes of an archive or of an index are: an answer or an error, never a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wpar_mountd::lower::tar::{ImageError, Silent, TarIndex, TarLower, ensure_index, side_file};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::{EntryName, FileKind};

mod tar_support;
use tar_support::{Random, have, is_root, run, scratch, shell};

/// Uses everything of a layer, with bounds of its own where damage may lie about sizes.
fn use_all(layer: &TarLower) {
    let mut seen = HashSet::new();
    let mut waiting = vec![LowerNode::ROOT];
    while let Some(node) = waiting.pop() {
        if !seen.insert(node) || seen.len() > 2000 {
            continue;
        }
        let _ = layer.location(node);
        let _ = layer.read_link(node);
        for name in layer.xattr_names(node).unwrap_or_default() {
            let _ = layer.xattr(node, &name);
        }
        let Ok(attr) = layer.attr(node) else { continue };
        if attr.kind == FileKind::Regular {
            use_file(layer, node, attr.size);
        }
        let mut names = Vec::new();
        let _ = layer.entries(node, &mut |entry| {
            names.push(entry.name.to_vec());
            waiting.push(entry.node);
        });
        for name in names {
            if let Ok(name) = EntryName::new(&name) {
                let _ = layer.lookup(node, name);
            }
        }
    }
}

fn use_file(layer: &TarLower, node: LowerNode, size: u64) {
    let Ok(file) = layer.open(node) else { return };
    let mut buffer = vec![0; 5000];
    for offset in [0, 100, size / 2, size.saturating_sub(1), size, u64::MAX - 1] {
        let _ = file.read_at(&mut buffer, offset);
    }
    let mut offset = 0;
    for _ in 0..100 {
        match file.next_data(offset) {
            Ok(Some((start, end))) => {
                assert!(start >= offset && end > start && end <= size);
                offset = end;
            }
            _ => break,
        }
    }
}

/// A small archive with something of everything.
fn small_archive(directory: &Path) -> PathBuf {
    shell(
        directory,
        "mkdir -p s/d/e; cd s; echo text >d/file; ln d/file d/hard; ln -s d link
         truncate -s 100000 sparse; printf x | dd of=sparse seek=50000 bs=1 conv=notrunc 2>/dev/null
         mkfifo pipe; touch d/e/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\
         nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn
         setfattr -n user.a -v b d/file
         tar --format=gnu --sparse -b1 -cf ../gnu.tar .
         tar --format=pax --xattrs --sparse -b1 -cf ../image.tar .",
    );
    directory.join("image.tar")
}

fn try_image(image: &Path) -> Result<(), ImageError> {
    let index = side_file(image, image.parent().unwrap());
    let result = ensure_index(image, image.parent().unwrap(), &mut Silent).and_then(|report| {
        assert_eq!(report.path, index);
        use_all(&TarLower::open(image, &report.path)?);
        Ok(())
    });
    if result.is_err() {
        assert!(!index.exists(), "a failure leaves no index");
    } else {
        fs::remove_file(index).unwrap();
    }
    result
}

#[test]
fn an_archive_cut_off_anywhere_is_refused_or_warned_about() {
    if !have("setfattr") {
        return;
    }
    let (directory, cut) = scratch("cut.tar");
    let image = small_archive(directory.path());
    for image in [image, directory.path().join("gnu.tar")] {
        let whole = fs::read(&image).unwrap();
        let end = whole.len() - 1024;
        assert!(whole[end..].iter().all(|byte| *byte == 0));
        let mut shown = 0;
        for length in 0..whole.len() {
            fs::write(&cut, &whole[..length]).unwrap();
            match try_image(&cut) {
                Ok(()) => {
                    shown += 1;
                    assert!(
                        length >= 512 && (length % 512 == 0 || length > end),
                        "{length} is within an entry"
                    );
                }
                Err(ImageError::Truncated { offset, .. }) => assert_eq!(offset, length as u64),
                Err(ImageError::Empty { .. }) => assert_eq!(length, 0),
                Err(ImageError::NotArchive { .. }) => assert!(length < 512, "{length}"),
                Err(other) => panic!("{length}: {other}"),
            }
        }
        assert!(
            shown > 5,
            "cut between two entries an archive is only without its end mark"
        );
    }
}

#[test]
fn an_archive_with_flipped_bits_gives_an_answer_or_an_error() {
    if !have("setfattr") {
        return;
    }
    let (directory, flipped) = scratch("flipped.tar");
    small_archive(directory.path());
    for (name, rounds) in [("image.tar", 1500), ("gnu.tar", 1500)] {
        let whole = fs::read(directory.path().join(name)).unwrap();
        let mut random = Random::new(3);
        for _ in 0..rounds {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            if random.below(2) == 0 {
                mend_checksums(&mut bytes);
            }
            fs::write(&flipped, &bytes).unwrap();
            let _ = try_image(&flipped);
        }
    }
}

/// Ways to write the tree of [`small_archive`], as shell lines run in its directory.
const FORMATS: &[&str] = &[
    "tar --format=v7 -b1 -cf x -C s d/file d/hard link",
    "tar --format=ustar -b1 -cf x -C s d/file d/hard link pipe",
    "tar --format=oldgnu -S -b1 -cf x -C s d sparse",
    "tar --format=posix -S --sparse-version=0.0 -b1 -cf x -C s d/file sparse",
    "tar --format=posix -S --sparse-version=0.1 -b1 -cf x -C s d/file sparse",
    "bsdtar --format=pax -cf x -C s d/file sparse",
];

#[test]
fn archives_of_all_formats_cut_off_or_with_flipped_bits_give_an_answer_or_an_error() {
    if !have("setfattr") || !have("bsdtar") {
        return;
    }
    let (directory, damaged) = scratch("damaged.tar");
    small_archive(directory.path());
    let mut random = Random::new(6);
    for line in FORMATS {
        shell(directory.path(), line);
        let whole = fs::read(directory.path().join("x")).unwrap();
        for length in (0..whole.len()).step_by(61) {
            fs::write(&damaged, &whole[..length]).unwrap();
            let _ = try_image(&damaged);
        }
        for _ in 0..200 {
            let mut bytes = whole.clone();
            bytes[random.below(whole.len() as u64) as usize] ^= 1 << random.below(8);
            if random.below(2) == 0 {
                mend_checksums(&mut bytes);
            }
            fs::write(&damaged, &bytes).unwrap();
            let _ = try_image(&damaged);
        }
    }
}

/// Programs that pack standard input, as far as archives packed by them can be read.
const PACKERS: &[&str] = &["gzip", "zstd", "xz", "bzip2", "lz4"];

#[test]
fn a_compressed_archive_cut_off_anywhere_is_refused() {
    if !have("setfattr") {
        return;
    }
    let (directory, cut) = scratch("cut");
    small_archive(directory.path());
    for packer in PACKERS {
        if !have(packer) {
            continue;
        }
        shell(directory.path(), &format!("{packer} -c <image.tar >packed"));
        let whole = fs::read(directory.path().join("packed")).unwrap();
        fs::write(&cut, &whole).unwrap();
        if let Err(ImageError::UnsupportedCompression { .. }) = try_image(&cut) {
            continue;
        }
        for length in 0..whole.len() {
            fs::write(&cut, &whole[..length]).unwrap();
            let result = try_image(&cut);
            assert!(
                result.is_err(),
                "{packer}: {length} of {} bytes",
                whole.len()
            );
        }
    }
}

/// Gives every block that was a header its checksum again, so that the damage gets further in.
fn mend_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

#[test]
fn a_compressed_archive_with_flipped_bits_gives_an_answer_or_an_error() {
    if !have("setfattr") {
        return;
    }
    let (directory, flipped) = scratch("flipped");
    small_archive(directory.path());
    for packer in PACKERS {
        if !have(packer) {
            continue;
        }
        shell(directory.path(), &format!("{packer} -c <image.tar >packed"));
        let whole = fs::read(directory.path().join("packed")).unwrap();
        let mut random = Random::new(4);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.below(8);
            fs::write(&flipped, &bytes).unwrap();
            let _ = try_image(&flipped);
        }
    }
}

/// Writes a damaged index for an archive whose time of modification is fixed.
fn write_index(image: &Path, index: &Path, bytes: &[u8], time: SystemTime) {
    fs::write(index, bytes).unwrap();
    File::open(image).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_damaged_index_gives_an_answer_or_an_error() {
    if !have("setfattr") {
        return;
    }
    let (directory, index) = scratch("index");
    let image = small_archive(directory.path());
    shell(directory.path(), "gzip -k image.tar");
    for image in [image, directory.path().join("image.tar.gz")] {
        let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
        let whole = fs::read(&report.path).unwrap();
        let time = fs::metadata(&image).unwrap().modified().unwrap();
        let mut random = Random::new(5);
        for round in 0..6000 {
            let mut bytes = whole.clone();
            // Only behind the header; its checksum finds all else, which is tested below.
            let at = 512 + random.below(bytes.len() as u64 - 512) as usize;
            match round % 3 {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.next() as u8,
                _ => {
                    let end = bytes.len().min(at + 8);
                    bytes[at..end].fill(0xff);
                }
            }
            write_index(&image, &index, &bytes, time);
            match TarLower::open(&image, &index) {
                Ok(layer) => use_all(&layer),
                // What it says of the files is damaged.
                Err(ImageError::Changed { .. } | ImageError::Index { .. }) => {}
                Err(ImageError::Read { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        for at in 0..512 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.below(8);
            write_index(&image, &index, &bytes, time);
            let error = TarLower::open(&image, &index).unwrap_err();
            assert!(matches!(error, ImageError::Index { .. }), "{at}: {error}");
        }
        for length in (0..whole.len()).step_by(7) {
            write_index(&image, &index, &whole[..length], time);
            let error = TarIndex::open(&index).unwrap_err();
            assert!(
                matches!(error, ImageError::Index { .. }),
                "{length}: {error}"
            );
        }
    }
}

#[test]
fn a_full_check_finds_any_damaged_byte_of_a_section() {
    let (directory, index) = scratch("index");
    shell(
        directory.path(),
        "echo x >a; ln -s target b; tar -cf image.tar a b",
    );
    let image = directory.path().join("image.tar");
    let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    let whole = fs::read(&report.path).unwrap();
    let mut unnoticed = 0;
    for at in 512..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&index, &bytes).unwrap();
        unnoticed += usize::from(TarIndex::open(&index).unwrap().verify().is_ok());
    }
    // Up to seven bytes between two sections belong to none.
    assert!(unnoticed <= 7 * 11, "{unnoticed}");
}

#[test]
fn an_archive_that_is_cut_off_under_an_open_layer_is_an_error_of_its_reads() {
    if !is_root() {
        return;
    }
    let (directory, image) = scratch("image.tar");
    let bytes = vec![b'x'; 100_000];
    fs::write(directory.path().join("file"), &bytes).unwrap();
    let root = directory.path().to_str().unwrap();
    run("tar", ["-cf", image.to_str().unwrap(), "-C", root, "file"]);
    let layer = tar_support::open(&image).unwrap();
    let file = layer
        .open(tar_support::resolve(&layer, "file").unwrap())
        .unwrap();
    let writer = fs::OpenOptions::new().write(true).open(&image).unwrap();
    writer.set_len(50_000).unwrap();
    let mut buffer = vec![0; 4096];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(4096));
    assert!(file.read_at(&mut buffer, 60_000).is_err());
    writer.write_all_at(b"", 0).unwrap();
}

/// An image of docker save, and one of LXD, of which every beginning is tried.
#[test]
fn an_image_of_containers_cut_off_anywhere_gives_an_answer_or_an_error() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden-layers.tar");
    let whole = fs::read(golden).unwrap();
    let (_directory, cut) = scratch("cut.tar");
    fs::write(&cut, &whole).unwrap();
    try_image(&cut).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    // Within a header all lengths are alike but for its edges, and so within contents.
    let near = |length: usize| length % 512 < 3 || length % 512 > 509;
    for length in (0..whole.len()).filter(|length| near(*length) || length % 41 == 0) {
        fs::write(&cut, &whole[..length]).unwrap();
        let shown = try_image(&cut).is_ok();
        assert!(!shown || length % 512 == 0 || length > end, "{length}");
    }
}
