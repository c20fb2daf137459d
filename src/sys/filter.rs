//! Loading a seccomp filter.

use std::io;

use super::checked;

/// One instruction of a classic BPF program.
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

/// Loads `program` for this process and all that it becomes or makes.
///
/// `no_new_privs` stays off, so that set-user-ID programs go on working; this needs
/// `CAP_SYS_ADMIN` in the user namespace of the process.
///
/// # Errors
/// `EINVAL` where the kernel refuses the program, `EACCES` without the capability.
pub(crate) fn load(program: &[Instruction]) -> io::Result<()> {
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
    // SAFETY: the program points to `len` instructions that live over the call; the kernel
    // checks and copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    checked(result).map(drop)
}
