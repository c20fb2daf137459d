//! An archive that is still being made: written to its place and indexed in one pass.
//!
//! What comes in is the plain tar stream of a program that makes a backup. It is written as it is,
//! or packed into zstd frames with a seek table; archive and index get their names only when all of
//! it is on the disk. An archive without its end mark is thrown away: the program has failed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use super::atomic::AtomicFile;
use super::entries::{Rules, Scan};
use super::error::{ImageError, ScanError};
use super::explain::{Failure, Scene};
use super::format::{ArchiveKind, Codec, FileRecord, Fingerprint, IndexHeader};
use super::index::TarIndex;
use super::progress::{Meter, Progress};
use super::recognise::{Found, recognise_bytes};
use super::seekable::CopyWriter;
use super::sidecar::{BuildReason, IndexReport, report, side_file};
use super::stored::{Stored, StoredPlace};
use super::stream::{ChunkLog, Decoder, StreamSource};
use super::write::{IndexWriter, Texts};
use crate::types::Timestamp;

/// A backup holds what only root may read.
const MODE: u32 = 0o600;

/// The end mark: two blocks of zeros.
const END_MARK: u64 = 1024;

/// Writes the tar stream `input` to the file `image`, `packed` into seekable zstd frames or as it
/// is, and its index beside it or in `cache_dir`. What `image` was before is replaced at the end.
///
/// # Errors
/// Any [`ImageError`]; none of them leaves anything.
pub fn index_stream(
    input: &mut dyn Read,
    image: &Path,
    packed: bool,
    cache_dir: &Path,
    progress: &mut dyn Progress,
) -> Result<IndexReport, ImageError> {
    let writing = |error| ImageError::writing(image, error);
    let index = side_file(image, cache_dir);
    let archive = AtomicFile::create(image, MODE).map_err(writing)?;
    let target = AtomicFile::create(&index, MODE).map_err(|e| ImageError::writing(&index, e))?;
    let mut making = Making {
        image,
        index: &index,
        file: archive.file(),
        packed,
        began: SystemTime::now(),
    };
    let begin = making.peek(input)?;
    let mut input = begin.as_slice().chain(input);
    making.run(&mut input, target.file(), progress)?;
    archive.commit().map_err(writing)?;
    target
        .commit()
        .map_err(|error| ImageError::writing(&index, error))?;
    Ok(report(&TarIndex::open(&index)?, Some(BuildReason::Missing)))
}

struct Making<'m> {
    image: &'m Path,
    index: &'m Path,
    file: &'m File,
    packed: bool,
    began: SystemTime,
}

