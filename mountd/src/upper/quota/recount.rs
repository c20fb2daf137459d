//! Counting a store in the background, while it is used.
//!
//! What is counted while nothing changes is exact. If something changed, the truth is no more than what
//! was counted and all that was added meanwhile, and no less than what was counted without all that
//! was taken away: the numbers are brought between the two, and it is tried again later. A count
//! during which a directory was moved may have missed it, and is thrown away.

use std::ops::Sub;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;
use rustix::process;

use super::{Quota, Usage, count, signed};
use crate::error::FsError;

/// Between two counts of a store that was counted exactly.
const INTERVAL: Duration = Duration::from_secs(60);
/// Before the first repetition of one that was not; doubled for each other one.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// At most this part of the time of one processor is spent on counting.
const SHARE: u32 = 20;
/// How often, a millisecond apart, it is looked for a moment in which nothing is being changed.
const TRIES: u32 = 200;

/// The state of counting.
#[derive(Debug, Default)]
pub(super) struct Recount {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    ended: bool,
    not_before: Option<Instant>,
    thread: Option<JoinHandle<()>>,
}

impl Recount {
    /// Ends counting for good; false if it was ended before.
    pub(super) fn end(&self) -> bool {
        let thread = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.ended, true) {
                return false;
            }
            state.thread.take()
        };
        self.changed.notify_all();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            log::error!("the thread that counts what the store takes has failed");
        }
        true
    }

    fn is_ended(&self) -> bool {
        self.state.lock().ended
    }
}

impl Quota {
    /// Has the store counted as soon as that is due.
    pub(super) fn recount_soon(self: &Arc<Self>) {
        let mut state = self.recount.state.lock();
        if state.wanted || state.ended {
            return;
        }
        state.wanted = true;
        self.recount.changed.notify_all();
        if state.thread.is_none() {
            let quota = Arc::clone(self);
            let thread = std::thread::Builder::new().name("count".into());
            match thread.spawn(move || quota.count_when_wanted()) {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => {
                    state.wanted = false;
                    log::warn!("cannot start the thread that counts what the store takes: {error}");
                }
            }
        }
    }

    fn count_when_wanted(&self) {
        // Of this thread alone, for Linux; nothing waits for it.
        if let Err(errno) = process::setpriority_process(Some(rustix::thread::gettid()), 19) {
            log::debug!("cannot count in the background with low priority: {errno}");
        }
        let mut retry = RETRY;
        let mut state = self.recount.state.lock();
        while !state.ended {
            let due = state.not_before.is_none_or(|time| time <= Instant::now());
            match state.not_before {
                _ if !state.wanted => self.recount.changed.wait(&mut state),
                Some(time) if !due => {
                    self.recount.changed.wait_until(&mut state, time);
                }
                _ => {
                    drop(state);
                    let begun = Instant::now();
                    let exact = self.recount();
                    let pause = begun.elapsed().saturating_mul(SHARE);
                    state = self.recount.state.lock();
                    state.wanted = !exact;
                    let pause = pause.max(if exact { INTERVAL } else { retry });
                    retry = if exact {
                        RETRY
                    } else {
                        (retry * 2).min(RETRY_MAX)
                    };
                    state.not_before = Instant::now().checked_add(pause);
                }
            }
        }
    }

    /// Counts once; true if what is counted is exact now.
    pub(crate) fn recount(&self) -> bool {
        let moved = self.moved_directories.load(Ordering::Acquire);
        let changes = self.changes.load(Ordering::Acquire);
        let (grown, shrunk) = (total(&self.grown), total(&self.shrunk));
        let counted = match count::store(&self.parts, &|| !self.recount.is_ended()) {
            Ok(Some(counted)) => counted,
            Ok(None) | Err(FsError::Layer(Errno::AGAIN)) => return false,
            Err(error) => {
                log::warn!("cannot count what the store takes: {error}; trying again");
                return false;
            }
        };
        // Who is in the middle of removing something will still subtract it.
        let mut tries = 0;
        while self.active.load(Ordering::Acquire) > 0 {
            tries += 1;
            if tries > TRIES || self.recount.is_ended() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.moved_directories.load(Ordering::Acquire) != moved {
            return false;
        }
        let exact = self.changes.load(Ordering::Acquire) == changes;
        let (grown, shrunk) = (total(&self.grown) - grown, total(&self.shrunk) - shrunk);
        let before = self.usage();
        // Each number goes no further than it must.
        let correct = |number: &AtomicI64, counted: u64, grown: u64, shrunk: u64| {
            let now = number.load(Ordering::Acquire);
            let least = signed(counted.saturating_sub(shrunk));
            let most = signed(counted.saturating_add(grown));
            number.fetch_add(now.clamp(least, most) - now, Ordering::AcqRel);
        };
        correct(&self.bytes, counted.bytes, grown.bytes, shrunk.bytes);
        correct(&self.inodes, counted.inodes, grown.inodes, shrunk.inodes);
        self.removed.store(0, Ordering::Relaxed);
        if exact {
            self.exact.store(true, Ordering::Release);
        }
        let after = self.usage();
        if before != after {
            log::info!(
                "counted what the store takes: {} bytes in {} inodes; {} and {} were assumed",
                after.bytes,
                after.inodes,
                before.bytes,
                before.inodes
            );
        }
        self.saved.cover(after);
        exact
    }
}

fn total(changed: &[AtomicU64; 2]) -> Usage {
    Usage {
        bytes: changed[0].load(Ordering::Acquire),
        inodes: changed[1].load(Ordering::Acquire),
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            inodes: self.inodes.saturating_sub(earlier.inodes),
        }
    }
}
