//! From an entry to the blocks in front of its data: a ustar header, and a PAX extended header
//! (POSIX.1-2017, `pax`) for all that does not fit into it.
//!
//! Keywords beyond POSIX are those that GNU tar writes: `SCHILY.xattr.*`, `SCHILY.acl.*`,
//! `RHT.security.selinux`, `GNU.sparse.*` (format 1.0).

use super::super::header::{BLOCK, BLOCK_LENGTH};
use super::acl;
use super::entry::{DataRange, Entry, EntryKind};
use crate::types::Timestamp;

/// Room for a name or a link target in a header.
const NAME_ROOM: usize = 100;
/// Largest number in a field of seven octal digits, and of eleven.
const SEVEN_DIGITS: u64 = 0o7_777_777;
const ELEVEN_DIGITS: u64 = 0o77_777_777_777;
/// Name of every extended header: nobody sees it, and equal names compress to nothing.
const PAX_NAME: &[u8] = b"./PaxHeaders";

/// The blocks before an entry's data. `data` is what the data will take of the stream, without
/// padding and without the map of holes, which is part of these blocks.
pub(super) fn encode(entry: &Entry<'_>, holes: Option<&[DataRange]>, out: &mut Vec<u8>) {
    let map = match (entry.kind, holes) {
        (EntryKind::File(size), Some(ranges)) => sparse_map(ranges, size),
        _ => Vec::new(),
    };
    let stored = match (entry.kind, holes) {
        (EntryKind::File(_), Some(ranges)) => {
            map.len() as u64 + ranges.iter().map(|range| range.length).sum::<u64>()
        }
        (EntryKind::File(size), None) => size,
        _ => 0,
    };
    let records = records(entry, holes.is_some(), stored);
    if !records.is_empty() {
        let block = Fields {
            name: PAX_NAME,
            mode: 0o644,
            size: records.len() as u64,
            typeflag: b'x',
            ..Fields::default()
        };
        out.extend_from_slice(&block.encode());
        out.extend_from_slice(&records);
        pad(out, records.len());
    }
    let sparse_name = holes.map(|_| sparse_name(entry.path));
    out.extend_from_slice(&fields(entry, sparse_name.as_deref(), stored).encode());
    out.extend_from_slice(&map);
}

fn pad(out: &mut Vec<u8>, length: usize) {
    let padding = length.next_multiple_of(BLOCK_LENGTH) - length;
    out.resize(out.len() + padding, 0);
}

/// How many zeros follow `length` bytes of data.
pub(super) fn padding(length: u64) -> u64 {
    length.next_multiple_of(BLOCK) - length
}

fn fields<'a>(entry: &Entry<'a>, sparse_name: Option<&'a [u8]>, stored: u64) -> Fields<'a> {
    let (typeflag, link, device) = match entry.kind {
        EntryKind::File(_) => (b'0', &b""[..], (0, 0)),
        EntryKind::HardLink(target) => (b'1', target, (0, 0)),
        EntryKind::Symlink(target) => (b'2', target, (0, 0)),
        EntryKind::CharDevice(major, minor) => (b'3', &b""[..], (major, minor)),
        EntryKind::BlockDevice(major, minor) => (b'4', &b""[..], (major, minor)),
        EntryKind::Directory => (b'5', &b""[..], (0, 0)),
        EntryKind::Fifo => (b'6', &b""[..], (0, 0)),
    };
    Fields {
        name: sparse_name.unwrap_or(entry.path),
        link,
        mode: entry.permissions,
        uid: u64::from(entry.uid),
        gid: u64::from(entry.gid),
        size: stored,
        mtime: u64::try_from(entry.mtime.seconds).unwrap_or(0),
        typeflag,
        device,
    }
}

/// What a header block says; numbers that do not fit are left to the extended header.
#[derive(Default)]
struct Fields<'a> {
    name: &'a [u8],
    link: &'a [u8],
    mode: u16,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
    typeflag: u8,
    device: (u32, u32),
}

impl Fields<'_> {
    fn encode(&self) -> [u8; BLOCK_LENGTH] {
        let mut block = [0; BLOCK_LENGTH];
        let mut put = |at: usize, bytes: &[u8]| {
            block[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, fitting(self.name));
        put(
            100,
            octal::<7>(u64::from(self.mode), SEVEN_DIGITS).as_bytes(),
        );
        put(108, octal::<7>(self.uid, SEVEN_DIGITS).as_bytes());
        put(116, octal::<7>(self.gid, SEVEN_DIGITS).as_bytes());
        put(124, octal::<11>(self.size, ELEVEN_DIGITS).as_bytes());
        put(136, octal::<11>(self.mtime, ELEVEN_DIGITS).as_bytes());
        put(148, b"        ");
        put(156, &[self.typeflag]);
        put(157, fitting(self.link));
        put(257, b"ustar\x0000");
        put(
            329,
            octal::<7>(u64::from(self.device.0), SEVEN_DIGITS).as_bytes(),
        );
        put(
            337,
            octal::<7>(u64::from(self.device.1), SEVEN_DIGITS).as_bytes(),
        );
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let sum = format!("{sum:06o}\0 ");
        block[148..156].copy_from_slice(sum.as_bytes());
        block
    }
}

