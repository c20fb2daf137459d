//! Records of what is stored where: files, parts of the stream, chunks of parts.

use crate::types::Timestamp;

use super::{CHUNK_BYTES, Codec, FILE_BYTES, PART_BYTES, Reader, Writer};

/// What tells one stored file from another (see [`crate::lower::tar::fingerprint`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lower::tar) struct Fingerprint {
    pub(in crate::lower::tar) size: u64,
    pub(in crate::lower::tar) mtime: Timestamp,
    pub(in crate::lower::tar) head: u64,
    pub(in crate::lower::tar) tail: u64,
    pub(in crate::lower::tar) samples: u64,
}

/// Which file it is that parts are stored in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lower::tar) enum FilePlace {
    /// The image, which is a file.
    #[default]
    Image,
    /// The seekable copy beside the index.
    Copy,
    /// A file found by a path: from the image, if that is a directory, else from the directory
    /// that the image is in.
    Beside,
}

impl FilePlace {
    fn code(self) -> u32 {
        match self {
            Self::Image => 0,
            Self::Copy => 1,
            Self::Beside => 2,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        [Self::Image, Self::Copy, Self::Beside]
            .into_iter()
            .find(|place| place.code() == code)
    }
}

/// A file that parts are stored in, or that the image is known by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lower::tar) struct FileRecord {
    pub(in crate::lower::tar) place: FilePlace,
    /// Of the copy, only size and tail.
    pub(in crate::lower::tar) fingerprint: Fingerprint,
    /// Where its path begins in the strings, and how long it is; of [`FilePlace::Beside`] only.
    pub(in crate::lower::tar) path: u64,
    pub(in crate::lower::tar) path_bytes: u32,
}

impl FileRecord {
    /// The record's bytes.
    pub(in crate::lower::tar) fn encode(&self) -> [u8; FILE_BYTES] {
        let mut writer = Writer::<FILE_BYTES>::new();
        writer.u32(self.place.code());
        writer.u32(self.path_bytes);
        writer.u64(self.path);
        writer.u64(self.fingerprint.size);
        writer.u64(self.fingerprint.mtime.seconds as u64);
        writer.u32(self.fingerprint.mtime.nanoseconds);
        writer.u32(0);
        writer.u64(self.fingerprint.head);
        writer.u64(self.fingerprint.tail);
        writer.u64(self.fingerprint.samples);
        writer.out
    }

    /// Reads a record; `None` if its place is unknown.
    pub(in crate::lower::tar) fn decode(bytes: &[u8; FILE_BYTES]) -> Option<Self> {
        let mut reader = Reader { rest: bytes };
        let place = FilePlace::from_code(reader.u32())?;
        let (path_bytes, path) = (reader.u32(), reader.u64());
        let size = reader.u64();
        let mtime = Timestamp {
            seconds: reader.u64() as i64,
            nanoseconds: reader.u32(),
        };
        reader.u32();
        let (head, tail, samples) = (reader.u64(), reader.u64(), reader.u64());
        let fingerprint = Fingerprint {
            size,
            mtime,
            head,
            tail,
            samples,
        };
        Some(Self {
            place,
            fingerprint,
            path,
            path_bytes,
        })
    }
}

/// A range of the stream and where it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lower::tar) struct PartRecord {
    /// Where it begins in the stream.
    pub(in crate::lower::tar) stream_offset: u64,
    /// How long it is there.
    pub(in crate::lower::tar) stream_bytes: u64,
    /// Number of the file, from 0 on.
    pub(in crate::lower::tar) file: u32,
    pub(in crate::lower::tar) codec: Codec,
    /// Where it begins in that file.
    pub(in crate::lower::tar) stored_offset: u64,
    /// How long it is there.
    pub(in crate::lower::tar) stored_bytes: u64,
    /// Its chunks; none if it is plain.
    pub(in crate::lower::tar) first_chunk: u64,
    pub(in crate::lower::tar) chunks: u64,
}

impl PartRecord {
    /// The record's bytes.
    pub(in crate::lower::tar) fn encode(&self) -> [u8; PART_BYTES] {
        let mut writer = Writer::<PART_BYTES>::new();
        writer.u64(self.stream_offset);
        writer.u64(self.stream_bytes);
        writer.u32(self.file);
        writer.u32(self.codec.code());
        for value in [
            self.stored_offset,
            self.stored_bytes,
            self.first_chunk,
            self.chunks,
        ] {
            writer.u64(value);
        }
        writer.out
    }

    /// Reads a record; `None` if its codec is unknown.
    pub(in crate::lower::tar) fn decode(bytes: &[u8; PART_BYTES]) -> Option<Self> {
        let mut reader = Reader { rest: bytes };
        Some(Self {
            stream_offset: reader.u64(),
            stream_bytes: reader.u64(),
            file: reader.u32(),
            codec: Codec::from_code(reader.u32())?,
            stored_offset: reader.u64(),
            stored_bytes: reader.u64(),
            first_chunk: reader.u64(),
            chunks: reader.u64(),
        })
    }
}

/// A stretch of a part that can be decoded on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lower::tar) struct ChunkRecord {
    /// Where it begins in its part, in decoded bytes.
    pub(in crate::lower::tar) stream_offset: u64,
    /// Where its stored bytes begin, from the first stored byte of its part on.
    pub(in crate::lower::tar) stored_offset: u64,
    /// How many stored bytes it needs.
    pub(in crate::lower::tar) stored_bytes: u64,
    /// XXH3-64 of its decoded bytes.
    pub(in crate::lower::tar) hash: u64,
    /// Where its window is in the section of the windows, zstd-packed.
    pub(in crate::lower::tar) window_offset: u64,
    /// Length of the packed window; 0 if it needs none.
    pub(in crate::lower::tar) window_bytes: u32,
    /// Length of its decoded bytes.
    pub(in crate::lower::tar) length: u32,
    /// Whether it begins inside a deflate stream.
    pub(in crate::lower::tar) inside: bool,
    /// How many bits of the byte before `stored_offset` belong to it.
    pub(in crate::lower::tar) bit_count: u8,
    /// Those bits.
    pub(in crate::lower::tar) bits: u8,
}

impl ChunkRecord {
    /// The record's bytes.
    pub(in crate::lower::tar) fn encode(&self) -> [u8; CHUNK_BYTES] {
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
    pub(in crate::lower::tar) fn decode(bytes: &[u8; CHUNK_BYTES]) -> Self {
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
