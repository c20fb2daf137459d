//! Programs of control groups (eBPF): loading them into the kernel, attaching them to a group.
//!
//! What such a program is made of, and what for, is the caller's: here are the instruction as the
//! kernel has it, and the two system calls.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::checked;

/// One instruction, `struct bpf_insn` of linux/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Operation.
    pub(crate) code: u8,
    /// Both registers, a half of the byte each.
    registers: u8,
    /// How many instructions to skip, or where in memory.
    pub(crate) offset: i16,
    /// Operand.
    pub(crate) value: i32,
}

impl Instruction {
    /// An instruction with these registers, each 0 to 10.
    pub(crate) const fn new(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Self {
        // Bit fields begin at the end of the byte that the processor begins with.
        let registers = if cfg!(target_endian = "little") {
            to | from << 4
        } else {
            to << 4 | from
        };
        Self {
            code,
            registers,
            offset,
            value,
        }
    }

    /// The registers `to` and `from`.
    #[cfg(test)]
    pub(crate) const fn registers(self) -> (u8, u8) {
        let (low, high) = (self.registers & 15, self.registers >> 4);
        if cfg!(target_endian = "little") {
            (low, high)
        } else {
            (high, low)
        }
    }
}

/// Where in the kernel a program runs, `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Hook {
    /// A packet comes in for a socket.
    Ingress = 0,
    /// A packet of a socket goes out.
    Egress = 1,
    /// A socket is made.
    SocketCreate = 2,
    /// A device is opened or made.
    Device = 6,
    /// `bind(2)` of IPv4.
    Bind4 = 8,
    /// `bind(2)` of IPv6.
    Bind6 = 9,
    /// `connect(2)` of IPv4.
    Connect4 = 10,
    /// `connect(2)` of IPv6.
    Connect6 = 11,
    /// `sendmsg(2)` with an address, of IPv4.
    Send4 = 14,
    /// The same of IPv6.
    Send6 = 15,
    /// `recvmsg(2)` that tells an address, of IPv4.
    Receive4 = 19,
    /// `getpeername(2)` of IPv4, and what `accept(2)` tells.
    PeerName4 = 29,
    /// `getsockname(2)` of IPv4.
    SocketName4 = 31,
}

impl Hook {
    /// `enum bpf_prog_type`.
    const fn kind(self) -> u32 {
        match self {
            Self::Ingress | Self::Egress => 8,
            Self::SocketCreate => 9,
            Self::Device => 15,
            _ => 18,
        }
    }
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;

/// Other programs of the group, and those of the groups above, run as well.
const ALLOW_MULTI: u32 = 2;

/// `union bpf_attr` for `BPF_PROG_LOAD`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// The same for `BPF_PROG_ATTACH`.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    hook: u32,
    flags: u32,
}

/// A program in the kernel. It goes with the last descriptor and the last group that has it.
#[derive(Debug)]
pub(crate) struct Program {
    descriptor: OwnedFd,
    hook: Hook,
}

impl Program {
    /// Loads a program. `name`, up to 15 letters, digits and `_`, is how `bpftool` shows it.
    ///
    /// # Errors
    /// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`, `EINVAL` or `EACCES` where the kernel refuses
    /// the program, `ENOSYS` of one without BPF.
    pub(crate) fn load(hook: Hook, name: &str, program: &[Instruction]) -> io::Result<Self> {
        let mut request = Load {
            kind: hook.kind(),
            count: u32::try_from(program.len()).map_err(io::Error::other)?,
            instructions: program.as_ptr().addr() as u64,
            license: c"Dual MIT/GPL".as_ptr().addr() as u64,
            expected_attach_type: hook as u32,
            ..Load::default()
        };
        for (to, from) in request.name.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        // SAFETY: the request is as long as is said, and points to `count` instructions and to text
        // that ends with a zero; all of it lives over the call, and the kernel checks and copies it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                PROG_LOAD,
                &raw const request,
                size_of::<Load>(),
            )
        };
        let number = RawFd::try_from(checked(result)?).map_err(io::Error::other)?;
        // SAFETY: the kernel has just opened it, for nobody else.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Self { descriptor, hook })
    }

    /// Attaches it to a group of cgroup2, for all that is in the group and below, until the group is
    /// removed.
    ///
    /// # Errors
    /// Those of `bpf(2)`.
    pub(crate) fn attach(&self, group: BorrowedFd<'_>) -> io::Result<()> {
        let request = Attach {
            target: group.as_raw_fd().cast_unsigned(),
            program: self.descriptor.as_raw_fd().cast_unsigned(),
            hook: self.hook as u32,
            flags: ALLOW_MULTI,
        };
        // SAFETY: the request is as long as is said and lives over the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                PROG_ATTACH,
                &raw const request,
                size_of::<Attach>(),
            )
        };
        checked(result).map(drop)
    }
}