fn fitting(name: &[u8]) -> &[u8] {
    name.get(..NAME_ROOM).unwrap_or(name)
}

/// `value` in octal digits; 0 if it does not fit, since the extended header has it then.
fn octal<const DIGITS: usize>(value: u64, limit: u64) -> String {
    let value = if value > limit { 0 } else { value };
    format!("{value:0DIGITS$o}")
}

/// The records of the extended header.
fn records(entry: &Entry<'_>, sparse: bool, stored: u64) -> Vec<u8> {
    let mut records = Vec::new();
    let mut put = |key: &[u8], value: &[u8]| record(&mut records, key, value);
    if sparse {
        put(b"GNU.sparse.major", b"1");
        put(b"GNU.sparse.minor", b"0");
        put(b"GNU.sparse.name", entry.path);
        if let EntryKind::File(size) = entry.kind {
            put(b"GNU.sparse.realsize", size.to_string().as_bytes());
        }
    } else if entry.path.len() > NAME_ROOM {
        put(b"path", entry.path);
    }
    if let EntryKind::Symlink(target) | EntryKind::HardLink(target) = entry.kind
        && target.len() > NAME_ROOM
    {
        put(b"linkpath", target);
    }
    if stored > ELEVEN_DIGITS {
        put(b"size", stored.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if u64::from(id) > SEVEN_DIGITS {
            put(key, id.to_string().as_bytes());
        }
    }
    let whole = entry.mtime.nanoseconds == 0;
    if !whole || !(0..=ELEVEN_DIGITS as i64).contains(&entry.mtime.seconds) {
        put(b"mtime", time(entry.mtime).as_bytes());
    }
    for (name, value) in entry.xattrs {
        attribute(&mut put, name, value);
    }
    records
}

fn attribute(put: &mut impl FnMut(&[u8], &[u8]), name: &[u8], value: &[u8]) {
    let acl_key: Option<&[u8]> = match name {
        b"system.posix_acl_access" => Some(b"SCHILY.acl.access"),
        b"system.posix_acl_default" => Some(b"SCHILY.acl.default"),
        _ => None,
    };
    if let Some((key, text)) = acl_key.zip(acl::to_text(value)) {
        return put(key, &text);
    }
    if name == b"security.selinux" {
        put(
            b"RHT.security.selinux",
            value.strip_suffix(b"\0").unwrap_or(value),
        );
    }
    let mut key = b"SCHILY.xattr.".to_vec();
    for byte in name {
        // What GNU tar escapes, and what a reader undoes.
        match byte {
            b'%' => key.extend_from_slice(b"%25"),
            b'=' => key.extend_from_slice(b"%3D"),
            byte => key.push(*byte),
        }
    }
    put(&key, value);
}

/// Adds `length key=value\n`; the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Seconds with their fraction; before 1970 the fraction counts away from zero, as in any decimal
/// number.
fn time(time: Timestamp) -> String {
    let (sign, seconds, fraction) = match (time.seconds, time.nanoseconds) {
        (seconds @ 0.., fraction) => ("", seconds.unsigned_abs(), fraction),
        (seconds, 0) => ("-", seconds.unsigned_abs(), 0),
        (seconds, fraction) => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - fraction),
    };
    let text = format!("{sign}{seconds}.{fraction:09}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// What a program that does not know sparse files extracts it as.
fn sparse_name(path: &[u8]) -> Vec<u8> {
    let split = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |at| at + 1);
    let (directory, name) = path.split_at(split);
    [directory, b"GNUSparseFile.0/", name].concat()
}

/// The map of format 1.0: the count, then offset and length of each range, one number to a line,
/// padded to a block. GNU tar knows the end of a file that ends in a hole only by an empty range.
fn sparse_map(ranges: &[DataRange], size: u64) -> Vec<u8> {
    let end = ranges.last().map_or(0, |last| last.offset + last.length);
    let rest = (end < size).then_some(DataRange {
        offset: size,
        length: 0,
    });
    let mut map = format!("{}\n", ranges.len() + usize::from(rest.is_some()));
    for range in ranges.iter().chain(&rest) {
        map.push_str(&format!("{}\n{}\n", range.offset, range.length));
    }
    let mut map = map.into_bytes();
    let length = map.len();
    pad(&mut map, length);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        for (key, value) in [
            (1, 1),
            (3, 90),
            (4, 89),
            (4, 90),
            (5, 985),
            (5, 986),
            (5, 987),
        ] {
            let mut records = Vec::new();
            record(&mut records, &vec![b'k'; key], &vec![b'v'; value]);
            let text = String::from_utf8(records.clone()).unwrap();
            let length: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(length, records.len());
        }
    }

    #[test]
    fn times_are_decimal_numbers() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "0"),
            (1, 500_000_000, "1.5"),
            (10, 1, "10.000000001"),
            (-1, 0, "-1"),
            (-2, 500_000_000, "-1.5"),
            (-1, 999_999_999, "-0.000000001"),
            (100, 0, "100"),
        ] {
            let stamp = Timestamp {
                seconds,
                nanoseconds,
            };
            assert_eq!(time(stamp), text);
            assert_eq!(
                super::super::super::number::time(text.as_bytes()),
                Some(stamp)
            );
        }
    }
}
