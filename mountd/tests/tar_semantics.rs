//! What the tree is when an archive is odd: names, duplicates, links, missing parents, ends.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use tar::{EntryType, Header};
use wpar_mountd::lower::tar::{ImageError, TarLower};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::{FileKind, Timestamp};

mod tar_support;
use tar_support::{contents, open, resolve, scratch};

/// An archive made by hand, header by header.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn entry(&mut self, kind: EntryType, name: &[u8], link: &[u8], data: &[u8]) -> &mut Self {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name);
        old.linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory {
            0o700
        } else {
            0o640
        });
        header.set_uid(5);
        header.set_gid(6);
        header.set_mtime(77);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(&mut self, name: &str, data: &str) -> &mut Self {
        self.entry(EntryType::Regular, name.as_bytes(), b"", data.as_bytes())
    }

    fn directory(&mut self, name: &str) -> &mut Self {
        self.entry(EntryType::Directory, name.as_bytes(), b"", b"")
    }

    fn symlink(&mut self, name: &str, target: &str) -> &mut Self {
        self.entry(EntryType::Symlink, name.as_bytes(), target.as_bytes(), b"")
    }

    fn hard_link(&mut self, name: &str, target: &str) -> &mut Self {
        self.entry(EntryType::Link, name.as_bytes(), target.as_bytes(), b"")
    }

    fn pax(&mut self, kind: u8, records: &[(&str, &str)]) -> &mut Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let mut length = body + 1;
            while length != body + length.to_string().len() {
                length = body + length.to_string().len();
            }
            data.extend(format!("{length} {key}={value}\n").bytes());
        }
        self.entry(EntryType::new(kind), b"pax", b"", &data)
    }

    fn write(&mut self, path: &Path) {
        self.0.resize(self.0.len() + 1024, 0);
        fs::write(path, &self.0).unwrap();
    }

    fn open(&mut self) -> Result<TarLower, ImageError> {
        let (_directory, image) = scratch("image.tar");
        self.write(&image);
        open(&image)
    }

    /// The layer, with exactly one warning about each of `names` and no other.
    fn open_with_warnings(&mut self, names: &[&str]) -> TarLower {
        let layer = self.open().unwrap();
        let warnings = layer.index().warnings();
        assert_eq!(warnings.len(), names.len(), "{warnings:?}");
        assert_eq!(layer.index().warning_count(), names.len() as u64);
        for (warning, name) in warnings.iter().zip(names) {
            assert!(
                warning.starts_with(&format!("\"{name}\" ")),
                "{warning} is not about {name}"
            );
        }
        layer
    }
}

fn names(layer: &TarLower, directory: LowerNode) -> Vec<String> {
    let mut names = Vec::new();
    layer
        .entries(directory, &mut |entry| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
        })
        .unwrap();
    names
}

fn number(layer: &TarLower, path: &str) -> u64 {
    resolve(layer, path)
        .unwrap_or_else(|| panic!("no {path}"))
        .0
}

#[test]
fn names_are_normalised_and_numbered_in_order_of_appearance() {
    let layer = Archive::default()
        .file("./z", "1")
        .file("/made/up/a", "2")
        .directory("made//up/")
        .file("./y", "3")
        .open_with_warnings(&[]);
    assert_eq!(names(&layer, LowerNode::ROOT), ["made", "y", "z"]);
    let paths = ["z", "made", "made/up", "made/up/a", "y"];
    assert_eq!(paths.map(|path| number(&layer, path)), [2, 3, 4, 5, 6]);
    assert_eq!(layer.first_free(), 7);
    assert!(layer.is_immutable());
    assert!(layer.attr(LowerNode(7)).is_err() && layer.attr(LowerNode(0)).is_err());
    assert_eq!(layer.location(LowerNode::ROOT).unwrap(), None);
}

#[test]
fn parents_without_an_entry_are_made() {
    let (_directory, image) = scratch("image.tar");
    Archive::default()
        .file("a/b/c", "")
        .directory("a/b")
        .write(&image);
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 5);
    fs::File::open(&image).unwrap().set_modified(time).unwrap();
    let layer = open(&image).unwrap();
    let attr = layer.attr(resolve(&layer, "a").unwrap()).unwrap();
    assert_eq!(
        (attr.permissions, attr.uid, attr.gid, attr.nlink),
        (0o755, 0, 0, 3)
    );
    assert_eq!(
        attr.mtime,
        Timestamp {
            seconds: 1_000_000,
            nanoseconds: 5
        }
    );
    let attr = layer.attr(resolve(&layer, "a/b").unwrap()).unwrap();
    assert_eq!(
        (attr.permissions, attr.uid, attr.gid, attr.nlink),
        (0o700, 5, 6, 2)
    );
    assert_eq!(
        attr.mtime,
        Timestamp {
            seconds: 77,
            nanoseconds: 0
        }
    );
}

