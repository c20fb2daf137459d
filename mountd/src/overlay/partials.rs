//! The partly copied files that are open, one object for each, and the thread that settles them.
//!
//! Two objects for one file would lose each other's bits; so whoever opens one looks here first.
//! An object stays while anybody uses it and while it is not settled.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::partial::PartialFile;
use crate::error::FsResult;
use crate::types::Ino;

/// How often what was written is settled: as often as the kernel looks for old dirty pages. What a
/// program does not sync is in danger for as long on any file system.
const INTERVAL: Duration = Duration::from_secs(5);

/// Objects that are kept without a user.
const IDLE_MAX: usize = 64;

/// A file of which at most one block in this many is missing is completed in the background.
const MOSTLY: u64 = 8;

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The first file was opened, or all ends.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<Ino, Arc<PartialFile>>,
    settler: Option<JoinHandle<()>>,
    ended: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Partials {
    shared: Arc<Shared>,
}

impl Partials {
    /// The object of a file, if it has one.
    pub(super) fn get(&self, ino: Ino) -> Option<Arc<PartialFile>> {
        self.shared.state.lock().open.get(&ino).map(Arc::clone)
    }

    /// The object of a file; `open` makes it if there is none.
    pub(super) fn get_or_open(
        &self,
        ino: Ino,
        open: impl FnOnce() -> FsResult<PartialFile>,
    ) -> FsResult<Arc<PartialFile>> {
        let mut state = self.shared.state.lock();
        if let Some(file) = state.open.get(&ino) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(open()?);
        if state.open.insert(ino, Arc::clone(&file)).is_none() && state.open.len() == 1 {
            self.shared.changed.notify_all();
        }
        if state.settler.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("settle".into());
            match thread.spawn(move || settle_now_and_then(&shared)) {
                Ok(thread) => state.settler = Some(thread),
                Err(error) => log::warn!("cannot start the thread that settles: {error}"),
            }
        }
        Ok(file)
    }

    /// Number of objects.
    pub(super) fn len(&self) -> usize {
        self.shared.state.lock().open.len()
    }

    /// Forgets a file that is complete, or gone; what was not settled of it is not any more.
    pub(super) fn retire(&self, ino: Ino) {
        let removed = self.shared.state.lock().open.remove(&ino);
        if let Some(file) = removed {
            file.map().retire();
        }
    }

    /// The files that are open.
    pub(super) fn all(&self) -> Vec<Arc<PartialFile>> {
        let state = self.shared.state.lock();
        state.open.values().map(Arc::clone).collect()
    }

    /// Whether there are more than need be kept.
    pub(super) fn is_crowded(&self) -> bool {
        self.len() > IDLE_MAX
    }

    /// Drops those that nobody uses; first settles them.
    pub(super) fn trim(&self) {
        for file in self.all() {
            // The registry's and ours.
            if Arc::strong_count(&file) <= 2
                && let Err(error) = file.map().close()
            {
                log::warn!("cannot settle inode {}: {error}", file.ino());
            }
            file.observe();
        }
        self.shared
            .state
            .lock()
            .open
            .retain(|_, file| Arc::strong_count(file) > 1 || file.map().is_dirty());
    }
}

impl Drop for Partials {
    fn drop(&mut self) {
        let settler = {
            let mut state = self.shared.state.lock();
            state.ended = true;
            state.settler.take()
        };
        self.shared.changed.notify_all();
        if let Some(settler) = settler
            && settler.join().is_err()
        {
            log::error!("the thread that settles has failed");
        }
        for file in self.all() {
            if let Err(error) = file.map().close() {
                log::error!("cannot settle inode {}: {error}", file.ino());
            }
            file.observe();
        }
    }
}

fn settle_now_and_then(shared: &Shared) {
    let mut state = shared.state.lock();
    while !state.ended {
        if state.open.is_empty() {
            shared.changed.wait(&mut state);
            continue;
        }
        if !shared.changed.wait_for(&mut state, INTERVAL).timed_out() {
            continue;
        }
        let open: Vec<_> = state.open.values().map(Arc::clone).collect();
        drop(state);
        for file in open {
            if let Err(error) = tend(shared, &file) {
                log::warn!("cannot settle inode {}: {error}; trying again", file.ino());
            }
        }
        state = shared.state.lock();
    }
}

fn tend(shared: &Shared, file: &PartialFile) -> FsResult<()> {
    if file.map().is_dirty() {
        file.map().settle(true)?;
        file.observe();
    }
    let (missing, all) = file.map().missing();
    if missing > 0 && missing <= all / MOSTLY && file.is_better_complete() {
        file.complete(|| !shared.state.lock().ended)?;
    }
    Ok(())
}
