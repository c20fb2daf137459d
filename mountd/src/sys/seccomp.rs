//! Filters of system calls (seccomp): what they are made of, and loading them.
//!
//! A filter is a program of classic BPF (linux/bpf_common.h) that looks at a `struct seccomp_data`
//! (seccomp(2)). Which calls it is about is the caller's.
#![allow(unsafe_code)]

use std::io;

/// Loads the word at an offset.
pub const LOAD: u16 = 0x20;
/// Whether the word is equal to the operand.
pub const IF_EQUAL: u16 = 0x15;
/// Whether it is at least that.
pub const IF_AT_LEAST: u16 = 0x35;
/// Ends with the operand as the decision.
pub const RETURN: u16 = 0x06;

/// Offset of the number of the call.
pub const NUMBER: u32 = 0;
/// Offset of the architecture.
pub const ARCHITECTURE: u32 = 4;

/// The decision that a call is done.
pub const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// The decision that a call fails with `errno`.
pub const fn refuse(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()
}

/// One instruction, as [`libc::sock_filter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip if a comparison holds.
    pub if_true: u8,
    /// How many to skip if it does not.
    pub if_false: u8,
    /// Operand.
    pub value: u32,
}

impl Instruction {
    /// An instruction that compares nothing.
    pub const fn step(code: u16, value: u32) -> Self {
        Self::unless(code, value, 0)
    }

    /// Compares the loaded word; skips `skip` instructions unless the comparison holds.
    pub const fn unless(code: u16, value: u32, skip: u8) -> Self {
        Self {
            code,
            if_true: 0,
            if_false: skip,
            value,
        }
    }
}

/// Whom a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This thread and what it becomes or makes: programs that nobody vouches for.
    Programs,
    /// This thread, of a program that is trusted: older kernels would make the processor slower for it.
    Thread,
    /// As [`Self::Thread`], for all threads of the process.
    Threads,
}

/// Loads `program`.
///
/// `no_new_privs` must be set, or the process have `CAP_SYS_ADMIN` in its user namespace.
///
/// # Errors
/// Those of `seccomp(2)`: `EINVAL` where the kernel refuses the program, `EACCES` without the right.
pub fn load(program: &[Instruction], subject: Subject) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|step| libc::sock_filter {
            code: step.code,
            jt: step.if_true,
            jf: step.if_false,
            k: step.value,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_mut_ptr(),
    };
    let flags = match subject {
        Subject::Programs => 0,
        Subject::Thread => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        Subject::Threads => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW | libc::SECCOMP_FILTER_FLAG_TSYNC,
    };
    // SAFETY: the program points to `len` instructions that live over the call; the kernel checks
    // and copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!(
            "thread {thread} has another filter"
        ))),
    }
}
