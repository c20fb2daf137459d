//! What a supervisor lets the file system daemon hold, for the one after it: the console and the
//! socket of init's announcements, which nobody could open again.
//!
//! They lie, undelivered, in a socket pair of which the daemon has both ends. The daemon never looks
//! at them. Nothing is held that keeps the mount itself: that must end with the supervisor as long
//! as the mount is attached nowhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::ioctl_fionbio;
use serde::{Deserialize, Serialize};

use super::channel::Channel;

/// Which descriptors a message holds, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    notify: bool,
    console: bool,
}

/// Both ends of the socket pair.
#[derive(Debug)]
pub(super) struct Held {
    put: Channel<Contents, Contents>,
    get: Channel<Contents, Contents>,
}

/// What was held.
#[derive(Debug, Default)]
pub(super) struct TakenBack {
    /// The socket of init's announcements.
    pub(super) notify: Option<OwnedFd>,
    /// The master side of the console.
    pub(super) console: Option<OwnedFd>,
}

impl Held {
    /// Nothing is held yet.
    pub(super) fn new() -> io::Result<Self> {
        let (put, get) = Channel::pair()?;
        Self::of(put, get)
    }

    /// What a daemon was given by [`Self::descriptors`].
    pub(super) fn from_descriptors(held: Vec<OwnedFd>) -> Option<io::Result<Self>> {
        let mut held = held.into_iter();
        let (put, get) = held.next().zip(held.next())?;
        Some(Self::of(
            Channel::from_socket(put),
            Channel::from_socket(get),
        ))
    }

    fn of(put: Channel<Contents, Contents>, get: Channel<Contents, Contents>) -> io::Result<Self> {
        // Nobody may wait for a message that is not there, or for room.
        ioctl_fionbio(&put, true)?;
        ioctl_fionbio(&get, true)?;
        Ok(Self { put, get })
    }

    /// For the daemon: copies of both ends.
    pub(super) fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        [self.put.as_fd(), self.get.as_fd()]
            .iter()
            .map(BorrowedFd::try_clone_to_owned)
            .collect()
    }

    /// Holds these instead of what was held before.
    pub(super) fn hold(
        &self,
        notify: Option<BorrowedFd<'_>>,
        console: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        // The new ones first: whoever dies in between leaves both, and the last ones count.
        let before = self.waiting();
        let contents = Contents {
            notify: notify.is_some(),
            console: console.is_some(),
        };
        let fds: Vec<_> = notify.into_iter().chain(console).collect();
        self.put.send_with(&contents, &fds)?;
        if before {
            let _ = self.get.receive();
        }
        Ok(())
    }

    /// Takes back what was held last; it is not held any more.
    pub(super) fn take_back(&self) -> TakenBack {
        let mut last = TakenBack::default();
        while let Ok(Some((contents, fds))) = self.get.receive() {
            let mut fds = fds.into_iter();
            last = TakenBack {
                notify: contents.notify.then(|| fds.next()).flatten(),
                console: contents.console.then(|| fds.next()).flatten(),
            };
        }
        last
    }

    fn waiting(&self) -> bool {
        let now = Some(std::time::Duration::ZERO);
        super::watch::wait_readable(self.get.as_fd(), now).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_last_is_taken_back_by_whoever_has_the_descriptors() {
        let held = Held::new().unwrap();
        let daemon = held.descriptors().unwrap();
        let (first, first_end) = rustix::pipe::pipe().unwrap();
        held.hold(Some(first.as_fd()), None).unwrap();
        let (second, second_end) = rustix::pipe::pipe().unwrap();
        held.hold(Some(first_end.as_fd()), Some(second_end.as_fd()))
            .unwrap();
        drop((held, first_end, second_end));
        // The supervisor is gone.
        let heir = Held::from_descriptors(daemon).unwrap().unwrap();
        let taken = heir.take_back();
        rustix::io::write(taken.console.unwrap(), b"x").unwrap();
        assert_eq!(rustix::io::read(&second, &mut [0; 2]).unwrap(), 1);
        rustix::io::write(taken.notify.unwrap(), b"y").unwrap();
        assert_eq!(rustix::io::read(&first, &mut [0; 2]).unwrap(), 1);
        let nothing = heir.take_back();
        assert!(nothing.notify.is_none() && nothing.console.is_none());
    }

    #[test]
    fn without_both_ends_there_is_nothing_to_take_back() {
        let (one, _) = rustix::pipe::pipe().unwrap();
        assert!(Held::from_descriptors(vec![one]).is_none());
        assert!(Held::from_descriptors(Vec::new()).is_none());
    }
}
