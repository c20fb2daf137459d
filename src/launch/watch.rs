//! Waiting for several things at once, without threads.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::error::{Doing, LaunchError};

/// What to wait for, and which of it happened.
#[derive(Debug, Default)]
pub(crate) struct Watch<'a> {
    descriptors: Vec<PollFd<'a>>,
}

/// Place of a descriptor in a [`Watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

impl<'a> Watch<'a> {
    /// Waits for `descriptor` to be readable, or for its other end to close.
    pub(crate) fn add(&mut self, descriptor: BorrowedFd<'a>) -> Slot {
        self.descriptors
            .push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
        Slot(self.descriptors.len() - 1)
    }

    /// Waits only for the other end of `descriptor` to close, if there is one.
    pub(crate) fn add_end(&mut self, descriptor: Option<BorrowedFd<'a>>) -> Option<Slot> {
        descriptor.map(|descriptor| {
            let end = PollFd::from_borrowed_fd(descriptor, PollFlags::empty());
            self.descriptors.push(end);
            Slot(self.descriptors.len() - 1)
        })
    }

    /// As [`Self::add`], if there is one.
    pub(crate) fn add_optional(&mut self, descriptor: Option<BorrowedFd<'a>>) -> Option<Slot> {
        descriptor.map(|descriptor| self.add(descriptor))
    }

    /// Waits until anything happens, or until `deadline`.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let rest = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let rest = rest.map(|rest| Timespec {
                tv_sec: rest.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: rest.subsec_nanos().into(),
            });
            match poll(&mut self.descriptors, rest.as_ref()) {
                Err(Errno::INTR) => {}
                result => return result.map(drop).map_err(io::Error::from),
            }
        }
    }

    /// What happened at `slot`.
    fn events(&self, slot: Option<Slot>) -> PollFlags {
        slot.and_then(|slot| self.descriptors.get(slot.0))
            .map_or(PollFlags::empty(), PollFd::revents)
    }

    /// Whether anything happened at `slot`: it can be read, or its other end is closed.
    pub(crate) fn happened(&self, slot: impl Into<Option<Slot>>) -> bool {
        !self.events(slot.into()).is_empty()
    }

    /// Whether there is something to read at `slot`.
    pub(crate) fn readable(&self, slot: impl Into<Option<Slot>>) -> bool {
        self.events(slot.into()).contains(PollFlags::IN)
    }

    /// Whether the other end of `slot` is closed.
    pub(crate) fn hung_up(&self, slot: impl Into<Option<Slot>>) -> bool {
        self.events(slot.into())
            .intersects(PollFlags::HUP | PollFlags::ERR)
    }
}

/// Waits until `descriptor` can be read or its other end is closed; `false` if `patience` ran out.
pub(crate) fn wait_readable(
    descriptor: BorrowedFd<'_>,
    patience: Option<Duration>,
) -> Result<bool, LaunchError> {
    let mut watch = Watch::default();
    let slot = watch.add(descriptor);
    watch
        .wait(patience.map(|patience| Instant::now() + patience))
        .doing("wait")?;
    Ok(watch.happened(slot))
}
