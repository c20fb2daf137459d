//! The only unsafe code of the benchmark: reading a file through a mapping.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Size of a page; where pages are larger, some are looked at more than once.
const PAGE: usize = 4096;

/// Maps a file and looks at one byte of each page; answers the sum of them, so that nobody leaves the
/// looking out, and how many bytes were mapped.
///
/// # Errors
/// Those of mmap(2).
pub(crate) fn touch(file: &File) -> io::Result<(u64, u64)> {
    // SAFETY: the file belongs to the benchmark, and nobody makes it shorter while it runs; what is
    // read are bytes that may have any value.
    let map = unsafe { Mmap::map(file)? };
    let sum = map.iter().step_by(PAGE).map(|byte| u64::from(*byte)).sum();
    Ok((sum, map.len() as u64))
}
