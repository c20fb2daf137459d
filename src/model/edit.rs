//! Changes that are made in a WPAR's store when it is made, as plain values.

/// A change that is written into the WPAR's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Path in the WPAR, without a leading `/`. Directories that are missing above it are made.
    pub path: String,
    /// What is put there.
    pub what: Put,
    /// Why, in words for the administrator.
    pub reason: String,
}

/// What an [`Edit`] puts in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// A regular file. One that is there keeps its owner and permissions.
    File {
        /// Its contents.
        contents: Vec<u8>,
        /// Permissions of a new one.
        permissions: u16,
    },
    /// A symbolic link with this target.
    Link(String),
}
