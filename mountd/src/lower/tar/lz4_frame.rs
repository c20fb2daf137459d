//! What is known of an LZ4 frame by its header, and the decoding of one of its blocks.

use lz4_flex::block::decompress_into_with_dict;
use twox_hash::XxHash32;

/// How far back a block may refer.
pub(super) const WINDOW: usize = 64 * 1024;

/// Begins a frame.
pub(super) const MAGIC: u32 = 0x184d_2204;
/// Begins a frame of the first format.
pub(super) const MAGIC_LEGACY: u32 = 0x184c_2102;
/// Of a block's length: it is stored as it is.
pub(super) const UNPACKED: u32 = 1 << 31;

/// Whether this begins a frame that is to be skipped.
pub(super) fn is_skippable(magic: u32) -> bool {
    magic & !0xf == 0x184d_2a50
}

/// Whether this begins a frame of any kind.
pub(super) fn is_magic(word: u32) -> bool {
    word == MAGIC || word == MAGIC_LEGACY || is_skippable(word)
}

/// What has to be known of a frame to read its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Blocks refer to the output of those before.
    pub(super) linked: bool,
    pub(super) block_sums: bool,
    pub(super) content_sum: bool,
    pub(super) legacy: bool,
    /// Longest block in decoded bytes, as the number in the header: 4 is 64 KiB, 7 is 4 MiB.
    size_code: u8,
}

impl Shape {
    /// That of every legacy frame.
    pub(super) const LEGACY: Self = Self {
        linked: false,
        block_sums: false,
        content_sum: false,
        legacy: true,
        size_code: 7,
    };

    /// The shape that a descriptor tells of, its checksum included.
    pub(super) fn read(descriptor: &[u8]) -> Result<Self, &'static str> {
        let (&sum, fields) = descriptor.split_last().ok_or("a frame without a header")?;
        let [flags, sizes, ..] = *fields else {
            return Err("a frame without a header");
        };
        if (XxHash32::oneshot(0, fields) >> 8) as u8 != sum {
            return Err("the checksum of a frame's header does not hold");
        }
        let size_code = sizes >> 4;
        if flags & 0b1100_0010 != 0b0100_0000 || sizes & 0x8f != 0 || size_code < 4 {
            return Err("the header of a frame makes no sense");
        }
        Ok(Self {
            linked: flags & 0x20 == 0,
            block_sums: flags & 0x10 != 0,
            content_sum: flags & 4 != 0,
            legacy: false,
            size_code,
        })
    }

    /// Length of a descriptor that begins with `flags`.
    pub(super) fn descriptor_bytes(flags: u8) -> usize {
        3 + usize::from(flags & 8) + usize::from(flags & 1) * 4
    }

    /// Longest block, in decoded bytes.
    pub(super) fn longest(self) -> usize {
        match self.legacy {
            true => 8 << 20,
            false => 1 << (8 + 2 * self.size_code),
        }
    }

    /// As a chunk record keeps it.
    pub(super) fn bits(self) -> (u8, u8) {
        let bits = u8::from(self.linked)
            | u8::from(self.block_sums) << 1
            | u8::from(self.content_sum) << 2
            | u8::from(self.legacy) << 3;
        (self.size_code, bits)
    }

    /// From what a chunk record keeps.
    pub(super) fn from_bits((size_code, bits): (u8, u8)) -> Self {
        Self {
            linked: bits & 1 != 0,
            block_sums: bits & 2 != 0,
            content_sum: bits & 4 != 0,
            legacy: bits & 8 != 0,
            size_code: size_code.clamp(4, 7),
        }
    }
}

/// Decodes a block into `output`; returns how many bytes it made.
pub(super) fn decode_block(
    word: u32,
    stored: &[u8],
    output: &mut [u8],
    before: &[u8],
) -> Option<usize> {
    if word & UNPACKED == 0 {
        return decompress_into_with_dict(stored, output, before).ok();
    }
    output.get_mut(..stored.len())?.copy_from_slice(stored);
    Some(stored.len())
}
