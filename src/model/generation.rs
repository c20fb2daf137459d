//! Generations of a WPAR: what `syncwpar -D` has made of a copy, layer upon layer.
//!
//! Each has a store of its own above everything that the WPAR was before, which is kept as it was. A
//! generation *is* as soon as the view names it, and no longer than that; what else is in the place of
//! generations was left by a command that died, and means nothing.

use serde::{Deserialize, Serialize};

use super::Level;
use super::view::{Part, View};

/// The program in a WPAR that sets up packages which came from the host, run once at the next start.
pub const PROGRAM: &str = "usr/lib/wpars/syncwpar";

/// Most generations above one another.
pub const GENERATIONS_MAX: usize = 8;

/// One synchronization with the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Its number, from 1 on: its place on the disk.
    pub number: u32,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// The level that the WPAR was at before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Level>,
    /// How many packages are the host's since then that were the copy's.
    pub replaced: u64,
    /// How many were added.
    pub added: u64,
    /// How many are still the copy's.
    pub kept: u64,
    /// File systems of the host, besides that of `/`, that files are taken from. The place in the list
    /// is part of their inode numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// A package that a generation has from the host, in the words of the data base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPackage {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Its version.
    pub version: String,
}

/// What is kept beside a generation, for going back and to see whether the host has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationNotes {
    /// Version of the format, [`Self::VERSION`].
    pub version: u32,
    /// The view before.
    pub before: View,
    /// The host name that the store before has.
    pub hostname: String,
    /// What it has from the host.
    pub packages: Vec<HostPackage>,
}

impl GenerationNotes {
    /// Newest version of the format.
    pub const VERSION: u32 = 1;
}

/// A file that is written into the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its path, without a leading `/`.
    pub path: Vec<u8>,
    /// Its contents.
    pub contents: Vec<u8>,
    /// Permissions of a new one.
    pub permissions: u16,
    /// The file of the host whose owner and permissions it gets, if it is new.
    pub like: Option<Vec<u8>>,
}
