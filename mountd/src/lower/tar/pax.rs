//! PAX extended headers: records `length keyword=value\n`, one set for the next entry (`x`) or for
//! all that follow (`g`).

use crate::types::Timestamp;

use super::attributes::Attributes;
use super::number;
use super::sparse::{self, Extent, SparseMap};

/// Longest name that a header for all entries may give them; it is copied for each.
const GLOBAL_NAME_LIMIT: usize = 4096;

/// What extended headers say about an entry; what they leave out is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct PaxFields {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) atime: Option<Timestamp>,
    pub(super) ctime: Option<Timestamp>,
    pub(super) device: (Option<u32>, Option<u32>),
    /// Extended attributes in the kernel's terms.
    pub(super) xattrs: Attributes,
    /// ACLs as text: for access, and the default for new files.
    pub(super) acl: [Option<Vec<u8>>; 2],
    sparse: PaxSparse,
}

#[derive(Clone, Debug, Default)]
struct PaxSparse {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    map: Option<Vec<u8>>,
    pairs: Option<Vec<Extent>>,
    offset: Option<u64>,
}

/// How the entry's data is laid out according to its PAX records.
#[derive(Debug)]
pub(super) enum PaxLayout {
    /// As it is.
    Plain,
    /// Sparse with this map (formats 0.0 and 0.1).
    Map(SparseMap),
    /// Sparse, of this size, with the map before the data (format 1.0).
    MapInData(u64),
}

impl PaxFields {
    /// Adds the records of one extended header; `None` if they are malformed.
    pub(super) fn read(&mut self, mut records: &[u8]) -> Option<()> {
        while !records.is_empty() {
            // Some writers pad with NULs or end with an empty line.
            if matches!(records[0], 0 | b'\n') {
                return records
                    .iter()
                    .all(|byte| matches!(byte, 0 | b'\n'))
                    .then_some(());
            }
            let (key, value, rest) = split_record(records)?;
            self.record(key, value)?;
            records = rest;
        }
        Some(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        // An empty value takes the record of a global header back.
        let text = (!value.is_empty()).then(|| value.to_vec());
        let id = |value: &[u8]| number::decimal(value).and_then(|id| u32::try_from(id).ok());
        match key {
            b"path" => self.path = text,
            b"linkpath" => self.link = text,
            b"size" if value.is_empty() => self.size = None,
            b"size" => {
                self.size = Some(number::decimal(value).filter(|size| *size <= i64::MAX as u64)?);
            }
            b"uid" => self.uid = id(value),
            b"gid" => self.gid = id(value),
            b"mtime" => self.mtime = number::time(value),
            b"atime" => self.atime = number::time(value),
            b"ctime" => self.ctime = number::time(value),
            b"SCHILY.devmajor" => self.device.0 = id(value),
            b"SCHILY.devminor" => self.device.1 = id(value),
            b"SCHILY.acl.access" => self.acl[0] = text,
            b"SCHILY.acl.default" => self.acl[1] = text,
            b"SCHILY.acl.ace" => self.xattrs.lose(),
            b"RHT.security.selinux" => {
                let mut label = value.to_vec();
                if label.last() != Some(&0) {
                    label.push(0);
                }
                self.xattrs.set(b"security.selinux", label);
            }
            _ => return self.prefixed_record(key, value),
        }
        Some(())
    }

    fn prefixed_record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            let name = unescape(name, |code| matches!(code, b"25" | b"3D"));
            self.xattrs.set(&name, value.to_vec());
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            match decode_base64(value) {
                Some(value) => self.xattrs.set(&unescape(name, |_| true), value),
                None => self.xattrs.lose(),
            }
        } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
            return self.sparse.record(key, value);
        }
        Some(())
    }

    /// Drops what a header for all entries must not say, since each entry would have a copy of it:
    /// attributes, ACLs, maps of holes, long names. Tells whether there was any. No archiver is known
    /// that writes such, but a small archive could fill any memory with it.
    pub(super) fn keep_to_globals(&mut self) -> bool {
        let mut dropped = self.xattrs.clear();
        for text in &mut self.acl {
            dropped |= text.take().is_some();
        }
        for name in [&mut self.path, &mut self.link] {
            dropped |= name
                .take_if(|name| name.len() > GLOBAL_NAME_LIMIT)
                .is_some();
        }
        let sparse = std::mem::take(&mut self.sparse);
        dropped || sparse.is_any()
    }

    /// The layout of the data, and the true name of a sparse file in `path`; `None` if the records
    /// contradict each other. `stored` is the size of the data in the archive.
    pub(super) fn layout(&mut self, stored: u64) -> Option<PaxLayout> {
        let sparse = std::mem::take(&mut self.sparse);
        let size = sparse.real_size.unwrap_or(stored);
        if sparse.name.is_some() {
            self.path = sparse.name;
        }
        match (sparse.major.unwrap_or(0), sparse.minor.unwrap_or(0)) {
            (1, 0) => Some(PaxLayout::MapInData(size)),
            (0, _) => Some(match (sparse.map, sparse.pairs) {
                (Some(text), _) => PaxLayout::Map(sparse::comma_map(size, &text)?),
                (None, Some(pairs)) => {
                    let mut map = SparseMap::new(size);
                    pairs.into_iter().try_for_each(|pair| map.push(pair))?;
                    PaxLayout::Map(map)
                }
                (None, None) => PaxLayout::Plain,
            }),
            _ => None,
        }
    }
}

