//! A partly copied file that was stored once and must be read for ever (or until the version of
//! the format changes, and then as that version).
//!
//! The bytes here were written by the version of the day on which the format was made; if this
//! test fails, the format has changed, and its version must.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{XattrFlags, fsetxattr};
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::memory::MemoryLower;
use wpar_mountd::overlay::{CopyUp, Overlay};
use wpar_mountd::types::{EntryName, Ino};
use wpar_mountd::upper::UpperStore;

/// Blocks 1, 2 and 5 of 32 bytes are the store's, 300 bytes of 330 were ever left.
const STATE: &str = "01050000000000002c0100000000000003000000000000004a0100000000000000000000000000000000000000000000010000000000000093c33d31cf70cdc7";
const HEAD: &str = "f606fe6257971c2f0300000000000000";
const SECTOR: &str = "da6ec58878dd76ce2600000000000000";
const RECORD: &str = "0108a4010000000000000000000000000300000000000000000000000400000000000000000000000000000000000000";

const HEAD_AT: u64 = 131_072;
const SECTORS_AT: u64 = 135_168;

fn lower() -> Arc<dyn LowerLayer> {
    let lower = MemoryLower::builder().file("d/file", [b'L'; 330]);
    Arc::new(lower.build().unwrap())
}

fn open(store: &Path) -> Overlay {
    let lower = lower();
    let root = wpar_mountd::source::root_of(&*lower).unwrap();
    let store = UpperStore::open(store, &root, lower.first_free()).unwrap();
    Overlay::new(lower, Some(store)).with_copy_up(CopyUp {
        whole: 0,
        whole_of_living: 0,
        block_size: 32,
    })
}

fn look_up(overlay: &Overlay) -> Ino {
    let name = |name: &'static str| EntryName::new(name.as_bytes()).unwrap();
    let found = overlay.lookup(Ino::ROOT, name("d")).unwrap().unwrap();
    let (directory, _) = found.hand_over();
    let found = overlay.lookup(directory, name("file")).unwrap().unwrap();
    found.hand_over().0
}

fn change(overlay: &Overlay, ino: Ino) {
    let set = |size| wpar_mountd::overlay::SetAttr {
        size: Some(size),
        ..Default::default()
    };
    overlay.write(ino, b"U", 40, false).unwrap();
    overlay.write(ino, &[b'U'; 32], 64, false).unwrap();
    overlay.write(ino, b"U", 160, false).unwrap();
    overlay.set_attr(ino, &set(300)).unwrap();
    overlay.set_attr(ino, &set(310)).unwrap();
    overlay.sync(ino, false).unwrap();
}

fn expected() -> Vec<u8> {
    let mut contents = [[b'L'; 300].as_slice(), &[0; 10]].concat();
    contents[40] = b'U';
    contents[64..96].fill(b'U');
    contents[160] = b'U';
    contents
}

fn read(overlay: &Overlay, ino: Ino) -> Vec<u8> {
    let mut contents = vec![0xee; 400];
    let read = overlay.read(ino, &mut contents, 0).unwrap();
    contents.truncate(read);
    contents
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text
        .chars()
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn xattr(file: &File, name: &str) -> String {
    let mut value = [0; 256];
    let length = rustix::fs::fgetxattr(file, name, &mut value).unwrap();
    hex(&value[..length])
}

#[test]
fn the_first_map_is_still_written() {
    let directory = tempfile::tempdir().unwrap();
    let overlay = open(directory.path());
    let ino = look_up(&overlay);
    assert_eq!(ino, Ino(3));
    change(&overlay, ino);
    let file = File::open(directory.path().join("tree/d/file")).unwrap();
    let map = File::open(directory.path().join("maps/3")).unwrap();
    let part = |at, length| {
        let mut bytes = vec![0; length];
        map.read_exact_at(&mut bytes, at).unwrap();
        hex(&bytes)
    };
    let told = [
        xattr(&file, "user.wpar.blocks"),
        part(HEAD_AT, 16),
        part(SECTORS_AT, 16),
        xattr(&file, "user.wpar"),
    ];
    assert_eq!(told, [STATE, HEAD, SECTOR, RECORD]);
    assert_eq!(xattr(&file, "user.wpar.redirect"), hex(b"d/file"));
}

#[test]
fn the_first_map_is_still_read() {
    let directory = tempfile::tempdir().unwrap();
    // A store with the directory in it, and then the file by hand.
    let overlay = open(directory.path());
    let ino = look_up(&overlay);
    overlay.write(ino, b"U", 40, false).unwrap();
    drop(overlay);
    let path = directory.path().join("tree/d/file");
    fs::remove_file(&path).unwrap();
    let data = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    let mut contents = expected();
    for block in [0, 3, 4, 6, 7, 8] {
        contents[block * 32..(block + 1) * 32].fill(b'x');
    }
    contents[288..300].fill(b'x');
    data.write_all_at(&contents, 0).unwrap();
    for (name, value) in [
        ("user.wpar.blocks", unhex(STATE)),
        ("user.wpar.redirect", b"d/file".to_vec()),
        ("user.wpar", unhex(RECORD)),
    ] {
        fsetxattr(&data, name, &value, XattrFlags::empty()).unwrap();
    }
    let map = directory.path().join("maps/3");
    let map = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(map)
        .unwrap();
    map.write_all_at(&unhex(HEAD), HEAD_AT).unwrap();
    map.write_all_at(&unhex(SECTOR), SECTORS_AT).unwrap();
    map.set_len(SECTORS_AT + 512).unwrap();
    let overlay = open(directory.path());
    let ino = look_up(&overlay);
    assert_eq!(read(&overlay, ino), expected());
    overlay.complete(ino).unwrap();
    assert_eq!(
        fs::read(&path).unwrap(),
        expected(),
        "complete, it is plain"
    );
    assert_eq!(
        fs::read_dir(directory.path().join("maps")).unwrap().count(),
        0
    );
}
