//! The bytes of an index file: offsets of the header, layout of the records.
//!
//! `docs/index-format.md` describes the format for readers without this source; what is here is
//! its only implementation. Everything is little-endian, nothing relies on alignment, and a
//! reader takes no length for granted: all decoding here is of fixed-size slices.

use crate::types::Timestamp;

use super::sparse::Extent;

/// First bytes of an index.
pub(super) const MAGIC: [u8; 8] = *b"WPARTIDX";
/// The version that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;
/// Size of the header.
pub(super) const HEADER_BYTES: usize = 512;
/// Where in the header the checksum of the bytes before it stands.
pub(super) const HEADER_HASH: usize = HEADER_BYTES - 8;
/// Size of an inode record.
pub(super) const INODE_BYTES: usize = 96;
/// Size of a dentry record.
pub(super) const DENTRY_BYTES: usize = 24;
/// Size of an extent record.
pub(super) const EXTENT_BYTES: usize = 24;
/// Size of a chunk record.
pub(super) const CHUNK_BYTES: usize = 56;

/// Header flag: at least one entry carried an extended attribute or an ACL.
pub(super) const FLAG_XATTRS: u32 = 1;
/// Header flag: contents are read from the seekable copy, not from the archive.
pub(super) const FLAG_COPY: u32 = 2;

/// Inode flag: the data is described by extent records, what they leave out is a hole.
pub(super) const INODE_SPARSE: u16 = 1;

/// `dentry` of an inode without a name (the root).
pub(super) const NO_DENTRY: u32 = u32::MAX;

/// The parts of an index after its header, in the order of the header's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Section {
    /// Inode records, by number from 1 on.
    Inodes,
    /// Dentry records, by directory and name.
    Dentries,
    /// Names in the order of the dentries, then targets of symbolic links.
    Strings,
    /// Extent records of sparse files.
    Extents,
    /// Sets of extended attributes.
    Xattrs,
    /// Chunk records of a compressed stream.
    Chunks,
    /// Packed windows that chunks start from.
    Windows,
    /// Warnings of the scan, one to a line, in UTF-8.
    Warnings,
}

/// Number of [`Section`]s.
pub(super) const SECTIONS: usize = 8;

/// A place in the header's table of sections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SectionPlace {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// XXH3-64 of its bytes, looked at by a full check only.
    pub(super) hash: u64,
}

/// Compression of the archive file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// None.
    #[default]
    Plain,
    /// Gzip, one or more members.
    Gzip,
    /// Zstandard, one or more frames.
    Zstd,
}

impl Codec {
    fn code(self) -> u32 {
        match self {
            Self::Plain => 0,
            Self::Gzip => 1,
            Self::Zstd => 2,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        [Self::Plain, Self::Gzip, Self::Zstd]
            .into_iter()
            .find(|codec| codec.code() == code)
    }
}

/// What tells one archive file from another (see [`super::fingerprint`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) size: u64,
    pub(super) mtime: Timestamp,
    pub(super) head: u64,
    pub(super) tail: u64,
    pub(super) samples: u64,
}

/// The header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexHeader {
    pub(super) file_bytes: u64,
    pub(super) flags: u32,
    pub(super) codec: Codec,
    pub(super) archive: Fingerprint,
    /// Length of the uncompressed tar stream.
    pub(super) stream_bytes: u64,
    /// Entries of the archive, not counting extended headers.
    pub(super) entries: u64,
    /// One more than the highest number given to an inode.
    pub(super) first_free: u64,
    /// Size of the seekable copy, and XXH3-64 of its last bytes.
    pub(super) copy_bytes: u64,
    pub(super) copy_tail: u64,
    /// Warnings in all; the section holds the first ones.
    pub(super) warnings: u64,
    pub(super) sections: [SectionPlace; SECTIONS],
}

