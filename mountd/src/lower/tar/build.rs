//! One pass over an image, from its first byte to a finished index.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::atomic::AtomicFile;
use super::codecs;
use super::entries::Scan;
use super::error::{ImageError, ScanError};
use super::explain::{Failure, Scene, remedy_for};
use super::format::{ArchiveKind, Codec, FilePlace, FileRecord, Fingerprint, IndexHeader};
use super::image::Image;
use super::progress::{Meter, Progress};
use super::recognise::{Found, recognise};
use super::seekable::{CopyWriter, FinishedCopy};
use super::sidecar::copy_file;
use super::source::{PlainSource, Stretch};
use super::stored::{Stored, StoredPlace};
use super::stream::StreamSource;
use super::write::{IndexWriter, Texts};

/// Builds the index of `image` at `index`.
pub(super) fn build(
    image: &Image,
    index: &Path,
    progress: &mut dyn Progress,
) -> Result<(), ImageError> {
    let path = image.path();
    if image.main_place().0 != FilePlace::Image {
        return Err(ImageError::Directory {
            path: path.to_path_buf(),
        });
    }
    let read = |error| ImageError::reading(path, error);
    let archive = Fingerprint::of(image.main()).map_err(read)?;
    let codec = codec_of(path, recognise(image.main()).map_err(read)?)?;
    let job = Job {
        image,
        index,
        archive,
        codec,
        mode: index_permissions(image.main()),
    };
    match job.run(false, progress) {
        Err(Failure {
            error: ScanError::NeedsCopy,
            ..
        }) => job.run(true, progress),
        other => other,
    }
    .map_err(|failure| job.scene().explain(failure))
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
    archive: Fingerprint,
    codec: Codec,
    mode: u32,
}

impl Job<'_> {
    fn scene(&self) -> Scene<'_> {
        Scene {
            image: self.image.path(),
            index: self.index,
            image_bytes: self.archive.size,
            codec: self.codec,
        }
    }

    fn run(&self, with_copy: bool, progress: &mut dyn Progress) -> Result<(), Failure> {
        let write = |error| Failure::from(ScanError::Write(error));
        let target = AtomicFile::create(self.index, self.mode).map_err(write)?;
        let file = target.file().try_clone().map_err(write)?;
        let mut writer = IndexWriter::new(file).map_err(write)?;
        let copy_name = copy_file(self.index);
        let copy_target = match with_copy {
            true => Some(AtomicFile::create(&copy_name, self.mode).map_err(write)?),
            false => None,
        };
        let mut copy = None;
        if let Some(target) = &copy_target {
            let file = target.file().try_clone().map_err(write)?;
            copy = Some(CopyWriter::new(file).map_err(write)?);
        }
        let mut scan = Scan::new(self.archive.mtime);
        let mut stored = Stored::default();
        let meter = Meter::start(progress, self.archive.size);
        self.archive(&mut writer, copy, &mut scan, &mut stored, &meter)?;
        let header = IndexHeader {
            kind: ArchiveKind::Tar,
            image_bytes: self.archive.size,
            entries: meter.entries(),
            codec: self.codec,
            copy_bytes: copy_bytes(&stored),
            ..Default::default()
        };
        drop(meter);
        self.finish(writer, scan, &stored, header).map_err(write)?;
        self.check_unchanged()?;
        // The copy first: an index never points into a copy that is not there yet.
        match copy_target {
            Some(copy) => copy.commit().map_err(write)?,
            None => drop(std::fs::remove_file(&copy_name)),
        }
        target.commit().map_err(write)
    }

    fn finish(
        &self,
        writer: IndexWriter,
        scan: Scan,
        stored: &Stored,
        header: IndexHeader,
    ) -> std::io::Result<u64> {
        let header = IndexHeader {
            warnings: scan.warnings.count,
            ..header
        };
        let texts = Texts {
            warnings: scan.warnings.kept.join("\n"),
            notes: String::new(),
        };
        writer.finish(scan.tree, stored, &texts, header)
    }

    /// An archive that is still being written would get an index of half of it.
    fn check_unchanged(&self) -> Result<(), Failure> {
        let now = Fingerprint::of(self.image.main()).map_err(ScanError::Read)?;
        match self.archive.difference(&now) {
            Some(what) => Err(ScanError::Changed(what).into()),
            None => Ok(()),
        }
    }

    /// Scans the image as a single archive, which becomes a single part.
    fn archive(
        &self,
        writer: &mut IndexWriter,
        copy: Option<CopyWriter>,
        scan: &mut Scan,
        stored: &mut Stored,
        meter: &Meter<'_>,
    ) -> Result<(), Failure> {
        let stretch = Stretch::new(self.image.main(), 0, self.archive.size);
        let (place, path) = self.image.main_place();
        let main = FileRecord {
            place,
            fingerprint: self.archive,
            ..Default::default()
        };
        stored.files.push((main, path.to_vec()));
        let place = StoredPlace {
            file: 0,
            codec: self.codec,
            offset: 0,
            bytes: stretch.length(),
        };
        let Some(decoder) = codecs::decoder(self.codec, stretch) else {
            scan.archive(&mut PlainSource::new(stretch), meter)?;
            stored.add_part(place, stretch.length(), Vec::new());
            return Ok(());
        };
        let mut windows = |window: &[u8]| writer.window(window).map_err(ScanError::Write);
        let mut copy = copy;
        let mut source = StreamSource::new(decoder, copy.as_mut(), &mut windows, meter);
        scan.archive(&mut source, meter)?;
        let (chunks, stream_bytes, remark) = source.finish()?;
        scan.warnings.extend(remark);
        match copy {
            Some(copy) => add_copy(copy, stream_bytes, stored)?,
            None => stored.add_part(place, stream_bytes, chunks),
        }
        Ok(())
    }
}

/// Finishes a copy of `stream_bytes` of the stream and makes a part of it.
fn add_copy(copy: CopyWriter, stream_bytes: u64, stored: &mut Stored) -> Result<(), ScanError> {
    let FinishedCopy {
        chunks,
        fingerprint,
    } = copy.finish().map_err(ScanError::Write)?;
    let place = StoredPlace {
        file: stored.files.len() as u32,
        codec: Codec::Zstd,
        offset: 0,
        bytes: fingerprint.size,
    };
    let record = FileRecord {
        place: FilePlace::Copy,
        fingerprint,
        ..Default::default()
    };
    stored.files.push((record, Vec::new()));
    stored.add_part(place, stream_bytes, chunks);
    Ok(())
}

fn copy_bytes(stored: &Stored) -> u64 {
    let copies = stored.files.iter().map(|(record, _)| record);
    copies
        .filter(|record| record.place == FilePlace::Copy)
        .map(|record| record.fingerprint.size)
        .sum()
}
