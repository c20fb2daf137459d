//! One pass over an archive, from its first byte to a finished index.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::acl::IdTable;
use super::atomic::AtomicFile;
use super::error::{ImageError, ScanError, quoted};
use super::format::{ChunkRecord, Codec, FLAG_COPY, FLAG_XATTRS, Fingerprint, IndexHeader};
use super::gzip::GzipDecoder;
use super::member::{Member, MemberKind};
use super::path;
use super::progress::{Meter, Progress};
use super::recognise::{Found, recognise};
use super::scan::{ArchiveEnd, Scanner};
use super::seekable::{CopyWriter, FinishedCopy};
use super::sidecar::copy_file;
use super::source::{PlainSource, Source};
use super::stream::{Decoder, StreamSource};
use super::tree::Tree;
use super::write::IndexWriter;
use super::zstandard::ZstdDecoder;
use crate::types::FileKind;

/// Most warnings that an index keeps; the others are counted.
const WARNINGS_KEPT: usize = 100;
/// Largest `etc/passwd` or `etc/group` that is read for the names in ACLs.
const TABLE_LIMIT: u64 = 4 << 20;

/// Builds the index of the archive `file`, named `image` in messages, at `index`.
pub(super) fn build(
    image: &Path,
    file: &File,
    index: &Path,
    progress: &mut dyn Progress,
) -> Result<(), ImageError> {
    let read = |error| ImageError::reading(image, error);
    let archive = Fingerprint::of(file).map_err(read)?;
    let codec = match recognise(file).map_err(read)? {
        Found::Archive(codec) => codec,
        Found::Compression { what, remedy } => {
            let (path, remedy) = (image.to_path_buf(), remedy_for(image, remedy));
            return Err(ImageError::UnsupportedCompression {
                path,
                what: what.to_owned(),
                remedy,
            });
        }
        Found::Other { what, remedy } => {
            let (path, remedy) = (image.to_path_buf(), remedy_for(image, remedy));
            return Err(ImageError::NotArchive {
                path,
                what: what.to_owned(),
                remedy,
            });
        }
    };
    let mode = index_permissions(file);
    let job = Job {
        image,
        file,
        index,
        archive,
        codec,
        mode,
    };
    match job.run(false, progress) {
        Err(Failure {
            error: ScanError::NeedsCopy,
            ..
        }) => job
            .run(true, progress)
            .map_err(|failure| job.explain(failure)),
        Err(failure) => Err(job.explain(failure)),
        Ok(()) => Ok(()),
    }
}

/// An index tells names and attributes, and parts of the contents of a compressed archive: only
/// who may read the archive may read it.
fn index_permissions(archive: &File) -> u32 {
    let everyone = archive
        .metadata()
        .is_ok_and(|metadata| metadata.mode() & 0o004 != 0);
    if everyone { 0o644 } else { 0o600 }
}

fn remedy_for(image: &Path, remedy: &str) -> String {
    remedy.replace("IMAGE", &image.display().to_string())
}

struct Job<'j> {
    image: &'j Path,
    file: &'j File,
    index: &'j Path,
    archive: Fingerprint,
    codec: Codec,
    mode: u32,
}

/// What went wrong, and the last entry that was well.
struct Failure {
    error: ScanError,
    last_entry: Option<Vec<u8>>,
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        Self {
            error,
            last_entry: None,
        }
    }
}

/// All that one pass finds out.
struct Pass {
    tree: Tree,
    entries: u64,
    warnings: Warnings,
    chunks: Vec<ChunkRecord>,
    stream_bytes: u64,
}

