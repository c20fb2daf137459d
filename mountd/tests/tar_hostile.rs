//! Archives that are made to do harm: they take no more memory and time than an honest one of their
//! size, and show what they can.
//!
//! Each is indexed and looked through by a process of its own, with limits that the kernel enforces:
//! whatever takes too much dies, and the test with it. `WPAR_HOSTILE=all` makes the large ones as large
//! as they come (ten gigabytes of zeros, a million of everything).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};
use tar::{EntryType, Header};
use wpar_mountd::lower::tar::{Silent, TarLower, ensure_index};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::FileKind;

mod tar_support;
use tar_support::scratch;

/// Address space of the process that reads an image, in MiB: what it needs for nothing is about 300.
const MEMORY: u64 = 900;
/// Seconds of processor time, in a build without optimisation.
const SECONDS: u64 = 200;

/// Names the image to the process that reads it.
const IMAGE: &str = "WPAR_HOSTILE_IMAGE";

/// How much of what could be a lot.
fn many(all: u64) -> u64 {
    if std::env::var_os("WPAR_HOSTILE").is_some() {
        all
    } else {
        all / 20
    }
}

/// Indexes the image and looks at all of it, within limits; what was seen, in words.
fn read_within_limits(image: &Path) -> String {
    read_within(image, MEMORY)
}