#[test]
fn bad_names_are_left_out() {
    let layer = Archive::default()
        .file("../up", "x")
        .file("a/../../b", "x")
        .file("..", "x")
        .file("good", "x")
        .file("./", "a file named like the root is a directory entry")
        .open_with_warnings(&["../up", "a/../../b", ".."]);
    assert_eq!(names(&layer, LowerNode::ROOT), ["good"]);
}

#[test]
fn symbolic_links_lead_to_entries_and_never_out_of_the_root() {
    let layer = Archive::default()
        .directory("usr")
        .directory("usr/lib")
        .file("usr/lib/target", "x")
        .symlink("lib", "usr/lib")
        .file("lib/one", "1")
        .symlink("absolute", "/usr/lib")
        .file("absolute/two", "2")
        .symlink("up", "../../../../usr/./lib/")
        .file("up/three", "3")
        .symlink("usr/here", "../up")
        .directory("usr/here/sub")
        .file("usr/here/sub/four", "4")
        .symlink("root", "/..")
        .file("root/five", "5")
        .hard_link("linked", "lib/target")
        .open_with_warnings(&[]);
    assert_eq!(
        names(&layer, LowerNode::ROOT),
        ["absolute", "five", "lib", "linked", "root", "up", "usr"]
    );
    let lib = resolve(&layer, "usr/lib").unwrap();
    assert_eq!(names(&layer, lib), ["one", "sub", "target", "three", "two"]);
    assert_eq!(contents(&layer, "usr/lib/sub/four"), b"4");
    assert_eq!(resolve(&layer, "linked"), resolve(&layer, "usr/lib/target"));
}

#[test]
fn links_that_lead_nowhere_or_in_circles_are_left_alone() {
    let mut archive = Archive::default();
    archive
        .symlink("etc", "/etc")
        .file("etc/passwd", "evil")
        .symlink("self", "self")
        .file("self/x", "x")
        .symlink("ping", "pong")
        .symlink("pong", "ping/../ping")
        .file("ping/x", "x")
        .file("plain", "x")
        .symlink("to-plain", "plain")
        .file("to-plain/x", "x")
        .file("plain/below", "x")
        .hard_link("host", "etc/passwd");
    // Forty links are followed, as by the kernel, one more is not.
    archive.directory("l0").symlink("l1", "l0");
    for number in 2..=41 {
        archive.symlink(&format!("l{number}"), &format!("l{}", number - 1));
    }
    archive.file("l40/good", "x").file("l41/far", "x");
    let layer = archive.open_with_warnings(&[
        "etc/passwd",
        "self/x",
        "ping/x",
        "to-plain/x",
        "plain/below",
        "host",
        "l41/far",
    ]);
    assert_eq!(names(&layer, resolve(&layer, "l0").unwrap()), ["good"]);
    let target = layer.read_link(resolve(&layer, "etc").unwrap());
    assert_eq!(target.unwrap(), b"/etc");
}

#[test]
fn the_last_entry_of_a_name_wins() {
    let layer = Archive::default()
        .file("a", "first")
        .hard_link("kept", "a")
        .file("a", "second")
        .directory("d")
        .file("d/in", "x")
        .directory("d")
        .file("d", "no")
        .directory("empty")
        .file("empty", "now a file")
        .symlink("s", "d")
        .directory("s")
        .file("s/in", "y")
        .open_with_warnings(&["d"]);
    assert_eq!(contents(&layer, "a"), b"second");
    assert_eq!(contents(&layer, "kept"), b"first");
    assert_eq!(contents(&layer, "d/in"), b"x");
    assert_eq!(contents(&layer, "empty"), b"now a file");
    assert_eq!(contents(&layer, "s/in"), b"y");
    let nlink = |path| layer.attr(resolve(&layer, path).unwrap()).unwrap().nlink;
    assert_eq!(
        (nlink("a"), nlink("kept"), nlink("d"), nlink("")),
        (1, 1, 2, 4)
    );
    let location = layer
        .location(resolve(&layer, "kept").unwrap())
        .unwrap()
        .unwrap();
    assert_eq!((location.0, &*location.1), (LowerNode::ROOT, &b"kept"[..]));
    // The replaced inodes are gone, and their numbers are not used again.
    assert!(layer.attr(LowerNode(6)).is_err(), "the empty directory");
    assert_eq!(layer.first_free(), 11);
}

