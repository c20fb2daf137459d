//! Compressed archives: the same tree as from the plain one, random reads, and damage that spares
//! what lies elsewhere.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use wpar_mountd::error::FsError;
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::tar::{Codec, ImageError, Silent, TarLower, ensure_index};

mod tar_support;
use tar_support::{Random, contents, have, open, resolve, run, scratch, shell};

/// A plain archive of some large and many small files; a good part of it is hard to compress.
fn plain_archive(directory: &Path) -> PathBuf {
    let source = directory.join("source");
    fs::create_dir(&source).unwrap();
    let mut random = Random::new(7);
    for number in 0..40 {
        let text = random.text(30_000 + number * 8_000);
        fs::write(source.join(format!("text{number}")), text).unwrap();
    }
    let noise: Vec<u8> = (0..500_000)
        .flat_map(|_| random.next().to_le_bytes())
        .collect();
    fs::write(source.join("noise"), noise).unwrap();
    // Zeros compress a thousandfold: few blocks, each of which makes a lot.
    fs::write(source.join("zeros"), vec![0; 18 << 20]).unwrap();
    let image = directory.join("plain.tar");
    let (image_name, source) = (image.to_str().unwrap(), source.to_str().unwrap());
    run("tar", ["--sort=name", "-cf", image_name, "-C", source, "."]);
    image
}

/// Ways to compress, as shell lines from `plain.tar` to `packed`, and what to expect of them.
const WAYS: &[(&str, &str, Codec, bool)] = &[
    ("gzip", "gzip -6 <plain.tar >packed", Codec::Gzip, false),
    ("gzip stored name", "gzip -N -9 -c plain.tar >packed", Codec::Gzip, false),
    (
        "gzip members",
        "split -b 1500000 -d plain.tar piece.; for p in piece.*; do gzip -c $p; done >packed",
        Codec::Gzip,
        false,
    ),
    (
        "small gzip members",
        "split -a 4 -b 65280 -d plain.tar piece.; for p in piece.*; do gzip -1 -c $p; done >packed
         head -c 5000 /dev/zero >>packed",
        Codec::Gzip,
        false,
    ),
    ("zstd", "zstd -q -3 <plain.tar >packed", Codec::Zstd, true),
    ("zstd long", "zstd -q -3 --long=27 <plain.tar >packed", Codec::Zstd, true),
    (
        "zstd frames",
        "split -b 400000 -d -a 3 plain.tar piece.; for p in piece.*; do zstd -q -c $p; done >packed",
        Codec::Zstd,
        false,
    ),
    (
        "zstd behind a skippable frame",
        "printf '\\120\\052\\115\\030\\003\\000\\000\\000abc' >packed
         split -b 2000000 -d -a 3 plain.tar piece.; for p in piece.*; do zstd -q -c $p; done >>packed",
        Codec::Zstd,
        false,
    ),
    ("pzstd", "pzstd -q -p 4 -3 -c plain.tar >packed", Codec::Zstd, false),
    ("pigz", "pigz -p 4 -c plain.tar >packed", Codec::Gzip, false),
    ("pigz with independent blocks", "pigz -i -p 4 -b 512 -c plain.tar >packed", Codec::Gzip, false),
    ("gzip of stored blocks", "pigz -0 -c plain.tar >packed", Codec::Gzip, false),
    ("xz in one block", "xz -0 -T1 -c plain.tar >packed", Codec::Xz, true),
    ("xz in blocks", "xz -0 -T2 --block-size=1MiB -c plain.tar >packed", Codec::Xz, false),
    ("xz in tiny blocks", "xz -0 -T1 --block-size=30000 -c plain.tar >packed", Codec::Xz, false),
    ("xz in large blocks", "xz -0 -T2 --block-size=18MiB -c plain.tar >packed", Codec::Xz, true),
    (
        "xz streams with every check, padded",
        "split -b 4000000 -d plain.tar piece.; set -- none crc32 crc64 sha256
         for p in piece.*; do xz -0 --check=$1 --block-size=900KiB -c $p; head -c 8 /dev/zero
         shift; set -- \"$@\" crc32; done >packed",
        Codec::Xz,
        false,
    ),
    ("xz with filters", "xz -T1 --x86 --lzma2=preset=0 --block-size=2MiB -c plain.tar >packed", Codec::Xz, false),
    ("pixz", "pixz -0 -t <plain.tar >packed", Codec::Xz, false),
    ("bzip2", "bzip2 -9 -c plain.tar >packed", Codec::Bzip2, false),
    ("bzip2 small blocks", "bzip2 -1 -c plain.tar >packed", Codec::Bzip2, false),
    ("pbzip2", "pbzip2 -p2 -b5 -c plain.tar >packed", Codec::Bzip2, false),
    (
        "bzip2 streams, one of them empty",
        "split -b 1234567 -d plain.tar piece.; bzip2 </dev/null >packed
         for p in piece.*; do bzip2 -1 -c $p; done >>packed; bzip2 </dev/null >>packed",
        Codec::Bzip2,
        false,
    ),
    ("lz4", "lz4 -q -c plain.tar >packed", Codec::Lz4, false),
    ("lz4 linked blocks", "lz4 -q -BD -B4 -BX -c plain.tar >packed", Codec::Lz4, false),
    ("lz4 small blocks", "lz4 -q -9 -BI -B5 --content-size -c plain.tar >packed", Codec::Lz4, false),
    ("lz4 without sums", "lz4 -q --no-frame-crc -BD -c plain.tar >packed", Codec::Lz4, false),
    ("lz4 legacy", "lz4 -q -l -c plain.tar >packed", Codec::Lz4, false),
    (
        "lz4 frames of all kinds",
        "split -b 300000 -d -a 3 plain.tar piece.
         printf '\\120\\052\\115\\030\\003\\000\\000\\000abc' >packed
         for p in piece.*; do case $p in *[02468]) lz4 -q -l -c $p;; *) lz4 -q -BD -c $p;; esac; done >>packed",
        Codec::Lz4,
        false,
    ),
];

