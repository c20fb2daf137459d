//! An index in use: mapped, never parsed or copied.
//!
//! Opening looks at the header and the bounds of the sections only, whatever the size. Every later
//! access checks its own bounds, and what does not fit is [`FsError::Damaged`] for that access.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{FsError, FsResult};
use crate::sys::map::FileMap;
use crate::types::FileKind;

use super::error::{ImageError, IndexFault};
use super::format::{
    ArchiveKind, CHUNK_BYTES, ChunkRecord, Codec, DENTRY_BYTES, DentryRecord, EXTENT_BYTES,
    FILE_BYTES, FILE_PATH_LIMIT, FLAG_DEVICES, FLAG_XATTRS, FileRecord, HEADER_BYTES, HEADER_HASH,
    INODE_BYTES, IndexHeader, InodeRecord, MAGIC, MOST_FILES, PART_BYTES, PartRecord, SECTIONS,
    Section, VERSION, decode_extent, hash,
};
use super::sparse::Extent;

/// Size of the records of each section; 1 where it is bytes.
const RECORD_BYTES: [u64; SECTIONS] = [
    INODE_BYTES as u64,
    DENTRY_BYTES as u64,
    1,
    EXTENT_BYTES as u64,
    1,
    CHUNK_BYTES as u64,
    1,
    1,
    FILE_BYTES as u64,
    PART_BYTES as u64,
    1,
];

/// An open index. See the module's documentation and `docs/index-format.md`.
#[derive(Debug)]
pub struct TarIndex {
    map: FileMap,
    header: IndexHeader,
    path: PathBuf,
}

