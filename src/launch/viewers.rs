//! Those who look at the console of a running WPAR: the supervisor's side.
//!
//! Only the supervisor reads the console, since each byte can be read once; it passes what it reads
//! on to whoever looks. What they type they write to the console themselves. Nobody who looks may
//! hold up the WPAR: what one does not take in time is lost for that one, and stands in the log.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType, send, shutdown, socketpair,
};

use super::control::Client;
use super::error::{Doing, LaunchError};
use super::message::Answer;
use super::supervisor::Supervisor;

/// The most that look at once.
const MOST: usize = 16;
/// How much of what was printed before somebody gets to see, in bytes.
const PAST: usize = 16 * 1024;

/// The open ends of those who look.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    ends: Vec<OwnedFd>,
    /// How many bytes were printed since this init was started, or this supervisor took over.
    printed: usize,
}

impl Viewers {
    /// One more, who gets `past` first; what that one is to read.
    fn add(&mut self, past: &[u8]) -> io::Result<OwnedFd> {
        self.ends.retain(is_there);
        if self.ends.len() >= MOST {
            return Err(io::Error::other(format!(
                "{MOST} others look at it already"
            )));
        }
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // It goes one way.
        shutdown(&ours, Shutdown::Read)?;
        self.ends.push(ours);
        if let Some(new) = self.ends.last() {
            let _ = pass_on(new, past);
        }
        Ok(theirs)
    }

    /// Passes on what was printed.
    pub(super) fn show(&mut self, text: &[u8]) {
        self.printed = self.printed.saturating_add(text.len());
        self.ends.retain(|viewer| pass_on(viewer, text));
    }

    /// Ends it for all of them: there will be another console.
    pub(super) fn clear(&mut self) {
        self.printed = 0;
        self.ends.clear();
    }
}

/// False if nobody is there any more.
fn pass_on(viewer: &OwnedFd, mut text: &[u8]) -> bool {
    while !text.is_empty() {
        match send(viewer, text, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => text = text.get(sent..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}

fn is_there(viewer: &OwnedFd) -> bool {
    let mut looked = [PollFd::new(viewer, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let gone = PollFlags::ERR | PollFlags::HUP;
    poll(&mut looked, Some(&now)).is_err() || {
        let [looked] = looked;
        !looked.revents().intersects(gone)
    }
}

impl Supervisor {
    /// Lets `client` look at the console, and type.
    pub(super) fn attach(&mut self, client: &Client, past: bool) {
        // Who asked may have left.
        let _ = match self.opened_console(past) {
            Ok((console, stream)) => {
                client.send_with(&Answer::Console, &[console.as_fd(), stream.as_fd()])
            }
            Err(error) => client.send(&Answer::Failed(error.to_failure())),
        };
    }

    fn opened_console(&mut self, past: bool) -> Result<(OwnedFd, OwnedFd), LaunchError> {
        let console = self.init.as_ref().and_then(|init| init.console.as_ref());
        let console = console.ok_or_else(|| {
            LaunchError::other("it has no console: nothing in it would write to one")
        })?;
        let console = console.try_clone().doing("copy the console")?;
        let past = match (&self.console_log, past) {
            (None, _) => Vec::new(),
            (Some(log), true) => log.last(PAST),
            // Who was cut off has seen all but this.
            (Some(log), false) => log.last_bytes(self.viewers.printed.min(PAST)),
        };
        let stream = self.viewers.add(&past).doing("let somebody look")?;
        Ok((console, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &OwnedFd) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 20];
        let length = rustix::io::read(stream, buffer.as_mut_slice()).unwrap();
        buffer.truncate(length);
        buffer
    }

    /// As a process that ends; a copy of the descriptor may be in a child of another test for a moment.
    fn leave(viewer: OwnedFd) {
        shutdown(viewer, Shutdown::Both).unwrap();
    }

    #[test]
    fn all_see_the_same_and_who_is_slow_holds_nobody_up() {
        let mut viewers = Viewers::default();
        let one = viewers.add(b"past ").unwrap();
        let slow = viewers.add(b"").unwrap();
        viewers.show(b"now");
        assert_eq!(read(&one), b"past now");
        for _ in 0..100 {
            viewers.show(&[b'x'; 16 * 1024]);
            assert!(!read(&one).is_empty());
        }
        assert!(read(&slow).starts_with(b"nowxxx"));
        leave(slow);
        viewers.show(b"y");
        assert_eq!(viewers.ends.len(), 1);
        viewers.clear();
        assert_eq!(read(&one), b"y");
        assert_eq!(read(&one), b"");
    }

    #[test]
    fn those_who_left_leave_room() {
        let mut viewers = Viewers::default();
        let mut there: Vec<_> = (0..MOST).map(|_| viewers.add(b"").unwrap()).collect();
        assert!(viewers.add(b"").is_err());
        leave(there.pop().unwrap());
        assert!(viewers.add(b"").is_ok());
    }
}