impl Job<'_> {
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
        let mut pass = self.pass(&mut writer, copy.as_mut(), progress)?;
        let mut header = IndexHeader {
            codec: self.codec,
            archive: self.archive,
            stream_bytes: pass.stream_bytes,
            entries: pass.entries,
            warnings: pass.warnings.count,
            flags: if pass.tree.carries_xattrs() {
                FLAG_XATTRS
            } else {
                0
            },
            ..Default::default()
        };
        if let Some(copy) = copy {
            let FinishedCopy {
                chunks,
                bytes,
                tail,
            } = copy.finish().map_err(write)?;
            pass.chunks = chunks;
            header.flags |= FLAG_COPY;
            (header.copy_bytes, header.copy_tail) = (bytes, tail);
        }
        let warnings = pass.warnings.kept.join("\n");
        writer
            .finish(pass.tree, &pass.chunks, &warnings, header)
            .map_err(write)?;
        self.check_unchanged()?;
        // The copy first: an index never points into a copy that is not there yet.
        match copy_target {
            Some(copy) => copy.commit().map_err(write)?,
            None => drop(std::fs::remove_file(&copy_name)),
        }
        target.commit().map_err(write)
    }

    /// An archive that is still being written would get an index of half of it.
    fn check_unchanged(&self) -> Result<(), Failure> {
        let now = Fingerprint::of(self.file).map_err(ScanError::Read)?;
        match self.archive.difference(&now) {
            Some(what) => Err(ScanError::Changed(what).into()),
            None => Ok(()),
        }
    }

    fn pass(
        &self,
        writer: &mut IndexWriter,
        copy: Option<&mut CopyWriter>,
        progress: &mut dyn Progress,
    ) -> Result<Pass, Failure> {
        let meter = Meter::start(progress, self.archive.size);
        if self.codec == Codec::Plain {
            let mut source = PlainSource::new(self.file, self.archive.size);
            let mut pass = self.scan(&mut source, &meter)?;
            pass.stream_bytes = self.archive.size;
            return Ok(pass);
        }
        let decoder: Box<dyn Decoder> = match self.codec {
            Codec::Gzip => Box::new(GzipDecoder::new(self.file)),
            _ => Box::new(ZstdDecoder::new(self.file)),
        };
        let mut windows = |window: &[u8]| writer.window(window).map_err(ScanError::Write);
        let mut source = StreamSource::new(decoder, copy, &mut windows, &meter);
        let mut pass = self.scan(&mut source, &meter)?;
        let (chunks, stream_bytes, remark) = source.finish()?;
        pass.warnings.extend(remark);
        (pass.chunks, pass.stream_bytes) = (chunks, stream_bytes);
        Ok(pass)
    }

    fn scan(&self, source: &mut dyn Source, meter: &Meter<'_>) -> Result<Pass, Failure> {
        let mut scanner = Scanner::new(source);
        let mut scan = Scan {
            tree: Tree::new(self.archive.mtime),
            warnings: Warnings::default(),
            last_entry: None,
            tables: [IdTable::default(), IdTable::default()],
        };
        if let Err(error) = scan.all(&mut scanner, meter) {
            return Err(Failure {
                error,
                last_entry: scan.last_entry,
            });
        }
        scan.finish(&scanner);
        let Scan { tree, warnings, .. } = scan;
        Ok(Pass {
            tree,
            entries: meter.entries(),
            warnings,
            chunks: Vec::new(),
            stream_bytes: 0,
        })
    }

    fn explain(&self, failure: Failure) -> ImageError {
        let path = self.image.to_path_buf();
        let last = failure.last_entry.as_deref();
        let last_entry = last.map_or_else(|| "none".to_owned(), quoted);
        match failure.error {
            ScanError::Read(error) => ImageError::reading(self.image, error),
            ScanError::Write(error) => ImageError::writing(self.index, error),
            ScanError::Truncated => ImageError::Truncated {
                path,
                offset: self.archive.size,
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
                    Codec::Gzip => "is gzip-compressed, but no tar archive is inside".to_owned(),
                    Codec::Zstd => "is zstd-compressed, but no tar archive is inside".to_owned(),
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

/// A scan under way.
struct Scan {
    tree: Tree,
    warnings: Warnings,
    last_entry: Option<Vec<u8>>,
    /// The image's own users and groups.
    tables: [IdTable; 2],
}

impl Scan {
    fn all(&mut self, scanner: &mut Scanner<'_>, meter: &Meter<'_>) -> Result<(), ScanError> {
        while let Some(member) = scanner.next()? {
            meter.entry(scanner.position())?;
            self.note_table(scanner, &member)?;
            for remark in &member.remarks {
                self.warnings.entry(&member.path, remark);
            }
            let last = self.last_entry.get_or_insert_default();
            last.clear();
            last.extend_from_slice(&member.path);
            if let Err(remark) = self.tree.add(member)? {
                self.warnings.entry(last, &remark);
            }
        }
        if meter.entries() == 0 {
            Err(ScanError::Empty)
        } else {
            Ok(())
        }
    }

    /// Keeps `etc/passwd` and `etc/group`: ACLs may name users without their numbers.
    fn note_table(&mut self, scanner: &mut Scanner<'_>, member: &Member) -> Result<(), ScanError> {
        let names: [&[u8]; 2] = [b"passwd", b"group"];
        for (name, table) in names.into_iter().zip(&mut self.tables) {
            if member.path.ends_with(name)
                && path::components(&member.path).eq([b"etc", name])
                && member.kind == MemberKind::Node(FileKind::Regular)
                && member.data.extents.is_none()
                && member.data.size <= TABLE_LIMIT
            {
                *table = IdTable::parse(scanner.contents(&member.data)?);
            }
        }
        Ok(())
    }

    fn finish(&mut self, scanner: &Scanner<'_>) {
        let [users, groups] = &self.tables;
        let lost = self.tree.settle_acls(users, groups);
        if lost > 0 {
            self.warnings.extend(Some(format!(
                "{lost} ACLs name users or groups that the image does not know, or make no sense; \
                 their files have permission bits only"
            )));
        }
        self.warnings.extend(match scanner.end() {
            Some(ArchiveEnd::Unmarked) => Some(
                "the archive has no end mark: if the backup was interrupted, entries are missing"
                    .to_owned(),
            ),
            Some(ArchiveEnd::AnotherArchive(offset)) => Some(format!(
                "another archive follows behind the end mark at byte {offset}; like tar without \
                 --ignore-zeros, it is not read"
            )),
            Some(ArchiveEnd::Garbage(offset)) => Some(format!(
                "what follows behind the end mark at byte {offset} is no archive"
            )),
            Some(ArchiveEnd::Marked) | None => None,
        });
    }
}

/// The first warnings, and how many there are.
#[derive(Default)]
struct Warnings {
    kept: Vec<String>,
    count: u64,
}

impl Warnings {
    fn entry(&mut self, path: &[u8], remark: &str) {
        self.extend(Some(()).map(|()| format!("{} {remark}", quoted(path))));
    }

    fn extend(&mut self, warning: Option<String>) {
        let Some(warning) = warning else { return };
        self.count += 1;
        if self.kept.len() < WARNINGS_KEPT {
            self.kept.push(warning);
        }
    }
}
