//! The scanner against archives of the test writer, whole and damaged.

use proptest::prelude::*;

use crate::lower::tar::{ArchiveEnd, Entries, Member, MemberKind, ScanError, Source};
use crate::types::FileKind;

use super::Scanner;
use super::writer::{Acl, AclEntry, Entry, LinkLayout, Tail, Volume, Writer, seal};

/// Bytes in memory, which must be asked for front to back.
struct Bytes<'b> {
    bytes: &'b [u8],
    earliest: u64,
}

impl Source for Bytes<'_> {
    fn bytes(&mut self, offset: u64, length: usize) -> Result<&[u8], ScanError> {
        assert!(offset >= self.earliest, "{offset} after {}", self.earliest);
        self.earliest = offset;
        let from = usize::try_from(offset).unwrap().min(self.bytes.len());
        let to = (from + length).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }

    fn end(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }

    fn position(&self) -> u64 {
        self.earliest
    }
}

#[derive(Debug)]
struct Found {
    members: Vec<Member>,
    end: Option<ArchiveEnd>,
    warnings: Vec<String>,
}

fn scan(bytes: &[u8]) -> Result<Found, ScanError> {
    let mut source = Bytes { bytes, earliest: 0 };
    let mut scanner = Scanner::new(&mut source);
    let mut members = Vec::new();
    while let Some(member) = scanner.next()? {
        members.push(member);
    }
    let (end, warnings) = (scanner.end(), scanner.warnings());
    Ok(Found {
        members,
        end,
        warnings,
    })
}

fn file<'a>(name: &'a [u8], data: &'a [u8]) -> Entry<'a> {
    Entry {
        name,
        mode: 0o100_644,
        nlink: 1,
        data,
        ..Entry::default()
    }
}

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut writer = Writer::new();
    for entry in entries {
        writer.add(entry);
    }
    writer.finish_plain()
}

/// The contents of a member that is not packed.
fn contents<'b>(bytes: &'b [u8], member: &Member) -> &'b [u8] {
    let from = member.data.offset as usize;
    &bytes[from..from + member.data.size as usize]
}

fn names(found: &Found) -> Vec<&[u8]> {
    found
        .members
        .iter()
        .map(|member| &member.path[..])
        .collect()
}

/// Of everything something, as mksysb would have it.
fn sample() -> Vec<Entry<'static>> {
    const ACL: Acl<'static> = Acl {
        mode: 0x0200_0000,
        permissions: [7, 5, 0],
        entries: &[AclEntry {
            kind: 1,
            permissions: 6,
            ids: &[(2, 214)],
        }],
    };
    vec![
        Entry {
            name: b"./",
            mode: 0x1_41ed,
            inode: u32::MAX,
            nlink: 20,
            stored: Some(256),
            ..Entry::default()
        },
        Entry {
            stale: b"old/name",
            garbage: 0xf100,
            times: [10, 20, u32::MAX],
            uid: 204,
            gid: 1,
            ..file(b"./image.data", b"image_data:\n")
        },
        file(b"./empty", b""),
        Entry {
            packed: true,
            ..file(b"./packed", b"aaaaaaaaaaaaaaaaaaaaaaaabbbbbbc")
        },
        Entry {
            name: b"./dev/hd4",
            mode: 0o060_660,
            rdev: (10, 4),
            ..Entry::default()
        },
        Entry {
            name: b"./dev/far",
            mode: 0o020_666,
            rdev: (0x8000_0011, 1),
            ..Entry::default()
        },
        Entry {
            name: b"./fifo",
            mode: 0o010_600,
            ..Entry::default()
        },
        Entry {
            name: b"./sock",
            mode: 0o140_600,
            ..Entry::default()
        },
        Entry {
            name: b"./link",
            mode: 0o120_777,
            data: b"usr/lib",
            ..Entry::default()
        },
        Entry {
            nlink: 2,
            inode: 5,
            ..file(b"./one", b"linked!!")
        },
        Entry {
            nlink: 2,
            inode: 5,
            without_data: true,
            ..file(b"./two", b"linked!!")
        },
        Entry {
            mode: 0x0200_0000 | 0o104_750,
            uid: 7,
            gid: 8,
            acl: Some(ACL),
            ..file(b"./acl", b"12345678")
        },
    ]
}