fn read_within(image: &Path, memory: u64) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "the_process_that_reads",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(IMAGE, image)
        .env("WPAR_HOSTILE_MEMORY", memory.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.lines().find_map(|line| line.split_once("SEEN "));
    match said {
        Some((_, seen)) if output.status.success() => {
            eprintln!("{seen}");
            seen.to_owned()
        }
        _ => panic!(
            "{} (signal {:?}): {text}{}",
            output.status,
            output.status.signal(),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Not a test of its own: what [`read_within_limits`] starts.
#[test]
fn the_process_that_reads() {
    let Some(image) = std::env::var_os(IMAGE) else {
        return;
    };
    let memory: u64 = std::env::var("WPAR_HOSTILE_MEMORY")
        .unwrap()
        .parse()
        .unwrap();
    let limit = |resource, most| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit).unwrap();
    };
    limit(Resource::As, memory << 20);
    limit(Resource::Cpu, SECONDS);
    limit(Resource::Core, 0);
    let image = Path::new(&image);
    let seen = match ensure_index(image, image.parent().unwrap(), &mut Silent) {
        Err(error) => format!("refused: {error}"),
        Ok(report) => {
            let layer = TarLower::open(image, &report.path).unwrap();
            layer.index().verify().unwrap();
            let (names, bytes) = look_through(&layer);
            let warnings = layer.index().warning_count();
            format!("{names} names, {bytes} bytes, {warnings} warnings")
        }
    };
    let peak = fs::read_to_string("/proc/self/status").unwrap();
    let peak = peak.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    println!(
        "\nSEEN {seen} ({})",
        peak.split_whitespace().collect::<Vec<_>>().join(" ")
    );
}

/// Lists every directory, reads every file at its ends; how many names there are, and bytes in files.
fn look_through(layer: &TarLower) -> (u64, u128) {
    let (mut names, mut bytes) = (0, 0);
    let mut waiting = vec![LowerNode::ROOT];
    let mut buffer = vec![0; 4096];
    while let Some(node) = waiting.pop() {
        layer
            .entries(node, &mut |entry| {
                names += 1;
                match entry.kind {
                    FileKind::Directory => waiting.push(entry.node),
                    FileKind::Regular => {
                        let size = layer.attr(entry.node).unwrap().size;
                        let file = layer.open(entry.node).unwrap();
                        for offset in [0, size / 2, size.saturating_sub(1), u64::MAX] {
                            let _ = file.read_at(&mut buffer, offset);
                        }
                        let _ = file.next_data(size / 2);
                        bytes += u128::from(size);
                    }
                    _ => drop(layer.read_link(entry.node)),
                }
            })
            .unwrap();
    }
    (names, bytes)
}

/// An archive, written as it is made.
struct Archive(BufWriter<File>);

impl Archive {
    fn new(path: &Path) -> Self {
        Self(BufWriter::new(File::create(path).unwrap()))
    }

    fn header(&mut self, kind: u8, name: &str, link: &str, size: u64) {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(0o755);
        header.set_size(size);
        header.set_cksum();
        self.0.write_all(header.as_bytes()).unwrap();
    }

    fn member(&mut self, kind: u8, name: &str, link: &str, data: &[u8]) {
        self.header(kind, name, link, data.len() as u64);
        self.0.write_all(data).unwrap();
        let padding = data.len().next_multiple_of(512) - data.len();
        self.0.write_all(&[0; 512][..padding]).unwrap();
    }

    fn end(mut self) {
        self.0.write_all(&[0; 1024]).unwrap();
        self.0.flush().unwrap();
    }
}

/// A PAX record, with its length before it.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// Has `make` write an archive, and reads it.
fn seen(make: impl FnOnce(&mut Archive)) -> String {
    let (_directory, image) = scratch("image");
    let mut archive = Archive::new(&image);
    make(&mut archive);
    archive.end();
    read_within_limits(&image)
}

#[test]
fn a_million_hard_links_to_one_inode() {
    let count = many(1_000_000);
    let seen = seen(|archive| {
        archive.member(b'0', "file", "", b"text");
        for number in 0..count {
            archive.header(b'1', &format!("d{}/{number}", number % 7), "file", 0);
        }
    });
    assert!(seen.starts_with(&format!("{} names", count + 8)), "{seen}");
}

#[test]
fn a_million_members_of_one_name() {
    let count = many(1_000_000);
    let seen = seen(|archive| {
        for _ in 0..count {
            archive.header(b'0', "same", "", 0);
        }
        archive.member(b'0', "same", "", b"last");
    });
    assert!(seen.starts_with("1 names, 4 bytes, 0 warnings"), "{seen}");
}

#[test]
fn a_path_of_a_hundred_thousand_components() {
    let seen = seen(|archive| {
        for part in ["a/", "./", "/", "../"] {
            archive.member(
                b'x',
                "x",
                "",
                &record("path", &part.repeat(100_000).into_bytes()),
            );
            archive.member(b'0', "x", "", b"");
            archive.member(
                b'x',
                "x",
                "",
                &record("linkpath", &part.repeat(100_000).into_bytes()),
            );
            archive.member(b'1', "y", "", b"");
        }
        archive.member(b'0', "last", "", b"");
    });
    assert!(seen.starts_with("1 names, 0 bytes, 6 warnings"), "{seen}");
}

#[test]
fn a_sparse_map_of_a_million_stretches() {
    let count = many(1_000_000);
    let seen = seen(|archive| {
        let pairs = |between: char| -> String {
            (0..count)
                .map(|number| format!("{}{between}1{between}", number * 2))
                .collect()
        };
        let real_size = record("GNU.sparse.realsize", (count * 2).to_string().as_bytes());
        let mut map = pairs(',');
        map.pop();
        let records = [record("GNU.sparse.map", map.as_bytes()), real_size.clone()].concat();
        archive.member(b'x', "x", "", &records);
        archive.member(b'0', "comma", "", &vec![b'c'; count as usize]);
        let version = [
            record("GNU.sparse.major", b"1"),
            record("GNU.sparse.minor", b"0"),
        ];
        archive.member(b'x', "x", "", &[version.concat(), real_size].concat());
        let mut map = format!("{count}\n{}", pairs('\n')).into_bytes();
        map.resize(map.len().next_multiple_of(512), 0);
        map.resize(map.len() + count as usize, b'l');
        archive.member(b'0', "lines", "", &map);
    });
    assert!(
        seen.starts_with(&format!("2 names, {} bytes, 0 warnings", count * 4)),
        "{seen}"
    );
}

#[test]
fn sparse_maps_that_make_no_sense() {
    let map = |archive: &mut Archive, size: &[u8], map: &[u8]| {
        let records = [
            record("GNU.sparse.realsize", size),
            record("GNU.sparse.map", map),
        ];
        archive.member(b'x', "x", "", &records.concat());
        archive.member(b'0', "sparse", "", b"0123456789");
    };
    let most = b"9223372036854775807";
    let seen = seen(|archive| {
        map(archive, b"100", b"0,5,3,5");
        map(archive, b"100", b"50,5,0,5");
        map(archive, b"10", b"8,5");
        map(archive, b"100", b"0,11");
        map(archive, b"18446744073709551615", b"0,5");
        map(archive, b"100", b"18446744073709551615,5");
        map(archive, b"100", b"9223372036854775807,9223372036854775807");
        map(archive, most, b"9223372036854775800,7");
        for lines in [
            "99999999999999999999\n",
            "18446744073709551615\n0\n1\n",
            "2\n0\n5\n3\n5\n",
            "-1\n",
        ] {
            let version = [
                record("GNU.sparse.major", b"1"),
                record("GNU.sparse.minor", b"0"),
            ];
            let records = [version.concat(), record("GNU.sparse.realsize", most)].concat();
            archive.member(b'x', "x", "", &records);
            let mut data = lines.as_bytes().to_vec();
            data.resize(1024, 0);
            archive.member(b'0', "lines", "", &data);
        }
    });
    assert!(seen.starts_with("2 names"), "{seen}");
    assert!(seen.contains("11 warnings"), "{seen}");
}

#[test]
fn sizes_near_the_end_of_numbers() {
    for (size, kind) in [
        ("9223372036854775807", b'0'),
        ("18446744073709551615", b'0'),
        ("9223372036854775296", b'5'),
        ("9223372036854775296", b'1'),
        ("9223372036854775296", b'x'),
    ] {
        let seen = seen(|archive| {
            archive.member(b'0', "good", "", b"text");
            archive.member(b'x', "x", "", &record("size", size.as_bytes()));
            archive.member(kind, "bad", "good", b"");
            archive.member(b'0', "after", "", b"text");
        });
        // Only data that is not there is a reason to refuse all.
        assert!(
            seen.starts_with("refused") || seen.contains(" names"),
            "{size}: {seen}"
        );
    }
}

#[test]
fn directories_as_deep_as_names_go() {
    let count = many(60_000);
    let seen = seen(|archive| {
        for number in 0..count / 1000 {
            let path = format!("{}/", "d/".repeat(1000)) + &number.to_string();
            archive.member(b'x', "x", "", &record("path", path.as_bytes()));
            archive.member(b'5', "x", "", b"");
        }
    });
    assert!(
        seen.starts_with(&format!("{} names", 1000 + count / 1000)),
        "{seen}"
    );
}

#[test]
fn links_in_circles() {
    let seen = seen(|archive| {
        archive.member(b'1', "a", "b", b"");
        archive.member(b'1', "b", "a", b"");
        archive.member(b'1', "c", "c", b"");
        archive.member(b'2', "s", "t", b"");
        archive.member(b'2', "t", "s", b"");
        archive.member(b'2', "u", ".", b"");
        archive.member(b'1', "v", "s", b"");
        archive.member(b'0', "u/u/u/u/file", "", b"x");
        archive.member(b'0', "s/file", "", b"x");
        archive.member(b'5', "d", "", b"");
        archive.member(b'1', "d/up", "d", b"");
    });
    assert!(seen.contains(" names"), "{seen}");
    assert!(!seen.contains("8 names"), "{seen}");
}

#[test]
fn names_that_are_none() {
    let seen = seen(|archive| {
        for name in [
            "",
            "/",
            "..",
            "../x",
            "a/../..",
            ".",
            "./",
            "//",
            "a/..",
            "/../../etc/passwd",
        ] {
            archive.member(b'0', name, "", b"x");
            archive.member(b'2', name, "target", b"");
            archive.member(b'1', name, "last", b"");
        }
        archive.member(b'2', "empty-target", "", b"");
        archive.member(b'0', "last", "", b"x");
    });
    assert!(seen.starts_with("1 names, 1 bytes"), "{seen}");
}

#[test]
fn symbolic_links_that_the_kernel_could_not_answer_with_are_left_out() {
    let seen = seen(|archive| {
        for target in [vec![b't'; 4096], vec![b't'; 1 << 20], b"a\0b".to_vec()] {
            archive.member(b'x', "x", "", &record("linkpath", &target));
            archive.member(b'2', "link", "", b"");
        }
        archive.member(b'x', "x", "", &record("linkpath", &[b't'; 4095]));
        archive.member(b'2', "longest", "", b"");
    });
    assert!(seen.starts_with("1 names, 0 bytes, 3 warnings"), "{seen}");
}

#[test]
fn a_header_for_all_entries_is_not_copied_for_each() {
    // Half a gigabyte of attributes for each thousand members.
    let value = vec![b'v'; 60_000];
    let seen = seen(|archive| {
        let attributes = (0..9).map(|n| record(&format!("SCHILY.xattr.user.{n}"), &value));
        archive.member(b'g', "g", "", &attributes.collect::<Vec<_>>().concat());
        let path = record("path", &vec![b'/'; 16 << 20]);
        archive.member(b'g', "g", "", &path);
        for number in 0..5000 {
            archive.member(
                b'x',
                "x",
                "",
                &record("SCHILY.xattr.user.n", number.to_string().as_bytes()),
            );
            archive.header(b'0', &number.to_string(), "", 0);
        }
    });
    assert!(
        seen.starts_with("5000 names, 0 bytes, 1 warnings"),
        "{seen}"
    );
}

#[test]
fn a_million_attributes_of_one_member() {
    let count = many(1_000_000);
    let seen = seen(|archive| {
        let attributes = (0..count).map(|n| record(&format!("SCHILY.xattr.user.{n:x}"), b""));
        archive.member(b'x', "x", "", &attributes.collect::<Vec<_>>().concat());
        archive.header(b'0', "file", "", 0);
    });
    assert!(seen.starts_with("1 names, 0 bytes, 1 warnings"), "{seen}");
}

#[test]
fn records_of_absurd_sizes() {
    for records in [
        "99999999999999999999 path=x\n",
        "18446744073709551615 path=x\n",
        "1 a=b\n",
        "0 =\n",
        "4294967296 path=x\n",
        "00000000000000000000000012 path=x\n",
    ] {
        let seen = seen(|archive| {
            archive.member(b'0', "good", "", b"");
            archive.member(b'x', "x", "", records.as_bytes());
            archive.member(b'0', "y", "", b"");
        });
        assert!(seen.starts_with("refused"), "{records:?}: {seen}");
    }
}

/// A file of this many zeros, as a tar stream: its header, and how many bytes follow.
fn zeros(size: u64) -> (Vec<u8>, u64) {
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    (
        header.as_bytes().to_vec(),
        size.next_multiple_of(512) + 1024,
    )
}

/// One deflate stream: all of it with a size of its own at the end.
fn gzip_bomb(image: &Path, size: u64) {
    let (header, rest) = zeros(size);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header);
    let mut out = BufWriter::new(File::create(image).unwrap());
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
        .unwrap();
    // A stored block with the header, then one piece of zeros again and again.
    let stored = |bytes: &[u8], last: u8| {
        let length = bytes.len() as u16;
        let lengths = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
        [&[last][..], &lengths, bytes].concat()
    };
    out.write_all(&stored(&header, 0)).unwrap();
    let piece = vec![0_u8; 1 << 20];
    let packed = sync_flushed(&piece);
    let mut piece_hash = crc32fast::Hasher::new();
    piece_hash.update(&piece);
    for _ in 0..rest >> 20 {
        out.write_all(&packed).unwrap();
        hasher.combine(&piece_hash);
    }
    let last = vec![0; (rest & 0xf_ffff) as usize];
    for (number, part) in last.chunks(30_000).enumerate() {
        let is_last = (number + 1) * 30_000 >= last.len();
        out.write_all(&stored(part, is_last.into())).unwrap();
        hasher.update(part);
    }
    out.write_all(&hasher.finalize().to_le_bytes()).unwrap();
    out.write_all(&((header.len() as u64 + rest) as u32).to_le_bytes())
        .unwrap();
    out.flush().unwrap();
}