impl IndexHeader {
    /// The header's bytes, checksum included.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut writer = Writer::<HEADER_BYTES>::new();
        writer.bytes(&MAGIC);
        writer.u32(VERSION);
        writer.u32(HEADER_BYTES as u32);
        writer.u64(self.file_bytes);
        writer.u32(self.flags);
        writer.u32(self.codec.code());
        writer.u64(self.archive.size);
        writer.u64(self.archive.mtime.seconds as u64);
        writer.u32(self.archive.mtime.nanoseconds);
        writer.u32(0);
        for value in [
            self.archive.head,
            self.archive.tail,
            self.archive.samples,
            self.stream_bytes,
            self.entries,
            self.first_free,
            self.copy_bytes,
            self.copy_tail,
            self.warnings,
        ] {
            writer.u64(value);
        }
        for section in &self.sections {
            writer.u64(section.offset);
            writer.u64(section.bytes);
            writer.u64(section.hash);
        }
        let mut bytes = writer.out;
        let hash = hash(&bytes[..HEADER_HASH]);
        bytes[HEADER_HASH..].copy_from_slice(&hash.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote; magic, version and checksum are the caller's business.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut reader = Reader {
            rest: bytes.get(16..)?,
        };
        let mut header = Self {
            file_bytes: reader.u64(),
            flags: reader.u32(),
            codec: Codec::from_code(reader.u32())?,
            ..Default::default()
        };
        let size = reader.u64();
        let mtime = Timestamp {
            seconds: reader.u64() as i64,
            nanoseconds: reader.u32(),
        };
        reader.u32();
        let (head, tail, samples) = (reader.u64(), reader.u64(), reader.u64());
        header.archive = Fingerprint {
            size,
            mtime,
            head,
            tail,
            samples,
        };
        header.stream_bytes = reader.u64();
        header.entries = reader.u64();
        header.first_free = reader.u64();
        header.copy_bytes = reader.u64();
        header.copy_tail = reader.u64();
        header.warnings = reader.u64();
        for section in &mut header.sections {
            *section = SectionPlace {
                offset: reader.u64(),
                bytes: reader.u64(),
                hash: reader.u64(),
            };
        }
        Some(header)
    }
}

/// An inode. What `data` and `count` mean depends on the type of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InodeRecord {
    /// `st_mode`: type and permissions; 0 for a number that no longer has an inode.
    pub(super) mode: u16,
    /// [`INODE_SPARSE`].
    pub(super) flags: u16,
    pub(super) nlink: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) rdev: u32,
    /// Directory: number of dentries. Sparse file: number of extents.
    pub(super) count: u32,
    pub(super) size: u64,
    pub(super) blocks: u64,
    /// Directory: its first dentry. File: where its data begins in the tar stream; sparse: its
    /// first extent. Symbolic link: where its target begins in the strings.
    pub(super) data: u64,
    pub(super) mtime: Timestamp,
    pub(super) atime: Timestamp,
    pub(super) ctime: Timestamp,
    /// A dentry that names it.
    pub(super) dentry: u32,
    /// Where its attributes begin in their section, plus one; 0 if it has none.
    pub(super) xattrs: u64,
}

impl InodeRecord {
    /// The record's bytes.
    pub(super) fn encode(&self) -> [u8; INODE_BYTES] {
        let mut writer = Writer::<INODE_BYTES>::new();
        writer.bytes(&self.mode.to_le_bytes());
        writer.bytes(&self.flags.to_le_bytes());
        for value in [self.nlink, self.uid, self.gid, self.rdev, self.count] {
            writer.u32(value);
        }
        for value in [self.size, self.blocks, self.data] {
            writer.u64(value);
        }
        let times = [self.mtime, self.atime, self.ctime];
        times
            .iter()
            .for_each(|time| writer.u64(time.seconds as u64));
        times.iter().for_each(|time| writer.u32(time.nanoseconds));
        writer.u32(self.dentry);
        writer.u64(self.xattrs);
        writer.out
    }

