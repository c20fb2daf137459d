//! A process that can be recognised again after its number has been given to another.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::sys::pidfd;

/// Number of a process and the time of its start, in clock ticks since the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number on the host.
    pub pid: u32,
    /// `starttime` of `/proc/PID/stat`, see proc(5).
    pub start: u64,
}

impl ProcessId {
    /// The process that has this number now, if it lives.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start) = parse_stat(&stat)?;
        // A zombie has ended; only its parent has not noticed yet.
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, start })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// A descriptor of it, if it still runs.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Only now it is certain that the descriptor is that of the process which was meant.
        self.is_alive().then_some(descriptor)
    }
}

/// The status, as `waitpid(2)` gives it, of a process that has ended and is no child of this one;
/// `None` if the kernel does not say.
pub(crate) fn ended_as(pid: u32, process: BorrowedFd<'_>) -> Option<i32> {
    // Its parent may take its time, and may be one that does not care.
    of_zombie(pid).or_else(|| pidfd::wait_status(process))
}

/// Field `exit_code`, the last one, of a process that nobody has waited for yet.
fn of_zombie(pid: u32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (state, _) = parse_stat(&stat)?;
    let code = stat.split_ascii_whitespace().next_back()?;
    (state == 'Z').then(|| code.parse().ok()).flatten()
}

/// State and start time out of a `/proc/PID/stat`. The name in parentheses may hold anything.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // `starttime` is field 22, the state field 3.
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_blanks_do_not_confuse() {
        let stat = "42 (a) R (b 9) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!(parse_stat(stat), Some(('S', 777)));
        assert_eq!(parse_stat("42 (a"), None);
        assert_eq!(parse_stat("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_alive_and_an_earlier_one_of_its_number_is_not() {
        let this = ProcessId::of(std::process::id()).unwrap();
        assert!(this.is_alive());
        assert!(this.open().is_some());
        let earlier = ProcessId {
            start: this.start - 1,
            ..this
        };
        assert!(!earlier.is_alive());
        assert!(earlier.open().is_none());
    }
}
