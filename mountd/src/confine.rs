//! What the daemon gives up, because it reads what strangers wrote: an error in it must not be all of
//! the host.
//!
//! Three steps. [`give_up_privileges`] comes first, while there is no thread but the door's: capabilities
//! that no part of the daemon uses, and the way to new ones. The other two come when everything is open
//! and, but for what a daemon that takes over finds waiting in its rings, nothing has been answered yet.
//! [`Door::close`] takes the host's tree away: the root becomes the directory of the process's own
//! descriptors, and these lead nowhere up, because a directory underneath and the store are on mounts of
//! their own ([`crate::upper::Reach`], `lower::host::root`), the former's read-only. (The files of an image
//! and its index could be opened again for writing.)
//! [`filter_calls`]: from then on no program is started, no socket made by a system call, nothing mounted,
//! no other process touched, and no further ring made; what the rings that serve are told is not seen.
//! It is a list of denials: files are the daemon's work, and which calls its libraries make for those is
//! theirs.
//!
//! Left out, because they would guard what is guarded already, at a price: a network and an IPC
//! namespace (no call makes a socket; 1.2 ms of each start, and memory for each daemon); Landlock (the
//! mounts say the same, and are not asked at each file: with it, opening a file four directories down
//! took 1.6 times as long, 37 instead of 23 microseconds, making one 1.15 times; medians of 15 rounds in
//! turns).

use std::io;

use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use rustix::fs::{CWD, PROC_SUPER_MAGIC, fstatfs};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{chroot, fchdir};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_no_new_privs};

use crate::sys::seccomp::{
    ALLOW, ARCHITECTURE, IF_AT_LEAST, IF_EQUAL, Instruction, LOAD, NUMBER, RETURN, Subject, load,
    refuse,
};
use crate::sys::{descriptor, map, mount};

/// Capabilities that are kept, of those that there are: files of all owners; attributes
/// `trusted.*` of the lower and mounting a file system image (`SYS_ADMIN`); the store beside quotas
/// and reserved blocks of the host's disk (`SYS_RESOURCE`); memory shared with the kernel
/// (`IPC_LOCK`); less time for what can wait (`SYS_NICE`).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_RESOURCE)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::SYS_NICE);

/// Gives up what this thread, and those that it will make, have no use for.
///
/// # Errors
/// Those of `capset(2)` and `prctl(2)`.
pub(crate) fn give_up_privileges() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.permitted &= KEPT;
    sets.effective &= KEPT;
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets)?;
    Ok(set_no_new_privs(true)?)
}

/// The way out of the host's tree, which is closed once.
///
/// It takes a capability that the daemon must not have meanwhile. So a thread has it, which does nothing
/// else, and has no other.
#[derive(Debug)]
pub(crate) struct Door {
    close: Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Door {
    /// Makes the directory of the process's descriptors the working directory, for good, and the
    /// thread. To be called before [`give_up_privileges`], and before anything is opened.
    ///
    /// # Errors
    /// What the kernel has against it, as without `/proc`. The daemon then goes on to see the host's
    /// files.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        // A mount of its own, so that nothing is above it.
        let own = open_tree(CWD, "/proc/self/fd", flags)?;
        if fstatfs(&own)?.f_type != PROC_SUPER_MAGIC {
            return Err(io::Error::other("/proc is not mounted"));
        }
        mount::seal_mount(&own)?;
        let (close, closing) = channel();
        let thread = Builder::new().name("door".to_owned()).spawn(move || {
            let mut sets = capabilities(None)?;
            sets.permitted &= CapabilitySet::SYS_CHROOT;
            sets.effective &= CapabilitySet::SYS_CHROOT;
            set_capabilities(None, sets)?;
            match closing.recv() {
                // All threads have one root.
                Ok(()) => Ok(chroot(".")?),
                Err(_) => Ok(()),
            }
        })?;
        fchdir(&own)?;
        descriptor::stay_at_own();
        Ok(Self { close, thread })
    }

    /// Takes the host's tree away from all threads. What is opened by a path must be open.
    ///
    /// # Errors
    /// Those of `chroot(2)`.
    pub(crate) fn close(self) -> io::Result<()> {
        // Its answers are wanted later.
        map::statm();
        let _ = self.close.send(());
        let closed = self.thread.join();
        closed.unwrap_or_else(|_| Err(io::Error::other("the thread for it failed")))
    }
}

/// Filters the system calls of all threads.
///
/// # Errors
/// Those of `seccomp(2)`, as of a kernel without it.
pub(crate) fn filter_calls() -> io::Result<()> {
    load(&program(), Subject::Threads)
}

/// Other programs and processes; the network; mounts and namespaces; the kernel itself, its
/// clock, its keys; files by number instead of name.
const DENIED: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_syslog,
    // What is done by way of a ring is not seen here: there are no more than those that serve.
    libc::SYS_io_uring_setup,
];

/// A call that is denied fails with this.
const DENY: u32 = refuse(libc::EPERM);

/// The architecture that this is built for, as the kernel calls it (linux/audit.h); where it is
/// not known here, calls are not filtered.
const NATIVE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else {
    None
};

/// Numbers from here on are those of another interface of x86-64.
const FOREIGN: u32 = 0x4000_0000;

