//! The thread of a daemon that hydrates as long as that is wanted, and waits while it is not.
//!
//! It reads and writes the disk only when nobody else wants to (the idle class of I/O), and gives way
//! to all others on the processor. It ends with the mount, and a daemon that follows goes on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::work::{Ended, work};
use crate::overlay::Overlay;
use crate::sys::{descriptor, priority};

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Service {
    ended: Arc<AtomicBool>,
    /// Closed to wake it.
    waker: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Begins, if `overlay` has a store above a lower that can change.
    ///
    /// # Errors
    /// Those of starting a thread and of watching the store.
    pub fn begin(overlay: &Arc<Overlay>) -> io::Result<Option<Self>> {
        let Some(store) = overlay.store_directory()? else {
            return Ok(None);
        };
        if overlay.is_immutable() {
            return Ok(None);
        }
        let (waked, waker) = pipe_with(PipeFlags::CLOEXEC)?;
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // By its descriptor, wherever the store is now.
        inotify::add_watch(&watch, descriptor::path(&store), WatchFlags::MOVED_TO)?;
        let ended = Arc::new(AtomicBool::new(false));
        let (overlay, over) = (Arc::clone(overlay), Arc::clone(&ended));
        let thread = thread::Builder::new()
            .name("hydrate".to_owned())
            .spawn(move || run(&overlay, &store, &watch, &waked, &over))?;
        Ok(Some(Self {
            ended,
            waker: Some(waker),
            thread: Some(thread),
        }))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        drop(self.waker.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that hydrates has failed");
        }
    }
}

fn run(overlay: &Overlay, store: &OwnedFd, watch: &OwnedFd, waked: &OwnedFd, ended: &AtomicBool) {
    if let Err(error) = priority::give_way() {
        log::warn!("hydration is not at the lowest priority: {error}");
    }
    let go_on = || !ended.load(Ordering::Relaxed);
    while go_on() {
        let worked = store
            .try_clone()
            .and_then(|store| work(overlay, store, &go_on));
        match worked {
            Ok(Ended::Interrupted) => return,
            Ok(Ended::Over | Ended::Unwanted) => {}
            Err(error) => log::error!("hydration failed: {error}"),
        }
        if let Err(error) = wait(watch, waked) {
            log::error!("cannot wait for a wish to hydrate: {error}");
            return;
        }
    }
}

/// Waits until something in the store's directory is replaced, or the end.
fn wait(watch: &OwnedFd, waked: &OwnedFd) -> Result<(), Errno> {
    let mut files = [
        PollFd::new(watch, PollFlags::IN),
        PollFd::new(waked, PollFlags::IN),
    ];
    loop {
        match poll(&mut files, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // What it was does not matter: all that there is to know is in the notes.
    let mut buffer = [0; 4096];
    while let Ok(1..) = rustix::io::read(watch.as_fd(), &mut buffer) {}
    Ok(())
}
