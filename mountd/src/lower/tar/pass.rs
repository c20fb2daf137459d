//! Archives of an image into its index, one after the other: the scan of each, and the part of the
//! stream that it becomes.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::atomic::AtomicFile;
use super::container::{Digest, Digesting, NamedFile};
use super::copies::Copies;
use super::entries::{Rules, Scan};
use super::error::ScanError;
use super::explain::Failure;
use super::format::{Codec, FilePlace, FileRecord, Fingerprint};
use super::part_reader::PartReader;
use super::progress::Meter;
use super::seekable::CopyWriter;
use super::sidecar::copy_file;
use super::source::{PlainSource, StoredBytes, Stretch};
use super::stored::{Stored, StoredPlace};
use super::stream::StreamSource;
use super::write::IndexWriter;

/// One pass over all archives of an image.
pub(super) struct Pass<'p, 'm> {
    pub(super) writer: IndexWriter,
    pub(super) stored: Stored,
    pub(super) meter: &'p Meter<'m>,
    files: Vec<File>,
    index: &'p Path,
    mode: u32,
    copies: &'p mut Copies,
    copy: Option<Copy>,
    /// Archives so far.
    count: usize,
}

struct Copy {
    target: AtomicFile,
    writer: CopyWriter,
    /// Its number among the files.
    file: u32,
}

/// An archive, and how it is taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Archive<'d> {
    pub(super) place: StoredPlace,
    pub(super) is_layer: bool,
    pub(super) digest: Option<&'d Digest>,
}

impl<'p, 'm> Pass<'p, 'm> {
    /// A pass that writes the index at `index`, with these permissions.
    pub(super) fn new(
        writer: IndexWriter,
        index: &'p Path,
        mode: u32,
        copies: &'p mut Copies,
        meter: &'p Meter<'m>,
    ) -> Self {
        Self {
            writer,
            stored: Stored::default(),
            meter,
            files: Vec::new(),
            index,
            mode,
            copies,
            copy: None,
            count: 0,
        }
    }