/// Deflate blocks, none of them the last, that end with a whole byte.
fn sync_flushed(bytes: &[u8]) -> Vec<u8> {
    use miniz_oxide::deflate::core::{
        CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
    };
    let mut compressor = CompressorOxide::new(create_comp_flags_from_zip_params(9, 0, 0));
    let mut packed = vec![0; bytes.len()];
    let (status, read, written) = compress(&mut compressor, bytes, &mut packed, TDEFLFlush::Full);
    assert_eq!((status, read), (TDEFLStatus::Okay, bytes.len()));
    packed.truncate(written);
    packed
}

/// One frame, whose blocks say "a zero, 128 KiB of times".
fn zstd_bomb(image: &Path, size: u64) {
    let (header, rest) = zeros(size);
    let block = |kind: u32, size: u32, last: u32| {
        let bytes = (size << 3 | kind << 1 | last).to_le_bytes();
        [bytes[0], bytes[1], bytes[2]]
    };
    let mut out = BufWriter::new(File::create(image).unwrap());
    // No checksum, no size of the contents, a window of 8 MiB.
    out.write_all(&[0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3])
        .unwrap();
    out.write_all(&block(0, header.len() as u32, 0)).unwrap();
    out.write_all(&header).unwrap();
    for _ in 0..rest >> 17 {
        out.write_all(&block(1, 1 << 17, 0)).unwrap();
        out.write_all(&[0]).unwrap();
    }
    out.write_all(&block(1, (rest & 0x1_ffff) as u32, 1))
        .unwrap();
    out.write_all(&[0]).unwrap();
    out.flush().unwrap();
}