impl Making<'_> {
    /// The first bytes, which must be of a plain archive.
    fn peek(&self, input: &mut dyn Read) -> Result<Vec<u8>, ImageError> {
        const LOOK: u64 = 72 << 10;
        let path = || self.image.to_path_buf();
        let mut begin = Vec::new();
        input
            .take(LOOK)
            .read_to_end(&mut begin)
            .map_err(|error| ImageError::reading(Path::new("-"), error))?;
        let remedy = || {
            "give a plain tar stream (tar -cf - ...); it is packed here if the name of the image \
             ends in .zst"
                .to_owned()
        };
        if begin.is_empty() {
            return Err(ImageError::Empty {
                path: path(),
                what: "nothing came in",
            });
        }
        match recognise_bytes(&begin) {
            Found::Archive(Codec::Plain) => Ok(begin),
            Found::Archive(_) | Found::Compression { .. } => {
                Err(ImageError::UnsupportedCompression {
                    path: path(),
                    what: "what comes in is compressed already".to_owned(),
                    remedy: remedy(),
                })
            }
            Found::Other { what, .. } => Err(ImageError::NotArchive {
                path: path(),
                what: what.to_owned(),
                remedy: remedy(),
            }),
        }
    }

    fn run(
        &mut self,
        input: &mut dyn Read,
        index: &File,
        progress: &mut dyn Progress,
    ) -> Result<(), ImageError> {
        let mut trailing = Trailing::default();
        let result = self.pass(input, index, &mut trailing, progress);
        let scene = Scene {
            image: self.image,
            index: self.index,
            image_bytes: trailing.bytes,
            codec: Codec::Plain,
        };
        result.map_err(|failure| scene.explain(failure))?;
        if trailing.zeros < END_MARK {
            return Err(ImageError::Unfinished {
                path: self.image.to_path_buf(),
                bytes: trailing.bytes,
            });
        }
        Ok(())
    }

    fn pass(
        &self,
        input: &mut dyn Read,
        index: &File,
        trailing: &mut Trailing,
        progress: &mut dyn Progress,
    ) -> Result<(), Failure> {
        let write = |error| Failure::from(ScanError::Write(error));
        let writer = IndexWriter::new(index.try_clone().map_err(write)?).map_err(write)?;
        let mut copy = match self.packed {
            true => {
                let file = self.file.try_clone().map_err(write)?;
                Some(CopyWriter::new(file).map_err(write)?)
            }
            false => None,
        };
        let mut scan = Scan::new(timestamp(self.began), self.index);
        let meter = Meter::start(progress, 0);
        let tee = Tee {
            input,
            plain: (!self.packed).then_some(self.file),
            trailing,
            buffer: vec![0; BUFFER].into(),
        };
        // Frames are the writer's own; a plain stream has no chunks.
        let mut no_windows = |_: &[u8]| Ok((0, 0));
        let mut source = StreamSource::over(Box::new(tee), copy.as_mut(), &mut no_windows, &meter);
        scan.archive(&mut source, Rules::default(), &meter)?;
        if meter.entries() == 0 {
            return Err(ScanError::Empty.into());
        }
        let (_, stream_bytes, remark) = source.finish()?;
        scan.warnings.extend(remark);
        let chunks = match copy {
            Some(mut copy) => {
                let part = copy.end_part().map_err(write)?;
                copy.finish().map_err(write)?;
                part.chunks
            }
            None => Vec::new(),
        };
        // Directories without an entry have this time, also if the index is built again.
        self.file.set_modified(self.began).map_err(write)?;
        let fingerprint = Fingerprint::of(self.file).map_err(ScanError::Read)?;
        let codec = if self.packed {
            Codec::Zstd
        } else {
            Codec::Plain
        };
        let stored = stored(fingerprint, codec, stream_bytes, chunks);
        let header = IndexHeader {
            kind: ArchiveKind::Tar,
            image_bytes: fingerprint.size,
            entries: meter.entries(),
            codec,
            warnings: scan.warnings.count,
            ..Default::default()
        };
        drop(meter);
        let texts = Texts {
            warnings: scan.warnings.kept.join("\n"),
            notes: String::new(),
        };
        writer
            .finish(scan.tree, &stored, &texts, header)
            .map(drop)
            .map_err(write)
    }
}

/// The archive as the one part of one file.
fn stored(
    fingerprint: Fingerprint,
    codec: Codec,
    stream_bytes: u64,
    chunks: Vec<super::format::ChunkRecord>,
) -> Stored {
    let mut stored = Stored::default();
    let main = FileRecord {
        fingerprint,
        ..Default::default()
    };
    stored.files.push((main, Vec::new()));
    let place = StoredPlace {
        codec,
        bytes: fingerprint.size,
        ..Default::default()
    };
    stored.add_part(place, stream_bytes, chunks);
    stored
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: since.as_secs().cast_signed(),
        nanoseconds: since.subsec_nanos(),
    }
}

/// Bytes that are read at a time: what a pipe holds, and more.
const BUFFER: usize = 256 << 10;

/// How much came in, and how many zeros were at its end.
#[derive(Debug, Default)]
struct Trailing {
    bytes: u64,
    zeros: u64,
}