    /// Reads a record.
    pub(super) fn decode(bytes: &[u8; INODE_BYTES]) -> Self {
        let mut reader = Reader { rest: bytes };
        let modes = reader.u32();
        let mut record = Self {
            mode: modes as u16,
            flags: (modes >> 16) as u16,
            ..Default::default()
        };
        record.nlink = reader.u32();
        record.uid = reader.u32();
        record.gid = reader.u32();
        record.rdev = reader.u32();
        record.count = reader.u32();
        record.size = reader.u64();
        record.blocks = reader.u64();
        record.data = reader.u64();
        let times = [&mut record.mtime, &mut record.atime, &mut record.ctime];
        for time in times {
            time.seconds = reader.u64() as i64;
        }
        record.mtime.nanoseconds = reader.u32();
        record.atime.nanoseconds = reader.u32();
        record.ctime.nanoseconds = reader.u32();
        record.dentry = reader.u32();
        record.xattrs = reader.u64();
        record
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DentryRecord {
    /// Where the name begins in the strings.
    pub(super) name: u64,
    /// The directory's number.
    pub(super) parent: u32,
    /// The number of the inode that is named.
    pub(super) inode: u32,
    /// Length of the name.
    pub(super) name_bytes: u16,
    /// Type of the inode, as `S_IFMT` nibble.
    pub(super) kind: u8,
}

impl DentryRecord {
    /// The record's bytes.
    pub(super) fn encode(&self) -> [u8; DENTRY_BYTES] {
        let mut writer = Writer::<DENTRY_BYTES>::new();
        writer.u64(self.name);
        writer.u32(self.parent);
        writer.u32(self.inode);
        writer.bytes(&self.name_bytes.to_le_bytes());
        writer.bytes(&[self.kind]);
        writer.out
    }

    /// Reads a record.
    pub(super) fn decode(bytes: &[u8; DENTRY_BYTES]) -> Self {
        let mut reader = Reader { rest: bytes };
        let (name, parent, inode) = (reader.u64(), reader.u32(), reader.u32());
        let last = reader.u32();
        Self {
            name,
            parent,
            inode,
            name_bytes: last as u16,
            kind: (last >> 16) as u8,
        }
    }
}

/// A stretch of the decoded stream that can be decoded on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChunkRecord {
    /// Where it begins in the tar stream.
    pub(super) stream_offset: u64,
    /// Where its compressed bytes begin in the file.
    pub(super) stored_offset: u64,
    /// How many compressed bytes it needs.
    pub(super) stored_bytes: u64,
    /// XXH3-64 of its decoded bytes.
    pub(super) hash: u64,
    /// Where its window is in the section of the windows, zstd-packed.
    pub(super) window_offset: u64,
    /// Length of the packed window; 0 if it needs none.
    pub(super) window_bytes: u32,
    /// Length of its decoded bytes.
    pub(super) length: u32,
    /// Whether it begins inside a deflate stream.
    pub(super) inside: bool,
    /// How many bits of the byte before `stored_offset` belong to it.
    pub(super) bit_count: u8,
    /// Those bits.
    pub(super) bits: u8,
}

impl ChunkRecord {
    /// The record's bytes.
    pub(super) fn encode(&self) -> [u8; CHUNK_BYTES] {
        let mut writer = Writer::<CHUNK_BYTES>::new();
        for value in [
            self.stream_offset,
            self.stored_offset,
            self.stored_bytes,
            self.hash,
            self.window_offset,
        ] {
            writer.u64(value);
        }
        writer.u32(self.window_bytes);
        writer.u32(self.length);
        writer.bytes(&[u8::from(self.inside), self.bit_count, self.bits]);
        writer.out
    }

