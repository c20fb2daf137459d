//! An image of version 1 of the format can be read for ever.
//!
//! The committed image was made by `WPAR_WRITE_GOLDEN=1 cargo test -p wpar --test backup golden`.

use std::fs;
use std::path::{Path, PathBuf};

use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::tar::save::{
    DEFAULT_LEVEL, DataRange, Entry, EntryKind, ImageWriter, verify,
};
use wpar_mountd::lower::tar::{Silent, ensure_index};
use wpar_mountd::types::Timestamp;

use crate::options;
use crate::scratch;
use crate::tar_support::{contents, open, resolve};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backup/data/golden-v1.mksysb")
}

/// Writes one entry of each kind.
fn write(path: &Path) {
    let mut writer = ImageWriter::create(path, options(Some(DEFAULT_LEVEL))).unwrap();
    let xattrs = [(b"user.name".to_vec(), b"value".to_vec())];
    let mut add =
        |path: &str, kind: EntryKind<'_>, contents: &[u8], holes: Option<&[DataRange]>| {
            let entry = Entry {
                path: path.as_bytes(),
                kind,
                permissions: 0o640,
                uid: 1000,
                gid: 3_000_000,
                mtime: Timestamp {
                    seconds: 1_600_000_000,
                    nanoseconds: 123_456_789,
                },
                xattrs: if path.ends_with("file") { &xattrs } else { &[] },
            };
            writer.add_file(&entry, holes, &mut &*contents).unwrap();
        };
    add("./image.data", EntryKind::File(5), b"image", None);
    add("./", EntryKind::Directory, b"", None);
    add("./dir/", EntryKind::Directory, b"", None);
    add("./dir/file", EntryKind::File(8), b"contents", None);
    add("./dir/link", EntryKind::HardLink(b"./dir/file"), b"", None);
    add("./dir/symlink", EntryKind::Symlink(b"file"), b"", None);
    add("./null", EntryKind::CharDevice(1, 3), b"", None);
    add("./disk", EntryKind::BlockDevice(8, 300), b"", None);
    add("./pipe", EntryKind::Fifo, b"", None);
    let holes = [DataRange {
        offset: 4096,
        length: 3,
    }];
    let sparse = [&[0; 4096][..], b"end"].concat();
    add("./sparse", EntryKind::File(4099), &sparse, Some(&holes));
    writer.finish().unwrap();
}

#[test]
fn the_first_format_can_be_read() {
    let (_temp, dir) = scratch("golden");
    if std::env::var_os("WPAR_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(golden().parent().unwrap()).unwrap();
        write(&golden());
    }
    let image = dir.join("image");
    fs::copy(golden(), &image).unwrap();
    let report = ensure_index(&image, &dir, &mut Silent).unwrap();
    assert_eq!(report.entries, 10);
    assert!(verify(&image, 1, &mut Silent).unwrap().is_some());
    let layer = open(&image).unwrap();
    assert_eq!(contents(&layer, "dir/link"), b"contents");
    assert_eq!(contents(&layer, "sparse")[4090..], *b"\0\0\0\0\0\0end");
    let file = resolve(&layer, "dir/file").unwrap();
    let attr = layer.attr(file).unwrap();
    assert_eq!(
        (attr.nlink, attr.permissions, attr.gid),
        (2, 0o640, 3_000_000)
    );
    assert_eq!(attr.mtime.nanoseconds, 123_456_789);
    let value = layer.xattr(file, b"user.name").unwrap();
    assert_eq!(value.as_deref(), Some(&b"value"[..]));
}

#[test]
fn the_format_is_what_is_written() {
    let (_temp, dir) = scratch("golden-new");
    let image = dir.join("image");
    write(&image);
    let (new, old) = (fs::read(&image).unwrap(), fs::read(golden()).unwrap());
    // How well zstd packs may change with its version; what is packed may not.
    let unpack =
        |path: &Path| crate::tar_support::run("zstd", ["-dc", path.to_str().unwrap()]).stdout;
    assert!(unpack(&image) == unpack(&golden()), "the streams differ");
    let footer = |bytes: &[u8]| bytes[bytes.len() - 9..].to_vec();
    assert_eq!(footer(&new), footer(&old));
}
