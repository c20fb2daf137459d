//! Telling the caller how far a scan is, and hearing whether to go on.

use std::cell::{Cell, RefCell};

use super::error::ScanError;

/// Watches the indexing of an image.
pub trait Progress {
    /// Begins; `total_bytes` is the size of the image file. Called again if the work starts over
    /// because a seekable copy turns out to be needed, or because what was read is only the wrapping
    /// of other archives.
    fn start(&mut self, total_bytes: u64);

    /// So many bytes of the file have been dealt with, and so many entries found.
    fn advance(&mut self, bytes_done: u64, entries: u64);

    /// Ends, whether well or not.
    fn finish(&mut self);

    /// Whether to stop. Asked often; what was written so far is then removed.
    fn interrupted(&self) -> bool {
        false
    }
}

/// A [`Progress`] that shows nothing and never interrupts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&mut self, _total_bytes: u64) {}
    fn advance(&mut self, _bytes_done: u64, _entries: u64) {}
    fn finish(&mut self) {}
}

/// Entries between two calls; a compressed archive also calls for each stretch that is decoded.
const ENTRIES_BETWEEN: u64 = 128;

/// A [`Progress`] that the scanner and the source beneath it share.
pub(super) struct Meter<'p> {
    progress: RefCell<&'p mut dyn Progress>,
    total: Cell<u64>,
    entries: Cell<u64>,
    /// What was done before the archive that is being read.
    done: Cell<u64>,
}

impl<'p> Meter<'p> {
    /// Starts the progress.
    pub(super) fn start(progress: &'p mut dyn Progress, total_bytes: u64) -> Self {
        progress.start(total_bytes);
        Self {
            progress: RefCell::new(progress),
            total: Cell::new(total_bytes),
            entries: Cell::new(0),
            done: Cell::new(0),
        }
    }

    /// Starts over with other archives: so many bytes of them, no entries.
    pub(super) fn restart(&self, total_bytes: u64) {
        self.progress.borrow_mut().start(total_bytes);
        self.total.set(total_bytes);
        self.entries.set(0);
        self.done.set(0);
    }

    /// An archive of so many bytes is done, positions are those of the next one.
    pub(super) fn next_archive(&self, bytes: u64) {
        self.done.set(self.done.get() + bytes);
    }

    /// Bytes of the file, as far as they are known.
    pub(super) fn total(&self) -> u64 {
        self.total.get()
    }

    /// Entries so far.
    pub(super) fn entries(&self) -> u64 {
        self.entries.get()
    }

    /// Counts an entry.
    pub(super) fn entry(&self, position: u64) -> Result<(), ScanError> {
        self.entries.set(self.entries.get() + 1);
        if self.entries.get().is_multiple_of(ENTRIES_BETWEEN) {
            self.tick(position)
        } else {
            Ok(())
        }
    }

    /// Tells the position in the file; fails if the caller wants to stop.
    pub(super) fn tick(&self, position: u64) -> Result<(), ScanError> {
        let mut progress = self.progress.borrow_mut();
        progress.advance(self.done.get() + position, self.entries.get());
        if progress.interrupted() {
            Err(ScanError::Interrupted)
        } else {
            Ok(())
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.progress.get_mut().finish();
    }
}