/// Whether all programs that a line runs are there.
fn have_programs(line: &str) -> bool {
    const PROGRAMS: &[&str] = &[
        "gzip", "pigz", "zstd", "pzstd", "xz", "pixz", "bzip2", "pbzip2", "lz4",
    ];
    let mut words = line.split(|letter: char| !letter.is_alphanumeric());
    words.all(|word| !PROGRAMS.contains(&word) || have(word))
}

#[test]
fn every_compression_shows_the_same_tree() {
    let source = tempfile::tempdir().unwrap();
    let original = plain_archive(source.path());
    for (name, line, codec, copied) in WAYS {
        if !have_programs(line) {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let plain = directory.path().join("plain.tar");
        fs::hard_link(&original, &plain).unwrap();
        shell(directory.path(), line);
        let packed = directory.path().join("packed");
        let report = ensure_index(&packed, directory.path(), &mut Silent).unwrap();
        assert_eq!(report.seekable_copy.is_some(), *copied, "{name}");
        assert_eq!(report.warnings, Vec::<String>::new(), "{name}");
        assert_eq!(
            report.stream_bytes,
            fs::metadata(&plain).unwrap().len(),
            "{name}"
        );
        eprintln!(
            "{name}: index {} copy {:?}",
            report.index_bytes, report.seekable_copy
        );

        // A cache of one chunk: every read that leaves it decodes again.
        let layer = TarLower::open_with_cache(&packed, &report.path, 1).unwrap();
        assert_eq!(layer.index().codec(), *codec);
        assert_eq!(layer.index().verify(), Ok(()));
        let reference = open(&plain).unwrap();
        random_reads(&layer, &reference, 60);
        if *copied {
            the_copy_is_an_ordinary_file(directory.path(), &plain);
        }
    }
}

fn random_reads(layer: &TarLower, reference: &TarLower, count: usize) {
    let mut names = Vec::new();
    let mut same = Vec::new();
    reference
        .entries(wpar_mountd::lower::LowerNode::ROOT, &mut |entry| {
            names.push(String::from_utf8(entry.name.to_vec()).unwrap());
        })
        .unwrap();
    layer
        .entries(wpar_mountd::lower::LowerNode::ROOT, &mut |entry| {
            same.push(String::from_utf8(entry.name.to_vec()).unwrap());
        })
        .unwrap();
    assert_eq!(names, same);
    let mut random = Random::new(99);
    for _ in 0..count {
        let name = &names[random.below(names.len() as u64) as usize];
        let node = resolve(layer, name).unwrap();
        assert_eq!(
            resolve(reference, name),
            Some(node),
            "the numbers do not depend on packing"
        );
        let size = layer.attr(node).unwrap().size;
        let (offset, length) = (random.below(size + 10), random.below(300_000) as usize);
        let (mut here, mut there) = (vec![1; length], vec![2; length]);
        let got = layer
            .open(node)
            .unwrap()
            .read_at(&mut here, offset)
            .unwrap();
        let expected = reference
            .open(node)
            .unwrap()
            .read_at(&mut there, offset)
            .unwrap();
        assert_eq!(here[..got], there[..expected], "{name} at {offset}");
    }
    assert!(contents(layer, "text39") == contents(reference, "text39"));
}

fn the_copy_is_an_ordinary_file(directory: &Path, plain: &Path) {
    let line = format!("zstd -q -dc packed.wparidx.zst | cmp - {}", plain.display());
    shell(directory, &line);
}

#[test]
fn reads_from_many_threads_share_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let plain = plain_archive(directory.path());
    shell(directory.path(), "gzip -1 <plain.tar >packed");
    let packed = directory.path().join("packed");
    let layer = open(&packed).unwrap();
    let reference = open(&plain).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| random_reads(&layer, &reference, 15));
        }
    });
}

