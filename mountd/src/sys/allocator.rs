//! How this process gets memory from the kernel.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

use rustix::mm::{Advice, madvise};

/// The allocator of every program that has the daemon in it.
#[global_allocator]
static ALLOCATOR: ReadyBuffers = ReadyBuffers;

/// Blocks of zeros from this size on are buffers that `fuser` reads requests into, one for each
/// thread (16 MiB and a page).
const BUFFER_LEAST: usize = 16 << 20;
/// How much of such a buffer a request can need: the largest write and its header.
const REQUEST_MOST: usize = (128 << 10) + 4096;

/// The system's allocator, but that the part of a buffer that requests are read into is there before
/// the first one is.
///
/// A thread that is being killed gets no new page. If the kernel is just then copying a request
/// to it, into a page that was never touched, the request fails with `EIO` instead of waiting for the
/// next daemon.
struct ReadyBuffers;

// SAFETY: all is the system allocator's; what is added asks the kernel for pages of a block that
// nobody else knows yet, and changes none of its bytes.
unsafe impl GlobalAlloc for ReadyBuffers {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the rules of `alloc`, which are the same there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; every block is from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { System.alloc_zeroed(layout) };
        if layout.size() >= BUFFER_LEAST && !block.is_null() {
            let start = block.map_addr(|address| address & !4095);
            // SAFETY: pages of a block that is larger than what is asked for; reading and writing
            // back what is in them changes nothing. Kernels before 5.14 refuse it.
            let _ = unsafe { madvise(start.cast(), REQUEST_MOST, Advice::LinuxPopulateWrite) };
        }
        block
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the page that holds the byte at `offset` of `block` is in memory.
    fn is_there(block: &[u8], offset: usize) -> bool {
        let page = block.as_ptr().wrapping_add(offset).map_addr(|a| a & !4095);
        let mut answer = 0;
        // SAFETY: asks about one page of a block that is borrowed; writes one byte.
        let result = unsafe { libc::mincore(page.cast_mut().cast(), 1, &raw mut answer) };
        assert_eq!(result, 0);
        answer & 1 == 1
    }

    #[test]
    fn a_buffer_for_requests_is_there_before_the_first_one() {
        let buffer = vec![0; BUFFER_LEAST + 4096];
        for offset in (0..REQUEST_MOST - 4096).step_by(4096) {
            assert!(is_there(&buffer, offset), "{offset}");
        }
    }
}
