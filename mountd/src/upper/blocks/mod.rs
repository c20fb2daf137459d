//! Which blocks of a partly copied file are the store's already: the *block map*.
//!
//! The first change of a large lower file does not copy it. Its file in the store is made sparse,
//! of the right size, with flag `PARTIAL` in its record; a block becomes the store's when it is
//! first written to. Until then reads of it go to the lower. Bytes from the *limit* on (the size
//! that the lower's part was ever cut to) are the store's in any case.
//!
//! # Why it is safe
//!
//! What a file of the host's file system has allocated says nothing: a hole may have been punched
//! by the WPAR, and after a loss of power allocated space may hold nothing. So the map is kept
//! apart from the data, and three facts make any order of events right:
//!
//! * *A bit is only ever set.* Old and new versions of any part of the map, mixed by a crash, are
//!   a map that was true at some time, and no block goes back to the lower.
//! * *A bit becomes durable after its block.* To settle: `fdatasync` the data, then write the bits
//!   to the map's file, then `fdatasync` that. This happens when a program asks for `fsync`, every
//!   few seconds, and when the store is closed; never in the path of a write.
//! * *Before that a bit is true for this boot only.* A write appends an entry to the *log*, in the
//!   page cache, signed with the host's boot id. If the daemon dies, the kernel still has data and
//!   log, and both are found again. If the power fails, the kernel may have stored the entry and
//!   not the data: the boot id of the next start is another one, the entry says nothing, and the
//!   block shows what the lower, which nobody can have synced over, has. What is then in the
//!   store's file there is never read: a block is filled, or emptied, before its bit is set.
//!
//! So what a program synced stays, and what it did not sync is new or old, block by block, never
//! zeros or halves. The limit lies in the same inode as the size that it belongs to: whatever
//! order the host's file system keeps, it keeps for both. A size below the limit cuts the limit.
//!
//! If the daemon is killed and the host then restarted *before* the store is opened again, that is
//! as a loss of power for what was written in the last few seconds and not synced.
//!
//! # Format, version 1, little-endian
//!
//! *Hash* is XXH3-64 with seed 0. INO is the number of the inode, 8 bytes.
//!
//! Extended attribute `user.wpar.blocks` of the file, 64 bytes:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | binary logarithm of the block size |
//! | 2 | 6 | 0 |
//! | 8 | 8 | limit |
//! | 16 | 8 | so many bits the map has at least: those of the first time that it was settled |
//! | 24 | 8 | size of the lower file; the map has a bit for each block of it |
//! | 32 | 8 | its time of modification, seconds |
//! | 40 | 8 | and nanoseconds |
//! | 48 | 8 | its space in units of 512 bytes |
//! | 56 | 8 | hash of INO and bytes 0 to 55 |
//!
//! `user.wpar.redirect` of the file is its path in the lower, components separated by `/`.
//!
//! The file `maps/N` for inode N, sparse; if it is not there, no bit is set:
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 65,536 | first half of the log: 4,096 entries |
//! | 65,536 | 65,536 | second half |
//! | 131,072 | 512 | head: hash (8) of INO, 0xffffffff (8) and the rest; then how many bits the map has at least (8) |
//! | 135,168 | 512 each | sectors; number k speaks of blocks 4,032 k and following |
//!
//! Entry, 16 bytes: first block (4), number of blocks (4), hash of these 8 bytes, INO, and the boot
//! id as text (36). The entries of a half that are valid under the running boot id come first; one
//! behind something that is none is damage. When one half is full, what is not settled is written
//! to the other in fewer entries, or settled.
//!
//! The head is written after the bits that it counts are durable. A map that has fewer bits than
//! head or attribute say has lost some, and is damaged, as is one with a wrong hash: then the file
//! answers `EIO`, never with wrong data. (The attribute is not kept up to date because each change
//! of it would show in the file's time of change.)
//!
//! Sector: hash (8) of INO, k (8) and the bits; then 504 bytes of bits, lowest first. A sector of
//! zeros has no bit set. That is 1.02 bits for a block. What a disk writes is at least a sector,
//! so a sector is never half old and half new; pages are written whole and not again before they
//! are synced.
//!
//! A block has 16 KiB: what a write may have to bring in costs a few microseconds, databases write
//! in pages of 4 to 16 KiB, and 10 GiB need 80 KiB of bits. Above 256 GiB blocks are larger, so
//! that no map has more than 2 MiB of bits.

