//! Any bytes as a file of a data base, for `mountd/fuzz` and for tests: a reader neither panics nor
//! hangs, and takes no more memory than its budget.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use wpar_mountd::lower::memory::MemoryLower;
use wpar_mountd::overlay::Overlay;

use super::{Budget, Detail, read};

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/data/packages/", $name))
    };
}

/// A file of a data base.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub path: &'static str,
    /// What it can be, to begin with.
    pub good: &'static [u8],
    /// What has to be there for the file to be read at all.
    companion: Option<(&'static str, &'static [u8])>,
}

const fn place(path: &'static str, good: &'static [u8]) -> Place {
    Place {
        path,
        good,
        companion: None,
    }
}

const STATUS: &[u8] = data!("text/dpkg-status");
const DESCRIPTION: &[u8] = data!("text/pacman/bash-5.2.026-2/desc");

pub const PLACES: [Place; 11] = [
    place("var/lib/dpkg/status", STATUS),
    Place {
        companion: Some(("var/lib/dpkg/status", STATUS)),
        ..place("var/lib/dpkg/info/libc6.list", data!("text/libc6.list"))
    },
    Place {
        companion: Some(("var/lib/dpkg/status", STATUS)),
        ..place("var/lib/dpkg/diversions", data!("text/diversions"))
    },
    place("var/lib/dpkg/status.d/base", STATUS),
    place("lib/apk/db/installed", data!("text/apk-installed")),
    place("var/lib/pacman/local/bash-5.2.026-2/desc", DESCRIPTION),
    Place {
        companion: Some(("var/lib/pacman/local/bash-5.2.026-2/desc", DESCRIPTION)),
        ..place(
            "var/lib/pacman/local/bash-5.2.026-2/files",
            data!("text/pacman/bash-5.2.026-2/files"),
        )
    },
    place("var/lib/rpm/rpmdb.sqlite", data!("rpm/settled.sqlite")),
    Place {
        companion: Some(("var/lib/rpm/rpmdb.sqlite", data!("rpm/rpmdb.sqlite"))),
        ..place(
            "var/lib/rpm/rpmdb.sqlite-wal",
            data!("rpm/rpmdb.sqlite-wal"),
        )
    },
    place("var/lib/rpm/Packages.db", data!("rpm/Packages.db")),
    place("var/lib/rpm/Packages", data!("rpm/Packages")),
];

/// Reads a data base of which one file is these bytes.
pub fn read_one(place: &Place, contents: &[u8]) {
    let mut builder = MemoryLower::builder().file(place.path, contents);
    if let Some((path, contents)) = place.companion {
        builder = builder.file(path, contents);
    }
    let tree = Overlay::new(Arc::new(builder.build().unwrap()), None);
    if let Ok(Some(found)) = read(&tree, Detail::Paths) {
        let paths = found.packages.iter().flat_map(|package| &package.paths);
        assert!(paths.map(Vec::len).sum::<usize>() <= Budget::default().0);
    }
}

/// The first byte says which file it is, the others are its contents.
pub fn run(data: &[u8]) {
    if let Some((first, contents)) = data.split_first() {
        read_one(&PLACES[usize::from(*first) % PLACES.len()], contents);
    }
}
