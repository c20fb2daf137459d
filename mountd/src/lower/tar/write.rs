//! Writing an index: the windows while the archive is scanned, all the rest when it is done.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use twox_hash::XxHash3_64;

use crate::types::FileKind;

use super::format::{
    DentryRecord, FLAG_DEVICES, FLAG_XATTRS, FileRecord, HEADER_BYTES, INODE_BYTES, IndexHeader,
    InodeRecord, Section, SectionPlace,
};
use super::order::{names_bytes, sorted_names};
use super::stored::Stored;
use super::tree::{Numbers, ROOT, Tree};
use crate::sys::scratch::Scratch;

/// Level at which windows are packed.
const WINDOW_LEVEL: i32 = 3;

/// Packs a window for an index.
pub(super) fn pack_window(window: &[u8]) -> io::Result<Vec<u8>> {
    ::zstd::bulk::compress(window, WINDOW_LEVEL)
}

/// Texts that go into an index, one statement to a line.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) warnings: String,
    pub(super) notes: String,
}

/// Writes the sections of an index one after the other.
pub(super) struct IndexWriter {
    out: BufWriter<File>,
    at: u64,
    start: u64,
    hash: XxHash3_64,
    header: IndexHeader,
}

impl IndexWriter {
    /// A writer into an empty file. The section of the windows begins at once.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let mut writer = Self {
            out: BufWriter::with_capacity(1 << 20, file),
            at: 0,
            start: HEADER_BYTES as u64,
            hash: XxHash3_64::new(),
            header: IndexHeader::default(),
        };
        writer.put(&[0; HEADER_BYTES])?;
        writer.hash = XxHash3_64::new();
        Ok(writer)
    }

    /// Where windows are in the file, and the file itself, with all windows so far in it.
    pub(super) fn windows(&mut self) -> io::Result<(File, u64)> {
        self.out.flush()?;
        Ok((self.out.get_ref().try_clone()?, self.start))
    }

    /// Stores a packed window; answers its place in the section and its length.
    pub(super) fn window(&mut self, packed: &[u8]) -> io::Result<(u64, u32)> {
        let at = self.at - self.start;
        self.put(packed)?;
        Ok((at, packed.len() as u32))
    }

    /// Writes the tree and everything else, then the header. What the header says beyond that
    /// comes from `header`.
    pub(super) fn finish(
        mut self,
        mut tree: Tree,
        stored: &Stored,
        texts: &Texts,
        header: IndexHeader,
    ) -> io::Result<u64> {
        self.end(Section::Windows)?;
        tree.sweep();
        let order = sorted_names(&mut tree);
        self.dentries(&tree, &order)?;
        self.strings(&tree, &order, stored)?;
        drop(order);
        for record in all_inodes(&tree) {
            self.put(record)?;
        }
        self.end(Section::Inodes)?;
        self.put_all(&tree.extents)?;
        self.end(Section::Extents)?;
        self.put_all(&tree.xattrs)?;
        self.end(Section::Xattrs)?;
        for chunk in &stored.chunks {
            self.put(&chunk.encode())?;
        }
        self.end(Section::Chunks)?;
        self.files(&tree, stored)?;
        for part in &stored.parts {
            self.put(&part.encode())?;
        }
        self.end(Section::Parts)?;
        self.put(texts.warnings.as_bytes())?;
        self.end(Section::Warnings)?;
        self.put(texts.notes.as_bytes())?;
        self.end(Section::Notes)?;
        let sections = self.header.sections;
        let first_free = tree.inodes.len() as u64 + 1;
        let header = IndexHeader {
            file_bytes: self.at,
            flags: flags(&tree),
            stream_bytes: stored.stream_bytes(),
            first_free,
            sections,
            ..header
        };
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header.encode())?;
        self.out.flush()?;
        Ok(header.file_bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.write(bytes);
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn put_all(&mut self, scratch: &Scratch) -> io::Result<()> {
        /// Not more than that of a scratch file is in memory.
        const PIECE: usize = 64 << 10;
        for at in (0..scratch.len()).step_by(PIECE) {
            let length = PIECE.min(scratch.len() - at);
            self.put(scratch.get(at, length).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Ends the section being written; the next one begins at a multiple of eight.
    fn end(&mut self, section: Section) -> io::Result<()> {
        let bytes = self.at - self.start;
        let place = SectionPlace {
            offset: self.start,
            bytes,
            hash: self.hash.finish(),
        };
        if let Some(slot) = self.header.sections.get_mut(section as usize) {
            *slot = place;
        }
        let padding = self.at.next_multiple_of(8) - self.at;
        self.put(&[0; 8][..padding as usize])?;
        self.start = self.at;
        self.hash = XxHash3_64::new();
        Ok(())
    }

    fn dentries(&mut self, tree: &Tree, order: &Numbers) -> io::Result<()> {
        let mut at = 0;
        for name in order.iter().filter_map(|place| tree.names.get(place)) {
            let record = DentryRecord {
                name: at,
                parent: name.parent,
                inode: name.inode,
                name_bytes: u16::from(name.bytes),
                kind: (tree.inodes.mode(name.inode).unwrap_or_default() >> 12) as u8,
            };
            at += u64::from(name.bytes);
            self.put(&record.encode())?;
        }
        self.end(Section::Dentries)
    }

    fn strings(&mut self, tree: &Tree, order: &Numbers, stored: &Stored) -> io::Result<()> {
        for name in order.iter().filter_map(|place| tree.names.get(place)) {
            self.put(tree.names.text(&name))?;
        }
        self.put_all(&tree.targets)?;
        for (_, path) in &stored.files {
            self.put(path)?;
        }
        self.end(Section::Strings)
    }

    fn files(&mut self, tree: &Tree, stored: &Stored) -> io::Result<()> {
        let mut at = names_bytes(tree) + tree.targets.len() as u64;
        for (record, path) in &stored.files {
            let record = FileRecord {
                path: at,
                path_bytes: path.len() as u32,
                ..*record
            };
            at += path.len() as u64;
            self.put(&record.encode())?;
        }
        self.end(Section::Files)
    }
}

/// What the archive carries at all.
fn flags(tree: &Tree) -> u32 {
    let is_device = |record: &[u8; INODE_BYTES]| {
        let kind = InodeRecord::mode_in(record) >> 12;
        kind == FileKind::CharDevice as u16 || kind == FileKind::BlockDevice as u16
    };
    let xattrs = tree.carries_xattrs();
    let devices = all_inodes(tree).any(is_device);
    (FLAG_XATTRS * u32::from(xattrs)) | (FLAG_DEVICES * u32::from(devices))
}

/// Records of all inodes, by number.
fn all_inodes(tree: &Tree) -> impl Iterator<Item = &[u8; INODE_BYTES]> {
    let numbers = ROOT..=tree.inodes.len() as u32;
    numbers.filter_map(|number| tree.inodes.bytes(number))
}
