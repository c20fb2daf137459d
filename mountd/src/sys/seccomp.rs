//! Loading a filter of system calls.
#![allow(unsafe_code)]

use std::io;

/// One instruction of a classic BPF program, as [`libc::sock_filter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Operation.
    pub(crate) code: u16,
    /// How many instructions to skip if a comparison holds.
    pub(crate) if_true: u8,
    /// How many to skip if it does not.
    pub(crate) if_false: u8,
    /// Operand.
    pub(crate) value: u32,
}

/// Loads `program` for this thread, or for all threads of the process. `no_new_privs` must be set.
///
/// # Errors
/// Those of `seccomp(2)`.
pub(crate) fn load(program: &[Instruction], all_threads: bool) -> io::Result<()> {
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
    // Older kernels would make the processor slower for whoever has a filter.
    let mut flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    if all_threads {
        flags |= libc::SECCOMP_FILTER_FLAG_TSYNC;
    }
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
