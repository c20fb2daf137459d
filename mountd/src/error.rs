//! The one table of errors of the core and their numbers for the kernel.
//!
//! An expected error (`ENOENT` of a lookup) is on the hot path: no value here allocates.

use rustix::io::Errno;
use thiserror::Error;

/// Why an operation on the merged tree failed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FsError {
    /// No such name, or one that is hidden.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("file exists")]
    Exists,
    /// A directory is needed here.
    #[error("not a directory")]
    NotDirectory,
    /// A directory cannot be used like this.
    #[error("is a directory")]
    IsDirectory,
    /// The directory still has visible entries.
    #[error("directory not empty")]
    NotEmpty,
    /// A name over 255 bytes.
    #[error("file name too long")]
    NameTooLong,
    /// The arguments make no sense together.
    #[error("invalid argument")]
    InvalidArgument,
    /// Not allowed, whoever asks.
    #[error("operation not permitted")]
    NotPermitted,
    /// No extended attribute of that name.
    #[error("no such attribute")]
    NoAttribute,
    /// The answer does not fit in the caller's buffer.
    #[error("result too large")]
    Range,
    /// The file would outgrow what the store can hold.
    #[error("file too large")]
    FileTooBig,
    /// The view is read-only.
    #[error("read-only file system")]
    ReadOnly,
    /// The operation does not exist for this object.
    #[error("operation not supported")]
    NotSupported,
    /// The kernel named a node that is no longer known.
    #[error("stale node")]
    Stale,
    /// No further name can be given to the inode.
    #[error("too many links")]
    TooManyLinks,
    /// What is stored cannot be made sense of: a torn record, a damaged image.
    #[error("stored data is damaged")]
    Damaged,
    /// The layer underneath failed with this error of its own.
    #[error("{0}")]
    Layer(Errno),
}

/// Result of an operation of the core.
pub type FsResult<T> = Result<T, FsError>;

impl FsError {
    /// The number that the kernel gets.
    pub fn errno(self) -> Errno {
        match self {
            Self::NotFound => Errno::NOENT,
            Self::Exists => Errno::EXIST,
            Self::NotDirectory => Errno::NOTDIR,
            Self::IsDirectory => Errno::ISDIR,
            Self::NotEmpty => Errno::NOTEMPTY,
            Self::NameTooLong => Errno::NAMETOOLONG,
            Self::InvalidArgument => Errno::INVAL,
            Self::NotPermitted => Errno::PERM,
            Self::NoAttribute => Errno::NODATA,
            Self::Range => Errno::RANGE,
            Self::FileTooBig => Errno::FBIG,
            Self::ReadOnly => Errno::ROFS,
            Self::NotSupported => Errno::OPNOTSUPP,
            Self::Stale => Errno::STALE,
            Self::TooManyLinks => Errno::MLINK,
            // What is damaged is an I/O error to a program, as on any disk.
            Self::Damaged => Errno::IO,
            Self::Layer(errno) => errno,
        }
    }
}

impl From<Errno> for FsError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::NotFound,
            Errno::EXIST => Self::Exists,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::ISDIR => Self::IsDirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::NODATA => Self::NoAttribute,
            other => Self::Layer(other),
        }
    }
}

impl From<std::io::Error> for FsError {
    fn from(error: std::io::Error) -> Self {
        // An error without a number comes from a library, not from the kernel: the data is bad.
        error
            .raw_os_error()
            .map_or(Self::Damaged, |code| Errno::from_raw_os_error(code).into())
    }
}