#[test]
fn everything_is_read_as_it_was_written() {
    let bytes = archive(&sample());
    let found = scan(&bytes).unwrap();
    assert_eq!(found.end, Some(ArchiveEnd::Marked));
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    let expected: Vec<_> = sample().iter().map(|entry| entry.name).collect();
    assert_eq!(names(&found), expected);
    let kinds: Vec<_> = found.members.iter().map(|member| member.kind).collect();
    let node = MemberKind::Node;
    assert_eq!(kinds[0], node(FileKind::Directory));
    assert_eq!(kinds[4], node(FileKind::BlockDevice));
    assert_eq!(kinds[5], node(FileKind::CharDevice));
    assert_eq!(kinds[6], node(FileKind::Fifo));
    assert_eq!(kinds[7], node(FileKind::Socket));
    assert_eq!(kinds[8], node(FileKind::Symlink));
    assert_eq!(kinds[10], MemberKind::HardLink);
    let member = |number: usize| &found.members[number];
    assert_eq!(contents(&bytes, member(1)), b"image_data:\n");
    assert_eq!((member(1).uid, member(1).gid), (204, 1));
    assert_eq!((member(1).atime.seconds, member(1).mtime.seconds), (10, 20));
    assert_eq!(member(1).ctime.seconds, -1);
    assert_eq!(member(3).data.size, 31);
    assert!(member(3).data.packed.is_some_and(|stored| stored < 31));
    assert_eq!(member(4).rdev, 10 << 8 | 4);
    assert_eq!(member(5).rdev, 0);
    assert_eq!(member(5).remarks.len(), 1);
    assert_eq!(member(8).link, b"usr/lib");
    assert_eq!(member(10).link, b"./one");
    assert_eq!(member(11).permissions, 0o4750);
    assert_eq!(contents(&bytes, member(11)), b"12345678");
    let [(name, text)] = &member(11).xattrs[..] else {
        panic!("no attribute")
    };
    assert_eq!(name, b"user.aix.acl");
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.contains("owner(7): rwx"), "{text}");
    assert!(text.ends_with("    permit rw- g:214\n"), "{text}");
}

#[test]
fn a_link_is_read_in_each_layout_that_was_described() {
    for layout in [
        LinkLayout::Bare,
        LinkLayout::BeforeAcl,
        LinkLayout::AfterAcl,
    ] {
        for target in [&b"a"[..], b"usr/lib", b"12345678", b"../../somewhere/else"] {
            let link = Entry {
                name: b"./link",
                mode: 0o120_777,
                data: target,
                link_layout: layout,
                ..Entry::default()
            };
            let bytes = archive(&[link.clone(), file(b"./next", b"x"), link]);
            let found = scan(&bytes).unwrap();
            assert_eq!(names(&found), [&b"./link"[..], b"./next", b"./link"]);
            for at in [0, 2] {
                assert_eq!(found.members[at].link, target, "{layout:?}");
                assert!(found.members[at].remarks.is_empty(), "{layout:?}");
            }
            assert!(found.warnings.is_empty(), "{:?}", found.warnings);
        }
    }
}

#[test]
fn a_further_name_is_a_hard_link_if_all_agrees() {
    let one = Entry {
        nlink: 3,
        inode: 9,
        ..file(b"./one", b"some contents")
    };
    let with_data = Entry {
        name: b"./with",
        ..one.clone()
    };
    let without = Entry {
        name: b"./without",
        without_data: true,
        ..one.clone()
    };
    let elsewhere = Entry {
        name: b"./elsewhere",
        device: (1, 1),
        ..one.clone()
    };
    let other = Entry {
        data: b"another",
        name: b"./other",
        ..one.clone()
    };
    let bytes = archive(&[one, with_data, without, elsewhere, other, file(b"z", b"z")]);
    let found = scan(&bytes).unwrap();
    let links: Vec<_> = found
        .members
        .iter()
        .filter(|member| member.kind == MemberKind::HardLink)
        .map(|member| (&member.path[..], &member.link[..]))
        .collect();
    assert_eq!(
        links,
        [(&b"./with"[..], &b"./one"[..]), (b"./without", b"./one")]
    );
    assert_eq!(contents(&bytes, &found.members[4]), b"another");
    assert_eq!(contents(&bytes, &found.members[5]), b"z");
}

