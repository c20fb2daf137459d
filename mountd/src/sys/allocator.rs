//! How this process gets memory from the kernel.
#![allow(unsafe_code)]

/// Has the allocator keep little of what is given back to it.
///
/// The tables of what the kernel knows are made anew when they grow. Left to itself, glibc learns
/// from the first large block that is given back to keep all of that size, and has a heap for
/// nearly each thread; in these are then holes as large together as what is in use (`mallopt(3)`).
/// Other C libraries do neither.
pub(crate) fn keep_little() {
    #[cfg(target_env = "gnu")]
    {
        /// Blocks of so many bytes are the kernel's as soon as they are not needed.
        const LARGE: libc::c_int = 128 << 10;
        /// Heaps of all threads together.
        const HEAPS: libc::c_int = 4;
        for (option, value) in [(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_ARENA_MAX, HEAPS)] {
            // SAFETY: concerns only what is allocated from now on; the allocator takes its own lock.
            if unsafe { libc::mallopt(option, value) } == 0 {
                log::debug!("the allocator keeps what is given back to it ({option})");
            }
        }
    }
}