mod bits;
mod log;
mod map;
mod sector;
mod state;

use std::os::fd::{AsFd, BorrowedFd};

use crate::upper::calls::{self as fs, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

pub use map::BlockMap;
pub use state::{BLOCKS_XATTR, BlockState};

use super::{UpperStore, names, number_name};
use crate::error::{FsError, FsResult};
use crate::types::Ino;

#[cfg(test)]
pub(crate) use pretended::pretend_restart;

/// Where the kernel tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Sectors are written in pages of this size.
const PAGE: usize = 4096;
/// Where the head of a map is.
const HEAD: u64 = log::LOG as u64;
/// Where the sectors begin.
const SECTORS: u64 = HEAD + PAGE as u64;

/// The boot of the host that this is, as the kernel writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BootId([u8; BootId::LENGTH]);

impl BootId {
    const LENGTH: usize = 36;

    fn parse(text: &[u8]) -> Option<Self> {
        Some(Self(text.trim_ascii().try_into().ok()?))
    }

    /// Asks the kernel; `None` if it does not say, which costs a sync for each new block.
    pub(super) fn of_this_host() -> Option<Self> {
        let text = std::fs::read(BOOT_ID).ok()?;
        let boot = Self::parse(&text);
        #[cfg(test)]
        let boot = boot.map(pretended::of_this_thread);
        boot
    }

    fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

/// Removes the map of an inode that is about to go, or does not need it any more.
///
/// # Errors
/// Those of the host's file system.
pub fn remove_map(store: &UpperStore, ino: Ino) -> FsResult<()> {
    names::remove_tree(store.maps(), number_name(ino).as_str())
}

/// Makes what a daemon that died left in logs durable. Costs a sync only if there is something.
pub(super) fn recover(store: &UpperStore) -> FsResult<()> {
    let Some(boot) = store.boot else {
        return Ok(());
    };
    let mut numbers = Vec::new();
    names::list(store.maps(), &mut |name, _| {
        let number = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse().ok());
        numbers.extend(number.map(Ino));
    })?;
    let mut synced = false;
    for ino in numbers {
        let name = number_name(ino);
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(store.maps(), name.as_str(), flags, Mode::empty())?;
        // What is damaged is told to whoever opens that file.
        let ranges = match map::read_log(file.as_fd(), &boot, ino) {
            Err(FsError::Damaged) => continue,
            other => other?,
        };
        if ranges.is_empty() {
            continue;
        }
        if !synced {
            fs::syncfs(store.maps())?;
            synced = true;
        }
        match map::promote(file.as_fd(), ino, &ranges) {
            Err(FsError::Damaged) => {}
            other => other?,
        }
        discard_log(file.as_fd());
    }
    Ok(())
}

/// Gives the space of a log back in which nothing counts any more.
fn discard_log(map: BorrowedFd<'_>) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if let Err(errno) = fs::fallocate(map, flags, 0, HEAD)
        && errno != Errno::OPNOTSUPP
    {
        ::log::debug!("cannot empty a log: {errno}");
    }
}

#[cfg(test)]
mod pretended {
    use std::cell::Cell;

    use super::BootId;

    thread_local! {
        static RESTARTS: Cell<u32> = const { Cell::new(0) };
    }

    /// From now on stores that this thread opens believe that the host was restarted.
    pub(crate) fn pretend_restart() {
        RESTARTS.set(RESTARTS.get() + 1);
    }

    pub(super) fn of_this_thread(mut boot: BootId) -> BootId {
        for (byte, pretended) in boot.0.iter_mut().zip(RESTARTS.get().to_le_bytes()) {
            *byte ^= pretended;
        }
        boot
    }
}
