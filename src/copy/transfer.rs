//! Between a source and a sink: what passes, what is said, and when to give up.

use std::io::{self, Read};

use thiserror::Error;

use super::custody::{Verdict, Way, pass};
use super::entry::{Entry, Kind};
use super::ids::Ids;
use crate::launch::cause;

/// Why nothing more was copied.
#[derive(Debug, Error)]
pub(crate) enum CopyError {
    /// The sink takes nothing any more.
    #[error("cannot write '{path}': {source}")]
    Full {
        /// The file that was to be written.
        path: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A tar stream is none, or is cut off.
    #[error("cannot read the tar stream: {0}")]
    Stream(io::Error),
    /// Nobody wants it any more.
    #[error("interrupted")]
    Unwanted,
}

impl CopyError {
    pub(super) fn stream(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// What entries come from.
pub(crate) trait Source {
    /// Gives all of them to `receiver`, a directory before what is in it.
    ///
    /// # Errors
    /// What ends it before the end.
    fn feed(&mut self, receiver: &mut dyn Receiver) -> Result<(), CopyError>;
}

/// What entries are given to.
pub(crate) trait Receiver {
    /// An entry and, for a file, its contents.
    fn take(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), CopyError>;
    /// An entry that cannot be had.
    fn trouble(&mut self, path: &[u8], error: &io::Error) -> Result<(), CopyError>;
    /// Something to say about an entry.
    fn remark(&mut self, path: &[u8], text: &str);
}

/// Where entries go.
pub(crate) trait Sink {
    /// Makes a file of the entry.
    fn put(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()>;
    /// All is there; what went wrong at the end.
    fn finish(&mut self) -> Vec<(Vec<u8>, io::Error)>;
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Files of all kinds.
    pub(crate) files: u64,
    /// Bytes in them.
    pub(crate) bytes: u64,
    /// Files that could not be copied.
    pub(crate) failures: u64,
}

/// One copy: which way, and who is told.
pub(crate) struct Transfer<'a> {
    /// Over which border.
    pub(crate) way: Way,
    /// Ids of where it goes.
    pub(crate) ids: Ids,
    /// Told of each file that comes without something or not at all.
    pub(crate) say: &'a mut dyn FnMut(String),
    /// Told of each file that is copied.
    pub(crate) copied: &'a mut dyn FnMut(&[u8]),
    /// Whether nobody wants it any more; asked often.
    pub(crate) unwanted: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for Transfer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer")
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl Transfer<'_> {
    /// Copies everything from `source` to `sink`.
    ///
    /// # Errors
    /// What ended it before its end. A single file that cannot be copied does not.
    pub(crate) fn run(
        &mut self,
        source: &mut dyn Source,
        sink: &mut impl Sink,
    ) -> Result<Outcome, CopyError> {
        let mut border = Border {
            transfer: self,
            sink,
            outcome: Outcome::default(),
        };
        let fed = source.feed(&mut border);
        // What is there gets its modes in any case.
        for (path, error) in border.sink.finish() {
            border.trouble(&path, &error)?;
        }
        fed.map(|()| border.outcome)
    }
}

struct Border<'t, 'a, S> {
    transfer: &'t mut Transfer<'a>,
    sink: &'t mut S,
    outcome: Outcome,
}

/// A path for people; what is in it may be anything.
fn shown(path: &[u8]) -> String {
    match path {
        b"" => ".".to_owned(),
        path => path.escape_ascii().to_string(),
    }
}

/// Why, in words; a link where none may be is one of the kernel's loops.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ELOOP) => "a symbolic link is in the way".to_owned(),
        _ => cause(error),
    }
}

/// Whether after this no other file can be written either.
fn is_final(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [
        libc::ENOSPC,
        libc::EDQUOT,
        libc::EPIPE,
        libc::ENOTCONN,
        libc::ECONNABORTED,
    ]
    .into_iter()
    .any(|last| number == Some(last))
}

/// Contents that come to an end when nobody wants them any more.
struct Wanted<'a> {
    content: &'a mut dyn Read,
    unwanted: &'a dyn Fn() -> bool,
    bytes: u64,
}

impl Read for Wanted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.unwanted)() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.content.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

impl<S: Sink> Receiver for Border<'_, '_, S> {
    fn take(&mut self, mut entry: Entry, content: &mut dyn Read) -> Result<(), CopyError> {
        let transfer = &mut *self.transfer;
        if (transfer.unwanted)() {
            return Err(CopyError::Unwanted);
        }
        match pass(&mut entry, transfer.way, transfer.ids) {
            Verdict::Passes => {}
            Verdict::Changed(why) => self.remark(&entry.path, why),
            Verdict::Stays(why) => {
                self.remark(&entry.path, why);
                return Ok(());
            }
        }
        let mut wanted = Wanted {
            content,
            unwanted: self.transfer.unwanted,
            bytes: 0,
        };
        let put = self.sink.put(&entry, &mut wanted);
        let bytes = wanted.bytes;
        if (self.transfer.unwanted)() {
            return Err(CopyError::Unwanted);
        }
        match put {
            Ok(()) => {
                self.outcome.files += 1;
                self.outcome.bytes += bytes;
                (self.transfer.copied)(&entry.path);
                if entry.kind == Kind::File && bytes < entry.size {
                    self.remark(&entry.path, "it became shorter while it was copied");
                }
                Ok(())
            }
            Err(source) if is_final(&source) => Err(CopyError::Full {
                path: shown(&entry.path),
                source,
            }),
            Err(error) => self.trouble(&entry.path, &error),
        }
    }

    fn trouble(&mut self, path: &[u8], error: &io::Error) -> Result<(), CopyError> {
        self.outcome.failures += 1;
        (self.transfer.say)(format!("cannot copy {}: {}", shown(path), reason(error)));
        Ok(())
    }

    fn remark(&mut self, path: &[u8], text: &str) {
        (self.transfer.say)(format!("{}: {text}", shown(path)));
    }
}