impl Trailing {
    fn count(&mut self, bytes: &[u8]) {
        let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
        self.zeros = if zeros == bytes.len() {
            self.zeros + zeros as u64
        } else {
            zeros as u64
        };
        self.bytes += bytes.len() as u64;
    }
}

/// The stream as it comes in, written to `plain` on its way.
struct Tee<'t> {
    input: &'t mut dyn Read,
    plain: Option<&'t File>,
    trailing: &'t mut Trailing,
    buffer: Box<[u8]>,
}

impl Decoder for Tee<'_> {
    fn next(&mut self, _chunks: &mut ChunkLog<'_>) -> Result<Option<&[u8]>, ScanError> {
        let mut filled = 0;
        while filled < self.buffer.len() {
            match self.input.read(&mut self.buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ScanError::Read(error)),
            }
        }
        let bytes = &self.buffer[..filled];
        if bytes.is_empty() {
            return Ok(None);
        }
        self.trailing.count(bytes);
        if let Some(mut file) = self.plain {
            file.write_all(bytes).map_err(ScanError::Write)?;
        }
        Ok(Some(bytes))
    }

    fn position(&self) -> u64 {
        self.trailing.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::tar::{Silent, ensure_index};

    fn archive() -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (name, size) in [("a", 10), ("etc/b", 3 << 20), ("etc/c", 0)] {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o644);
            let contents = vec![7; size as usize];
            builder
                .append_data(&mut header, name, contents.as_slice())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn make(image: &Path, input: &[u8], packed: bool) -> Result<IndexReport, ImageError> {
        let cache = image.parent().unwrap();
        index_stream(&mut &*input, image, packed, cache, &mut Silent)
    }

    #[test]
    fn the_index_is_the_one_that_is_built_afterwards() {
        let temp = tempfile::tempdir().unwrap();
        for packed in [false, true] {
            let image = temp.path().join(format!("image-{packed}"));
            let report = make(&image, &archive(), packed).unwrap();
            assert_eq!(report.entries, 3);
            assert!(
                !ensure_index(&image, temp.path(), &mut Silent)
                    .unwrap()
                    .built
            );
            let made = std::fs::read(&report.path).unwrap();
            let stored = std::fs::read(&image).unwrap();
            if !packed {
                assert_eq!(stored, archive());
            } else {
                assert_eq!(zstd::decode_all(stored.as_slice()).unwrap(), archive());
            }
            std::fs::remove_file(&report.path).unwrap();
            let again = ensure_index(&image, temp.path(), &mut Silent).unwrap();
            assert_eq!(again.stream_bytes, report.stream_bytes);
            if !packed {
                assert_eq!(std::fs::read(&again.path).unwrap(), made);
            }
        }
    }

    #[test]
    fn what_has_no_end_or_no_begin_leaves_nothing() {
        let whole = archive();
        // The end mark alone is missing: it ends between two entries.
        let unmarked = &whole[..whole.len() - 1024];
        for (input, says) in [
            (&b""[..], "nothing came in"),
            (b"hello", "does not begin with a tar header"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "compressed already"),
            (b"\xfd7zXZ\0\0\0", "compressed already"),
            (&whole[..whole.len() / 2], "cut off"),
            (unmarked, "end mark"),
            (&[0; 10240], "no entries"),
        ] {
            for packed in [false, true] {
                let temp = tempfile::tempdir().unwrap();
                let error = make(&temp.path().join("image"), input, packed).unwrap_err();
                assert!(error.to_string().contains(says), "{error}");
                let left = std::fs::read_dir(temp.path()).unwrap().count();
                assert_eq!(left, 0, "{says}");
            }
        }
    }

    #[test]
    fn zeros_are_counted_over_buffers() {
        let mut trailing = Trailing::default();
        for (bytes, zeros) in [(&[1, 0, 0][..], 2), (&[0, 0], 4), (&[0, 1], 0), (&[], 0)] {
            trailing.count(bytes);
            assert_eq!(trailing.zeros, zeros);
        }
        assert_eq!(trailing.bytes, 7);
    }
}
