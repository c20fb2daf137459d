//! The filter of system calls: a list of what no program of a WPAR has any business with.
//!
//! The namespaces are the boundary; this takes surface of the kernel away behind it. It is a list
//! of denials, so that a call the kernel learns tomorrow answers `ENOSYS` by itself. Programs of
//! the second architecture of the processor (i386 under x86-64, arm under aarch64) are filtered
//! by their own numbers.

use std::io;

use wpar_mountd::seccomp::{
    ALLOW, ARCHITECTURE, IF_AT_LEAST, IF_EQUAL, Instruction, LOAD, NUMBER, RETURN, Subject,
    load as load_program, refuse,
};

use super::confine::Confinement;

/// Loads the filter for this process and all that come of it.
///
/// # Errors
/// Those of `seccomp(2)`.
pub(super) fn load(own: Confinement) -> io::Result<()> {
    load_program(&program(own), Subject::Programs)
}

/// Offset of an argument of the call.
const fn argument(index: u32) -> u32 {
    // The lower half, on processors with the lower byte first.
    16 + 8 * index
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
        51, 87, 115, 101, 110, 128, 129, 350, 131, 443, 283, 342, 357, 336, 166, 113, 86, 127, 130,
        167, 253, 103,
    ];
    pub(super) const KEYS_SECOND: &[u32] = &[286, 287, 288];
    /// mount, umount, umount2, pivot_root.
    pub(super) const MOUNT_SECOND: &[u32] = &[21, 22, 52, 217];
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
        51, 87, 115, 128, 129, 379, 131, 443, 347, 401, 371, 386, 364, 103,
    ];
    pub(super) const KEYS_SECOND: &[u32] = &[309, 310, 311];
    /// mount, umount2, pivot_root.
    pub(super) const MOUNT_SECOND: &[u32] = &[21, 52, 218];
    pub(super) const FORBIDDEN_ONLY_HERE: &[libc::c_long] = &[];
    /// `socket` of the second architecture.
    pub(super) const SOCKET_SECOND: u32 = 281;
}

/// Modules, the next kernel, raw file handles, tracing, swap,
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
    libc::SYS_syslog,
];

/// Keys are not namespaced.
const KEYS_NATIVE: &[libc::c_long] = &[libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl];

/// Mounting, the older calls.
const MOUNT_NATIVE: &[libc::c_long] = &[libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root];

/// `open_tree` to `fspick`, `mount_setattr`: the same numbers everywhere.
const MOUNT_EVERYWHERE: [u32; 7] = [428, 429, 430, 431, 432, 433, 442];

/// `io_uring_setup`, `_enter`, `_register`: the same numbers everywhere. Programs that use it
/// have another way.
const URING_EVERYWHERE: [u32; 3] = [425, 426, 427];

/// `AF_NETLINK` and its protocol `NETLINK_AUDIT`: the audit system is the host's.
const NETLINK: u32 = 16;
const AUDIT: u32 = 9;

fn step(code: u16, value: u32) -> Instruction {
    Instruction::step(code, value)
}

fn unless(code: u16, value: u32, skip: u8) -> Instruction {
    Instruction::unless(code, value, skip)
}

fn program(own: Confinement) -> Vec<Instruction> {
    use architecture as here;
    let none: (&[libc::c_long], &[u32]) = (&[], &[]);
    let keys = match own.allow_keys {
        true => none,
        false => (KEYS_NATIVE, here::KEYS_SECOND),
    };
    let mounts = match own.refuse_mounts {
        true => (MOUNT_NATIVE, here::MOUNT_SECOND),
        false => none,
    };
    let everywhere: &[u32] = match own.refuse_mounts {
        true => &MOUNT_EVERYWHERE,
        false => &[],
    };
    let native = [
        FORBIDDEN_NATIVE,
        here::FORBIDDEN_ONLY_HERE,
        keys.0,
        mounts.0,
    ]
    .concat();
    let native: Vec<u32> = native
        .into_iter()
        .filter_map(|number| u32::try_from(number).ok())
        .chain(everywhere.iter().copied())
        .collect();
    let second = [here::FORBIDDEN_SECOND, keys.1, mounts.1, everywhere].concat();
    let unknown: &[u32] = match own.allow_uring {
        true => &[],
        false => &URING_EVERYWHERE,
    };
    let socket = u32::try_from(libc::SYS_socket).unwrap_or(u32::MAX);
    let native = calls(&native, unknown, socket, here::FIRST_FOREIGN);
    let second = calls(&second, unknown, here::SOCKET_SECOND, None);
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
fn calls(
    forbidden: &[u32],
    unknown: &[u32],
    socket: u32,
    first_foreign: Option<u32>,
) -> Vec<Instruction> {
    let mut part = vec![step(LOAD, NUMBER)];
    if let Some(first) = first_foreign {
        part.extend([unless(IF_AT_LEAST, first, 1), step(RETURN, UNKNOWN)]);
    }
    for &number in forbidden {
        part.extend([unless(IF_EQUAL, number, 1), step(RETURN, FORBIDDEN)]);
    }
    for &number in unknown {
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
        decide_for(Confinement::default(), architecture, number, arguments)
    }

    fn decide_for(own: Confinement, architecture: u32, number: u32, arguments: [u32; 3]) -> u32 {
        let program = program(own);
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
        let whole = program(Confinement {
            refuse_mounts: true,
            ..Confinement::default()
        });
        // Each part is skipped by its first instruction; the last one is of the program itself.
        let mut at = 1;
        for _ in 0..2 {
            assert_ne!(whole[at].if_false, u8::MAX, "too long");
            at += usize::from(whole[at].if_false) + 1;
        }
        assert_eq!(at, whole.len() - 1);
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
    fn privileges_open_and_close_calls_of_both_architectures() {
        use architecture::{KEYS_SECOND, MOUNT_SECOND, NATIVE, SECOND};
        let plain = Confinement::default();
        let other = Confinement {
            refuse_mounts: true,
            allow_keys: true,
            allow_uring: true,
            ..plain
        };
        let number = |call: libc::c_long| u32::try_from(call).unwrap();
        let mount = (NATIVE, number(libc::SYS_mount), ALLOW, FORBIDDEN);
        let move_mount = (SECOND, 429, ALLOW, FORBIDDEN);
        let second = (SECOND, MOUNT_SECOND[0], ALLOW, FORBIDDEN);
        let keys = (NATIVE, number(libc::SYS_keyctl), FORBIDDEN, ALLOW);
        let keys_second = (SECOND, KEYS_SECOND[0], FORBIDDEN, ALLOW);
        let uring = (SECOND, 425, UNKNOWN, ALLOW);
        for (arch, call, before, after) in [mount, move_mount, second, keys, keys_second, uring] {
            assert_eq!(decide_for(plain, arch, call, [0; 3]), before, "{call}");
            assert_eq!(decide_for(other, arch, call, [0; 3]), after, "{call}");
        }
        let module = number(libc::SYS_init_module);
        assert_eq!(decide_for(other, NATIVE, module, [0; 3]), FORBIDDEN);
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