impl TarIndex {
    /// Maps the index at `path`. Costs the same for an index of any size.
    ///
    /// # Errors
    /// [`ImageError::Index`] if there is none, or if it is of another version or visibly damaged.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let fault = |fault| ImageError::Index {
            path: path.to_path_buf(),
            fault,
        };
        let unreadable = |error: io::Error| fault(IndexFault::Unreadable(error.kind()));
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => fault(IndexFault::Missing),
            _ => unreadable(error),
        })?;
        let length = file.metadata().map_err(unreadable)?.len();
        if length < HEADER_BYTES as u64 {
            return Err(fault(IndexFault::Damaged("it is too short")));
        }
        let map = FileMap::new(&file).map_err(unreadable)?;
        let header = check(&map).map_err(fault)?;
        Ok(Self {
            map,
            header,
            path: path.to_path_buf(),
        })
    }

    /// Reads the whole index and compares the checksum of each section.
    ///
    /// # Errors
    /// [`IndexFault::Damaged`] with the first section that does not match.
    pub fn verify(&self) -> Result<(), IndexFault> {
        let names = [
            "inodes",
            "dentries",
            "strings",
            "extents",
            "attributes",
            "chunks",
            "windows",
            "warnings",
            "files",
            "parts",
            "notes",
        ];
        for (place, name) in self.header.sections.iter().zip(names) {
            let bytes = self
                .map
                .get(place.offset as usize..(place.offset + place.bytes) as usize);
            if bytes.map(hash) != Some(place.hash) {
                return Err(IndexFault::Damaged(name));
            }
        }
        Ok(())
    }

    /// What stands for it, and for no other index.
    pub(super) fn identity(&self) -> u64 {
        hash(self.map.get(..HEADER_BYTES).unwrap_or_default())
    }

    /// Has the kernel read it into the page cache, unless it is very large.
    pub(super) fn read_in(&self) {
        self.map.read_in();
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.header.file_bytes
    }

    /// Entries of the archive, duplicates included.
    pub fn entries(&self) -> u64 {
        self.header.entries
    }

    /// What the image is made of.
    pub fn kind(&self) -> ArchiveKind {
        self.header.kind
    }

    /// Compression of the image's main file.
    pub fn codec(&self) -> Codec {
        self.header.codec
    }

    /// Length of all that is in the image, without compression.
    pub fn stream_bytes(&self) -> u64 {
        self.header.stream_bytes
    }

    /// Size of the image's files when they were indexed.
    pub fn archive_bytes(&self) -> u64 {
        self.header.image_bytes
    }

    /// Whether any entry of the archive carries extended attributes or ACLs. One that carries none
    /// has lost the capabilities and labels of the system that it was made from.
    pub fn carries_xattrs(&self) -> bool {
        self.header.flags & FLAG_XATTRS != 0
    }

    /// Whether any inode of the archive is a device. Where none is, what made the archive most
    /// likely could not store them.
    pub fn carries_devices(&self) -> bool {
        self.header.flags & FLAG_DEVICES != 0
    }

    /// Size of the seekable copy that contents are read from, if there is one.
    pub fn seekable_copy(&self) -> Option<u64> {
        (self.header.copy_bytes > 0).then_some(self.header.copy_bytes)
    }

    /// The first warnings of the scan.
    pub fn warnings(&self) -> Vec<String> {
        self.lines(Section::Warnings)
    }

    /// What the image is, beyond its kind: a container's name, its platform and the like.
    pub fn notes(&self) -> Vec<String> {
        self.lines(Section::Notes)
    }

    fn lines(&self, section: Section) -> Vec<String> {
        let text = String::from_utf8_lossy(self.section(section));
        text.lines().map(str::to_owned).collect()
    }

    /// How many warnings the scan had in all.
    pub fn warning_count(&self) -> u64 {
        self.header.warnings
    }

    pub(super) fn header(&self) -> &IndexHeader {
        &self.header
    }

    /// Bytes of a section, whose bounds were checked when the index was opened.
    fn section(&self, section: Section) -> &[u8] {
        let place = &self.header.sections[section as usize];
        let (start, end) = (place.offset as usize, (place.offset + place.bytes) as usize);
        self.map.get(start..end).unwrap_or_default()
    }

    fn record<const N: usize>(&self, section: Section, number: u64) -> FsResult<&[u8; N]> {
        let start = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(N));
        start
            .and_then(|start| self.section(section).get(start..)?.first_chunk())
            .ok_or(FsError::Damaged)
    }

    fn bytes(&self, section: Section, offset: u64, length: u64) -> FsResult<&[u8]> {
        let end = offset.checked_add(length).ok_or(FsError::Damaged)?;
        self.section(section)
            .get(offset as usize..end as usize)
            .ok_or(FsError::Damaged)
    }

    /// The inode with this number.
    pub(super) fn inode(&self, number: u64) -> FsResult<InodeRecord> {
        if number == 0 || number >= self.header.first_free {
            return Err(FsError::Stale);
        }
        let record = InodeRecord::decode(self.record(Section::Inodes, number - 1)?);
        if record.mode == 0 {
            return Err(FsError::Stale);
        }
        Ok(record)
    }

    /// The inode with this number, which must be a directory, as the range of its dentries.
    pub(super) fn directory(&self, number: u64) -> FsResult<std::ops::Range<u64>> {
        let record = self.inode(number)?;
        if record.kind()? != FileKind::Directory {
            return Err(FsError::NotDirectory);
        }
        let end = record
            .data
            .checked_add(u64::from(record.count))
            .ok_or(FsError::Damaged)?;
        let all = self.section(Section::Dentries).len() as u64 / DENTRY_BYTES as u64;
        if end > all {
            return Err(FsError::Damaged);
        }
        Ok(record.data..end)
    }

    /// A dentry by its place.
    pub(super) fn dentry(&self, number: u64) -> FsResult<DentryRecord> {
        Ok(DentryRecord::decode(
            self.record(Section::Dentries, number)?,
        ))
    }

    /// The name of a dentry.
    pub(super) fn name(&self, dentry: &DentryRecord) -> FsResult<&[u8]> {
        self.bytes(Section::Strings, dentry.name, u64::from(dentry.name_bytes))
    }

    /// The dentry of `name` in the directory with this number.
    pub(super) fn find(&self, directory: u64, name: &[u8]) -> FsResult<Option<DentryRecord>> {
        let mut range = self.directory(directory)?;
        while !range.is_empty() {
            let middle = range.start + (range.end - range.start) / 2;
            let dentry = self.dentry(middle)?;
            match self.name(&dentry)?.cmp(name) {
                std::cmp::Ordering::Equal => return Ok(Some(dentry)),
                std::cmp::Ordering::Less => range.start = middle + 1,
                std::cmp::Ordering::Greater => range.end = middle,
            }
        }
        Ok(None)
    }

    /// Target of a symbolic link.
    pub(super) fn target(&self, record: &InodeRecord) -> FsResult<&[u8]> {
        self.bytes(Section::Strings, record.data, record.size)
    }

    /// Number of extents of a sparse file that are there.
    pub(super) fn check_extents(&self, record: &InodeRecord) -> FsResult<()> {
        let all = self.section(Section::Extents).len() as u64 / EXTENT_BYTES as u64;
        match record.data.checked_add(u64::from(record.count)) {
            Some(end) if end <= all => Ok(()),
            _ => Err(FsError::Damaged),
        }
    }

    /// An extent by its place.
    pub(super) fn extent(&self, number: u64) -> FsResult<Extent> {
        Ok(decode_extent(self.record(Section::Extents, number)?))
    }

    /// Calls `visit` for each extended attribute, until it answers false.
    pub(super) fn xattrs<'i>(
        &'i self,
        record: &InodeRecord,
        mut visit: impl FnMut(&'i [u8], &'i [u8]) -> bool,
    ) -> FsResult<()> {
        let Some(at) = record.xattrs.checked_sub(1) else {
            return Ok(());
        };
        let at = usize::try_from(at).map_err(|_| FsError::Damaged)?;
        let mut rest = self
            .section(Section::Xattrs)
            .get(at..)
            .ok_or(FsError::Damaged)?;
        // Each turn takes eight bytes at least, so a wrong count ends with the section.
        for _ in 0..take_u32(&mut rest)? {
            let (name_bytes, value_bytes) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
            let name = take(&mut rest, name_bytes)?;
            let value = take(&mut rest, value_bytes)?;
            if !visit(name, value) {
                break;
            }
        }
        Ok(())
    }

    /// How many files contents are read from.
    pub(super) fn file_count(&self) -> Result<u64, ImageError> {
        let count = self.count(Section::Files, FILE_BYTES);
        if (1..=MOST_FILES).contains(&count) {
            Ok(count)
        } else {
            Err(self.damaged("its count of files makes no sense"))
        }
    }

    /// A file that contents are read from, and its path.
    pub(super) fn file(&self, number: u64) -> Result<(FileRecord, &[u8]), ImageError> {
        let damaged = || self.damaged("what it says of its files makes no sense");
        let bytes = self.record(Section::Files, number);
        let record = bytes.ok().and_then(FileRecord::decode);
        let record = record.filter(|record| record.path_bytes <= FILE_PATH_LIMIT);
        let record = record.ok_or_else(damaged)?;
        let path = self.bytes(Section::Strings, record.path, record.path_bytes.into());
        Ok((record, path.map_err(|_| damaged())?))
    }

    fn damaged(&self, what: &'static str) -> ImageError {
        ImageError::Index {
            path: self.path.clone(),
            fault: IndexFault::Damaged(what),
        }
    }

    fn count(&self, section: Section, record_bytes: usize) -> u64 {
        (self.section(section).len() / record_bytes) as u64
    }

    /// The part that holds the byte at `offset` of the stream.
    pub(super) fn part_at(&self, offset: u64) -> FsResult<PartRecord> {
        let part = |number| {
            PartRecord::decode(self.record(Section::Parts, number)?).ok_or(FsError::Damaged)
        };
        let parts = 0..self.count(Section::Parts, PART_BYTES);
        let number = last_before(parts, |number| Ok(part(number)?.stream_offset <= offset))?;
        let part = part(number)?;
        let from = offset.checked_sub(part.stream_offset);
        if from.is_some_and(|from| from < part.stream_bytes) {
            Ok(part)
        } else {
            Err(FsError::Damaged)
        }
    }

    /// The chunk of a part that holds the byte at `offset` of it, and its number in the table.
    pub(super) fn chunk_at(&self, part: &PartRecord, offset: u64) -> FsResult<(u64, ChunkRecord)> {
        let end = part.first_chunk.checked_add(part.chunks);
        let chunks = part.first_chunk..end.ok_or(FsError::Damaged)?;
        let number = last_before(chunks, |number| {
            Ok(self.chunk(number)?.stream_offset <= offset)
        })?;
        let chunk = self.chunk(number)?;
        let from = offset.checked_sub(chunk.stream_offset);
        if from.is_some_and(|from| from < u64::from(chunk.length)) {
            Ok((number, chunk))
        } else {
            Err(FsError::Damaged)
        }
    }

    /// A chunk by its number.
    pub(super) fn chunk(&self, number: u64) -> FsResult<ChunkRecord> {
        Ok(ChunkRecord::decode(self.record(Section::Chunks, number)?))
    }

    /// How many chunks there are, of all parts.
    pub(super) fn chunk_count(&self) -> u64 {
        self.count(Section::Chunks, CHUNK_BYTES)
    }

    /// The part that a chunk is of.
    pub(super) fn part_of_chunk(&self, number: u64) -> FsResult<PartRecord> {
        for part in 0..self.count(Section::Parts, PART_BYTES) {
            let record = self.record(Section::Parts, part)?;
            let part = PartRecord::decode(record).ok_or(FsError::Damaged)?;
            let from = number.checked_sub(part.first_chunk);
            if from.is_some_and(|from| from < part.chunks) {
                return Ok(part);
            }
        }
        Err(FsError::Damaged)
    }

    /// The packed window that a chunk begins with.
    pub(super) fn window(&self, chunk: &ChunkRecord) -> FsResult<&[u8]> {
        self.bytes(
            Section::Windows,
            chunk.window_offset,
            u64::from(chunk.window_bytes),
        )
    }
}

