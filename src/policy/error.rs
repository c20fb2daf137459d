//! Why no copy of the running system can be made or started.

use std::path::PathBuf;

use thiserror::Error;

/// Why no copy of the running system can be made or started.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PolicyError {
    /// Part of the system is where no copy takes it from.
    #[error(
        "{} is a file system of its own ({what}), {why}, and a copy of the running system without it \
         would not work; take it along as it is with -T include={}",
        point.display(),
        point.display()
    )]
    SystemElsewhere {
        /// Where it is mounted.
        point: PathBuf,
        /// Its type and device.
        what: String,
        /// What is the matter with it.
        why: &'static str,
    },
    /// What is to be taken in is no mount point.
    #[error(
        "no file system is mounted at {}, so it cannot be taken in; what is in a directory of the \
         system is in its copy anyway",
        point.display()
    )]
    NoMount {
        /// The path.
        point: PathBuf,
    },
    /// What is to be taken in cannot be.
    #[error("the file system at {} cannot be taken in: {why}", point.display())]
    CannotInclude {
        /// The path.
        point: PathBuf,
        /// Why.
        why: String,
    },
    /// A snapshot that the copy is made of is gone.
    #[error(
        "the snapshot of {} that the copy is made of is not at {} any more",
        point.display(),
        path.display()
    )]
    SnapshotMissing {
        /// What it is of.
        point: PathBuf,
        /// Where it was.
        path: PathBuf,
    },
    /// A file system that is part of the copy is not mounted.
    #[error(
        "{} is not mounted; {what} was there when the copy was made, and is part of it: mount it \
         again",
        point.display()
    )]
    PartMissing {
        /// Where it was mounted.
        point: PathBuf,
        /// Its type and device.
        what: String,
    },
    /// Another one is there.
    #[error(
        "another file system ({is}) is mounted at {} than when the copy was made ({was}), which is \
         part of it: mount that one",
        point.display()
    )]
    PartChanged {
        /// Where.
        point: PathBuf,
        /// What was there.
        was: String,
        /// What is there.
        is: String,
    },
    /// The tree that lends /usr and /opt is gone, or another one.
    #[error(
        "{} is not the directory any more that the WPAR has /usr and /opt of; put that one back",
        path.display()
    )]
    BaseChanged {
        /// The directory.
        path: PathBuf,
    },
}