    /// Reads a record.
    pub(super) fn decode(bytes: &[u8; CHUNK_BYTES]) -> Self {
        let mut reader = Reader { rest: bytes };
        let mut record = Self {
            stream_offset: reader.u64(),
            stored_offset: reader.u64(),
            stored_bytes: reader.u64(),
            hash: reader.u64(),
            window_offset: reader.u64(),
            window_bytes: reader.u32(),
            length: reader.u32(),
            ..Default::default()
        };
        let [inside, bit_count, bits, _] = reader.u32().to_le_bytes();
        record.inside = inside != 0;
        (record.bit_count, record.bits) = (bit_count, bits);
        record
    }
}

/// An extent record's bytes.
pub(super) fn encode_extent(extent: &Extent) -> [u8; EXTENT_BYTES] {
    let mut writer = Writer::<EXTENT_BYTES>::new();
    writer.u64(extent.file_offset);
    writer.u64(extent.length);
    writer.u64(extent.data_offset);
    writer.out
}

/// Reads an extent record.
pub(super) fn decode_extent(bytes: &[u8; EXTENT_BYTES]) -> Extent {
    let mut reader = Reader { rest: bytes };
    Extent {
        file_offset: reader.u64(),
        length: reader.u64(),
        data_offset: reader.u64(),
    }
}

/// The hash of the format: XXH3-64 with seed 0.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

/// Fills a record from its first byte on; what is left stays zero.
struct Writer<const N: usize> {
    out: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    fn new() -> Self {
        Self { out: [0; N], at: 0 }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.at += bytes.len();
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }
}

/// Reads a record from its first byte on; zeros behind its end.
struct Reader<'r> {
    rest: &'r [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk::<N>() {
            Some((value, rest)) => {
                self.rest = rest;
                *value
            }
            None => [0; N],
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_round_trip() {
        let time = |seconds, nanoseconds| Timestamp {
            seconds,
            nanoseconds,
        };
        let inode = InodeRecord {
            mode: 0o100_755,
            flags: INODE_SPARSE,
            nlink: 2,
            uid: 3,
            gid: 4,
            rdev: 5,
            count: 6,
            size: 7 << 40,
            blocks: 8 << 40,
            data: 9 << 40,
            mtime: time(-10, 11),
            atime: time(12, 13),
            ctime: time(14, 15),
            dentry: 16,
            xattrs: 17 << 40,
        };
        assert_eq!(InodeRecord::decode(&inode.encode()), inode);
        assert_ne!(inode.encode()[INODE_BYTES - 3], 0, "the record is full");
        let dentry = DentryRecord {
            name: 1 << 40,
            parent: 2,
            inode: 3,
            name_bytes: 255,
            kind: 10,
        };
        assert_eq!(DentryRecord::decode(&dentry.encode()), dentry);
        let chunk = ChunkRecord {
            stream_offset: 1 << 40,
            stored_offset: 2 << 40,
            stored_bytes: 3 << 40,
            hash: 4 << 40,
            window_offset: 5 << 40,
            window_bytes: 6,
            length: 7,
            inside: true,
            bit_count: 7,
            bits: 0x7f,
        };
        assert_eq!(ChunkRecord::decode(&chunk.encode()), chunk);
        let extent = Extent {
            file_offset: 1 << 40,
            length: 2 << 40,
            data_offset: 3 << 40,
        };
        assert_eq!(decode_extent(&encode_extent(&extent)), extent);
    }

    #[test]
    fn headers_survive_the_round_trip() {
        let mut header = IndexHeader {
            file_bytes: 1,
            flags: FLAG_COPY | FLAG_XATTRS,
            codec: Codec::Zstd,
            archive: Fingerprint {
                size: 2,
                mtime: Timestamp {
                    seconds: -3,
                    nanoseconds: 4,
                },
                head: 5,
                tail: 6,
                samples: 7,
            },
            stream_bytes: 8,
            entries: 9,
            first_free: 10,
            copy_bytes: 11,
            copy_tail: 12,
            warnings: 13,
            ..Default::default()
        };
        for (number, section) in header.sections.iter_mut().enumerate() {
            let number = number as u64;
            *section = SectionPlace {
                offset: number,
                bytes: number + 100,
                hash: number + 200,
            };
        }
        let bytes = header.encode();
        assert_eq!(IndexHeader::decode(&bytes), Some(header));
        assert_eq!(&bytes[..8], &MAGIC);
        assert_eq!(
            bytes[HEADER_HASH..],
            hash(&bytes[..HEADER_HASH]).to_le_bytes()
        );
    }
}
