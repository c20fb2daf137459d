//! Memory that outlives the process: the buffers of requests, mapped by one daemon after the
//! other at the same address.
//!
//! The kernel knows the buffers of a request by their address. A daemon that takes over from a
//! dead one finds there what was asked, answers in place, and the kernel takes the answer from
//! where it always was. So the address is fixed, in a part of the address space that neither
//! programs nor the kernel's own choices use; who does not need to be followed by another process
//! lets the kernel choose.
//!
//! A [`SharedPart`] is handed out once and nothing else leads to its bytes, so it may be borrowed
//! like any other buffer.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// Where the memory lies in every daemon that can be followed by another: 128 GiB, below what
/// position-independent programs, libraries and stacks get on any machine with 39 bits of
/// addresses or more, and above what others do.
const ADDRESS: NonZeroUsize = NonZeroUsize::new(128 << 30).unwrap();

/// The mapping.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a mapping is memory of the process, not of a thread; this one is only unmapped, by
// whoever drops it last.
unsafe impl Send for Mapping {}
// SAFETY: nothing can be reached through a shared reference but the parts, which are disjoint.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped; every part holds this mapping, so none is left.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        if let Err(errno) = unmapped {
            log::error!("cannot unmap the buffers of requests: {errno}");
        }
    }
}

/// A range of the memory, with one owner.
pub(crate) struct SharedPart {
    start: NonNull<u8>,
    length: usize,
    _mapping: Arc<Mapping>,
}

// SAFETY: it owns its range as a box would.
unsafe impl Send for SharedPart {}
// SAFETY: a shared reference only leads to atomic numbers, and to the address.
unsafe impl Sync for SharedPart {}

impl fmt::Debug for SharedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPart")
            .field("start", &self.start)
            .field("length", &self.length)
            .finish()
    }
}

/// Maps the first bytes of `file`, as many as `lengths` add up to, and gives them out as parts of
/// these lengths, one after the other; each a multiple of the size of a page. With `fixed` they
/// lie where the next process can have them too.
///
/// # Errors
/// Those of `mmap(2)`; `AddrInUse` if something else lies there.
pub(crate) fn map(
    file: BorrowedFd<'_>,
    lengths: &[usize],
    fixed: bool,
) -> io::Result<Vec<SharedPart>> {
    let length = lengths.iter().sum();
    let (address, flags) = if fixed {
        (ADDRESS.get(), MapFlags::SHARED | MapFlags::FIXED_NOREPLACE)
    } else {
        (0, MapFlags::SHARED)
    };
    let address = std::ptr::without_provenance_mut(address);
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping that takes no other's place (`FIXED_NOREPLACE`). The file is ours and
    // never made shorter than what is mapped, see `crate::takeover`.
    let start = unsafe { mmap(address, length, protection, flags, file, 0) }?;
    let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mapping = Arc::new(Mapping { start, length });
    if fixed && start.addr() != ADDRESS {
        // Kernels before 4.17 take the address for a wish.
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let mut parts = Vec::with_capacity(lengths.len());
    let mut offset = 0;
    for &length in lengths {
        // SAFETY: the lengths add up to the mapping's, so this stays in it.
        let start = unsafe { start.add(offset) };
        parts.push(SharedPart {
            start,
            length,
            _mapping: Arc::clone(&mapping),
        });
        offset += length;
    }
    Ok(parts)
}

impl SharedPart {
    /// The bytes. While the kernel may write to them nobody may look: see `ring`.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped as long as this part is there, initialised (a file's), and no other part
        // has them.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }

    /// Sees to it that the first `length` bytes need not be brought in when they are written to.
    ///
    /// # Errors
    /// Those of `madvise(2)`; kernels before 5.14 do not know it.
    pub(crate) fn populate(&self, length: usize) -> io::Result<()> {
        let length = length.min(self.length);
        // SAFETY: a range of this part's; this reads its bytes and writes the same ones back.
        Ok(unsafe {
            madvise(
                self.start.as_ptr().cast(),
                length,
                Advice::LinuxPopulateWrite,
            )
        }?)
    }

    /// Number `index` of the part, taken as numbers of eight bytes: for what must be seen by the
    /// next process as it was at any instruction. `None` behind its end.
    pub(crate) fn number(&self, index: usize) -> Option<&AtomicU64> {
        let offset = index.checked_mul(size_of::<AtomicU64>())?;
        if offset.checked_add(size_of::<AtomicU64>())? > self.length {
            return None;
        }
        // SAFETY: in bounds, as checked above.
        let number = unsafe { self.start.add(offset) };
        // SAFETY: aligned because parts begin at a page, valid for any bits; that `bytes` needs
        // this part mutably keeps both from being used at once.
        Some(unsafe { AtomicU64::from_ptr(number.as_ptr().cast()) })
    }

    /// Where it lies and how long it is, for the kernel.
    pub(crate) fn vector(&self) -> libc::iovec {
        libc::iovec {
            iov_base: self.start.as_ptr().cast(),
            iov_len: self.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::atomic::Ordering;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn parts_are_the_files_bytes_one_after_the_other() {
        let file = memfd_create("shared", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 12288).unwrap();
        let mut parts = map(file.as_fd(), &[4096, 8192], false).unwrap();
        parts[1].bytes()[0] = 7;
        parts[0].number(1).unwrap().store(9, Ordering::Release);
        assert!(parts[0].number(511).is_some() && parts[0].number(512).is_none());
        let mut again = map(file.as_fd(), &[12288], false).unwrap();
        assert_eq!(again[0].bytes()[4096], 7);
        assert_eq!(again[0].bytes()[8..16], 9_u64.to_ne_bytes());
        drop(parts);
        assert_eq!(again[0].bytes()[4096], 7, "a mapping of its own");
    }

    #[test]
    fn the_fixed_address_is_taken_by_one_only() {
        let file = memfd_create("shared", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 4096).unwrap();
        let first = map(file.as_fd(), &[4096], true).unwrap();
        assert_eq!(first[0].vector().iov_base.addr(), ADDRESS.get());
        assert!(map(file.as_fd(), &[4096], true).is_err());
        drop(first);
        assert!(map(file.as_fd(), &[4096], true).is_ok());
    }
}
