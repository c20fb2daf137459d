//! Numbers of the lower that inodes of the store have, so that no other inode gets one of them.
//!
//! An inode of the lower keeps its number when it is copied up. A living host may remove its file, or
//! move it, and give the number to another one: two inodes of one number would be one for the kernel.
//! So it is noted under which name a number was taken; under any other name it is another inode, and
//! whoever meets it first gives it a number of the store's own (see [`super::hydrate`]).
//!
//! The notes are in `STORE/taken`, 24 bytes each: number, number of the directory in the lower, hash of
//! the name, little-endian. They are appended before the inode is there; one without an inode says
//! nothing wrong. Only of a lower that can change there are any.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use parking_lot::RwLock;
use twox_hash::XxHash3_64;

use crate::error::FsResult;
use crate::lower::LowerNode;
use crate::types::Ino;
use crate::upper::UpperStore;
use crate::upper::calls::{self as fs, Mode, OFlags};
use crate::upper::data::write_all;

const NAME: &str = "taken";
const LENGTH: usize = 24;
/// Longest file that is read: of more than a hundred million inodes.
const LONGEST: u64 = 4 << 30;

type Names = HashMap<u64, (u64, u64)>;

/// The numbers. A leaf in the order of locks.
#[derive(Debug, Default)]
pub(super) struct Taken(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    names: Names,
    /// With its length.
    file: Option<(OwnedFd, u64)>,
}

impl Taken {
    /// Those of a store, to be noted there.
    pub(super) fn of(store: &UpperStore) -> Self {
        match open(store) {
            Ok(state) => Self(RwLock::new(state)),
            Err(error) => {
                log::warn!("cannot read which inode numbers are taken: {error}");
                Self::default()
            }
        }
    }

    /// Notes that an inode of the lower takes its number along, under the name that it has.
    ///
    /// # Errors
    /// Those of the host's file system; it must not be copied up then.
    pub(super) fn note(&self, ino: Ino, directory: Ino, name: &[u8]) -> FsResult<()> {
        let place = (directory.0, hash_of(name));
        let mut state = self.0.write();
        let State { names, file } = &mut *state;
        let Some((file, length)) = file else {
            return Ok(());
        };
        if names.get(&ino.0) == Some(&place) {
            return Ok(());
        }
        let mut bytes = [0; LENGTH];
        for (at, number) in [ino.0, place.0, place.1].into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        write_all(file.as_fd(), &bytes, *length)?;
        *length += LENGTH as u64;
        names.insert(ino.0, place);
        Ok(())
    }

    /// Whether what the lower calls `node` under this name is another inode than the store's of that
    /// number.
    pub(super) fn is_taken(&self, node: LowerNode, directory: LowerNode, name: &[u8]) -> bool {
        let state = self.0.read();
        let taken = state.names.get(&node.0);
        taken.is_some_and(|place| *place != (directory.0, hash_of(name)))
    }
}

fn open(store: &UpperStore) -> FsResult<State> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(store.directory(), NAME, flags, Mode::RUSR | Mode::WUSR)?;
    let mut bytes = Vec::new();
    let copy = File::from(rustix::io::fcntl_dupfd_cloexec(&file, 3)?);
    copy.take(LONGEST)
        .read_to_end(&mut bytes)
        .map_err(|_| crate::error::FsError::Damaged)?;
    let (notes, _torn) = bytes.as_chunks::<LENGTH>();
    let number = |note: &[u8; LENGTH], at: usize| {
        let mut field = [0; 8];
        field.copy_from_slice(&note[at..at + 8]);
        u64::from_le_bytes(field)
    };
    let names = notes
        .iter()
        .map(|note| (number(note, 0), (number(note, 8), number(note, 16))));
    Ok(State {
        names: names.collect(),
        file: Some((file, (notes.len() * LENGTH) as u64)),
    })
}

fn hash_of(name: &[u8]) -> u64 {
    XxHash3_64::oneshot(name)
}
