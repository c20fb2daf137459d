//! Inode numbers of what is made in the store: never used twice.
//!
//! The target of the symbolic link `numbers` is the first number that was never handed out. It is
//! moved on by a block at a time, before the first number of the block is used; a crash loses the
//! rest of a block, which costs nothing.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::upper::calls as fs;
use parking_lot::Mutex;
use rustix::io::Errno;

use super::names::replace_symlink;
use crate::error::{FsError, FsResult};
use crate::types::Ino;

const LINK: &str = "numbers";
const BLOCK: u64 = 4096;

pub(super) struct Numbers {
    store: OwnedFd,
    state: Mutex<Block>,
}

struct Block {
    next: u64,
    reserved_to: u64,
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers")
            .field("next", &self.state.lock().next)
            .finish_non_exhaustive()
    }
}

impl Numbers {
    pub(super) fn open(store: OwnedFd, first: u64) -> FsResult<Self> {
        let next = match fs::readlinkat(&store, LINK, Vec::new()) {
            Ok(text) => {
                let stored: Option<u64> = text.to_str().ok().and_then(|text| text.parse().ok());
                stored.ok_or(FsError::Damaged)?.max(first)
            }
            Err(Errno::NOENT) => first,
            Err(errno) => return Err(errno.into()),
        };
        Ok(Self {
            store,
            state: Mutex::new(Block {
                next,
                reserved_to: next,
            }),
        })
    }

    /// No number from here on is in use, now or after a crash.
    pub(super) fn first_unused(&self) -> u64 {
        self.state.lock().reserved_to
    }

    pub(super) fn allocate(&self, work: BorrowedFd<'_>) -> FsResult<Ino> {
        let mut block = self.state.lock();
        if block.next == block.reserved_to {
            let limit = block
                .next
                .checked_add(BLOCK)
                .ok_or(FsError::Layer(Errno::NOSPC))?;
            replace_symlink(work, limit.to_string().as_bytes(), self.store.as_fd(), LINK)?;
            block.reserved_to = limit;
        }
        let number = block.next;
        block.next += 1;
        Ok(Ino(number))
    }
}
