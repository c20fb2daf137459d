//! Whether an image is an AIX backup, and what it says about itself, without an index.

use std::path::Path;

use super::codecs;
use super::entries::Entries;
use super::error::{ImageError, ScanError};
use super::format::Codec;
use super::image::Image;
use super::member::{Member, MemberKind};
use super::path;
use super::progress::{Meter, Silent};
use super::recognise::{Found, recognise};
use super::source::{PlainSource, Source, Stretch};
use super::stream::StreamSource;
use crate::lower::aix;
use crate::types::FileKind;

/// How many entries are looked at: `./image.data` is among the first ones.
const ENTRIES: usize = 64;
/// Longest `image.data` that is read.
const LIMIT: u64 = 4 << 20;

/// An AIX backup by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AixBackup {
    /// Contents of its `image.data`, if it has one near its beginning that can be read.
    pub image_data: Option<Vec<u8>>,
}

/// Looks whether `image` is an AIX backup by name, compressed or not; `None` if it is anything else,
/// be it something that cannot be used. Reads the beginning only.
///
/// # Errors
/// If the image cannot be opened or read.
pub fn aix_backup(image: &Path) -> Result<Option<AixBackup>, ImageError> {
    let opened = Image::open(image)?;
    let file = opened.main();
    let reading = |error| ImageError::reading(image, error);
    let length = file.metadata().map_err(reading)?.len();
    let Found::Archive(codec) = recognise(file, 0).map_err(reading)? else {
        return Ok(None);
    };
    let stretch = Stretch::new(file, 0, length);
    let found = match codec {
        Codec::Plain => look(&mut PlainSource::new(stretch)),
        _ => unpacked(codec, stretch, length),
    };
    match found {
        Err(ScanError::Read(error)) => Err(reading(error)),
        // What is damaged is for the index to find out.
        Err(_) => Ok(None),
        Ok(found) => Ok(found),
    }
}

fn unpacked(
    codec: Codec,
    stretch: Stretch<'_>,
    length: u64,
) -> Result<Option<AixBackup>, ScanError> {
    let mut silent = Silent;
    let meter = Meter::start(&mut silent, length);
    let mut windows = |_: &[u8]| Ok((0, 0));
    // In this thread, and no further than is looked at.
    let decoder = codecs::decoder(codec, stretch, true)?;
    look(&mut StreamSource::over(decoder, None, &mut windows, &meter))
}

fn look(source: &mut dyn Source) -> Result<Option<AixBackup>, ScanError> {
    if !aix::is_volume(source.bytes(0, aix::MAGIC_BYTES)?) {
        return Ok(None);
    }
    let image_data = image_data(&mut aix::Scanner::new(source)).unwrap_or_default();
    Ok(Some(AixBackup { image_data }))
}

fn image_data(scanner: &mut dyn Entries) -> Result<Option<Vec<u8>>, ScanError> {
    for _ in 0..ENTRIES {
        let Some(member) = scanner.next()? else { break };
        if is_image_data(&member) {
            let stored = scanner.contents(&member.data)?;
            return Ok(aix::whole(&member.data, stored));
        }
    }
    Ok(None)
}

fn is_image_data(member: &Member) -> bool {
    member.kind == MemberKind::Node(FileKind::Regular)
        && member.data.size <= LIMIT
        && member.data.packed.is_none_or(|stored| stored <= LIMIT)
        && path::components(&member.path).eq([b"image.data"])
}