#[test]
fn hard_links_name_earlier_entries_only() {
    let layer = Archive::default()
        .hard_link("early", "file")
        .file("file", "x")
        .hard_link("./link", "/./file")
        .hard_link("file", "file")
        .directory("d")
        .hard_link("d2", "d")
        .hard_link("up", "../file")
        .hard_link("host", "/etc/hostname")
        .open_with_warnings(&["early", "d2", "up", "host"]);
    assert_eq!(number(&layer, "link"), number(&layer, "file"));
    assert_eq!(
        layer.attr(resolve(&layer, "file").unwrap()).unwrap().nlink,
        2
    );
}

#[test]
fn global_and_local_records_have_their_order() {
    let layer = Archive::default()
        .pax(b'g', &[("mtime", "1000.5"), ("uid", "42")])
        .file("a", "")
        .pax(b'x', &[("mtime", "-1.5"), ("path", "long/b")])
        .file("short", "")
        .pax(b'g', &[("uid", "")])
        .file("c", "")
        .open_with_warnings(&[]);
    let attr = |path| layer.attr(resolve(&layer, path).unwrap()).unwrap();
    let time = |seconds, nanoseconds| Timestamp {
        seconds,
        nanoseconds,
    };
    assert_eq!(
        (attr("a").uid, attr("a").mtime),
        (42, time(1000, 500_000_000))
    );
    assert_eq!(
        (attr("long/b").uid, attr("long/b").mtime),
        (42, time(-2, 500_000_000))
    );
    assert_eq!(
        (attr("c").uid, attr("c").mtime),
        (5, time(1000, 500_000_000))
    );
}

#[test]
fn acls_by_name_are_resolved_by_the_images_own_tables() {
    let acl = "user::rw-,user:lisa:r--,group::r--,group:staff:rw-,mask::rw-,other::---";
    let layer = Archive::default()
        .pax(
            b'x',
            &[("SCHILY.acl.access", acl), ("SCHILY.xattr.user.x", "y")],
        )
        .file("file", "")
        .pax(
            b'x',
            &[("SCHILY.acl.access", &acl.replace("lisa", "ghost"))],
        )
        .file("lost", "")
        .file("etc/passwd", "lisa:x:4711:1::/:/bin/sh\n")
        .file("etc/group", "staff:x:50:\n")
        .open()
        .unwrap();
    let warnings = layer.index().warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("1 ACLs name users"), "{warnings:?}");
    let value = |path| {
        layer
            .xattr(resolve(&layer, path).unwrap(), b"system.posix_acl_access")
            .unwrap()
    };
    let found = value("file").unwrap();
    assert_eq!(found.len(), 4 + 6 * 8);
    assert_eq!(found[16..20], 4711_u32.to_le_bytes());
    assert_eq!(found[32..36], 50_u32.to_le_bytes());
    let lost = value("lost").unwrap();
    assert_eq!(lost.len(), 4 + 5 * 8, "all but the user that nobody knows");
    let permissions = |path| {
        layer
            .attr(resolve(&layer, path).unwrap())
            .unwrap()
            .permissions
    };
    assert_eq!(
        (permissions("file"), permissions("lost")),
        (0o660, 0o660),
        "the mask is in them"
    );
    let node = resolve(&layer, "file").unwrap();
    assert_eq!(layer.xattr(node, b"user.x").unwrap(), Some(b"y".to_vec()));
    assert!(layer.index().carries_xattrs());
}

