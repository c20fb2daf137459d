//! The filter of system calls: a list of what no program of a WPAR has any business with.
//!
//! The namespaces are the boundary; this takes surface of the kernel away behind it. It is a list
//! of denials, so that a call the kernel learns tomorrow answers `ENOSYS` by itself. Programs of
//! the second architecture of the processor (i386 under x86-64, arm under aarch64) are filtered
//! by their own numbers.

use std::io;

use crate::sys::filter::{Instruction, load as load_program};

/// Loads the filter for this process and all that come of it.
///
/// # Errors
/// Those of `seccomp(2)`.
pub(super) fn load() -> io::Result<()> {
    load_program(&program())
}

// Classic BPF, see linux/bpf_common.h.
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

// struct seccomp_data, see seccomp(2).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(index: u32) -> u32 {
    // The lower half, on processors with the lower byte first.
    16 + 8 * index
}

const ALLOW: u32 = 0x7fff_0000;
const fn refuse(errno: i32) -> u32 {
    0x0005_0000 | errno.cast_unsigned()
}

/// Calls are denied with the first number, so that libraries fall back quietly, or the second.
const UNKNOWN: u32 = refuse(libc::ENOSYS);
const FORBIDDEN: u32 = refuse(libc::EPERM);

#[cfg(target_arch = "x86_64")]
mod architecture {
    /// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_I386`.
    pub(super) const NATIVE: u32 = 0xc000_003e;
    pub(super) const SECOND: u32 = 0x4000_0003;
    /// Numbers from here on are those of the x32 interface.
    pub(super) const FIRST_FOREIGN: Option<u32> = Some(0x4000_0000);
    /// As [`super::FORBIDDEN_NATIVE`]; asm/unistd_32.h.
    pub(super) const FORBIDDEN_SECOND: &[u32] = &[
        51, 87, 115, 101, 110, 128, 129, 350, 131, 443, 283, 342, 357, 336, 286, 287, 288, 166,
        113, 86, 127, 130, 167, 253, 103,
    ];
    /// Calls that only this architecture has: ioperm, iopl, and a leftover.
    pub(super) const FORBIDDEN_ONLY_HERE: &[libc::c_long] =
        &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_lookup_dcookie];
    /// `socket` of the second architecture.
    pub(super) const SOCKET_SECOND: u32 = 359;
}

#[cfg(target_arch = "aarch64")]
mod architecture {
    /// `AUDIT_ARCH_AARCH64` and `AUDIT_ARCH_ARM`.
    pub(super) const NATIVE: u32 = 0xc000_00b7;
    pub(super) const SECOND: u32 = 0x4000_0028;
    pub(super) const FIRST_FOREIGN: Option<u32> = None;
    /// As [`super::FORBIDDEN_NATIVE`]; arch/arm/tools/syscall.tbl.
    pub(super) const FORBIDDEN_SECOND: &[u32] = &[
        51, 87, 115, 128, 129, 379, 131, 443, 347, 401, 371, 386, 364, 309, 310, 311, 103,
    ];
    pub(super) const FORBIDDEN_ONLY_HERE: &[libc::c_long] = &[];
    /// `socket` of the second architecture.
    pub(super) const SOCKET_SECOND: u32 = 281;
}

/// Modules, the next kernel, raw file handles, keys (which are not namespaced), tracing, swap,
/// accounting, quotas, the kernel's log.
const FORBIDDEN_NATIVE: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_init_module,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_syslog,
];

/// `io_uring_setup`, `_enter`, `_register`: the same numbers everywhere. Programs that use it
/// have another way.
const UNKNOWN_EVERYWHERE: [u32; 3] = [425, 426, 427];

/// `AF_NETLINK` and its protocol `NETLINK_AUDIT`: the audit system is the host's.
const NETLINK: u32 = 16;
const AUDIT: u32 = 9;

fn step(code: u16, value: u32) -> Instruction {
    Instruction {
        code,
        if_true: 0,
        if_false: 0,
        value,
    }
}

/// Compares the loaded word; skips `skip` instructions unless the comparison holds.
fn unless(code: u16, value: u32, skip: u8) -> Instruction {
    Instruction {
        code,
        if_true: 0,
        if_false: skip,
        value,
    }
}

