//! `FS_IOC_FIEMAP`: which parts of a file have space, written to or only allocated ahead.
#![allow(unsafe_code)]

use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::ioctl::{self, Opcode, Updater, opcode};

/// Extents that are asked for at once.
const BATCH: usize = 32;

/// `FIEMAP_EXTENT_LAST`: no extent of the file comes after this one.
const LAST: u32 = 1;

/// `struct fiemap` of `linux/fiemap.h`, without its extents.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_too: [u32; 3],
}

#[repr(C)]
struct Request {
    header: Header,
    extents: [Extent; BATCH],
}

const FIEMAP: Opcode = opcode::read_write::<Header>(b'f', 11);

/// Calls `sink` with each part of `range` of `file` that has space, in order. Parts may begin before
/// the range and end after it.
///
/// # Errors
/// `OPNOTSUPP` where the file system does not tell; else those of the kernel.
pub(crate) fn each(
    file: BorrowedFd<'_>,
    range: Range<u64>,
    sink: &mut dyn FnMut(Range<u64>),
) -> Result<(), Errno> {
    let mut at = range.start;
    while at < range.end {
        let mut request = Request {
            header: Header {
                start: at,
                length: range.end - at,
                flags: 0,
                mapped: 0,
                count: u32::try_from(BATCH).unwrap_or(0),
                reserved: 0,
            },
            extents: [Extent::default(); BATCH],
        };
        // SAFETY: the opcode is that of FIEMAP, whose argument is a header and as many extents as
        // the header says there is room for, which is what a request is.
        let call = unsafe { Updater::<FIEMAP, Request>::new(&mut request) };
        // SAFETY: the kernel writes to nothing but the request, which outlives the call.
        unsafe { ioctl::ioctl(file, call) }?;
        let mapped = usize::try_from(request.header.mapped).unwrap_or(0);
        let extents = request.extents.get(..mapped).unwrap_or(&request.extents);
        let mut last = extents.is_empty();
        for extent in extents {
            let end = extent.logical.saturating_add(extent.length);
            sink(extent.logical..end);
            last |= extent.flags & LAST != 0 || end <= at;
            at = at.max(end);
        }
        if last {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use rustix::fs::FallocateFlags;

    use super::*;

    #[test]
    fn what_has_space_is_told_whether_it_was_written_to_or_not() {
        let file = tempfile::tempfile().unwrap();
        for number in 0..100 {
            file.write_all_at(&[1; 4096], number * 65_536).unwrap();
        }
        let ahead = 10_000_000 - 10_000_000 % 65_536;
        let flags = FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, flags, ahead, 65_536).unwrap();
        let mut parts = Vec::new();
        let told = each(file.as_fd(), 65_536..20_000_000, &mut |part| {
            parts.push(part)
        });
        if told == Err(Errno::OPNOTSUPP) {
            eprintln!("SKIPPED: the file system of temporary files does not tell extents");
            return;
        }
        told.unwrap();
        let expected = (1..100).map(|number| number * 65_536..number * 65_536 + 4096);
        let expected: Vec<_> = expected
            .chain(std::iter::once(ahead..ahead + 65_536))
            .collect();
        assert_eq!(parts, expected);
    }
}
