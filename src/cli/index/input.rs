//! The stream of a backup that is being made.

use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cli::context::Context;

/// Standard input, which ends when the command is interrupted.
pub(super) struct Input<'c> {
    pub(super) context: &'c Context,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const LOOK_AGAIN: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        let stdin = io::stdin();
        loop {
            if self.context.interrupts.pending() {
                return Ok(0);
            }
            let mut wanted = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
            match poll(&mut wanted, Some(&LOOK_AGAIN)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(rustix::io::read(&stdin, buffer)?),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
