//! The header of an index.

use super::{
    ArchiveKind, Codec, HEADER_BYTES, HEADER_HASH, MAGIC, Reader, SECTIONS, SectionPlace, VERSION,
    Writer, hash,
};

/// The header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lower::tar) struct IndexHeader {
    pub(in crate::lower::tar) file_bytes: u64,
    /// [`super::FLAG_XATTRS`], [`super::FLAG_DEVICES`].
    pub(in crate::lower::tar) flags: u32,
    pub(in crate::lower::tar) kind: ArchiveKind,
    /// Size of all files of the image, the seekable copy not counted.
    pub(in crate::lower::tar) image_bytes: u64,
    /// Length of the stream: of all parts.
    pub(in crate::lower::tar) stream_bytes: u64,
    /// Entries of the archive, not counting extended headers.
    pub(in crate::lower::tar) entries: u64,
    /// One more than the highest number given to an inode.
    pub(in crate::lower::tar) first_free: u64,
    /// Warnings in all; the section holds the first ones.
    pub(in crate::lower::tar) warnings: u64,
    /// Size of the seekable copy; 0 if there is none.
    pub(in crate::lower::tar) copy_bytes: u64,
    /// Compression of the image's main file as it was found.
    pub(in crate::lower::tar) codec: Codec,
    pub(in crate::lower::tar) sections: [SectionPlace; SECTIONS],
}

impl IndexHeader {
    /// The header's bytes, checksum included.
    pub(in crate::lower::tar) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut writer = Writer::<HEADER_BYTES>::new();
        writer.bytes(&MAGIC);
        writer.u32(VERSION);
        writer.u32(HEADER_BYTES as u32);
        writer.u64(self.file_bytes);
        writer.u32(self.flags);
        writer.u32(self.kind.code());
        for value in [
            self.image_bytes,
            self.stream_bytes,
            self.entries,
            self.first_free,
            self.warnings,
            self.copy_bytes,
        ] {
            writer.u64(value);
        }
        writer.u32(self.codec.code());
        writer.u32(0);
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
    pub(in crate::lower::tar) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut reader = Reader {
            rest: bytes.get(16..)?,
        };
        let mut header = Self {
            file_bytes: reader.u64(),
            flags: reader.u32(),
            kind: ArchiveKind::from_code(reader.u32())?,
            image_bytes: reader.u64(),
            stream_bytes: reader.u64(),
            entries: reader.u64(),
            first_free: reader.u64(),
            warnings: reader.u64(),
            copy_bytes: reader.u64(),
            codec: Codec::from_code(reader.u32())?,
            ..Default::default()
        };
        reader.u32();
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