impl InodeRecord {
    /// The type of the file.
    pub(super) fn kind(&self) -> FsResult<FileKind> {
        FileKind::from_mode(u32::from(self.mode)).ok_or(FsError::Damaged)
    }
}

/// The last number of a range for which `is_before` holds, which holds for none behind one that it
/// does not hold for.
fn last_before(
    mut range: std::ops::Range<u64>,
    is_before: impl Fn(u64) -> FsResult<bool>,
) -> FsResult<u64> {
    let first = range.start;
    while range.start < range.end {
        let middle = range.start + (range.end - range.start) / 2;
        if is_before(middle)? {
            range.start = middle + 1;
        } else {
            range.end = middle;
        }
    }
    let found = range.start.checked_sub(1);
    found
        .filter(|found| *found >= first)
        .ok_or(FsError::Damaged)
}

fn take<'r>(rest: &mut &'r [u8], length: u32) -> FsResult<&'r [u8]> {
    let (taken, left) = rest
        .split_at_checked(length as usize)
        .ok_or(FsError::Damaged)?;
    *rest = left;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> FsResult<u32> {
    let bytes = take(rest, 4)?;
    Ok(bytes
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes)))
}

fn check(bytes: &[u8]) -> Result<IndexHeader, IndexFault> {
    use IndexFault::Damaged;
    let header = bytes
        .first_chunk::<HEADER_BYTES>()
        .ok_or(Damaged("it is too short"))?;
    if header.first_chunk() != Some(&MAGIC) {
        return Err(Damaged("it does not begin like an index"));
    }
    let word = |at: usize| header.get(at..at + 4).and_then(|word| word.try_into().ok());
    let version = word(8).map_or(0, u32::from_le_bytes);
    if version != VERSION {
        return Err(IndexFault::OtherVersion(version));
    }
    let stored = header
        .last_chunk::<8>()
        .map(|stored| u64::from_le_bytes(*stored));
    if stored != Some(hash(&header[..HEADER_HASH])) {
        return Err(Damaged("the checksum of its header does not hold"));
    }
    let header = IndexHeader::decode(header).ok_or(Damaged("its header makes no sense"))?;
    if header.file_bytes != bytes.len() as u64 {
        return Err(Damaged("its length is not what its header says"));
    }
    for (place, record_bytes) in header.sections.iter().zip(RECORD_BYTES) {
        let end = place.offset.checked_add(place.bytes);
        if end.is_none_or(|end| end > header.file_bytes)
            || !place.bytes.is_multiple_of(record_bytes)
        {
            return Err(Damaged("its sections do not fit into it"));
        }
    }
    let inodes = header.sections[Section::Inodes as usize].bytes / INODE_BYTES as u64;
    if inodes == 0 || header.first_free != inodes + 1 {
        return Err(Damaged("its count of inodes does not fit"));
    }
    Ok(header)
}