#[test]
fn damage_is_an_error_of_the_reads_that_meet_it() {
    for line in [
        "gzip -6 <plain.tar >packed",
        "split -b 400000 -d -a 3 plain.tar piece.; for p in piece.*; do zstd -q -c $p; done >packed",
        "zstd -q -3 <plain.tar >packed",
        "xz -0 -T1 --block-size=1MiB -c plain.tar >packed",
        "bzip2 -c plain.tar >packed",
        "lz4 -q -BD -c plain.tar >packed",
        "lz4 -q -B5 -c plain.tar >packed",
    ] {
        if !have_programs(line) {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        plain_archive(directory.path());
        shell(directory.path(), line);
        let packed = directory.path().join("packed");
        let report = ensure_index(&packed, directory.path(), &mut Silent).unwrap();
        let layer = TarLower::open_with_cache(&packed, &report.path, 1).unwrap();
        // Behind the back of the layer, which has looked at the file already.
        let stored = match report.seekable_copy {
            Some(_) => directory.path().join("packed.wparidx.zst"),
            None => packed,
        };
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&stored)
            .unwrap();
        let middle = file.metadata().unwrap().len() / 2;
        let mut bytes = [0; 64];
        file.read_exact_at(&mut bytes, middle).unwrap();
        file.write_all_at(&bytes.map(|byte| byte ^ 0x55), middle)
            .unwrap();
        let (mut good, mut bad) = (0, 0);
        for number in 0..40 {
            let node = resolve(&layer, &format!("text{number}")).unwrap();
            let expected = fs::read(directory.path().join(format!("source/text{number}"))).unwrap();
            let mut buffer = vec![0; expected.len()];
            match layer.open(node).unwrap().read_at(&mut buffer, 0) {
                Ok(count) => {
                    assert_eq!(buffer[..count], expected, "{line}: text{number}");
                    good += 1;
                }
                Err(error) => {
                    assert_eq!(error, FsError::Damaged);
                    bad += 1;
                }
            }
        }
        let node = resolve(&layer, "noise").unwrap();
        let file = layer.open(node).unwrap();
        let mut piece = vec![0; 100_000];
        for offset in (0..4_000_000).step_by(100_000) {
            match file.read_at(&mut piece, offset) {
                Ok(_) => good += 1,
                Err(error) => {
                    assert_eq!(error, FsError::Damaged);
                    bad += 1;
                }
            }
        }
        assert!(good > 10 && bad > 0, "{line}: {good} good, {bad} bad");
        // Mended, all of it can be read: an error is not remembered.
        let file = fs::OpenOptions::new().write(true).open(&stored).unwrap();
        file.write_all_at(&bytes, middle).unwrap();
        assert!(contents(&layer, "noise").len() == 4_000_000, "{line}");
    }
}

#[test]
fn torn_streams_are_refused_with_the_last_good_entry() {
    for line in [
        "gzip -6 <plain.tar >packed",
        "zstd -q -3 <plain.tar >packed",
        "split -b 400000 -d -a 3 plain.tar piece.; for p in piece.*; do zstd -q -c $p; done >packed",
        "xz -0 -T1 -c plain.tar >packed",
        "xz -0 -T1 --block-size=1MiB -c plain.tar >packed",
        "bzip2 -1 -c plain.tar >packed",
        "lz4 -q -c plain.tar >packed",
    ] {
        if !have_programs(line) {
            continue;
        }
        let (directory, cut) = scratch("cut");
        plain_archive(directory.path());
        shell(directory.path(), line);
        let packed = fs::read(directory.path().join("packed")).unwrap();
        for length in [
            packed.len() - 1,
            packed.len() - 9,
            packed.len() / 2,
            5000,
            40,
            11,
            5,
            3,
        ] {
            fs::write(&cut, &packed[..length]).unwrap();
            let error = open(&cut).unwrap_err();
            match error {
                ImageError::Truncated {
                    offset, last_entry, ..
                } => {
                    assert_eq!(offset, length as u64, "{line}");
                    // Of some, a whole block has to be there before there is an entry.
                    let blocks = line.starts_with("bzip2") || line.starts_with("lz4");
                    let begun = length > 5000 || (length == 5000 && !blocks);
                    assert!(!begun || last_entry != "none", "{line}: {length}");
                }
                other => assert!(length < 6, "{line}: {length}: {other}"),
            }
        }
        let mut garbage = packed.clone();
        garbage.extend(b"garbage behind the end");
        fs::write(&cut, &garbage).unwrap();
        match open(&cut) {
            Ok(layer) => {
                let warnings = layer.index().warnings();
                assert!(warnings[0].contains("is ignored"), "{line}: {warnings:?}");
                // It once was a part of the last chunk, which then could not be decoded.
                assert!(contents(&layer, "zeros") == vec![0; 18 << 20], "{line}");
                assert_eq!(contents(&layer, "noise").len(), 4_000_000, "{line}");
            }
            // As xz itself takes it.
            Err(ImageError::Corrupt { .. }) => assert!(line.starts_with("xz"), "{line}"),
            Err(other) => panic!("{line}: {other}"),
        }
        let mut flipped = packed;
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        fs::write(&cut, &flipped).unwrap();
        match open(&cut).unwrap_err() {
            ImageError::Corrupt { .. } => {}
            // Its end mark has become the size of a block.
            ImageError::Truncated { .. } => assert!(line.starts_with("lz4"), "{line}"),
            other => panic!("{line}: {other}"),
        }
    }
}