    /// Where the index will be.
    pub(super) fn index(&self) -> &'p Path {
        self.index
    }

    /// Takes in a file that archives are stored in; answers its number.
    pub(super) fn add_file(&mut self, named: NamedFile) -> u32 {
        self.stored.files.push((named.record, named.path));
        self.files.push(named.file);
        self.files.len() as u32 - 1
    }

    /// A file by its number.
    pub(super) fn file(&self, number: u32) -> Result<File, ScanError> {
        let file = self.files.get(number as usize);
        let file = file.map(File::try_clone).transpose();
        let file = file.map_err(ScanError::Read)?;
        file.ok_or(ScanError::Read(std::io::ErrorKind::NotFound.into()))
    }

    /// Scans an archive and makes it the next part of the stream.
    pub(super) fn archive(&mut self, archive: Archive<'_>, scan: &mut Scan) -> Result<(), Failure> {
        let place = archive.place;
        let file = self.file(place.file)?;
        let stretch = Stretch::new(&file, place.offset, place.bytes);
        let rules = Rules {
            is_layer: archive.is_layer,
            base: self.stored.stream_bytes(),
        };
        if place.codec == Codec::Plain {
            scan.archive(&mut PlainSource::reading_ahead(stretch), rules, self.meter)?;
            self.stored.add_part(place, place.bytes, Vec::new());
        } else {
            self.checked(archive, stretch, rules, scan)?;
        }
        self.count += 1;
        self.meter.next_archive(place.bytes);
        Ok(())
    }

    /// Scans an archive that lies within the first part, which is not plain. If it is compressed
    /// itself, it is stored again, decoded.
    pub(super) fn nested(
        &mut self,
        bytes: &dyn StoredBytes,
        offset: u64,
        codec: Codec,
        digest: Option<&Digest>,
        scan: &mut Scan,
    ) -> Result<(), Failure> {
        if codec == Codec::Plain {
            let rules = Rules {
                is_layer: true,
                base: offset,
            };
            scan.archive(&mut PlainSource::new(bytes), rules, self.meter)?;
            self.meter.next_archive(bytes.length());
            return Ok(());
        }
        // Decoders read files; this one has no name and is gone with the pass.
        let file = AtomicFile::create(self.index, self.mode).map_err(ScanError::Write)?;
        unpack(bytes, file.file())?;
        self.copies.add(self.count);
        if self.copy.is_none() {
            self.copy = Some(self.start_copy()?);
        }
        // Behind all others, and only for a while: it is none of the index's.
        self.files
            .push(file.file().try_clone().map_err(ScanError::Write)?);
        let place = StoredPlace {
            file: self.files.len() as u32 - 1,
            codec,
            offset: 0,
            bytes: bytes.length(),
        };
        let archive = Archive {
            place,
            is_layer: true,
            digest,
        };
        let result = self.archive(archive, scan);
        self.files.pop();
        result
    }

    /// Decodes an archive, and computes its digest at the same time, if one is known.
    fn checked(
        &mut self,
        archive: Archive<'_>,
        stretch: Stretch<'_>,
        rules: Rules,
        scan: &mut Scan,
    ) -> Result<(), Failure> {
        let Some(expected) = archive.digest else {
            return self.decoded(archive.place, stretch, rules, scan);
        };
        let stop = AtomicBool::new(false);
        let digesting = Digesting {
            expected,
            bytes: &stretch,
            stop: &stop,
        };
        let holds = std::thread::scope(|scope| {
            let thread = scope.spawn(|| digesting.run());
            let result = self.decoded(archive.place, stretch, rules, scan);
            stop.store(result.is_err(), Ordering::Relaxed);
            let holds = thread.join().unwrap_or(Ok(false));
            result.and(holds.map_err(Failure::from))
        })?;
        if holds {
            return Ok(());
        }
        Err(ScanError::Corrupt {
            offset: 0,
            why: "its contents do not have the digest that the manifest gives".to_owned(),
        }
        .into())
    }

    fn decoded(
        &mut self,
        place: StoredPlace,
        stretch: Stretch<'_>,
        rules: Rules,
        scan: &mut Scan,
    ) -> Result<(), Failure> {
        let copies = self.copies.contains(self.count, &place);
        if copies && self.copy.is_none() {
            self.copy = Some(self.start_copy()?);
        }
        let copy = self.copy.as_mut().filter(|_| copies);
        let (writer, meter) = (&mut self.writer, self.meter);
        let mut windows = |window: &[u8]| writer.window(window).map_err(ScanError::Write);
        let copy = copy.map(|copy| &mut copy.writer);
        let mut source = StreamSource::start(place.codec, stretch, copy, &mut windows, meter)?;
        let scanned = scan.archive(&mut source, rules, meter);
        let finished = scanned.and_then(|()| Ok(source.finish()?));
        let (chunks, stream_bytes, remark) = match finished {
            Ok(finished) => finished,
            Err(failure) => {
                if matches!(failure.error, ScanError::NeedsCopy) {
                    self.copies.note(self.count, place.codec);
                }
                return Err(failure);
            }
        };
        scan.warnings.extend(remark);
        match self.copy.as_mut().filter(|_| copies) {
            None => self.stored.add_part(place, stream_bytes, chunks),
            Some(copy) => {
                let part = copy.writer.end_part().map_err(ScanError::Write)?;
                let place = StoredPlace {
                    file: copy.file,
                    codec: Codec::Zstd,
                    offset: part.offset,
                    bytes: part.bytes,
                };
                self.stored.add_part(place, stream_bytes, part.chunks);
            }
        }
        Ok(())
    }

    fn start_copy(&mut self) -> Result<Copy, ScanError> {
        let target = AtomicFile::create(&copy_file(self.index), self.mode);
        let target = target.map_err(ScanError::Write)?;
        let clone = || target.file().try_clone().map_err(ScanError::Write);
        let writer = CopyWriter::new(clone()?).map_err(ScanError::Write)?;
        // Its fingerprint is known when it is whole.
        let file = self.add_file(NamedFile {
            file: clone()?,
            record: FileRecord {
                place: FilePlace::Copy,
                ..Default::default()
            },
            path: Vec::new(),
        });
        Ok(Copy {
            target,
            writer,
            file,
        })
    }

    /// The first part, to be read anywhere.
    pub(super) fn first_part(&mut self) -> Result<Option<PartReader>, ScanError> {
        let Some(part) = self.stored.parts.first().copied() else {
            return Ok(None);
        };
        let chunks = self.stored.chunks.get(..part.chunks as usize);
        Ok(Some(PartReader {
            file: self.file(part.file)?,
            offset: part.stored_offset,
            codec: part.codec,
            chunks: chunks.unwrap_or_default().to_vec(),
            windows: self.writer.windows().map_err(ScanError::Write)?,
            last: Mutex::new(None),
        }))
    }

    /// Whether all files are as they were when they were taken in.
    pub(super) fn check_unchanged(&self) -> Result<(), ScanError> {
        for (file, (record, _)) in self.files.iter().zip(&self.stored.files) {
            if record.place == FilePlace::Copy {
                continue;
            }
            let now = Fingerprint::of(file).map_err(ScanError::Read)?;
            if let Some(what) = record.fingerprint.difference(&now) {
                return Err(ScanError::Changed(what));
            }
        }
        Ok(())
    }

    /// Ends the copy, if there is one: what is to be renamed into place, and its size.
    pub(super) fn finish_copy(&mut self) -> Result<Option<(AtomicFile, u64)>, ScanError> {
        let Some(copy) = self.copy.take() else {
            return Ok(None);
        };
        let fingerprint = copy.writer.finish().map_err(ScanError::Write)?;
        if let Some((record, _)) = self.stored.files.get_mut(copy.file as usize) {
            record.fingerprint = fingerprint;
        }
        Ok(Some((copy.target, fingerprint.size)))
    }
}

fn unpack(bytes: &dyn StoredBytes, file: &File) -> Result<(), ScanError> {
    use std::os::unix::fs::FileExt;
    let mut piece = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        let count = bytes.read(&mut piece, offset).map_err(ScanError::Read)?;
        if count == 0 {
            return Ok(());
        }
        file.write_all_at(&piece[..count], offset)
            .map_err(ScanError::Write)?;
        offset += count as u64;
    }
}