/// A gzip stream of these pieces, each packed on its own.
fn gzip_of(image: &Path, pieces: impl Iterator<Item = Vec<u8>>) {
    let mut out = BufWriter::new(File::create(image).unwrap());
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
        .unwrap();
    let (mut hasher, mut length) = (crc32fast::Hasher::new(), 0_u32);
    for piece in pieces {
        out.write_all(&sync_flushed(&piece)).unwrap();
        hasher.update(&piece);
        length = length.wrapping_add(piece.len() as u32);
    }
    // An empty last block.
    out.write_all(&[1, 0, 0, 0xff, 0xff]).unwrap();
    out.write_all(&hasher.finalize().to_le_bytes()).unwrap();
    out.write_all(&length.to_le_bytes()).unwrap();
    out.flush().unwrap();
}

/// A PAX header with these records, and an empty file.
fn member_with(records: &[u8]) -> Vec<u8> {
    let (directory, path) = scratch("member");
    let mut archive = Archive::new(&path);
    archive.member(b'x', "x", "", records);
    archive.header(b'0', "file", "", 0);
    archive.0.flush().unwrap();
    let bytes = fs::read(&path).unwrap();
    drop(directory);
    bytes
}

#[test]
fn attributes_that_unpack_to_gigabytes_are_refused() {
    let (_directory, image) = scratch("image");
    let mut value = vec![b'v'; 60_000];
    let members = (0..700_u32).map(|number| {
        value[..4].copy_from_slice(&number.to_le_bytes());
        let names = (0..9).map(|name| record(&format!("SCHILY.xattr.user.{name}"), &value));
        let path = record("path", number.to_string().as_bytes());
        member_with(&[names.collect::<Vec<_>>().concat(), path].concat())
    });
    gzip_of(&image, members);
    assert!(fs::metadata(&image).unwrap().len() < 4 << 20);
    let seen = read_within_limits(&image);
    assert!(
        seen.starts_with("refused") && seen.contains("exhaust memory"),
        "{seen}"
    );
}

