//! The system that lends a WPAR its `/usr` and `/opt`, in place of its own: the host, or a tree.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::TreeMark;

/// What is taken from the base of a WPAR, as paths without a leading `/`.
pub const USR_PARTS: [&str; 2] = ["usr", "opt"];

/// The base of a WPAR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Which system it is.
    pub system: BaseSystem,
    /// Whether the WPAR can change its `/usr` and `/opt`: copy-on-write, as all else.
    pub private: bool,
    /// The directories that are the base's. The place in the list is part of their inode numbers: it
    /// never changes.
    pub points: Vec<String>,
    /// The base's packages when the WPAR was made or synchronized; `None` if it has no data base of
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<PackageFingerprint>,
}

/// The system of a [`Base`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum BaseSystem {
    /// The running system.
    Host,
    /// A directory of the host with a system in it.
    Tree {
        /// The directory, absolute and without symbolic links.
        path: PathBuf,
        /// The directory as it was when the WPAR was made.
        root: TreeMark,
    },
}

impl BaseSystem {
    /// Its root directory.
    pub fn root(&self) -> &Path {
        match self {
            Self::Host => Path::new("/"),
            Self::Tree { path, .. } => path,
        }
    }
}

impl fmt::Display for BaseSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host"),
            Self::Tree { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

impl Base {
    /// Whether `point` is of those that a WPAR which shares them cannot change.
    pub fn is_sealed(&self, point: &str) -> bool {
        !self.private && USR_PARTS.contains(&point)
    }

    /// Whether `path`, without a leading `/`, is in what the base lends.
    pub fn lends(&self, path: &str) -> bool {
        self.points.iter().any(|point| {
            let rest = path.strip_prefix(point.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// By what a set of packages is known: SHA-256 over its sorted lines `NAME ARCHITECTURE VERSION`, in
/// hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFingerprint {
    /// Of all that are installed.
    pub all: String,
    /// Of those with files in `/usr` or `/opt` that are visible in a WPAR.
    pub usr: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_and_what_of_it_can_be_changed() {
        let mut base = Base {
            system: BaseSystem::Host,
            private: false,
            points: vec!["usr".to_owned(), "var/lib/dpkg".to_owned()],
            packages: None,
        };
        assert!(base.lends("usr") && base.lends("usr/bin/x") && base.lends("var/lib/dpkg/status"));
        assert!(!base.lends("usrx") && !base.lends("var/lib") && !base.lends(""));
        assert!(base.is_sealed("usr") && !base.is_sealed("var/lib/dpkg"));
        base.private = true;
        assert!(!base.is_sealed("usr"));
    }
}
