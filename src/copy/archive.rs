//! Entries from a tar stream and into one, by the `tar` crate.
//!
//! A stream may come from anywhere: its names are cleaned, and what they name is made by the sink,
//! which follows no link.

use std::io::{self, Read, Write};

use tar::{Archive, Builder, EntryType, Header};

use super::entry::{Entry, Kind, Time, clean};
use super::transfer::{CopyError, Receiver, Sink, Source};

/// Prefix of extended attributes among the records of PAX, by star and GNU tar.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// A tar stream that is read.
#[derive(Debug)]
pub(crate) struct ArchiveSource<R> {
    stream: Option<R>,
}

impl<R: Read> ArchiveSource<R> {
    /// The stream `stream`, not compressed.
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream: Some(stream),
        }
    }
}

impl<R: Read> Source for ArchiveSource<R> {
    fn feed(&mut self, receiver: &mut dyn Receiver) -> Result<(), CopyError> {
        let Some(stream) = self.stream.take() else {
            return Ok(());
        };
        let mut archive = Archive::new(stream);
        for next in archive.entries().map_err(CopyError::stream)? {
            let mut next = next.map_err(CopyError::stream)?;
            let raw = next.path_bytes().into_owned();
            match described(&mut next) {
                Ok(Some(entry)) => receiver.take(entry, &mut next)?,
                Ok(None) => {}
                Err(error) => receiver.trouble(&raw, &error)?,
            }
        }
        Ok(())
    }
}

/// An entry of a tar archive as one of ours; `None` for what is no file.
fn described<R: Read>(next: &mut tar::Entry<'_, R>) -> io::Result<Option<Entry>> {
    let strange = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let path = clean(&next.path_bytes()).ok_or_else(|| strange("its name leads out"))?;
    let link = next.link_name_bytes().map(std::borrow::Cow::into_owned);
    let header = next.header();
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Symlink => Kind::Symlink(link.ok_or_else(|| strange("it links to nothing"))?),
        EntryType::Link => {
            let first = link.as_deref().and_then(clean).filter(|first| !first.is_empty());
            Kind::HardLink(first.ok_or_else(|| strange("it links to what is not below"))?)
        }
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => Kind::Device,
        _ => return Ok(None),
    };
    let id = |id: io::Result<u64>| id.map(|id| u32::try_from(id).unwrap_or(u32::MAX));
    let mut entry = Entry {
        path,
        mode: header.mode()? & 0o7777,
        uid: id(header.uid())?,
        gid: id(header.gid())?,
        mtime: Time {
            seconds: i64::try_from(header.mtime()?).unwrap_or(i64::MAX),
            nanoseconds: 0,
        },
        attributes: Vec::new(),
        size: if kind == Kind::File { next.size() } else { 0 },
        sparse: header.entry_type() == EntryType::GNUSparse,
        kind,
    };
    let Some(records) = next.pax_extensions()? else {
        return Ok(Some(entry));
    };
    for record in records {
        let record = record?;
        let (Ok(key), value) = (record.key(), record.value_bytes()) else {
            continue;
        };
        let text = || record.value().ok();
        match key {
            "uid" => entry.uid = text().and_then(|id| id.parse().ok()).unwrap_or(entry.uid),
            "gid" => entry.gid = text().and_then(|id| id.parse().ok()).unwrap_or(entry.gid),
            "mtime" => entry.mtime = text().and_then(time).unwrap_or(entry.mtime),
            key => {
                if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                    let named = (name.as_bytes().to_vec(), value.to_vec());
                    entry.attributes.push(named);
                }
            }
        }
    }
    Ok(Some(entry))
}

/// A time of PAX, as in `1700000000.25`.
fn time(text: &str) -> Option<Time> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    Some(Time {
        seconds: seconds.parse().ok()?,
        nanoseconds: digits.parse().ok()?,
    })
}

/// A tar stream that is written.
pub(crate) struct ArchiveSink<W: Write> {
    builder: Builder<W>,
}

impl<W: Write> std::fmt::Debug for ArchiveSink<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveSink").finish_non_exhaustive()
    }
}

impl<W: Write> ArchiveSink<W> {
    /// Writes to `stream`.
    pub(crate) fn new(stream: W) -> Self {
        Self {
            builder: Builder::new(stream),
        }
    }
}

impl<W: Write> Sink for ArchiveSink<W> {
    fn put(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(match entry.kind {
            Kind::Directory => EntryType::Directory,
            Kind::File => EntryType::Regular,
            Kind::Symlink(_) => EntryType::Symlink,
            Kind::HardLink(_) => EntryType::Link,
            Kind::Fifo => EntryType::Fifo,
            Kind::Device | Kind::Socket => return Err(io::ErrorKind::Unsupported.into()),
        });
        header.set_mode(entry.mode);
        header.set_uid(entry.uid.into());
        header.set_gid(entry.gid.into());
        header.set_mtime(u64::try_from(entry.mtime.seconds).unwrap_or(0));
        header.set_size(entry.size);
        let path = if entry.path.is_empty() {
            b"."
        } else {
            entry.path.as_slice()
        };
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
        let mtime = match entry.mtime {
            Time { nanoseconds: 0, .. } => None,
            Time {
                seconds,
                nanoseconds,
            } => Some(format!("{seconds}.{nanoseconds:09}").into_bytes()),
        };
        let attributes = entry.attributes.iter().filter_map(|(name, value)| {
            let name = std::str::from_utf8(name).ok()?;
            Some((format!("{ATTRIBUTE}{name}"), value.clone()))
        });
        let records: Vec<_> = mtime
            .map(|mtime| ("mtime".to_owned(), mtime))
            .into_iter()
            .chain(attributes)
            .collect();
        if !records.is_empty() {
            let records = records
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice()));
            self.builder.append_pax_extensions(records)?;
        }
        match &entry.kind {
            Kind::Symlink(to) | Kind::HardLink(to) => {
                let to = std::path::Path::new(std::ffi::OsStr::from_bytes(to));
                self.builder.append_link(&mut header, path, to)
            }
            // As long as it was said to be, even if it has become shorter.
            _ => {
                let filled = content.chain(io::repeat(0)).take(entry.size);
                self.builder.append_data(&mut header, path, filled)
            }
        }
    }

    fn finish(&mut self) -> Vec<(Vec<u8>, io::Error)> {
        let finished = self.builder.finish().and_then(|()| self.builder.get_mut().flush());
        finished.err().map(|error| (b"-".to_vec(), error)).into_iter().collect()
    }
}

use std::os::unix::ffi::OsStrExt;

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
}