#[test]
fn what_follows_the_end_record_is_not_read() {
    let mut writer = Writer::new();
    for entry in sample() {
        writer.add(&entry);
    }
    for tail in [Tail::Stale(512), Tail::Zeros(51200)] {
        let found = scan(&writer.clone().finish(tail)).unwrap();
        assert_eq!(found.members.len(), sample().len());
        assert_eq!(found.end, Some(ArchiveEnd::Marked));
        assert!(found.warnings.is_empty());
    }
}

#[test]
fn cut_off_anywhere_it_is_refused_or_shown_without_its_end() {
    let mut writer = Writer::new();
    let mut boundaries = vec![writer.len()];
    for entry in sample() {
        writer.add(&entry);
        boundaries.push(writer.len());
    }
    let bytes = writer.finish_plain();
    for length in 0..bytes.len() {
        match (scan(&bytes[..length]), boundaries.binary_search(&length)) {
            (Ok(found), Ok(count)) => {
                assert_eq!(found.members.len(), count);
                assert_eq!(found.end, Some(ArchiveEnd::Unmarked));
            }
            (Err(ScanError::Truncated), Err(_)) => {}
            (Err(ScanError::NotTar), _) if length < 4 => {}
            (other, _) => panic!("{length} of {}: {other:?}", bytes.len()),
        }
    }
}

#[test]
fn zeros_in_place_of_the_end_are_an_end_without_its_mark() {
    let mut writer = Writer::new();
    writer.add(&file(b"./a", b"abc"));
    writer.raw(&[0; 100_000]);
    let found = scan(&writer.cut()).unwrap();
    assert_eq!(found.members.len(), 1);
    assert_eq!(found.end, Some(ArchiveEnd::Unmarked));
}

/// Where in an archive headers are.
fn headers(entries: &[Entry<'_>]) -> Vec<std::ops::Range<usize>> {
    let mut writer = Writer::new();
    let mut found = Vec::new();
    found.push(0..writer.len());
    for entry in entries {
        let start = writer.len();
        writer.add(entry);
        let length = usize::from(writer.clone().cut()[start]) * 8;
        found.push(start..start + length);
    }
    found.push(writer.len()..writer.len() + 8);
    found
}

#[test]
fn a_flipped_bit_in_a_header_is_never_unnoticed() {
    let entries = sample();
    let bytes = archive(&entries);
    for range in headers(&entries) {
        for bit in range.start * 8..range.end * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(found) = scan(&flipped) else { continue };
            let noticed = !found.warnings.is_empty()
                || found.end != Some(ArchiveEnd::Marked)
                || found.members.iter().any(|member| {
                    // The target of the link before is known by the header behind it.
                    member
                        .remarks
                        .iter()
                        .any(|remark| remark.contains("may be wrong"))
                });
            assert!(noticed, "bit {bit}: {:?}", names(&found));
        }
    }
}

#[test]
fn a_flipped_bit_elsewhere_loses_at_most_its_neighbour() {
    let entries = sample();
    let bytes = archive(&entries);
    let headers = headers(&entries);
    let whole = scan(&bytes).unwrap().members.len();
    for bit in 0..bytes.len() * 8 {
        if headers.iter().any(|range| range.contains(&(bit / 8))) {
            continue;
        }
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let found = scan(&flipped).unwrap();
        assert!(found.members.len() + 1 >= whole, "bit {bit}: {found:?}");
    }
}

