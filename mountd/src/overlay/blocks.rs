//! Partly copied files in the merged tree: when a file becomes one, and when it is none any more.
//!
//! What they are: [`crate::upper::blocks`]. How they are read and written: `partial`.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::upper::calls as fs;
use rustix::io::Errno;

use super::Overlay;
use super::caches::OpenFile;
use super::partial::PartialFile;
use crate::error::{FsError, FsResult};
use crate::lower::LowerNode;
use crate::types::{Attr, Ino};
use crate::upper::blocks::{self, BLOCKS_XATTR, BlockState};
use crate::upper::object::{REDIRECT_XATTR, UpperObject};
use crate::upper::record::Record;

/// Which files of the lower are copied whole when they first change. Larger ones are copied block
/// by block, as they are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyUp {
    /// Largest size, in bytes, that is copied whole from a lower that never changes. Up to 1 MiB
    /// copying costs less than a millisecond, about as much as the first few blocks would.
    pub whole: u64,
    /// The same of a living lower. Much larger, because of a file that the host goes on changing
    /// only what was copied can still be read.
    pub whole_of_living: u64,
    /// Smallest block in bytes, a power of two.
    pub block_size: u32,
}

impl Default for CopyUp {
    fn default() -> Self {
        Self {
            whole: 1 << 20,
            whole_of_living: 1 << 30,
            block_size: 1 << 14,
        }
    }
}

impl Overlay {
    /// Changes when files are copied whole; for tests, and before anything is served.
    pub fn with_copy_up(mut self, copy_up: CopyUp) -> Self {
        self.copy_up = copy_up;
        self
    }

    /// Whether the first `length` bytes of a lower file are better not copied at once.
    pub(super) fn copies_by_block(&self, length: u64) -> bool {
        let whole = if self.lower.is_immutable() {
            self.copy_up.whole
        } else {
            self.copy_up.whole_of_living
        };
        length > whole
    }

    /// Makes a draft a partly copied file that shows the first `length` bytes of a lower one;
    /// false if what must be remembered of it is too long.
    pub(super) fn begin_partial(
        &self,
        ino: Ino,
        attr: &Attr,
        draft: BorrowedFd<'_>,
        length: u64,
    ) -> FsResult<bool> {
        let path = self.lower_path(LowerNode(ino.0))?;
        let set = fs::fsetxattr(draft, REDIRECT_XATTR, &path, fs::XattrFlags::empty());
        match set {
            Ok(()) => {}
            Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        let state = BlockState::begin(attr, length, self.copy_up.block_size);
        match state.write(draft, ino) {
            Ok(()) => {}
            Err(FsError::Layer(Errno::NOSPC)) => {
                fs::fremovexattr(draft, REDIRECT_XATTR)?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        fs::ftruncate(draft, length)?;
        // What a crash left under this number was of another time.
        blocks::remove_map(self.store()?, ino)?;
        Ok(true)
    }

    /// The object of a partly copied file. Under the `names` lock.
    pub(super) fn partial(&self, ino: Ino, object: UpperObject) -> FsResult<Arc<PartialFile>> {
        if let Some(file) = self.partials.get(ino) {
            return Ok(file);
        }
        let store = self.store()?;
        self.partials.get_or_open(ino, || {
            PartialFile::open(store, &self.lower, object.into_fd(), ino)
        })
    }

    /// Gives up what is open of partly copied files that nobody uses, if there is too much of it,
    /// but not of `keep`. That settles them: no lock of the order may be held.
    pub(super) fn trim_partials(&self, keep: Ino) {
        if !self.partials.is_crowded() {
            return;
        }
        for file in self.partials.all() {
            if file.ino() != keep {
                self.files.evict(file.ino());
            }
        }
        self.partials.trim();
    }

    /// Copies what is the lower's still of a partly copied file, so that the store has all of it.
    /// Nothing needs this; it makes the file independent of the lower and plain to other tools.
    ///
    /// # Errors
    /// `InvalidArgument` for an inode that has no data, else those of the layers; what was copied
    /// until then stays.
    pub fn complete(&self, ino: Ino) -> FsResult<()> {
        if !self.in_store(ino)? {
            return Ok(());
        }
        if let OpenFile::Partial { file, .. } = &*self.open_file(ino)? {
            file.complete(|| true)?;
            while !self.finish_unless_busy(ino)? {
                file.map().settle(true)?;
            }
        }
        Ok(())
    }

    /// Makes a partly copied file that is complete an ordinary one. Under the `names` lock, for
    /// writing; false if it is being settled at the moment.
    fn finish(&self, ino: Ino) -> FsResult<bool> {
        let Some(file) = self.partials.get(ino) else {
            return Ok(true);
        };
        match file.map().is_complete() {
            Some(true) => {}
            Some(false) => return Ok(true),
            None => return Ok(false),
        }
        let node = self.node(ino)?;
        let place = node.place.as_ref().ok_or(FsError::Stale)?;
        let mut object = self.object(ino, place)?;
        let _watched = self.watch_owned(ino, object.as_fd())?;
        let record = Record {
            partial: false,
            ..*object.record()
        };
        object.keep_record(record)?;
        self.files.evict(ino);
        self.partials.retire(ino);
        // It is done; what is left says nothing any more, and goes with the file.
        if let Err(error) = blocks::remove_map(self.store()?, ino) {
            log::warn!("the block map of inode {ino} stays for nothing: {error}");
        }
        for name in [BLOCKS_XATTR, REDIRECT_XATTR] {
            match fs::fremovexattr(object.as_fd(), name) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(errno) => log::warn!("{name} of inode {ino} stays for nothing: {errno}"),
            }
        }
        Ok(true)
    }

    fn finish_unless_busy(&self, ino: Ino) -> FsResult<bool> {
        let _names = self.names.write();
        self.finish(ino)
    }

    /// The kernel forgets an inode: the moment to make it an ordinary file, if it is complete.
    /// Under the `names` lock, for writing.
    pub(super) fn finish_quietly(&self, ino: Ino) {
        if let Err(error) = self.finish(ino) {
            log::warn!("inode {ino} stays marked as partly copied: {error}");
        }
    }

    /// Removes the map of an inode whose file is about to be removed. Under the `names` lock, for
    /// writing.
    pub(super) fn drop_map(&self, ino: Ino) -> FsResult<()> {
        if !self.is_lower_number(ino) {
            return Ok(());
        }
        self.partials.retire(ino);
        blocks::remove_map(self.store()?, ino)
    }
}
