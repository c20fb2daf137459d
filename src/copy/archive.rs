//! A tar stream that is written, by the `tar` crate.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::archive_source::ATTRIBUTE;
use super::entry::{Entry, Kind, Time};
use super::transfer::Sink;

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
        let path = Path::new(OsStr::from_bytes(path));
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
                let to = Path::new(OsStr::from_bytes(to));
                self.builder.append_link(&mut header, path, to)
            }
            // As long as it was said to be, even if it has become shorter.
            _ => {
                let mut filled = Filled {
                    content,
                    error: None,
                };
                let whole = (&mut filled).take(entry.size);
                self.builder.append_data(&mut header, path, whole)?;
                filled.error.map_or(Ok(()), Err)
            }
        }
    }

    fn finish(&mut self) -> Vec<(Vec<u8>, io::Error)> {
        let finished = self
            .builder
            .finish()
            .and_then(|()| self.builder.get_mut().flush());
        finished
            .err()
            .map(|error| (b"-".to_vec(), error))
            .into_iter()
            .collect()
    }
}

/// Contents that do not end, and do not fail before the file is over: what follows in the archive
/// must stand where it belongs.
struct Filled<'a> {
    content: &'a mut dyn Read,
    error: Option<io::Error>,
}

impl Read for Filled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.error {
            // Only whether anybody wants it still.
            Some(_) => self.content.read(&mut []),
            None => self.content.read(buffer),
        };
        match read {
            Ok(0) => {}
            Err(error) if error.raw_os_error().is_some() => {
                self.error.get_or_insert(error);
            }
            result => return result,
        }
        buffer.fill(0);
        Ok(buffer.len())
    }
}