#[test]
fn a_damaged_record_is_passed_over() {
    let (a, b, c) = (
        file(b"./a", b"first"),
        file(b"./b", &[7; 100_000]),
        file(b"./c", b"third"),
    );
    let mut bytes = archive(&[a, b, c]);
    let at = headers(&[file(b"./a", b"first")])[2].start;
    bytes[at + 20] ^= 1;
    let found = scan(&bytes).unwrap();
    assert_eq!(names(&found), [b"./a", b"./c"]);
    assert_eq!(contents(&bytes, &found.members[1]), b"third");
    assert_eq!(found.warnings.len(), 1);
    assert!(found.warnings[0].contains("behind \"./a\""), "{found:?}");
    assert_eq!(found.end, Some(ArchiveEnd::Marked));
}

/// Else the entries of an archive that a lost file consists of would become files of the image.
#[test]
fn no_entry_is_taken_from_an_archive_inside_a_damaged_one() {
    let inner = archive(&[file(b"./etc/passwd", b"evil")]);
    let outer = [file(b"./a", b"x"), file(b"./inner.bff", &inner)];
    let mut bytes = archive(&outer);
    assert_eq!(names(&scan(&bytes).unwrap()), [&b"./a"[..], b"./inner.bff"]);
    let at = headers(&outer)[2].start;
    bytes[at + 12] ^= 1;
    assert!(matches!(scan(&bytes), Err(ScanError::Corrupt { offset, .. }) if offset == at as u64));
}

#[test]
fn what_looks_like_headers_without_end_is_given_up() {
    let mut writer = Writer::new();
    writer.add(&file(b"./a", b"x"));
    writer.raw(&b"\xff\x0b\x6b\xea\x12\x34\x80\x81".repeat(1 << 20));
    let error = scan(&writer.finish_plain()).unwrap_err();
    assert!(matches!(error, ScanError::Corrupt { .. }), "{error:?}");
}

#[test]
fn records_of_unknown_types_are_passed_over_and_told() {
    let mut writer = Writer::new();
    writer.add(&file(b"./a", b"abc"));
    writer.unknown(12, &[1; 64]);
    writer.unknown(13, &[2; 8]);
    writer.add(&file(b"./b", b"def"));
    let bytes = writer.finish_plain();
    let found = scan(&bytes).unwrap();
    assert_eq!(names(&found), [b"./a", b"./b"]);
    assert_eq!(contents(&bytes, &found.members[1]), b"def");
    assert!(found.warnings[0].starts_with("2 records"), "{found:?}");
}

#[test]
fn other_kinds_of_backups_are_refused() {
    let second = Volume {
        number: 2,
        date: 0,
        user: b"root",
    };
    let unsupported = |bytes: &[u8], words: &str| match scan(bytes) {
        Err(ScanError::Unsupported { what, .. }) => assert!(what.contains(words), "{what}"),
        other => panic!("{other:?}"),
    };
    unsupported(&Writer::on(second).finish_plain(), "volume");
    let mut writer = Writer::new();
    writer.add(&file(b"./a", b"abc"));
    writer.raw(&Writer::on(second).cut());
    unsupported(&writer.finish_plain(), "volume");
    let mut writer = Writer::new();
    writer.unknown(2, &[0; 100]);
    unsupported(&writer.finish_plain(), "i-node");
    for other in [0x6d, 0x6f] {
        let mut bytes = Writer::new().finish_plain();
        bytes[2] = other;
        seal(&mut bytes[..72]);
        assert!(matches!(scan(&bytes), Err(ScanError::NotTar)));
    }
}

#[test]
fn an_archive_without_checksums_is_read_and_told() {
    let entries = [file(b"./a", b"abc"), file(b"./b", b"def")];
    let mut bytes = archive(&entries);
    for range in headers(&entries) {
        bytes[range][4..6].fill(0);
    }
    let found = scan(&bytes).unwrap();
    assert_eq!(names(&found), [b"./a", b"./b"]);
    assert!(found.warnings[0].contains("no checksums"), "{found:?}");
}

