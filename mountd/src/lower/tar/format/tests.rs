//! Records survive the round trip.

use super::*;
use crate::lower::tar::sparse::Extent;
use crate::types::Timestamp;

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
fn places_survive_the_round_trip() {
    let file = FileRecord {
        place: FilePlace::Beside,
        fingerprint: Fingerprint {
            size: 1 << 40,
            mtime: Timestamp {
                seconds: -2,
                nanoseconds: 3,
            },
            head: 4 << 40,
            tail: 5 << 40,
            samples: 6 << 40,
        },
        path: 7 << 40,
        path_bytes: 8,
    };
    assert_eq!(FileRecord::decode(&file.encode()), Some(file));
    let mut bytes = file.encode();
    bytes[0] = 9;
    assert_eq!(FileRecord::decode(&bytes), None);
    let part = PartRecord {
        stream_offset: 1 << 40,
        stream_bytes: 2 << 40,
        file: 3,
        codec: Codec::Gzip,
        stored_offset: 4 << 40,
        stored_bytes: 5 << 40,
        first_chunk: 6 << 40,
        chunks: 7 << 40,
    };
    assert_eq!(PartRecord::decode(&part.encode()), Some(part));
    let mut bytes = part.encode();
    bytes[20] = 255;
    assert_eq!(PartRecord::decode(&bytes), None);
}

#[test]
fn numbers_of_codecs_and_kinds_are_those_of_the_format() {
    let codecs = [Codec::Plain, Codec::Gzip, Codec::Zstd].map(Codec::code);
    assert_eq!(codecs, [0, 1, 2]);
    let kinds = [
        ArchiveKind::Tar,
        ArchiveKind::AixBackup,
        ArchiveKind::Layers,
    ];
    assert_eq!(kinds.map(ArchiveKind::code), [0, 1, 2]);
}

#[test]
fn headers_survive_the_round_trip() {
    let mut header = IndexHeader {
        file_bytes: 1,
        flags: FLAG_DEVICES | FLAG_XATTRS,
        kind: ArchiveKind::Layers,
        image_bytes: 2,
        stream_bytes: 3,
        entries: 4,
        first_free: 5,
        warnings: 6,
        copy_bytes: 7,
        codec: Codec::Zstd,
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