#[test]
fn sizes_that_mean_nothing_are_not_believed() {
    let mut archive = Archive::default();
    archive.directory("d");
    // A directory that claims data and has none, as some programs write it.
    let mut header = Header::new_ustar();
    header.set_path("e").unwrap();
    header.set_entry_type(EntryType::Directory);
    header.set_size(4096);
    header.set_cksum();
    archive.0.extend_from_slice(header.as_bytes());
    archive.file("after", "x");
    // A hard link that repeats the data, as cpio-like programs write it.
    archive.entry(EntryType::Link, b"link", b"after", b"x");
    archive.file("last", "y");
    let layer = archive.open_with_warnings(&[]);
    assert_eq!(
        names(&layer, LowerNode::ROOT),
        ["after", "d", "e", "last", "link"]
    );
    assert_eq!(contents(&layer, "link"), b"x");
}

#[test]
fn unknown_types_and_owners_are_told() {
    let mut archive = Archive::default();
    archive.entry(EntryType::new(b'Q'), b"odd", b"", b"data");
    archive.pax(b'x', &[("uid", "99999999999")]).file("id", "");
    let layer = archive.open_with_warnings(&["odd"]);
    assert_eq!(contents(&layer, "odd"), b"data");
    assert_eq!(
        layer.attr(resolve(&layer, "odd").unwrap()).unwrap().kind,
        FileKind::Regular
    );
    let attr = layer.attr(resolve(&layer, "id").unwrap()).unwrap();
    assert_eq!(attr.uid, 5, "a record that makes no sense does not count");
}

#[test]
fn what_follows_the_end_mark_is_told() {
    let (directory, image) = scratch("image.tar");
    Archive::default().file("a", "1").write(&image);
    let one = fs::read(&image).unwrap();
    let cases: [(Vec<u8>, Option<&str>); 6] = [
        ([&one[..], &[0; 10_000]].concat(), None),
        (
            [&one[..], &one[..]].concat(),
            Some("another archive follows"),
        ),
        ([&one[..], b"garbage"].concat(), Some("is no archive")),
        (one[..one.len() - 512].to_vec(), None),
        (one[..one.len() - 1024].to_vec(), Some("has no end mark")),
        (one[..one.len() - 1000].to_vec(), Some("has no end mark")),
    ];
    for (bytes, expected) in cases {
        let image = directory.path().join("case.tar");
        fs::write(&image, &bytes).unwrap();
        let layer = open(&image).unwrap();
        let warnings = layer.index().warnings();
        assert_eq!(
            warnings.len(),
            usize::from(expected.is_some()),
            "{warnings:?}"
        );
        assert!(
            warnings
                .iter()
                .all(|text| expected.is_some_and(|word| text.contains(word)))
        );
        assert_eq!(names(&layer, LowerNode::ROOT), ["a"]);
    }
}

#[test]
fn claims_about_sizes_and_counts_are_bounded() {
    // A long name of a gigabyte, PAX records of one, a file of 8 EiB, an extended header at the end.
    let claim = |kind: u8, size: &[u8; 12]| {
        let mut header = Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(EntryType::new(kind));
        header.as_old_mut().size = *size;
        header.set_cksum();
        let mut archive = Archive::default();
        archive.file("good", "");
        archive.0.extend_from_slice(header.as_bytes());
        archive.open()
    };
    let gigabyte = b"10000000000\0";
    let most = b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff";
    for (kind, size) in [
        (b'L', gigabyte),
        (b'K', gigabyte),
        (b'x', gigabyte),
        (b'0', most),
    ] {
        match claim(kind, size).unwrap_err() {
            ImageError::Corrupt {
                offset: 512,
                last_entry,
                ..
            } => {
                assert_eq!(last_entry, "\"good\"");
            }
            other => panic!("{other}"),
        }
    }
    assert!(matches!(
        claim(b'0', gigabyte),
        Err(ImageError::Truncated { .. })
    ));
    assert!(matches!(
        claim(b'M', b"00000000000\0"),
        Err(ImageError::Unsupported { .. })
    ));
    assert!(matches!(
        claim(b'x', b"00000000000\0"),
        Err(ImageError::Corrupt { .. })
    ));
}

#[test]
fn a_deep_tree_is_shown_and_a_deeper_one_is_not() {
    let deep = |depth: usize| {
        let path = "a/".repeat(depth);
        Archive::default()
            .pax(b'x', &[("path", &path)])
            .directory("x")
            .open()
            .unwrap()
    };
    let layer = deep(1024);
    assert_eq!(layer.first_free(), 1026);
    assert!(resolve(&layer, &"a/".repeat(1024)).is_some());
    assert_eq!(deep(1025).first_free(), 2);
}
