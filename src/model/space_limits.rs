//! The attributes of a WPAR's file system: `-M name=value ...`.
//!
//! AIX makes a file system for each `-M`. A WPAR here has one, `/`, and what can be said of it is how
//! large it may become.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::amount::{in_suffix, number, with_suffix};

/// Smallest limit of space: less is a wrong unit, and not enough for a start.
pub const SIZE_MIN: u64 = 1 << 20;

/// Smallest limit of inodes: those that a new WPAR has already, and some.
pub const INODES_MIN: u64 = 64;

/// Unit of a size without suffix, as in AIX.
const BLOCK: u64 = 512;

/// What a WPAR may take of the host's disk; `None` for no limit but the disk's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpaceLimits {
    /// Space in bytes.
    pub size: Option<u64>,
    /// Number of inodes.
    pub inodes: Option<u64>,
}

impl SpaceLimits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What `-M` says; what it does not say is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSystemAttributes {
    size: Option<Limit>,
    inodes: Option<Limit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Unlimited,
    At(u64),
}

/// Why an attribute is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AttributeError {
    /// Not of the form `name=value`.
    #[error("'{0}' is not of the form name=value")]
    NotAPair(String),
    /// No such attribute.
    #[error("the file system has no attribute '{0}'; there are directory, size and inodes")]
    Unknown(String),
    /// A file system other than `/`.
    #[error("'{0}' cannot be a file system of its own; a workload partition has only directory=/")]
    Directory(String),
    /// No size.
    #[error("'{0}' is no size; write as in 10G (K, M, G or T), or a number of 512-byte blocks")]
    Size(String),
    /// No number of inodes.
    #[error("'{0}' is no number of inodes")]
    Inodes(String),
    /// A limit that nothing can run in.
    #[error("{0} is too little; the least is size=1M, inodes=64")]
    TooLittle(String),
}

impl FileSystemAttributes {
    /// The attributes that `pairs` (`name=value` each) set; later ones win.
    ///
    /// # Errors
    /// The first pair that is not understood.
    pub fn parse<T: AsRef<str>>(pairs: &[T]) -> Result<Self, AttributeError> {
        let mut attributes = Self::default();
        for pair in pairs {
            let pair = pair.as_ref();
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| AttributeError::NotAPair(pair.to_owned()))?;
            let (target, parsed, least) = match name {
                "directory" if value == "/" => continue,
                "directory" => return Err(AttributeError::Directory(value.to_owned())),
                "size" => (
                    &mut attributes.size,
                    size(value).ok_or_else(|| AttributeError::Size(value.to_owned())),
                    SIZE_MIN,
                ),
                "inodes" => (
                    &mut attributes.inodes,
                    number(value).ok_or_else(|| AttributeError::Inodes(value.to_owned())),
                    INODES_MIN,
                ),
                _ => return Err(AttributeError::Unknown(name.to_owned())),
            };
            *target = Some(match value {
                "unlimited" => Limit::Unlimited,
                _ => Limit::At(parsed?),
            });
            if matches!(target, Some(Limit::At(limit)) if *limit < least) {
                return Err(AttributeError::TooLittle(pair.to_owned()));
            }
        }
        Ok(attributes)
    }

    /// `limits` with what is said here changed.
    pub fn over(self, limits: SpaceLimits) -> SpaceLimits {
        let changed = |said: Option<Limit>, before: Option<u64>| match said {
            None => before,
            Some(Limit::Unlimited) => None,
            Some(Limit::At(limit)) => Some(limit),
        };
        SpaceLimits {
            size: changed(self.size, limits.size),
            inodes: changed(self.inodes, limits.inodes),
        }
    }
}

/// Bytes of a size with a suffix, or in blocks.
fn size(text: &str) -> Option<u64> {
    match number(text) {
        Some(blocks) => blocks.checked_mul(BLOCK),
        None => with_suffix(text),
    }
}

/// A size as `-M` takes it.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match in_suffix(self.0) {
            Some((number, letter)) => write!(f, "{number}{letter}"),
            None => write!(f, "{}", self.0.div_ceil(BLOCK)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pairs: &[&str]) -> Result<SpaceLimits, AttributeError> {
        Ok(FileSystemAttributes::parse(pairs)?.over(SpaceLimits::default()))
    }

    #[test]
    fn sizes_have_the_units_of_aix_and_two_more() {
        for (text, bytes) in [
            ("2048", 1 << 20),
            ("20971520", 10 << 30),
            ("4096K", 4 << 20),
            ("512M", 512 << 20),
            ("10G", 10 << 30),
            ("10g", 10 << 30),
            ("3T", 3 << 40),
        ] {
            let parsed = limits(&[&format!("size={text}")]).unwrap();
            assert_eq!(parsed.size, Some(bytes), "{text}");
            assert_eq!(parsed.inodes, None);
            let shown = Size(bytes).to_string();
            assert_eq!(size(&shown), Some(bytes), "{shown}");
        }
        assert_eq!(Size(10 << 30).to_string(), "10G");
        assert_eq!(Size((1 << 20) + 512).to_string(), "2049");
    }

    #[test]
    fn later_attributes_win_and_what_is_not_said_stays() {
        let both = limits(&["directory=/", "size=1G", "inodes=200000", "size=2G"]).unwrap();
        assert_eq!((both.size, both.inodes), (Some(2 << 30), Some(200_000)));
        let over = |pairs: &[&str]| FileSystemAttributes::parse(pairs).unwrap().over(both);
        assert_eq!(over(&[]), both);
        assert_eq!(over(&["inodes=unlimited"]).inodes, None);
        assert_eq!(over(&["inodes=unlimited"]).size, both.size);
        assert!(over(&["inodes=unlimited", "size=unlimited"]).is_none());
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        use AttributeError::{Directory, Inodes, NotAPair, Size, TooLittle, Unknown};
        let text = str::to_owned;
        for (pair, error) in [
            ("size", NotAPair(text("size"))),
            ("vfs=jfs2", Unknown(text("vfs"))),
            ("directory=/home", Directory(text("/home"))),
            ("directory=", Directory(text(""))),
            ("size=", Size(text(""))),
            ("size=G", Size(text("G"))),
            ("size=-1", Size(text("-1"))),
            ("size=+1G", Size(text("+1G"))),
            ("size=1.5G", Size(text("1.5G"))),
            ("size=1GB", Size(text("1GB"))),
            ("size=17179869184T", Size(text("17179869184T"))),
            ("size=\u{e9}", Size(text("\u{e9}"))),
            ("inodes=1K", Inodes(text("1K"))),
            (
                "inodes=18446744073709551616",
                Inodes(text("18446744073709551616")),
            ),
            ("size=10", TooLittle(text("size=10"))),
            ("inodes=0", TooLittle(text("inodes=0"))),
        ] {
            assert_eq!(limits(&[pair]), Err(error), "{pair}");
        }
    }
}
