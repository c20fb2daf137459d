//! What is in a compressed file that is no tar archive.

use super::codecs;
use super::error::{ImageError, ScanError};
use super::explain::{Failure, remedy_for};
use super::format::Codec;
use super::image::Image;
use super::plan::Main;
use super::recognise::{Found, LOOK, recognise_bytes};
use super::source::Stretch;
use super::stream::ChunkLog;

/// The refusal of a file whose contents, once unpacked, can be named; `None` for any other
/// failure.
pub(super) fn refusal(image: &Image, main: &Main, failure: &Failure) -> Option<ImageError> {
    let (path, codec) = (image.path(), main.codec);
    if !matches!(failure.error, ScanError::NotTar) || codec == Codec::Plain {
        return None;
    }
    let start = main.header.bytes;
    let length = main.fingerprint.size.checked_sub(start)?;
    let stretch = Stretch::new(image.main(), start, length);
    let Found::Other { what, .. } = recognise_bytes(&begin(codec, stretch)?) else {
        return None;
    };
    let inside = what.strip_prefix("looks like ")?;
    // Programs are called as their formats are.
    let remedy = format!("run \"{codec} -dc IMAGE >NEW\" and use that");
    Some(ImageError::NotArchive {
        path: path.to_path_buf(),
        what: format!("is {codec}-compressed, and inside is what looks like {inside}"),
        remedy: remedy_for(path, &remedy),
    })
}

/// The first bytes of what is stored.
fn begin(codec: Codec, stored: Stretch<'_>) -> Option<Vec<u8>> {
    let mut decoder = codecs::decoder(codec, stored, true).ok()?;
    let mut log = ChunkLog::new(false, None);
    let mut begin = Vec::new();
    while begin.len() < LOOK {
        match decoder.next(&mut log) {
            Ok(Some(bytes)) => begin.extend_from_slice(bytes),
            Ok(None) | Err(_) => break,
        }
    }
    begin.truncate(LOOK);
    Some(begin)
}