impl PaxSparse {
    fn is_any(&self) -> bool {
        let numbers = [self.major, self.minor, self.real_size, self.offset];
        numbers.iter().any(Option::is_some)
            || self.name.is_some()
            || self.map.is_some()
            || self.pairs.is_some()
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"major" => self.major = Some(number::decimal(value)?),
            b"minor" => self.minor = Some(number::decimal(value)?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(number::decimal(value)?),
            b"map" => self.map = Some(value.to_vec()),
            b"numblocks" => self.pairs = Some(Vec::new()),
            b"offset" => self.offset = Some(number::decimal(value)?),
            b"numbytes" => {
                let file_offset = self.offset.take()?;
                let length = number::decimal(value)?;
                let extent = Extent {
                    file_offset,
                    length,
                    data_offset: 0,
                };
                self.pairs.get_or_insert_default().push(extent);
            }
            _ => {}
        }
        Some(())
    }
}

/// Cuts `length key=value\n` off the front. The length decides, since a value may hold newlines.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = records.iter().take(21).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number::decimal(&records[..blank])?).ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

/// Undoes `%XX` where `wanted` takes the two digits.
fn unescape(name: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut at = 0;
    while let Some(&byte) = name.get(at) {
        let code = name
            .get(at + 1..at + 3)
            .filter(|code| byte == b'%' && wanted(code));
        let decoded = code
            .and_then(|code| std::str::from_utf8(code).ok())
            .filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        plain.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    plain
}

/// Base64 (RFC 4648), with or without the padding.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let mut value = Vec::with_capacity(end * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for &byte in &text[..end] {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            value.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (held < 6).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn records_are_cut_by_their_length() {
        let mut fields = PaxFields::default();
        let value = b"a=b\n13 path=no\n\0";
        let header = [record("SCHILY.xattr.user.x", value), record("path", b"p/q")].concat();
        fields.read(&header).unwrap();
        assert_eq!(fields.path.as_deref(), Some(&b"p/q"[..]));
        assert_eq!(
            fields.xattrs.into_list(),
            [(b"user.x".to_vec(), value.to_vec())]
        );
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"8 path=x\n"[..],
            b"11 path=xyz",
            b"x path=x\n",
            b"999999999999 path=x\n",
            b"7 path\n",
            b"0 a=b\n",
            b"10 size=x1\n",
            b"12 size=9e99\n",
            b"\0\0x",
        ] {
            assert_eq!(
                PaxFields::default().read(bad),
                None,
                "{}",
                bad.escape_ascii()
            );
        }
        assert!(PaxFields::default().read(b"10 uid=42\n\n\0\0").is_some());
    }

    #[test]
    fn attribute_names_are_decoded() {
        let mut fields = PaxFields::default();
        fields
            .read(&record("SCHILY.xattr.user.a%3Db%25c%41", b"1"))
            .unwrap();
        fields
            .read(&record("LIBARCHIVE.xattr.user.%41%zz", b"AAEC/w"))
            .unwrap();
        fields
            .read(&record("LIBARCHIVE.xattr.user.p", b"AAEC/w=="))
            .unwrap();
        fields
            .read(&record("LIBARCHIVE.xattr.user.bad", b"A"))
            .unwrap();
        assert_eq!(fields.xattrs.lost(), 1);
        let found = fields.xattrs.into_list();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"user.a=b%c%41"[..], b"user.A%zz", b"user.p"]);
        assert_eq!(found[1].1, [0, 1, 2, 255]);
        assert_eq!(found[2].1, [0, 1, 2, 255]);
    }

    #[test]
    fn a_header_for_all_entries_cannot_give_each_a_copy_of_much() {
        let mut fields = PaxFields::default();
        for (key, value) in [
            ("mtime", &b"5"[..]),
            ("path", &[b'p'; GLOBAL_NAME_LIMIT + 1]),
            ("SCHILY.xattr.user.x", &[0; 60_000]),
            ("SCHILY.acl.access", b"user::rw-"),
            ("GNU.sparse.map", b"0,1"),
        ] {
            fields.read(&record(key, value)).unwrap();
            assert_eq!(fields.keep_to_globals(), key != "mtime", "{key}");
        }
        assert!(fields.mtime.is_some() && fields.path.is_none() && fields.acl[0].is_none());
        assert!(matches!(fields.layout(3), Some(PaxLayout::Plain)));
        assert!(fields.xattrs.into_list().is_empty());
    }

    #[test]
    fn sparse_records_of_all_versions() {
        let mut fields = PaxFields::default();
        let header: Vec<u8> = [
            ("size", "9"),
            ("numblocks", "2"),
            ("offset", "0"),
            ("numbytes", "1"),
            ("offset", "4"),
            ("numbytes", "2"),
        ]
        .iter()
        .flat_map(|(key, value)| record(&format!("GNU.sparse.{key}"), value.as_bytes()))
        .collect();
        fields.read(&header).unwrap();
        let Some(PaxLayout::Map(map)) = fields.layout(3) else {
            panic!("no map")
        };
        assert_eq!(map.place(0, 3).unwrap().1.len(), 2);
        assert!(matches!(fields.layout(3), Some(PaxLayout::Plain)));

        fields.read(&record("GNU.sparse.map", b"0,1,4,2")).unwrap();
        fields
            .read(&record("GNU.sparse.name", b"real/name"))
            .unwrap();
        fields
            .read(&record("path", b"GNUSparseFile.0/name"))
            .unwrap();
        assert!(matches!(fields.layout(3), Some(PaxLayout::Map(_))));
        assert_eq!(fields.path.as_deref(), Some(&b"real/name"[..]));

        fields.read(&record("GNU.sparse.major", b"1")).unwrap();
        fields.read(&record("GNU.sparse.realsize", b"77")).unwrap();
        assert!(matches!(fields.layout(3), Some(PaxLayout::MapInData(77))));
        fields.read(&record("GNU.sparse.major", b"2")).unwrap();
        assert!(fields.layout(3).is_none());
    }
}
