//! Which decoder a compression has.

use crate::error::{FsError, FsResult};

use super::format::{ChunkRecord, Codec};
use super::gzip::{self, GzipDecoder};
use super::source::Stretch;
use super::stream::Decoder;
use super::zstandard::{self, ZstdDecoder};

/// A decoder of all that is `stored`; `None` if it is plain.
pub(super) fn decoder<'f>(codec: Codec, stored: Stretch<'f>) -> Option<Box<dyn Decoder + 'f>> {
    Some(match codec {
        Codec::Plain => return None,
        Codec::Gzip => Box::new(GzipDecoder::new(stored)),
        Codec::Zstd => Box::new(ZstdDecoder::new(stored)),
    })
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
    }
}
