//! What a failed scan means, in words about the image.

use std::path::Path;

use super::error::{ImageError, ScanError, quoted};
use super::format::Codec;

/// What went wrong, and the last entry that was well.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: ScanError,
    pub(super) last_entry: Option<Vec<u8>>,
    /// Which of several archives it was, and its compression.
    pub(super) layer: Option<(String, Codec)>,
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        Self {
            error,
            last_entry: None,
            layer: None,
        }
    }
}

/// Where it went wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'s> {
    pub(super) image: &'s Path,
    pub(super) index: &'s Path,
    pub(super) image_bytes: u64,
    pub(super) codec: Codec,
}

/// A remedy with the image's name in it.
pub(super) fn remedy_for(image: &Path, remedy: &str) -> String {
    remedy.replace("IMAGE", &image.display().to_string())
}

impl Scene<'_> {
    /// The error for the user.
    pub(super) fn explain(&self, failure: Failure) -> ImageError {
        if let Some((layer, codec)) = failure.layer {
            let image = format!("{}, layer {layer},", self.image.display());
            let scene = Scene {
                image: Path::new(&image),
                codec,
                ..*self
            };
            let failure = Failure {
                layer: None,
                ..failure
            };
            return scene.explain(failure);
        }
        let path = self.image.to_path_buf();
        let last = failure.last_entry.as_deref();
        let last_entry = last.map_or_else(|| "none".to_owned(), quoted);
        match failure.error {
            ScanError::Read(error) => ImageError::reading(self.image, error),
            ScanError::Write(error) => ImageError::writing(self.index, error),
            ScanError::Truncated => ImageError::Truncated {
                path,
                offset: self.image_bytes,
                last_entry,
            },
            ScanError::Corrupt { offset, why } => ImageError::Corrupt {
                path,
                offset,
                why,
                last_entry,
            },
            ScanError::Unsupported {
                offset,
                what,
                remedy,
            } => ImageError::Unsupported {
                path,
                what,
                offset,
                remedy,
            },
            ScanError::Compression { what, remedy } => {
                let remedy = remedy_for(self.image, remedy);
                ImageError::UnsupportedCompression { path, what, remedy }
            }
            ScanError::NotTar => ImageError::NotArchive {
                path,
                what: match self.codec {
                    Codec::Plain => "does not begin with a whole tar header".to_owned(),
                    codec => format!("is {codec}-compressed, but no tar archive is inside"),
                },
                remedy: "name the backup of a system".to_owned(),
            },
            ScanError::Empty => ImageError::Empty {
                path,
                what: "the archive has no entries",
            },
            ScanError::Changed(what) => ImageError::Changed { path, what },
            ScanError::TooMany => ImageError::TooManyEntries {
                path,
                limit: super::tree::COUNT_LIMIT as u64,
            },
            ScanError::Unusable { what, remedy } => ImageError::Unusable {
                remedy: remedy_for(self.image, &remedy),
                path,
                what,
            },
            ScanError::TooMuchMemory(most) => ImageError::TooMuchMemory {
                path,
                mebibytes: most >> 20,
            },
            ScanError::Interrupted => ImageError::Interrupted { path },
            // The second pass takes any stretch.
            ScanError::NeedsCopy => ImageError::Corrupt {
                path,
                offset: 0,
                why: "it can be read neither directly nor through a copy".to_owned(),
                last_entry,
            },
        }
    }
}
