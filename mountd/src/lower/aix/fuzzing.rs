//! Backups and packed members of any bytes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::packed::whole;
use super::writer::{Entry, Tail, Writer, pack, seal};
use crate::fuzzing::Input;
use crate::lower::tar::MemberData;

const GOLDEN: &[u8] = include_bytes!("../../../tests/data/aix/golden.bff");
/// Largest member that is unpacked.
const LARGEST: u32 = 1 << 20;

/// Indexes `data` as an image and uses the tree that comes of it.
pub(crate) fn backup(data: &[u8]) {
    crate::lower::tar::fuzzing::archive(data);
}

pub(crate) fn backups() -> Vec<Vec<u8>> {
    let mut writer = Writer::new();
    for number in 0..3 {
        writer.add(&Entry {
            name: b"a/name",
            mode: [0o100_644, 0o120_777, 0x1_41ed][number],
            nlink: 2,
            inode: 7,
            data: b"contents",
            packed: number == 0,
            ..Entry::default()
        });
        writer.unknown(12, b"of a type that is not known");
    }
    let zstd = zstd::encode_all(GOLDEN, 3).unwrap();
    vec![GOLDEN.to_vec(), zstd, writer.finish(Tail::Stale(256))]
}

/// Gives everything that may be a header its checksum again.
pub(crate) fn mend(bytes: &mut [u8]) {
    for at in (0..bytes.len()).step_by(8) {
        let rest = &mut bytes[at..];
        let length = usize::from(rest[0]) * 8;
        if length >= 8 && rest.len() >= length && super::header::has_magic(rest) {
            seal(&mut rest[..length]);
        }
    }
}

/// Unpacks a member that claims to be so long; it then is, and gives the same again.
pub(crate) fn packed(data: &[u8]) {
    let mut input = Input::new(data);
    let size = u64::from(input.u32() % LARGEST);
    let stored = input.bytes(data.len());
    let member = MemberData {
        size,
        packed: Some(stored.len() as u64),
        ..MemberData::default()
    };
    let unpacked = whole(&member, stored);
    assert_eq!(unpacked, whole(&member, stored));
    if let Some(unpacked) = unpacked.filter(|unpacked| !unpacked.is_empty()) {
        assert_eq!(unpacked.len() as u64, size);
        let again = pack(&unpacked);
        let member = MemberData {
            packed: Some(again.len() as u64),
            ..member
        };
        assert_eq!(whole(&member, &again), Some(unpacked));
    }
}

pub(crate) fn members() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 3] = [b"a", b"abracadabra, abracadabra", GOLDEN];
    let member = |text: &[u8]| {
        let size = text.len() as u32;
        [&size.to_be_bytes()[..], &pack(text)].concat()
    };
    texts.map(member).to_vec()
}
