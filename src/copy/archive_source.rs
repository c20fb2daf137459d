//! Entries from a tar stream: ustar with the additions of PAX and GNU.
//!
//! A stream may come from anywhere. Its names are cleaned, what it says of lengths is bounded, and
//! what it names is made by the sink, which follows no link. The `tar` crate reads the fields of
//! headers; it cannot be asked for records of PAX with a line end in their value, as names and
//! attributes may have.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::entry::{Entry, Kind, Time, clean};
use super::transfer::{CopyError, Receiver, Source};

/// Prefix of extended attributes among the records of PAX, by star and GNU tar.
pub(super) const ATTRIBUTE: &str = "SCHILY.xattr.";

const BLOCK: usize = 512;
/// The longest set of records and the longest name before a header.
const LONGEST_RECORDS: u64 = 1024 * 1024;

/// A tar stream that is read, not compressed.
#[derive(Debug)]
pub(crate) struct ArchiveSource<R> {
    stream: R,
}

/// What stands before a header and is about it.
#[derive(Debug, Default)]
struct Before {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<Time>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl<R: Read> ArchiveSource<R> {
    /// The archive that `stream` is.
    pub(crate) fn new(stream: R) -> Self {
        Self { stream }
    }

    /// The next header; `None` at the end.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while let Some(rest @ [_, ..]) = block.get_mut(filled..) {
            match self.stream.read(rest)? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => filled += length,
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            // Whoever writes it may be at its padding still.
            io::copy(&mut self.stream, &mut io::sink())?;
            return Ok(None);
        }
        // The checksum counts its own field as blanks.
        let sum = block.iter().enumerate().map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        });
        let sum = sum.sum::<u32>();
        if header.cksum()? != sum {
            return Err(strange(
                "it is no tar archive, or it is damaged or compressed",
            ));
        }
        Ok(Some(header))
    }

    /// What belongs to a header before the one of a file.
    fn words(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > LONGEST_RECORDS {
            return Err(strange("what it says about one file is too long"));
        }
        let mut words = vec![0; usize::try_from(size).unwrap_or(0)];
        self.stream.read_exact(&mut words)?;
        self.skip_padding(size)?;
        Ok(words)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.stream).take(length), &mut io::sink())?;
        if skipped == length {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn skip_padding(&mut self, size: u64) -> io::Result<()> {
        self.skip(size.next_multiple_of(BLOCK as u64) - size)
    }

    /// Gives the file of this header to `receiver`.
    fn file(
        &mut self,
        header: &Header,
        before: Before,
        receiver: &mut dyn Receiver,
    ) -> Result<(), CopyError> {
        let raw = before.path.clone();
        let raw = raw.unwrap_or_else(|| header.path_bytes().into_owned());
        let mut size = before
            .size
            .unwrap_or(header.entry_size().map_err(CopyError::stream)?);
        if u64::MAX - size < BLOCK as u64 {
            return Err(CopyError::stream(strange("a file in it is too long")));
        }
        if matches!(
            header.entry_type(),
            EntryType::Symlink | EntryType::Link | EntryType::Directory
        ) {
            // Some write the size of what the link leads to.
            size = 0;
        }
        let mut content = (&mut self.stream).take(size);
        match described(header, before, &raw, size) {
            Ok(Some(entry)) => receiver.take(entry, &mut content)?,
            Ok(None) => {}
            Err(error) => receiver.trouble(&raw, &error)?,
        }
        let rest = content.limit();
        self.skip(rest)
            .and_then(|()| self.skip_padding(size))
            .map_err(CopyError::stream)
    }
}

impl<R: Read> Source for ArchiveSource<R> {
    fn feed(&mut self, receiver: &mut dyn Receiver) -> Result<(), CopyError> {
        let mut before = Before::default();
        while let Some(header) = self.header().map_err(CopyError::stream)? {
            let size = header.entry_size().map_err(CopyError::stream)?;
            match header.entry_type() {
                kind @ (EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink) => {
                    let words = self.words(size).map_err(CopyError::stream)?;
                    before.hear(kind, &words).map_err(CopyError::stream)?;
                }
                EntryType::XGlobalHeader => drop(self.words(size).map_err(CopyError::stream)?),
                EntryType::GNUSparse => return Err(CopyError::stream(sparse())),
                _ => self.file(&header, std::mem::take(&mut before), receiver)?,
            }
        }
        Ok(())
    }
}

fn sparse() -> io::Error {
    strange("files with holes are left out in it; write it without tar's option -S")
}

