//! Which decoder a compression has.

use crate::error::{FsError, FsResult};

use super::error::ScanError;
use super::format::{ChunkRecord, Codec};
use super::gzip::{self, GzipDecoder};
use super::lz4::Lz4Decoder;
use super::source::Stretch;
use super::stream::{CHUNK_LIMIT, Decoder};
use super::{bzip2, lz4_chunk, xz, zstandard};

/// A decoder of all that is `stored`; `copying`: everything is copied, chunks do not matter.
///
/// # Errors
/// [`ScanError::NeedsCopy`] if it is clear that there will be no chunks; those of reading.
pub(super) fn decoder<'f>(
    codec: Codec,
    stored: Stretch<'f>,
    copying: bool,
) -> Result<Box<dyn Decoder + 'f>, ScanError> {
    Ok(match codec {
        Codec::Plain => return Err(ScanError::NotTar),
        Codec::Gzip => Box::new(GzipDecoder::new(stored)?),
        Codec::Zstd => zstandard::decoder(stored, copying),
        Codec::Xz => xz::decoder(stored, copying)?,
        Codec::Bzip2 => bzip2::decoder(stored, copying),
        Codec::Lz4 => Box::new(Lz4Decoder::new(stored)),
    })
}

/// What a chunk of a compression may decode to at most.
pub(super) fn chunk_limit(codec: Codec) -> u64 {
    match codec {
        Codec::Bzip2 => bzip2::BLOCK_LIMIT,
        _ => CHUNK_LIMIT,
    }
}

/// Decodes one chunk from its `stored` bytes; `window` is the packed window that it has, if any.
///
/// # Errors
/// [`FsError::Damaged`] if that does not give exactly the chunk's length.
pub(super) fn decode_chunk(
    codec: Codec,
    chunk: &ChunkRecord,
    stored: &[u8],
    window: &[u8],
) -> FsResult<Vec<u8>> {
    match codec {
        Codec::Plain => Err(FsError::Damaged),
        Codec::Gzip => gzip::decode_chunk(chunk, stored, window),
        Codec::Zstd => zstandard::decode_chunk(chunk, stored),
        Codec::Xz => xz::decode_chunk(chunk, stored),
        Codec::Bzip2 => bzip2::decode_chunk(chunk, stored),
        Codec::Lz4 => lz4_chunk::decode_chunk(chunk, stored, window),
    }
}