fn program() -> Vec<Instruction> {
    use architecture as here;
    let native: Vec<u32> = FORBIDDEN_NATIVE
        .iter()
        .chain(here::FORBIDDEN_ONLY_HERE)
        .filter_map(|&number| u32::try_from(number).ok())
        .collect();
    let socket = u32::try_from(libc::SYS_socket).unwrap_or(u32::MAX);
    let native = calls(&native, socket, here::FIRST_FOREIGN);
    let second = calls(here::FORBIDDEN_SECOND, here::SOCKET_SECOND, None);
    let mut program = vec![step(LOAD, ARCHITECTURE)];
    for (architecture, part) in [(here::NATIVE, native), (here::SECOND, second)] {
        // The parts are longer than a conditional jump may be in general; `unless` takes a byte.
        let skip = u8::try_from(part.len()).unwrap_or(u8::MAX);
        program.push(unless(IF_EQUAL, architecture, skip));
        program.extend(part);
    }
    program.push(step(RETURN, FORBIDDEN));
    program
}

/// The decision for the calls of one architecture.
fn calls(forbidden: &[u32], socket: u32, first_foreign: Option<u32>) -> Vec<Instruction> {
    let mut part = vec![step(LOAD, NUMBER)];
    if let Some(first) = first_foreign {
        part.extend([unless(IF_AT_LEAST, first, 1), step(RETURN, UNKNOWN)]);
    }
    for &number in forbidden {
        part.extend([unless(IF_EQUAL, number, 1), step(RETURN, FORBIDDEN)]);
    }
    for number in UNKNOWN_EVERYWHERE {
        part.extend([unless(IF_EQUAL, number, 1), step(RETURN, UNKNOWN)]);
    }
    part.extend([
        unless(IF_EQUAL, socket, 5),
        step(LOAD, argument(0)),
        unless(IF_EQUAL, NETLINK, 3),
        step(LOAD, argument(2)),
        unless(IF_EQUAL, AUDIT, 1),
        step(RETURN, refuse(libc::EAFNOSUPPORT)),
        step(RETURN, ALLOW),
    ]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn decide(architecture: u32, number: u32, arguments: [u32; 3]) -> u32 {
        let program = program();
        let (mut at, mut word) = (0, 0);
        loop {
            let Instruction {
                code,
                if_true,
                if_false,
                value,
            } = program[at];
            at += 1;
            match code {
                LOAD if value == NUMBER => word = number,
                LOAD if value == ARCHITECTURE => word = architecture,
                LOAD => word = arguments[(value as usize - 16) / 8],
                IF_EQUAL => at += usize::from(if word == value { if_true } else { if_false }),
                IF_AT_LEAST => at += usize::from(if word >= value { if_true } else { if_false }),
                RETURN => return value,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn every_part_can_be_skipped_by_one_jump() {
        let longest = calls(architecture::FORBIDDEN_SECOND, 1, Some(1)).len();
        assert!(longest < 255 && program().len() < 4096);
    }

    #[test]
    fn forbidden_calls_are_refused_and_others_are_not() {
        use architecture::{NATIVE, SECOND};
        for &number in FORBIDDEN_NATIVE {
            let number = u32::try_from(number).unwrap();
            assert_eq!(decide(NATIVE, number, [0; 3]), FORBIDDEN, "{number}");
        }
        for &number in architecture::FORBIDDEN_SECOND {
            assert_eq!(decide(SECOND, number, [0; 3]), FORBIDDEN, "{number}");
        }
        for arch in [NATIVE, SECOND] {
            for number in [
                0, 1, 2, 3, 4, 5, 20, 39, 56, 57, 222, 435, 439, 442, 500, 9999,
            ] {
                assert_eq!(decide(arch, number, [0; 3]), ALLOW, "{arch:#x} {number}");
            }
            assert_eq!(decide(arch, 425, [0; 3]), UNKNOWN);
        }
        assert_eq!(decide(0x1234, 1, [0; 3]), FORBIDDEN);
        if let Some(first) = architecture::FIRST_FOREIGN {
            assert_eq!(decide(NATIVE, first + 1, [0; 3]), UNKNOWN);
        }
    }

    #[test]
    fn only_the_audit_socket_is_missing() {
        let socket = u32::try_from(libc::SYS_socket).unwrap();
        let audit = refuse(libc::EAFNOSUPPORT);
        for (arch, socket) in [
            (architecture::NATIVE, socket),
            (architecture::SECOND, architecture::SOCKET_SECOND),
        ] {
            assert_eq!(decide(arch, socket, [NETLINK, 3, AUDIT]), audit);
            assert_eq!(decide(arch, socket, [NETLINK, 3, 0]), ALLOW);
            assert_eq!(decide(arch, socket, [2, 1, AUDIT]), ALLOW);
        }
    }
}
