//! The file of the shared chunks: a table, then the stream with holes.
//!
//! The table is of numbers of eight bytes in this machine's order: [`VERSION`], identity of the index,
//! identity of the boot, count of chunks, length of the stream, [`KEPT`], [`LIMIT`]; from
//! [`FIRST_WORD`] on a word for each chunk. It ends at a multiple of 4096. No other machine and no later
//! boot ever reads it, so there is no format to be kept.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstatvfs, ftruncate, open as open_file};

use crate::lower::tar::atomic::{AtomicFile, directory_of};
use crate::lower::tar::format::hash;
use crate::sys::shared::{self, SharedPart};

/// What the first number of the table is.
const VERSION: u64 = u64::from_le_bytes(*b"wparchk1");
/// Which number says how much is kept.
pub(super) const KEPT: usize = 5;
/// Which number says how much may be.
pub(super) const LIMIT: usize = 6;
/// Which number is that of the first chunk.
pub(super) const FIRST_WORD: usize = 16;
/// Most chunks that are shared: 256 MiB of table are enough for 64 TiB of stream.
const MOST_CHUNKS: u64 = 1 << 25;

/// Length of the table for so many chunks.
pub(super) fn table_bytes(chunks: u64) -> u64 {
    ((FIRST_WORD as u64 + chunks) * 8).next_multiple_of(4096)
}

/// Opens the file at `path`, or makes it anew if it is for something else.
pub(super) fn open(
    path: &Path,
    identity: u64,
    chunks: u64,
    stream: u64,
) -> io::Result<(File, SharedPart)> {
    if chunks > MOST_CHUNKS {
        return Err(io::Error::other("the image is too large"));
    }
    let directory = directory_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let expected = [VERSION, identity, boot()?, chunks, stream];
    if let Some(found) = existing(path, &expected)? {
        return Ok(found);
    }
    // One makes it, the others wait and take that.
    let lock = open_file(
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if let Some(found) = existing(path, &expected)? {
        return Ok(found);
    }
    let new = AtomicFile::create(path, 0o600)?;
    let file = new.file().try_clone()?;
    let free = fstatvfs(&file).map(|about| about.f_bavail.saturating_mul(about.f_frsize))?;
    ftruncate(&file, table_bytes(chunks).saturating_add(stream))?;
    let table = table(&file, chunks)?;
    let limit = super::LIMIT.min(free / 10);
    for (index, value) in expected.into_iter().chain([0, limit]).enumerate() {
        if let Some(number) = table.number(index) {
            number.store(value, Ordering::Relaxed);
        }
    }
    new.commit()?;
    Ok((file, table))
}

/// What is at `path`, if it is for what is `expected`.
fn existing(path: &Path, expected: &[u64; 5]) -> io::Result<Option<(File, SharedPart)>> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match open_file(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let [_, _, _, chunks, stream] = *expected;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != table_bytes(chunks).saturating_add(stream) {
        return Ok(None);
    }
    let table = table(&file, chunks)?;
    let is = |(index, value): (usize, &u64)| {
        let number = table.number(index);
        number.is_some_and(|number| number.load(Ordering::Relaxed) == *value)
    };
    Ok(expected.iter().enumerate().all(is).then_some((file, table)))
}

fn table(file: &File, chunks: u64) -> io::Result<SharedPart> {
    let bytes = usize::try_from(table_bytes(chunks)).map_err(io::Error::other)?;
    let mut parts = shared::map(file.as_fd(), &[bytes], false)?;
    parts.pop().ok_or_else(|| io::ErrorKind::Other.into())
}

/// What stands for this boot of the host.
fn boot() -> io::Result<u64> {
    Ok(hash(
        fs::read("/proc/sys/kernel/random/boot_id")?.trim_ascii(),
    ))
}