impl Before {
    fn hear(&mut self, kind: EntryType, words: &[u8]) -> io::Result<()> {
        let name = || words.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        match kind {
            EntryType::GNULongName => self.path = name(),
            EntryType::GNULongLink => self.link = name(),
            _ => {
                // The last set counts: else there would be no end to them.
                self.attributes.clear();
                let mut rest = words;
                while let Some((key, value, after)) = record(rest)? {
                    self.record(key, value)?;
                    rest = after;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let text = || std::str::from_utf8(value).ok();
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = text().and_then(|size| size.parse().ok()),
            b"uid" => self.uid = text().and_then(|id| id.parse().ok()),
            b"gid" => self.gid = text().and_then(|id| id.parse().ok()),
            b"mtime" => self.mtime = text().and_then(time),
            key if key.starts_with(b"GNU.sparse.") => return Err(sparse()),
            key => {
                if let Some(name) = key.strip_prefix(ATTRIBUTE.as_bytes()) {
                    self.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// The first record of PAX in `records`, `LENGTH KEY=VALUE\n`, and what follows it.
#[allow(clippy::type_complexity)]
fn record(records: &[u8]) -> io::Result<Option<(&[u8], &[u8], &[u8])>> {
    if records.is_empty() {
        return Ok(None);
    }
    let broken = || strange("it has a damaged record of PAX");
    let blank = records
        .iter()
        .position(|byte| *byte == b' ')
        .ok_or_else(broken)?;
    let length = records
        .get(..blank)
        .and_then(|length| std::str::from_utf8(length).ok());
    let length: usize = length
        .and_then(|length| length.parse().ok())
        .ok_or_else(broken)?;
    let (one, after) = records.split_at_checked(length).ok_or_else(broken)?;
    let one = one
        .get(blank + 1..)
        .and_then(|one| one.strip_suffix(b"\n"))
        .ok_or_else(broken)?;
    let equals = one
        .iter()
        .position(|byte| *byte == b'=')
        .ok_or_else(broken)?;
    let (key, value) = one.split_at_checked(equals).ok_or_else(broken)?;
    Ok(Some((key, value.get(1..).unwrap_or_default(), after)))
}

/// The entry of a file; `None` for what is no file.
fn described(header: &Header, before: Before, raw: &[u8], size: u64) -> io::Result<Option<Entry>> {
    let path = clean(raw).ok_or_else(|| strange("its name leads out"))?;
    let link = before
        .link
        .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        // Before there were types, a slash at the end made the difference.
        EntryType::Regular if raw.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Symlink => Kind::Symlink(link.ok_or_else(|| strange("it links to nothing"))?),
        EntryType::Link => {
            let first = link
                .as_deref()
                .and_then(clean)
                .filter(|first| !first.is_empty());
            Kind::HardLink(first.ok_or_else(|| strange("it links to what is not below"))?)
        }
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => Kind::Device,
        _ => return Ok(None),
    };
    if path.is_empty() && kind != Kind::Directory {
        return Err(strange("it has no name"));
    }
    // An empty field is a zero to everybody else.
    let id = |id: io::Result<u64>| u32::try_from(id.unwrap_or(0)).unwrap_or(u32::MAX);
    Ok(Some(Entry {
        path,
        mode: header.mode().unwrap_or(0) & 0o7777,
        uid: before.uid.unwrap_or_else(|| id(header.uid())),
        gid: before.gid.unwrap_or_else(|| id(header.gid())),
        mtime: before.mtime.unwrap_or(Time {
            seconds: i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(i64::MAX),
            nanoseconds: 0,
        }),
        attributes: before.attributes,
        size: if kind == Kind::File { size } else { 0 },
        sparse: false,
        kind,
    }))
}

/// A time of PAX, as in `1700000000.25`.
fn time(text: &str) -> Option<Time> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Some(Time {
        seconds: seconds.parse().ok()?,
        nanoseconds: digits.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_pax_have_fractions() {
        for (text, expected) in [
            ("1700000000", Some((1_700_000_000, 0))),
            ("1700000000.25", Some((1_700_000_000, 250_000_000))),
            ("12.1234567891", Some((12, 123_456_789))),
            ("", None),
            ("x.y", None),
        ] {
            let found = time(text).map(|time| (time.seconds, time.nanoseconds));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn regression_records_may_have_line_ends_in_their_values() {
        let mut before = Before::default();
        let words = b"14 path=a\nb=c\n26 SCHILY.xattr.user.n=\n\n\n12 uid=1000\n";
        before.hear(EntryType::XHeader, words).unwrap();
        assert_eq!(before.path.as_deref(), Some(&b"a\nb=c"[..]));
        assert_eq!(before.attributes, [(b"user.n".to_vec(), b"\n\n".to_vec())]);
        assert_eq!(before.uid, Some(1000));
        for broken in [
            &b"x"[..],
            b"99 path=a\n",
            b"9 path=ab",
            b"5 pa\n",
            b"0 a=b\n",
        ] {
            assert!(Before::default().hear(EntryType::XHeader, broken).is_err());
        }
    }

    struct Paths(Vec<String>);

    impl Receiver for Paths {
        fn take(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), CopyError> {
            let mut text = String::new();
            content
                .read_to_string(&mut text)
                .map_err(CopyError::stream)?;
            self.0.push(format!("{}={text}", entry.path.escape_ascii()));
            Ok(())
        }
        fn trouble(&mut self, path: &[u8], _: &io::Error) -> Result<(), CopyError> {
            self.0.push(format!("!{}", path.escape_ascii()));
            Ok(())
        }
        fn remark(&mut self, _: &[u8], _: &str) {}
    }

    fn fed(archive: &[u8]) -> Result<Vec<String>, CopyError> {
        let mut paths = Paths(Vec::new());
        ArchiveSource::new(archive).feed(&mut paths)?;
        Ok(paths.0)
    }

    #[test]
    fn archives_of_another_hand_are_read_and_damaged_ones_refused() {
        let mut builder = tar::Builder::new(Vec::new());
        let long = "d/".repeat(100) + "f";
        for (path, text) in [("a", "one"), (long.as_str(), "two")] {
            let mut header = Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        let archive = builder.into_inner().unwrap();
        assert_eq!(
            fed(&archive).unwrap(),
            ["a=one".to_owned(), format!("{long}=two")]
        );
        for length in 1..archive.len() - 1024 {
            if length % BLOCK != 0 {
                assert!(fed(&archive[..length]).is_err(), "cut to {length}");
            }
        }
        let mut damaged = archive;
        damaged[0] = b'b';
        assert!(fed(&damaged).is_err());
        assert!(fed(b"\x1f\x8b\x08 no tar archive").is_err());
    }
}
