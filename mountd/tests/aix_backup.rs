//! AIX backups by name: what the test writer writes is what is seen, through index and layer.
//!
//! `WPAR_AIX_SAMPLES=DIR` names a directory of real archives, which are read as a whole: the samples
//! of the `bffextract-rs` project (`resources/test`) are also compared with what is known of them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wpar_mountd::error::FsError;
use wpar_mountd::lower::tar::{
    ArchiveKind, Codec, ImageError, Silent, TarLower, aix_backup, ensure_index,
};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::FileKind;

mod aix_support;
mod tar_support;
use aix_support::writer::{Entry, Tail, Volume, Writer, pack};
use aix_support::{IMAGE_DATA, directory_entry as directory, file, golden, motd};
use tar_support::{
    Comparison, Contents, Random, contents, have, is_root, make_tree, open, read_all, resolve,
};

fn golden_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/aix/golden.bff")
}

fn archive(entries: &[Entry<'_>], tail: Tail) -> Vec<u8> {
    let mut writer = Writer::new();
    for entry in entries {
        writer.add(entry);
    }
    writer.finish(tail)
}

/// The archive `bytes` as an image of its own.
struct Image {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Image {
    fn new(bytes: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backup.bff");
        fs::write(&path, bytes).unwrap();
        Self {
            _directory: directory,
            path,
        }
    }

    fn open(&self) -> Result<TarLower, ImageError> {
        open(&self.path)
    }
}

#[test]
fn the_golden_archive_is_what_the_writer_writes() {
    let motd = motd();
    let bytes = archive(&golden(&motd), Tail::Stale(512));
    // `WPAR_BLESS=1` after a change of the entries; the format itself does not change.
    if std::env::var_os("WPAR_BLESS").is_some() {
        fs::write(golden_file(), &bytes).unwrap();
    }
    assert!(fs::read(golden_file()).unwrap() == bytes, "another archive");
}

#[test]
fn the_golden_archive_is_seen_as_it_is() {
    let bytes = fs::read(golden_file()).unwrap();
    check_golden(&Image::new(&bytes), Codec::Plain);
    for (program, codec) in [
        ("gzip", Codec::Gzip),
        ("zstd", Codec::Zstd),
        ("xz", Codec::Xz),
        ("bzip2", Codec::Bzip2),
        ("lz4", Codec::Lz4),
    ] {
        if have(program) {
            let packed = Command::new(program).arg("-c").arg(golden_file()).output();
            check_golden(&Image::new(&packed.unwrap().stdout), codec);
        }
    }
}

fn check_golden(image: &Image, codec: Codec) {
    let cache = image.path.parent().unwrap();
    let report = ensure_index(&image.path, cache, &mut Silent).unwrap();
    assert_eq!((report.kind, report.codec), (ArchiveKind::AixBackup, codec));
    let warnings = report.warnings.join("\n");
    assert!(
        warnings.contains("\"./../outside\" has \"..\""),
        "{warnings}"
    );
    assert!(
        warnings.contains("\"./dev/far\" has a device number"),
        "{warnings}"
    );
    assert_eq!(report.warning_count, 2, "{warnings}");
    let layer = TarLower::open(&image.path, &report.path).unwrap();
    assert_eq!(layer.index().verify(), Ok(()));
    assert_eq!(contents(&layer, "image.data"), IMAGE_DATA);
    assert_eq!(contents(&layer, "etc/motd"), motd());
    assert_eq!(
        contents(&layer, "etc/passwd"),
        b"root:!:0:0::/:/usr/bin/ksh\n"
    );
    assert_eq!(
        contents(&layer, "etc/empty"),
        b"no longer: the later one counts"
    );
    assert_eq!(contents(&layer, "etc/absolute"), b"below the image's root");
    assert!(resolve(&layer, "outside").is_none());
    let node = |path: &str| resolve(&layer, path).unwrap();
    for (path, target) in [("bin", "/usr/bin"), ("lib", "usr/lib"), ("u", "home")] {
        assert_eq!(layer.read_link(node(path)).unwrap(), target.as_bytes());
    }
    assert_eq!(node("usr/bin/vi"), node("usr/bin/view"));
    assert_eq!(layer.attr(node("usr/bin/vi")).unwrap().nlink, 2);
    let su = layer.attr(node("usr/bin/su")).unwrap();
    assert_eq!((su.permissions, su.uid, su.gid), (0o4750, 388_113, 21_803));
    assert_eq!(su.mtime.seconds, 1_709_283_601);
    let text = layer.xattr(node("usr/bin/su"), b"user.aix.acl").unwrap();
    let text = String::from_utf8(text.unwrap()).unwrap();
    assert_eq!(
        text,
        "attributes: SUID\nbase permissions:\n    owner(388113): rwx\n    group(21803): r-x\n    \
         others: ---\nextended permissions:\n    enabled\n    permit rw- g:214\n    \
         kind-2 rwx u:204,g:21800\n"
    );
    let device = |path: &str| {
        let attr = layer.attr(node(path)).unwrap();
        (attr.kind, attr.rdev)
    };
    assert_eq!(device("dev/hd2"), (FileKind::BlockDevice, 0xa05));
    assert_eq!(device("dev/null"), (FileKind::CharDevice, 0x202));
    assert_eq!(device("dev/far"), (FileKind::CharDevice, 0));
    assert_eq!(device("dev/fifo"), (FileKind::Fifo, 0));
    assert_eq!(device("dev/log"), (FileKind::Socket, 0));
}

#[test]
fn what_a_backup_says_about_itself_needs_no_index() {
    let image = Image::new(&fs::read(golden_file()).unwrap());
    let found = aix_backup(&image.path).unwrap().unwrap();
    assert_eq!(found.image_data.as_deref(), Some(IMAGE_DATA));
    let without = Image::new(&archive(&[file(b"./a", b"a")], Tail::Zeros(8)));
    let found = aix_backup(&without.path).unwrap().unwrap();
    assert_eq!(found.image_data, None);
    let tar = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden.tar");
    assert_eq!(aix_backup(&tar).unwrap(), None);
    let damaged = Image::new(&[&fs::read(golden_file()).unwrap()[..100], b"rest"].concat());
    let found = aix_backup(&damaged.path).unwrap().unwrap();
    assert_eq!(found.image_data, None);
}

/// Random trees against a plain map of what was written.
#[test]
fn random_trees_are_seen_as_they_were_written() {
    for seed in 0..15 {
        let mut random = Random::new(seed);
        let mut written: BTreeMap<String, (Vec<u8>, bool, u32)> = BTreeMap::new();
        for _ in 0..random.below(60) {
            let directory = random.below(4);
            let name = format!("d{directory}/f{}", random.below(40));
            let length = match random.below(10) {
                0 => 0,
                1 => random.below(500_000),
                _ => random.below(5000),
            };
            let packed = random.below(2) == 0 && length > 0;
            let text = random.text(length as usize);
            written.insert(name, (text, packed, random.below(0o10000) as u32));
        }
        let names: Vec<_> = written.keys().map(|name| format!("./{name}")).collect();
        let mut entries = vec![directory(b"./", 0)];
        for (name, (text, packed, mode)) in names.iter().zip(written.values()) {
            entries.push(Entry {
                packed: *packed,
                mode: 0o100_000 | mode,
                ..file(name.as_bytes(), text)
            });
        }
        let image = Image::new(&archive(&entries, Tail::Stale(51_200)));
        let layer = image.open().unwrap();
        assert_eq!(layer.index().warning_count(), 0);
        for (name, (text, _, mode)) in &written {
            let node = resolve(&layer, name).unwrap();
            assert!(read_all(&layer, node) == *text, "seed {seed}: {name}");
            assert_eq!(u32::from(layer.attr(node).unwrap().permissions), *mode);
        }
        assert_eq!(files_in(&layer).len(), written.len());
    }
}

#[test]
fn a_directory_is_seen_as_it_was_packed() {
    if !is_root() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    make_tree(&root, Contents::Long);
    for packed in [false, true] {
        let (bytes, entries) = aix_support::directory::backup(&root, packed).unwrap();
        let layer = Image::new(&bytes).open().unwrap();
        assert_eq!(layer.index().entries(), entries);
        assert_eq!(layer.index().warning_count(), 0);
        let compared = Comparison::new(&layer, false, false).run(&root);
        assert!(compared > 200, "{compared} objects");
    }
}

/// All regular files, by their paths.
fn files_in(layer: &TarLower) -> HashMap<String, LowerNode> {
    let mut found = HashMap::new();
    let mut waiting = vec![(String::new(), LowerNode::ROOT)];
    while let Some((path, node)) = waiting.pop() {
        let mut below = Vec::new();
        layer
            .entries(node, &mut |entry| {
                let name = String::from_utf8_lossy(entry.name).into_owned();
                below.push((format!("{path}/{name}"), entry.node, entry.kind));
            })
            .unwrap();
        for (path, node, kind) in below {
            match kind {
                FileKind::Directory => waiting.push((path, node)),
                FileKind::Regular => drop(found.insert(path, node)),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn damaged_packed_data_fails_for_its_member_only() {
    let text = Random::new(1).text(600_000);
    let packed = pack(&text);
    let entries = [
        file(b"./before", b"whole"),
        Entry {
            packed: true,
            ..file(b"./packed", &text)
        },
        file(b"./after", b"also whole"),
    ];
    let bytes = archive(&entries, Tail::Zeros(512));
    let at = bytes
        .windows(packed.len())
        .position(|window| window == packed)
        .unwrap();
    let mut damaged = bytes.clone();
    damaged[at] = 25;
    let layer = Image::new(&damaged).open().unwrap();
    let node = resolve(&layer, "packed").unwrap();
    let read = |offset| layer.open(node).unwrap().read_at(&mut [0; 100], offset);
    assert_eq!(read(0), Err(FsError::Damaged));
    assert_eq!(contents(&layer, "before"), b"whole");
    assert_eq!(contents(&layer, "after"), b"also whole");
    // Its end comes too early: what is before it can be read, though never as the whole file.
    let short = Entry {
        size: Some(text.len() as u32 + 1),
        ..entries[1].clone()
    };
    let layer = Image::new(&archive(&[short], Tail::Zeros(512)))
        .open()
        .unwrap();
    let node = resolve(&layer, "packed").unwrap();
    let file = layer.open(node).unwrap();
    let mut start = [0; 100];
    assert_eq!(file.read_at(&mut start, 0), Ok(100));
    assert_eq!(start, text[..100]);
    assert_eq!(file.read_at(&mut start, 599_950), Err(FsError::Damaged));
}

#[test]
fn a_backup_of_aix_is_no_wrapping_of_another_system() {
    let manifest = br#"[{"Config":"c.json","Layers":["l.tar"]}]"#;
    let entries = [
        file(b"./manifest.json", manifest),
        file(b"./metadata.yaml", b"architecture: x86_64\n"),
        file(b"./rootfs/etc/passwd", b"inner"),
        file(b"./etc/passwd", b"outer"),
    ];
    let layer = Image::new(&archive(&entries, Tail::Zeros(512)))
        .open()
        .unwrap();
    assert_eq!(contents(&layer, "etc/passwd"), b"outer");
    assert_eq!(contents(&layer, "manifest.json"), manifest);
}

#[test]
fn kinds_that_are_not_known_are_refused_in_plain_words() {
    let says = |bytes: &[u8], words: &[&str]| {
        let error = Image::new(bytes).open().unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    };
    let mut other = Writer::new().finish(Tail::Zeros(512));
    other[2] = 0x6f;
    says(&other, &["0xEA6F", "mksysb"]);
    let mut by_inode = vec![0; 1024];
    by_inode[24..28].copy_from_slice(&[0, 0, 0xea, 0x6b]);
    says(&by_inode, &["AIX backup by i-node", "backup -i"]);
    let second = Volume {
        number: 2,
        date: 0,
        user: b"root",
    };
    says(
        &Writer::on(second).finish(Tail::Zeros(512)),
        &["a further volume"],
    );
    let mut damaged = Writer::new().finish(Tail::Zeros(512));
    damaged[60] ^= 1;
    says(&damaged, &["damaged at byte 0", "checksum"]);
    says(&Writer::new().finish(Tail::Zeros(512)), &["no entries"]);
    let cut = archive(
        &[file(b"./a", &[7; 100]), file(b"./b", b"b")],
        Tail::Zeros(8),
    );
    says(&cut[..200], &["cut off"]);
}

#[test]
fn a_real_archive_is_written_again_byte_for_byte() {
    let Some(samples) = samples() else { return };
    let Ok(real) = fs::read(samples.join("test.bff")) else {
        eprintln!("SKIPPED: there is no test.bff in {}", samples.display());
        return;
    };
    let mut writer = Writer::on(Volume {
        number: 1,
        date: 0x6654_5ab2,
        user: b"root",
    });
    let common = Entry {
        uid: 0x5ec11,
        gid: 0x552b,
        device: (10, 8),
        ..Entry::default()
    };
    let of_directory = |name, nlink, inode, mtime, garbage| Entry {
        name,
        mode: 0x1_41ed,
        nlink,
        inode,
        times: [0x6654_5ab2, mtime, 0x6654_5a06],
        stored: Some(256),
        garbage,
        ..common.clone()
    };
    let of_file = |name, data, time| Entry {
        name,
        data,
        mode: 0o100_644,
        nlink: 1,
        times: [time, time, 0x6654_5a06],
        garbage: 0xf100,
        ..common.clone()
    };
    writer.add(&of_directory(b"backup", 3, u32::MAX, 0x6654_5992, 0));
    writer.add(&of_file(b"backup/file.txt", b"abc", 0x6654_5968));
    writer.add(&of_directory(
        b"backup/folder",
        2,
        u32::MAX - 1,
        0x6654_5998,
        0xf000,
    ));
    let long = &b"backup/folder/file_in_folder.txt"[..];
    writer.add(&of_file(long, b"xyz", 0x6654_59a4));
    assert!(writer.finish(Tail::Stale(512)) == real);
}

#[test]
fn real_archives_are_read() {
    let Some(samples) = samples() else { return };
    for entry in fs::read_dir(&samples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "bff") {
            continue;
        }
        let image = Image::new(&fs::read(&path).unwrap());
        let layer = match image.open() {
            Ok(layer) => layer,
            // Made by hand, with lengths that contradict each other.
            Err(error) if path.ends_with("test_acl.bff") => {
                println!("{error}");
                continue;
            }
            Err(error) => panic!("{}: {error}", path.display()),
        };
        let files = files_in(&layer);
        let bytes: usize = files
            .values()
            .map(|node| read_all(&layer, *node).len())
            .sum();
        println!(
            "{}: {} entries, {} files with {bytes} bytes, {} warnings {:?}",
            path.display(),
            layer.index().entries(),
            files.len(),
            layer.index().warning_count(),
            layer.index().warnings()
        );
        match path.file_name().and_then(|name| name.to_str()) {
            Some("test.bff") => {
                assert_eq!(contents(&layer, "backup/file.txt"), b"abc");
                assert_eq!(contents(&layer, "backup/folder/file_in_folder.txt"), b"xyz");
                assert_eq!(layer.index().warning_count(), 0);
            }
            Some("acl_aixc_nfs4.bff") => {
                let node = resolve(&layer, "acl/aixc").unwrap();
                let text = layer.xattr(node, b"user.aix.acl").unwrap().unwrap();
                let text = String::from_utf8(text).unwrap();
                assert!(text.starts_with("attributes: SUID\n"), "{text}");
                let entries = "    enabled\n    permit rw- g:214\n    permit rw- g:21800\n";
                assert!(text.ends_with(entries), "{text}");
                let about = contents(&layer, "acl/aixc.txt");
                assert!(about.starts_with(b"attributes: SUID\n"));
                assert_eq!(files.len(), 3);
                assert_eq!(layer.index().warning_count(), 0);
            }
            _ => {}
        }
    }
}

#[test]
fn a_real_packed_file_is_unpacked() {
    let Some(samples) = samples() else { return };
    let read = |name: &str| fs::read(samples.join(name)).ok();
    let (Some(stored), Some(plain)) = (read("huffman_encoded.bin"), read("huffman_decoded.bin"))
    else {
        eprintln!(
            "SKIPPED: there is no huffman_encoded.bin in {}",
            samples.display()
        );
        return;
    };
    let entry = Entry {
        packed: true,
        packed_before: true,
        size: Some(plain.len() as u32),
        ..file(b"./packed", &stored)
    };
    let layer = Image::new(&archive(&[entry], Tail::Zeros(512)))
        .open()
        .unwrap();
    assert!(contents(&layer, "packed") == plain);
    let same = pack(&plain) == stored;
    println!("the packer of the tests gives the same bytes: {same}");
}

fn samples() -> Option<PathBuf> {
    let samples = std::env::var_os("WPAR_AIX_SAMPLES").map(PathBuf::from);
    if samples.is_none() {
        eprintln!("SKIPPED: WPAR_AIX_SAMPLES names no directory with archives of AIX");
    }
    samples
}

/// Another reader of the format, where there is one: `cargo install bffextract` (0.9.0). It is wrong about
/// the data of files with extended permissions, whose ACL and PCL it takes for 8 bytes shorter.
#[test]
fn another_reader_sees_the_same() {
    if !have("bffextract") {
        return;
    }
    let text = motd();
    let entries = [
        directory(b"./", 0),
        directory(b"./d", 1),
        file(b"./d/plain", b"some contents"),
        Entry {
            packed: true,
            ..file(b"./d/packed", &text)
        },
    ];
    let image = Image::new(&archive(&entries, Tail::Stale(51_200)));
    let out = tempfile::tempdir().unwrap();
    let done = Command::new("bffextract")
        .arg("-C")
        .arg(out.path())
        .arg(&image.path)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let layer = image.open().unwrap();
    let files = files_in(&layer);
    assert_eq!(files.len(), 2);
    for (path, node) in files {
        let extracted = fs::read(out.path().join(path.trim_start_matches('/'))).unwrap();
        assert!(extracted == read_all(&layer, node), "{path}");
    }
}
