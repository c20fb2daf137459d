//! Writing an index: the windows while the archive is scanned, all the rest when it is done.

use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use twox_hash::XxHash3_64;

use crate::types::FileKind;

use super::format::{
    DentryRecord, FLAG_DEVICES, FLAG_XATTRS, FileRecord, HEADER_BYTES, IndexHeader, Section,
    SectionPlace,
};
use super::order::{Links, Order};
use super::stored::Stored;
use super::tree::{ROOT, Tree};
use crate::sys::scratch::Scratch;

/// Level at which windows are packed.
const WINDOW_LEVEL: i32 = 3;

/// What is written at a time.
const BUFFER: usize = 128 << 10;

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
            out: BufWriter::with_capacity(BUFFER, file),
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
        let order = Order::of(&tree);
        let (links, names) = self.dentries(&tree, &order)?;
        self.strings(&tree, &names, stored)?;
        drop(names);
        let devices = self.inodes(&tree, &order, &links)?;
        drop(order);
        self.put_all(&tree.extents)?;
        self.end(Section::Extents)?;
        self.put_all(&tree.xattrs)?;
        self.end(Section::Xattrs)?;
        for chunk in &stored.chunks {
            self.put(&chunk.encode())?;
        }
        self.end(Section::Chunks)?;
        self.files(&tree, &links, stored)?;
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
            flags: flags(&tree, devices),
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
        scratch.pieces().try_for_each(|piece| self.put(piece))
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

    /// Writes all dentries; answers the bytes of all names, one behind the other.
    fn dentries(&mut self, tree: &Tree, order: &Order) -> io::Result<(Links, Scratch)> {
        let mut links = Links::new(tree);
        let mut names = Scratch::new(tree.scratch.as_deref());
        let mut at = 0;
        order.try_for_each(tree, &mut |name, text| {
            let mode = tree.inodes.mode(name.inode).unwrap_or_default();
            let record = DentryRecord {
                name: links.names_bytes,
                parent: name.parent,
                inode: name.inode,
                name_bytes: u16::from(name.bytes),
                kind: (mode >> 12) as u8,
            };
            links.add(at, name, mode);
            names.push(text);
            at += 1;
            self.put(&record.encode())
        })?;
        self.end(Section::Dentries)?;
        Ok((links, names))
    }

    /// Writes all inodes; answers whether one of them is a device.
    fn inodes(&mut self, tree: &Tree, order: &Order, links: &Links) -> io::Result<bool> {
        let mut devices = false;
        for number in ROOT..=tree.inodes.len() as u32 {
            let record = tree.inodes.get(number).unwrap_or_default();
            let record = links.complete(number, record, order);
            let kind = record.mode >> 12;
            devices |= kind == FileKind::CharDevice as u16 || kind == FileKind::BlockDevice as u16;
            self.put(&record.encode())?;
        }
        self.end(Section::Inodes)?;
        Ok(devices)
    }

    fn strings(&mut self, tree: &Tree, names: &Scratch, stored: &Stored) -> io::Result<()> {
        self.put_all(names)?;
        self.put_all(&tree.targets)?;
        for (_, path) in &stored.files {
            self.put(path)?;
        }
        self.end(Section::Strings)
    }

    fn files(&mut self, tree: &Tree, links: &Links, stored: &Stored) -> io::Result<()> {
        let mut at = links.names_bytes + tree.targets.len() as u64;
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
fn flags(tree: &Tree, devices: bool) -> u32 {
    let xattrs = tree.carries_xattrs();
    (FLAG_XATTRS * u32::from(xattrs)) | (FLAG_DEVICES * u32::from(devices))
}