#[test]
fn an_acl_of_another_type_is_counted() {
    let odd = AclEntry {
        kind: 1,
        permissions: 0x100,
        ids: &[(1, 1)],
    };
    let acl = Acl {
        entries: &[odd],
        ..Acl::default()
    };
    let bytes = archive(&[Entry {
        acl: Some(acl),
        ..file(b"./a", b"abc")
    }]);
    let found = scan(&bytes).unwrap();
    assert!(found.members[0].xattrs.is_empty());
    assert!(found.warnings[0].starts_with("1 ACLs"), "{found:?}");
    assert_eq!(contents(&bytes, &found.members[0]), b"abc");
}

#[test]
fn a_file_over_4_gib_is_taken_for_one_only_if_a_header_says_so() {
    let small = Entry {
        reserved: 1,
        ..file(b"./a", b"abc")
    };
    let found = scan(&archive(&[small, file(b"./b", b"def")])).unwrap();
    assert_eq!(found.members[0].data.size, 3);
    assert_eq!(names(&found), [b"./a", b"./b"]);
}

/// Adding it up once went over the end of the numbers.
#[test]
fn a_size_of_nearly_2_to_the_64_is_no_size() {
    let huge = Entry {
        reserved: u32::MAX,
        size: Some(u32::MAX),
        ..file(b"./a", b"abc")
    };
    let error = scan(&archive(&[huge])).unwrap_err();
    assert!(matches!(error, ScanError::Truncated), "{error:?}");
}

#[test]
fn more_than_packed_data_can_hold_is_told() {
    let packed = Entry {
        packed: true,
        size: Some(4_000_000),
        ..file(b"./a", b"abc")
    };
    let found = scan(&archive(&[packed])).unwrap();
    assert!(found.members[0].remarks[0].contains("more is claimed"));
}

/// Name, mode, what the buffer held, data, whether it is packed, four numbers.
type AnyEntry = (Vec<u8>, u32, Vec<u8>, Vec<u8>, bool, [u32; 4]);

fn any_entry() -> impl Strategy<Value = AnyEntry> {
    let name = proptest::collection::vec(1_u8..=255, 1..60);
    let stale = proptest::collection::vec(any::<u8>(), 0..20);
    let mode = (0_usize..7, 0_u32..0o10000)
        .prop_map(|(kind, bits)| [1, 2, 4, 6, 8, 8, 12][kind] << 12 | bits);
    let data = proptest::collection::vec(any::<u8>(), 1..300);
    (name, mode, stale, data, any::<bool>(), any::<[u32; 4]>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_written_is_found(entries in proptest::collection::vec(any_entry(), 0..20)) {
        let written: Vec<_> = entries.iter().map(|(name, mode, stale, data, packed, words)| {
            let is_file = mode >> 12 == 8;
            Entry {
                name,
                stale,
                mode: *mode,
                uid: words[0],
                gid: words[1],
                times: [words[2], words[3], 0],
                nlink: 1,
                data: if is_file { data } else { b"" },
                packed: is_file && *packed,
                ..Entry::default()
            }
        }).collect();
        let bytes = archive(&written);
        let found = scan(&bytes).unwrap();
        prop_assert!(found.warnings.is_empty());
        prop_assert_eq!(found.members.len(), written.len());
        for (member, entry) in found.members.iter().zip(&written) {
            prop_assert_eq!(&member.path[..], entry.name);
            prop_assert_eq!(u32::from(member.permissions), entry.mode & 0o7777);
            prop_assert_eq!((member.uid, member.gid), (entry.uid, entry.gid));
            prop_assert_eq!(member.mtime.seconds, i64::from(entry.times[1] as i32));
            prop_assert_eq!(member.data.size, entry.data.len() as u64);
            if !entry.packed {
                prop_assert_eq!(contents(&bytes, member), entry.data);
            }
        }
    }

    #[test]
    fn any_bytes_behind_a_good_beginning_are_refused_or_scanned(
        rest in proptest::collection::vec(any::<u8>(), 0..2000)
    ) {
        let mut writer = Writer::new();
        writer.add(&file(b"./a", b"abc"));
        writer.raw(&rest);
        let _ = scan(&writer.cut());
    }
}
