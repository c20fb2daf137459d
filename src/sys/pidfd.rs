//! How a process ended that is not a child of this one: the kernel keeps it with the descriptors of
//! the process (`PIDFD_GET_INFO`, see `linux/pidfd.h`; the exit status since Linux 6.15).

use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread::sleep;
use std::time::Duration;

/// `struct pidfd_info` in its first version.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`.
const EXIT: u64 = 1 << 3;

/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const GET_INFO: u32 = 3 << 30 | (size_of::<Info>() as u32) << 16 | 0xff << 8 | 11;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// Looks at a process whose parent has not noticed its end yet.
const LOOKS: u32 = 100;

/// The status, as `waitpid(2)` gives it, of a process that has ended; `None` if the kernel does not
/// say. Waits a moment for its parent, who has to hear of it first.
pub(crate) fn wait_status(process: BorrowedFd<'_>) -> Option<i32> {
    for _ in 0..LOOKS {
        let mut info = Info {
            mask: EXIT,
            ..Info::default()
        };
        // SAFETY: the request's size is that of the structure, which outlives the call and is
        // plain data.
        let result =
            unsafe { libc::ioctl(process.as_raw_fd(), GET_INFO as libc::Ioctl, &raw mut info) };
        if result < 0 {
            // ESRCH: an older kernel, which says nothing about the dead. Or it knows no such call.
            return None;
        }
        if info.mask & EXIT != 0 {
            return Some(info.exit_code);
        }
        sleep(PAUSE);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    #[test]
    fn a_status_is_known_after_the_parent_has_heard_of_the_end() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "exit 7"])
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        child.wait().unwrap();
        // Linux before 6.15 does not say.
        let status = wait_status(process.as_fd());
        assert!(matches!(status, None | Some(0x700)), "{status:?}");
    }
}
