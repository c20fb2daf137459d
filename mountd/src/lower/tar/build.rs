//! From an image to a finished index.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::atomic::AtomicFile;
use super::copies::Copies;
use super::error::{ImageError, ScanError};
use super::explain::{Failure, Scene, remedy_for};
use super::format::{Codec, FilePlace, Fingerprint, IndexHeader};
use super::image::{Contents, Image};
use super::inside;
use super::pass::Pass;
use super::plan::{self, Main, Outcome};
use super::progress::{Meter, Progress};
use super::recognise::{Found, recognise};
use super::sidecar::copy_file;
use super::stored::Stored;
use super::wrapping;
use super::write::{IndexWriter, Texts};

/// Builds the index of `image` at `index`.
pub(super) fn build(
    image: &Image,
    index: &Path,
    progress: &mut dyn Progress,
) -> Result<(), ImageError> {
    let main = main_of(image)?;
    let job = Job {
        image,
        index,
        main,
        mode: index_permissions(image.main()),
    };
    let mut copies = Copies::default();
    loop {
        match job.run(&mut copies, progress) {
            Ok(()) => return Ok(()),
            Err(failure) => {
                if !(matches!(failure.error, ScanError::NeedsCopy) && copies.learn()) {
                    let refusal = inside::refusal(image, &job.main, &failure);
                    return Err(refusal.unwrap_or_else(|| job.scene().explain(failure)));
                }
            }
        }
    }
}

/// What can be told of the main file without a scan.
fn main_of(image: &Image) -> Result<Main, ImageError> {
    let read = |error| ImageError::reading(image.path(), error);
    let fingerprint = Fingerprint::of(image.main()).map_err(read)?;
    if *image.contents() == Contents::Layout {
        return Ok(Main {
            fingerprint,
            ..Default::default()
        });
    }
    let scene = Scene {
        image: image.path(),
        index: image.path(),
        image_bytes: fingerprint.size,
        codec: Codec::Plain,
    };
    let header = wrapping::header(image.main());
    let header = header.map_err(|error| scene.explain(error.into()))?;
    let found = recognise(image.main(), header.bytes).map_err(read)?;
    Ok(Main {
        fingerprint,
        codec: codec_of(image.path(), found)?,
        header,
    })
}

/// The compression of the archive that was found, or why it cannot be read.
fn codec_of(image: &Path, found: Found) -> Result<Codec, ImageError> {
    let path = image.to_path_buf();
    match found {
        Found::Archive(codec) => Ok(codec),
        Found::Compression { what, remedy } => Err(ImageError::UnsupportedCompression {
            path,
            what: what.to_owned(),
            remedy: remedy_for(image, remedy),
        }),
        Found::Other { what, remedy } => Err(ImageError::NotArchive {
            path,
            what: what.to_owned(),
            remedy: remedy_for(image, remedy),
        }),
    }
}

/// An index tells names and attributes, and parts of the contents of a compressed archive: only
/// who may read the archive may read it.
pub(super) fn index_permissions(archive: &File) -> u32 {
    let everyone = archive
        .metadata()
        .is_ok_and(|metadata| metadata.mode() & 0o004 != 0);
    if everyone { 0o644 } else { 0o600 }
}

struct Job<'j> {
    image: &'j Image,
    index: &'j Path,
    main: Main,
    mode: u32,
}

impl Job<'_> {
    fn scene(&self) -> Scene<'_> {
        Scene {
            image: self.image.path(),
            index: self.index,
            image_bytes: self.main.fingerprint.size,
            codec: self.main.codec,
        }
    }

    fn run(&self, copies: &mut Copies, progress: &mut dyn Progress) -> Result<(), Failure> {
        let write = |error| Failure::from(ScanError::Write(error));
        let target = AtomicFile::create(self.index, self.mode).map_err(write)?;
        let file = target.file().try_clone().map_err(write)?;
        let writer = IndexWriter::new(file).map_err(write)?;
        let meter = Meter::start(progress, self.main.fingerprint.size);
        let mut pass = Pass::new(writer, self.index, self.mode, copies, &meter);
        let outcome = plan::scan(self.image, &self.main, &mut pass)?;
        if meter.entries() == 0 {
            return Err(ScanError::Empty.into());
        }
        pass.check_unchanged()?;
        let copy = pass.finish_copy()?;
        let header = IndexHeader {
            kind: outcome.kind,
            image_bytes: image_bytes(&pass.stored),
            entries: meter.entries(),
            codec: self.main.codec,
            copy_bytes: copy.as_ref().map_or(0, |(_, bytes)| *bytes),
            warnings: outcome.scan.warnings.count,
            ..Default::default()
        };
        finish(pass.writer, outcome, &pass.stored, header).map_err(write)?;
        // The copy first: an index never points into a copy that is not there yet.
        match copy {
            Some((copy, _)) => copy.commit().map_err(write)?,
            None => drop(std::fs::remove_file(copy_file(self.index))),
        }
        target.commit().map_err(write)
    }
}

fn finish(
    writer: IndexWriter,
    outcome: Outcome,
    stored: &Stored,
    header: IndexHeader,
) -> std::io::Result<u64> {
    let texts = Texts {
        warnings: outcome.scan.warnings.kept.join("\n"),
        notes: outcome.notes.join("\n"),
    };
    writer.finish(outcome.scan.tree, stored, &texts, header)
}

fn image_bytes(stored: &Stored) -> u64 {
    let files = stored.files.iter().map(|(record, _)| record);
    files
        .filter(|record| record.place != FilePlace::Copy)
        .map(|record| record.fingerprint.size)
        .sum()
}
