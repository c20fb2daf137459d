//! Indexes that were written once and must open for ever (or until the version of the format
//! changes, and then be known as of that version and built again, with the same numbers).
//!
//! `data/golden.tar` and `.tar.gz` with their indexes are never to be made again: if the first test
//! fails, the format has changed, and its version must. The archives were made by the Python
//! program at the end of this file, the indexes by the version of their day.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wpar_mountd::lower::tar::{
    ArchiveKind, BuildReason, ImageError, IndexFault, Silent, TarLower, ensure_index, side_file,
};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::{Attr, FileKind, Timestamp};

mod tar_support;
use tar_support::{contents, have, resolve, shell};

const NAMES: [&str; 2] = ["golden.tar", "golden.tar.gz"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The archive, copied so that it has the time of modification that the index remembers.
fn copy(name: &str, directory: &Path) -> PathBuf {
    let image = directory.join(name);
    fs::copy(data(name), &image).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    File::open(&image).unwrap().set_modified(time).unwrap();
    image
}

#[test]
fn an_index_of_this_version_opens_and_reads() {
    let directory = tempfile::tempdir().unwrap();
    for name in NAMES {
        let image = copy(name, directory.path());
        let index = data(&format!("{name}.index-v2"));
        let layer = TarLower::open(&image, &index).unwrap();
        check(&layer);
        assert_eq!(layer.index().kind(), ArchiveKind::Tar);
        assert!(layer.index().carries_xattrs() && layer.index().carries_devices());
        // And it is what would be written today.
        let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
        assert_eq!(
            fs::read(&report.path).unwrap(),
            fs::read(&index).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn an_index_of_an_older_version_is_refused_and_built_again_with_the_same_numbers() {
    let directory = tempfile::tempdir().unwrap();
    for name in NAMES {
        let image = copy(name, directory.path());
        let place = side_file(&image, directory.path());
        fs::copy(data(&format!("{name}.index-v1")), &place).unwrap();
        match TarLower::open(&image, &place).unwrap_err() {
            ImageError::Index { fault, .. } => assert_eq!(fault, IndexFault::OtherVersion(1)),
            other => panic!("{other}"),
        }
        let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
        assert_eq!(report.path, place);
        assert_eq!(report.built_because, Some(BuildReason::OtherVersion));
        check(&TarLower::open(&image, &place).unwrap());
    }
}

fn check(layer: &TarLower) {
    assert_eq!(layer.index().verify(), Ok(()));
    assert_eq!(layer.index().entries(), 9);
    assert_eq!(layer.first_free(), 11);
    let mut names = Vec::new();
    layer
        .entries(LowerNode::ROOT, &mut |entry| {
            names.push((entry.name.to_vec(), entry.node.0))
        })
        .unwrap();
    let expected: Vec<(Vec<u8>, u64)> = [("dir", 2), ("gone", 10), ("null", 4), ("sparse", 6)]
        .map(|(name, node)| (name.as_bytes().to_vec(), node))
        .to_vec();
    assert_eq!(names, expected);
    let time = Timestamp {
        seconds: 1_600_000_000,
        nanoseconds: 500_000_000,
    };
    let file = Attr {
        kind: FileKind::Regular,
        permissions: 0o4755,
        uid: 1000,
        gid: 100,
        rdev: 0,
        nlink: 2,
        size: 6,
        blocks: 1,
        atime: time,
        mtime: time,
        ctime: time,
    };
    let node = resolve(layer, "dir/file").unwrap();
    assert_eq!(layer.attr(node), Ok(file));
    assert_eq!(resolve(layer, "dir/hard"), Some(node));
    assert_eq!(layer.xattr(node, b"user.name"), Ok(Some(b"value".to_vec())));
    assert_eq!(contents(layer, "dir/file"), b"hello\n");
    assert_eq!(
        layer.read_link(resolve(layer, "dir/link").unwrap()),
        Ok(b"file".to_vec())
    );
    let null = layer.attr(resolve(layer, "null").unwrap()).unwrap();
    assert_eq!((null.kind, null.rdev), (FileKind::CharDevice, 0x103));
    let sparse = layer.open(resolve(layer, "sparse").unwrap()).unwrap();
    assert_eq!(sparse.next_data(0), Ok(Some((8192, 8193))));
    assert_eq!(sparse.next_data(8193), Ok(None));
    assert_eq!(contents(layer, "sparse")[8190..8196], [0, 0, b'x', 0, 0, 0]);
    let warnings = layer.index().warnings();
    assert_eq!(
        warnings,
        ["\"./gone/below\" lies below \"gone\", which is no directory; left out"]
    );
}

/// An image of `docker save` with two layers, made by `container_support`: the first one plain,
/// the second one gzip-compressed, with whiteouts and an entry below a link.
#[test]
fn an_index_of_layers_of_this_version_opens_and_reads() {
    let name = "golden-layers.tar";
    let directory = tempfile::tempdir().unwrap();
    let image = copy(name, directory.path());
    let index = data(&format!("{name}.index-v2"));
    let layer = TarLower::open(&image, &index).unwrap();
    assert_eq!(layer.index().verify(), Ok(()));
    assert_eq!(layer.index().kind(), ArchiveKind::Layers);
    assert_eq!(
        layer.index().notes(),
        ["container image golden:2 of docker save, linux/amd64, 2 layers"]
    );
    assert_eq!((layer.index().entries(), layer.first_free()), (15, 13));
    for (path, number, expected) in [
        ("usr/lib/one", 4, "1"),
        ("usr/lib/two", 12, "2"),
        ("kept", 9, "kept"),
        ("opaque/new", 11, "new"),
    ] {
        assert_eq!(resolve(&layer, path), Some(LowerNode(number)), "{path}");
        assert_eq!(contents(&layer, path), expected.as_bytes());
    }
    for path in ["opaque/old", "gone"] {
        assert_eq!(resolve(&layer, path), None, "{path}");
    }
    let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    assert!(fs::read(&report.path).unwrap() == fs::read(&index).unwrap());
}

#[test]
fn the_golden_archive_is_what_its_maker_makes() {
    if !have("python3") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("make.py"), MAKE).unwrap();
    shell(directory.path(), "python3 make.py");
    let made = fs::read(directory.path().join(NAMES[0])).unwrap();
    assert!(
        made == fs::read(data(NAMES[0])).unwrap(),
        "{} differs",
        NAMES[0]
    );
}

/// Makes both archives.
const MAKE: &str = r#"
import gzip, io, tarfile
with tarfile.open("golden.tar", "w", format=tarfile.PAX_FORMAT) as archive:
    def add(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, **more):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.size = kind, mode, len(data)
        entry.uid, entry.gid, entry.mtime = 1000, 100, 1600000000.5
        for key, value in more.items():
            setattr(entry, key, value)
        archive.addfile(entry, io.BytesIO(data))
    add("./dir", tarfile.DIRTYPE, mode=0o750)
    add("./dir/file", data=b"hello\n", mode=0o4755,
        pax_headers={"SCHILY.xattr.user.name": "value"})
    add("./dir/hard", tarfile.LNKTYPE, linkname="./dir/file")
    add("./null", tarfile.CHRTYPE, devmajor=1, devminor=3)
    add("./dir/link", tarfile.SYMTYPE, linkname="file")
    add("./GNUSparseFile.0/sparse", data=b"x", pax_headers={
        "GNU.sparse.size": "20000", "GNU.sparse.map": "8192,1,20000,0",
        "GNU.sparse.name": "sparse", "GNU.sparse.numblocks": "2"})
    add("./dir/sub/made/up", data=b"")
    add("./gone", data=b"")
    add("./gone/below", data=b"")
with open("golden.tar", "rb") as plain, open("golden.tar.gz", "wb") as packed:
    with gzip.GzipFile("", "wb", 9, packed, 0) as stream:
        stream.write(plain.read())
"#;
