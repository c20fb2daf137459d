//! Inflating (RFC 1951) with stops between blocks, and from there on: what reading in the middle
//! of a gzip stream needs.
//!
//! The interface of zlib as `zlib-rs` has it (pure Rust; on the same archive 715 MB/s, where
//! `miniz_oxide` did 448): its safe one tells neither where blocks end nor takes left-over bits.

#![allow(unsafe_code)]

use std::ffi::c_int;

use libz_rs_sys::{
    Z_BLOCK, Z_BUF_ERROR, Z_NO_FLUSH, Z_OK, Z_STREAM_END, inflate, inflateEnd, inflateInit2_,
    inflatePrime, inflateReset, inflateSetDictionary, z_stream, zlibVersion,
};

/// Bare deflate data with a window of 32 KiB.
const RAW: c_int = -15;
/// `data_type`: stopped between two blocks.
const AT_BOUNDARY: c_int = 128;
/// `data_type`: the block that was read last is the last one of the stream, so nothing begins here.
const LAST_BLOCK: c_int = 64;
/// `data_type`: bits of the last byte taken that were not used.
const UNUSED_BITS: c_int = 7;

/// The data make no sense, or there is no memory for decoding them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InflateFault;

/// Why inflating stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The input is used up, or the output full.
    Waiting,
    /// Between two blocks; so many bits of the last byte taken belong to the next one.
    Boundary(u8),
    /// At the end of the deflate stream.
    End,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Bytes taken of the input.
    pub(crate) taken: usize,
    /// Bytes of output made.
    pub(crate) made: usize,
    pub(crate) stop: Stop,
}

/// A deflate stream under way.
pub(crate) struct Inflate {
    /// At one address as long as it lives, which zlib asks for.
    stream: Box<z_stream>,
}

impl Inflate {
    /// At the begin of a stream.
    ///
    /// # Errors
    /// If there is no memory.
    pub(crate) fn new() -> Result<Self, InflateFault> {
        let mut stream = Box::<z_stream>::default();
        let size = size_of::<z_stream>() as c_int;
        let version = zlibVersion();
        // SAFETY: the stream is valid and has its allocator, version and size are the library's.
        let code = unsafe { inflateInit2_(&raw mut *stream, RAW, version, size) };
        if code == Z_OK {
            Ok(Self { stream })
        } else {
            Err(InflateFault)
        }
    }

    /// At the begin of another stream.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn reset(&mut self) -> Result<(), InflateFault> {
        // SAFETY: the stream was set up by `new`.
        check(unsafe { inflateReset(&raw mut *self.stream) })
    }

    /// Goes on between two blocks: with the low `count` (at most 7) of `bits`, and behind
    /// `window`, the output before.
    ///
    /// # Errors
    /// If more bits are named than there are.
    pub(crate) fn enter(&mut self, count: u8, bits: u8, window: &[u8]) -> Result<(), InflateFault> {
        self.reset()?;
        if count > 7 || window.len() > 32 * 1024 {
            return Err(InflateFault);
        }
        let value = c_int::from(bits) & ((1 << count) - 1);
        // SAFETY: the stream was set up by `new`.
        check(unsafe { inflatePrime(&raw mut *self.stream, count.into(), value) })?;
        let length = window.len() as u32;
        // SAFETY: the stream was set up by `new`; the window is valid for its length, and copied.
        check(unsafe { inflateSetDictionary(&raw mut *self.stream, window.as_ptr(), length) })
    }

    /// Inflates until input or output is used up; `at_blocks`: or a block ends.
    ///
    /// # Errors
    /// If the input is no deflate stream.
    pub(crate) fn step(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        at_blocks: bool,
    ) -> Result<Step, InflateFault> {
        let flush = if at_blocks { Z_BLOCK } else { Z_NO_FLUSH };
        let available = u32::try_from(input.len()).unwrap_or(u32::MAX);
        let room = u32::try_from(output.len()).unwrap_or(u32::MAX);
        let stream = &mut *self.stream;
        stream.next_in = input.as_ptr();
        stream.avail_in = available;
        stream.next_out = output.as_mut_ptr();
        stream.avail_out = room;
        // SAFETY: the stream was set up by `new`; both buffers are valid for the lengths given.
        let code = unsafe { inflate(&raw mut *stream, flush) };
        let step = |stop| Step {
            taken: (available - stream.avail_in) as usize,
            made: (room - stream.avail_out) as usize,
            stop,
        };
        match code {
            Z_STREAM_END => Ok(step(Stop::End)),
            Z_OK if at_blocks && stream.data_type & (AT_BOUNDARY | LAST_BLOCK) == AT_BOUNDARY => {
                Ok(step(Stop::Boundary((stream.data_type & UNUSED_BITS) as u8)))
            }
            Z_OK | Z_BUF_ERROR => Ok(step(Stop::Waiting)),
            _ => Err(InflateFault),
        }
    }
}

impl Drop for Inflate {
    fn drop(&mut self) {
        // SAFETY: the stream was set up by `new` and is used no more.
        unsafe { inflateEnd(&raw mut *self.stream) };
    }
}

fn check(code: c_int) -> Result<(), InflateFault> {
    if code == Z_OK {
        Ok(())
    } else {
        Err(InflateFault)
    }
}