fn program() -> Vec<Instruction> {
    let (step, unless) = (Instruction::step, Instruction::unless);
    let mut program = Vec::new();
    if let Some(native) = NATIVE {
        program.push(step(LOAD, ARCHITECTURE));
        program.push(Instruction {
            if_true: 1,
            ..step(IF_EQUAL, native)
        });
        program.push(step(RETURN, DENY));
        program.push(step(LOAD, NUMBER));
        program.extend([unless(IF_AT_LEAST, FOREIGN, 1), step(RETURN, DENY)]);
        for number in DENIED.iter().filter_map(|&call| u32::try_from(call).ok()) {
            program.extend([unless(IF_EQUAL, number, 1), step(RETURN, DENY)]);
        }
    }
    program.push(step(RETURN, ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;

    use rustix::fs::{Mode, OFlags};

    use super::*;
    use crate::upper::Reach;

    /// On a thread of its own, which ends with the test.
    #[test]
    fn files_work_and_sockets_and_programs_do_not() {
        let confined = std::thread::spawn(|| {
            set_no_new_privs(true).unwrap();
            load(&program(), Subject::Thread).unwrap();
            let denied = Some(libc::EPERM);
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap_err();
            assert_eq!(socket.raw_os_error(), denied);
            let program = std::process::Command::new("/bin/true").status();
            assert!(program.is_err(), "{program:?}");
            let file = tempfile::tempfile().unwrap();
            file.set_len(10).unwrap();
            std::thread::spawn(|| ()).join().unwrap();
            let namespace =
                rustix::fs::open("/proc/self/ns/net", rustix::fs::OFlags::RDONLY, 0.into());
            let entered = rustix::thread::move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&namespace.unwrap()),
                None,
            );
            assert_eq!(entered, Err(rustix::io::Errno::PERM));
        });
        confined.join().unwrap();
        assert!(UdpSocket::bind("127.0.0.1:0").is_ok());
    }

    /// On a thread that shares neither root nor working directory with the others.
    #[test]
    fn without_the_hosts_tree_open_files_work_and_nothing_leads_out_of_them() {
        use std::io::{Read as _, Write as _};
        use std::os::fd::AsFd as _;

        if !rustix::process::geteuid().is_root() {
            let _ = io::stderr().write_all(b"SKIPPED: needs root\n");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("store")).unwrap();
        let place = directory.path().join("store");
        std::fs::write(directory.path().join("secret"), "host").unwrap();
        let confined = std::thread::spawn(move || {
            descriptor::unshare_root().unwrap();
            let door = Door::new().unwrap();
            give_up_privileges().unwrap();
            let (store, mount) = Reach::Inside.open(&place).unwrap();
            assert!(mount.is_some(), "a mount of its own");
            let open = |dir: &OwnedFd, path: &str, flags: OFlags| {
                rustix::fs::openat(dir, path, flags, Mode::RUSR).map(std::fs::File::from)
            };
            assert!(
                std::fs::File::options()
                    .write(true)
                    .open("/etc/shadow")
                    .is_ok()
            );
            door.close().unwrap();
            // What there was is gone, whatever way is tried.
            let shadow = std::fs::File::options().write(true).open("/etc/shadow");
            assert_eq!(shadow.unwrap_err().kind(), io::ErrorKind::NotFound);
            for way in [
                "../secret",
                "../../../../../../../../etc/shadow",
                "/etc/shadow",
            ] {
                assert_eq!(
                    open(&store, way, OFlags::RDONLY).unwrap_err().kind(),
                    io::ErrorKind::NotFound,
                    "{way}"
                );
            }
            let up = rustix::fs::open("../../../../etc/shadow", OFlags::RDONLY, Mode::empty());
            assert_eq!(up.unwrap_err(), rustix::io::Errno::NOENT);
            assert!(chroot(".").is_err(), "the capability is not kept");
            // What is open works, its attributes by its number as well.
            let mut new = open(&store, "new", OFlags::RDWR | OFlags::CREATE).unwrap();
            new.write_all(b"text").unwrap();
            let name = descriptor::path(&new);
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&name, "user.wpar", b"yes", flags).unwrap();
            let mut value = [0; 8];
            assert_eq!(rustix::fs::getxattr(&name, "user.wpar", &mut value), Ok(3));
            let mut again = String::new();
            open(&store, "new", OFlags::RDONLY)
                .unwrap()
                .read_to_string(&mut again)
                .unwrap();
            assert_eq!(again, "text");
            assert!(map::statm().is_some() && store.as_fd().try_clone_to_owned().is_ok());
        });
        confined.join().unwrap();
        assert!(
            std::fs::exists("/etc/passwd").unwrap(),
            "of this thread alone"
        );
    }

    #[test]
    fn privileges_that_are_given_up_do_not_come_back() {
        std::thread::spawn(|| {
            let before = capabilities(None).unwrap().effective;
            give_up_privileges().unwrap();
            let after = capabilities(None).unwrap();
            assert_eq!(after.effective, before & KEPT);
            assert!(!after.permitted.contains(CapabilitySet::SYS_PTRACE));
            assert!(rustix::thread::no_new_privs().unwrap());
        })
        .join()
        .unwrap();
    }
}
