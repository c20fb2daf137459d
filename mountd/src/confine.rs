//! What the daemon gives up, because it reads what strangers wrote: an error in it must not be all of
//! the host.
//!
//! Two steps. [`give_up_privileges`] comes first, while there is one thread: capabilities that no
//! part of the daemon uses, and the way to new ones. [`filter_calls`] comes when everything is open
//! and nothing has been answered yet: from then on no program is started, no socket made, nothing
//! mounted, no other process touched. It is a list of denials: files are the daemon's work, and which
//! calls its libraries make for those is theirs.

use std::io;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_no_new_privs};

use crate::sys::seccomp::{Instruction, load};

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

/// Filters the system calls of all threads.
///
/// # Errors
/// Those of `seccomp(2)`, as of a kernel without it.
pub(crate) fn filter_calls() -> io::Result<()> {
    load(&program(), true)
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
];

// Classic BPF, see linux/bpf_common.h; struct seccomp_data, see seccomp(2).
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

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
    let step = |code, value, if_false| Instruction {
        code,
        if_true: 0,
        if_false,
        value,
    };
    let mut program = Vec::new();
    if let Some(native) = NATIVE {
        program.push(step(LOAD, ARCHITECTURE, 0));
        program.push(Instruction {
            if_true: 1,
            ..step(IF_EQUAL, native, 0)
        });
        program.push(step(RETURN, DENY, 0));
        program.push(step(LOAD, NUMBER, 0));
        program.extend([step(IF_AT_LEAST, FOREIGN, 1), step(RETURN, DENY, 0)]);
        for number in DENIED.iter().filter_map(|&call| u32::try_from(call).ok()) {
            program.extend([step(IF_EQUAL, number, 1), step(RETURN, DENY, 0)]);
        }
    }
    program.push(step(RETURN, ALLOW, 0));
    program
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// On a thread of its own, which ends with the test.
    #[test]
    fn files_work_and_sockets_and_programs_do_not() {
        let confined = std::thread::spawn(|| {
            set_no_new_privs(true).unwrap();
            load(&program(), false).unwrap();
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