#[test]
fn acls_that_unpack_to_gigabytes_are_refused() {
    let (_directory, image) = scratch("image");
    let acl = format!("user::rw-,group::r--,other::r--{}", " ".repeat(1 << 20));
    let members = (0..300_u32).map(|number| {
        let path = record("path", number.to_string().as_bytes());
        member_with(&[record("SCHILY.acl.access", acl.as_bytes()), path].concat())
    });
    gzip_of(&image, members);
    let seen = read_within_limits(&image);
    assert!(
        seen.starts_with("refused") && seen.contains("exhaust memory"),
        "{seen}"
    );
}

#[test]
fn directories_without_entries_that_unpack_to_gigabytes_are_refused() {
    let (_directory, image) = scratch("image");
    let members = (0..2500_u32).map(|number| {
        let path = format!("{number}/{}", "d/".repeat(1000));
        member_with(&record("path", path.as_bytes()))
    });
    gzip_of(&image, members);
    let seen = read_within_limits(&image);
    assert!(
        seen.starts_with("refused") && seen.contains("exhaust memory"),
        "{seen}"
    );
}

#[test]
fn gigabytes_of_zeros_in_gzip() {
    let (_directory, image) = scratch("image");
    let size = many(10_000_000_000);
    gzip_bomb(&image, size);
    let seen = read_within_limits(&image);
    assert!(
        seen.starts_with(&format!("1 names, {size} bytes, 0 warnings")),
        "{seen}"
    );
}

#[test]
fn gigabytes_of_zeros_in_zstd() {
    let (_directory, image) = scratch("image");
    let size = many(10_000_000_000);
    zstd_bomb(&image, size);
    let seen = read_within_limits(&image);
    assert!(
        seen.starts_with(&format!("1 names, {size} bytes, 0 warnings")),
        "{seen}"
    );
}
