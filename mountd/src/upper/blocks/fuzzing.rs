//! Block maps of any bytes. Hashes are made right on request, so that what lies behind them is
//! reached.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::fd::AsFd;

use rustix::fs::{self, Mode, OFlags, XattrFlags};

use super::bits::Bits;
use super::log::{self, ENTRY};
use super::sector::{self, SECTOR};
use super::{BLOCKS_XATTR, BlockMap, BlockState, BootId, HEAD, SECTORS, recover};
use crate::fuzzing::{Input, scratch};
use crate::types::{Attr, FileKind, Ino, Timestamp};
use crate::upper::{RootInode, UpperStore};

const INO: Ino = Ino(77);
const SIZE: u64 = 100_000;

/// A file of [`SIZE`] bytes with a state and a map that the bytes tell, loaded, asked, recovered.
pub(crate) fn map(data: &[u8]) {
    scratch::emptied(|directory| {
        let store = directory.join("store");
        let store = UpperStore::open(&store, &root(), 100).unwrap();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = fs::openat(store.tree(), "file", flags, mode).unwrap();
        fs::ftruncate(&file, SIZE).unwrap();
        let map = fs::openat(store.maps(), "77", flags, mode).unwrap();
        let boot = BootId::of_this_host();
        let mut input = Input::new(data);
        state(&mut input, &file);
        while !input.is_empty() {
            part(&mut input, &map, boot.as_ref());
        }
        let _ = recover(&store);
        let Ok(loaded) = BlockMap::load(&store, file, INO) else {
            return;
        };
        for range in [0..1, 0..SIZE, 5000..6000, SIZE - 1..SIZE, SIZE..SIZE] {
            let _ = loaded.has(range);
        }
        let _ = loaded.settle(false);
        let _ = loaded.settle(true);
    });
}

/// The state of the file: right but for the numbers, or any bytes.
fn state(input: &mut Input<'_>, file: &impl AsFd) {
    let value = match input.byte() % 4 {
        0 => input.bytes(64).to_vec(),
        _ => {
            let (shift, limit, settled, size) =
                (input.byte(), input.u32(), input.byte(), input.u32());
            let state = BlockState {
                shift,
                limit: limit.into(),
                settled: settled.into(),
                lower_size: size.into(),
                lower_mtime: Timestamp::default(),
                lower_blocks: input.u64(),
            };
            state.encode(INO).to_vec()
        }
    };
    let _ = fs::fsetxattr(file, BLOCKS_XATTR, &value, XattrFlags::empty());
}

/// A piece of the map: an entry, a sector, a head, or any bytes anywhere.
fn part(input: &mut Input<'_>, map: &impl AsFd, boot: Option<&BootId>) {
    let (kind, place) = (input.byte(), u64::from(input.byte()));
    let (bytes, at) = match kind % 4 {
        0 => (
            input.piece().to_vec(),
            input.u32() as u64 % (SECTORS + 9000),
        ),
        1 => {
            let (start, count) = (input.u32(), input.u32());
            let range = start..start.saturating_add(count);
            let Some(boot) = boot else { return };
            (
                log::encode(&range, boot, INO).to_vec(),
                place * ENTRY as u64,
            )
        }
        2 => {
            let bits = Bits::new(100_000);
            for index in 0..(input.byte() % 8) {
                bits.set_word(index.into(), input.u64());
            }
            let sector = sector::encode(&bits, 0, INO);
            (sector.to_vec(), SECTORS + place % 3 * SECTOR as u64)
        }
        _ => (sector::encode_head(input.u64(), INO).to_vec(), HEAD),
    };
    let _ = rustix::io::pwrite(map, &bytes, at);
}

pub(crate) fn maps() -> Vec<Vec<u8>> {
    let size = u32::try_from(SIZE).unwrap().to_be_bytes();
    let mut state = vec![1, 12];
    state.extend(size);
    state.push(0);
    state.extend(size);
    state.extend([0; 8]);
    let with = |part: &[u8]| [&state, part].concat();
    vec![
        with(&[]),
        with(&[1, 0, 0, 0, 0, 2, 0, 0, 0, 3]),
        with(&[1, 0, 0, 0, 0, 2, 0, 0, 0, 3, 1, 1, 0, 0, 0, 20, 0, 0, 0, 9]),
        with(&[2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff]),
        with(&[
            2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 8,
        ]),
    ]
}

fn root() -> RootInode {
    let time = Timestamp::default();
    RootInode {
        attr: Attr {
            kind: FileKind::Directory,
            permissions: 0o755,
            uid: 0,
            gid: 0,
            rdev: 0,
            nlink: 2,
            size: 0,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
        },
        xattrs: Vec::new(),
    }
}
