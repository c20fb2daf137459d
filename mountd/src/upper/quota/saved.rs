//! What is noted on the disk of what a store takes.
//!
//! The symbolic link `usage` in the store says `exact BYTES INODES` after a clean end. While a daemon
//! has the store it says `atmost BYTES INODES`: numbers that are passed only after the link was
//! replaced by one with higher ones, a chunk at a time. So a crash leaves an upper bound. It is a
//! link for the reason that the other small facts are: see [`crate::upper`]. A daemon that does not
//! keep a limit removes it, and whoever removes it by hand has the store counted at the next start.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::upper::calls::{self as fs, AtFlags};
use parking_lot::Mutex;
use rustix::io::Errno;

use super::Usage;
use crate::error::FsResult;
use crate::spec::SpaceLimits;
use crate::upper::UpperStore;
use crate::upper::names::replace_symlink;

/// Name of the link.
const LINK: &str = "usage";

/// A chunk is this part of the limit.
const PART: u64 = 64;

/// What the link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upper) enum Mark {
    /// So much is used.
    Exact(Usage),
    /// No more than this is.
    AtMost(Usage),
}

impl Mark {
    fn encode(self) -> String {
        let (word, usage) = match self {
            Self::Exact(usage) => ("exact", usage),
            Self::AtMost(usage) => ("atmost", usage),
        };
        format!("{word} {} {}", usage.bytes, usage.inodes)
    }

    /// Reads what [`Self::encode`] writes; anything else is worth as little as no mark.
    fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let word = words.next()?;
        let usage = Usage {
            bytes: words.next()?.parse().ok()?,
            inodes: words.next()?.parse().ok()?,
        };
        match (word, words.next()) {
            ("exact", None) => Some(Self::Exact(usage)),
            ("atmost", None) => Some(Self::AtMost(usage)),
            _ => None,
        }
    }

    /// Takes the mark away from the store `store`, so that it cannot become wrong.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub(in crate::upper) fn take(store: &OwnedFd) -> Result<Option<Self>, Errno> {
        let text = match fs::readlinkat(store, LINK, Vec::new()) {
            Ok(text) => text,
            Err(Errno::NOENT) => return Ok(None),
            // Not ours: nobody made a file of this name.
            Err(Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        fs::unlinkat(store, LINK, AtFlags::empty())?;
        Ok(text.to_str().ok().and_then(Self::decode))
    }
}

/// The link of an open store.
#[derive(Debug)]
pub(super) struct Saved {
    store: OwnedFd,
    work: OwnedFd,
    chunk: Usage,
    /// What the link says, bytes and inodes.
    bound: [AtomicU64; 2],
    writing: Mutex<()>,
}

impl Saved {
    pub(super) fn new(store: &UpperStore, limits: SpaceLimits) -> FsResult<Self> {
        let part =
            |limit: Option<u64>, least, most| (limit.unwrap_or(most) / PART).clamp(least, most);
        Ok(Self {
            store: store.directory().try_clone_to_owned()?,
            work: store.work().try_clone_to_owned()?,
            chunk: Usage {
                bytes: part(limits.bytes, 1 << 16, 1 << 30),
                inodes: part(limits.inodes, 64, 1 << 16),
            },
            bound: [AtomicU64::new(0), AtomicU64::new(0)],
            writing: Mutex::new(()),
        })
    }

    /// Sees to it that the link covers `used`, and not far too much.
    pub(super) fn cover(&self, used: Usage) {
        if self.is_fine(used) {
            return;
        }
        let _writing = self.writing.lock();
        if self.is_fine(used) {
            return;
        }
        let bound = Usage {
            bytes: used.bytes.saturating_add(self.chunk.bytes),
            inodes: used.inodes.saturating_add(self.chunk.inodes),
        };
        if self.write(Mark::AtMost(bound)) {
            self.bound[0].store(bound.bytes, Ordering::Release);
            self.bound[1].store(bound.inodes, Ordering::Release);
        }
    }

    fn is_fine(&self, used: Usage) -> bool {
        let fits = |used: u64, bound: &AtomicU64, chunk: u64| {
            let bound = bound.load(Ordering::Acquire);
            used <= bound && bound - used <= chunk.saturating_mul(3)
        };
        fits(used.bytes, &self.bound[0], self.chunk.bytes)
            && fits(used.inodes, &self.bound[1], self.chunk.inodes)
    }

    /// Replaces the link. If the disk is full, the old one stands: what a crash then leaves is put
    /// right by the count after it.
    fn write(&self, mark: Mark) -> bool {
        let written = replace_symlink(
            self.work.as_fd(),
            mark.encode().as_bytes(),
            self.store.as_fd(),
            LINK,
        );
        if let Err(error) = &written {
            log::debug!("cannot note what the store takes: {error}");
        }
        written.is_ok()
    }

    /// The last note.
    pub(super) fn finish(&self, mark: Mark) {
        let _writing = self.writing.lock();
        if !self.write(mark)
            && let Err(errno) = fs::unlinkat(&self.store, LINK, AtFlags::empty())
        {
            log::warn!("cannot note what the store takes: {errno}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_for_ever() {
        let usage = Usage {
            bytes: 1 << 40,
            inodes: 7,
        };
        for (mark, text) in [
            (Mark::Exact(usage), "exact 1099511627776 7"),
            (Mark::AtMost(usage), "atmost 1099511627776 7"),
        ] {
            assert_eq!(mark.encode(), text);
            assert_eq!(Mark::decode(text), Some(mark));
        }
        for bad in [
            "",
            "exact",
            "exact 1",
            "exact 1 2 3",
            "exact -1 2",
            "about 1 2",
        ] {
            assert_eq!(Mark::decode(bad), None, "{bad}");
        }
    }
}
