//! The list of names, and the file that it is kept in.
//!
//! A tree of directories, each with its names sorted, laid out so that it is used as it is read. All
//! numbers are little-endian:
//!
//! ```text
//! 8   "WPARLIST"
//! 4   version, 1
//! 4   number of directories, D
//! 4   number of names, N
//! 4   bytes of text, T
//! D x 8    of a directory: its first name, how many
//! N x 12   of a name: where in the text (4), its length (1), its fate (1), 2 zeros, its directory (4)
//! T        text
//! ```
//!
//! The first directory is the root. A directory's number is larger than that of the one it is in, and
//! each is in one only, so that there are no circles. The file is written by the tool and read by the
//! daemon; it is checked as a whole before anything in it is believed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use thiserror::Error;

use crate::types::EntryName;

const MAGIC: &[u8; 8] = b"WPARLIST";
const VERSION: u32 = 1;
const HEADER: usize = 24;
const DIRECTORY: usize = 8;
const NAME: usize = 12;

/// Largest file that is read, in bytes: room for some millions of names.
const LONGEST: u64 = 256 << 20;

/// Why a list is refused.
#[derive(Debug, Error)]
pub enum ListError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is no list, or damaged.
    #[error("it is damaged")]
    Damaged,
    /// Another version.
    #[error("it is of format {0}, this version knows format {VERSION}")]
    Version(u32),
    /// A path that is none.
    #[error("{0:?} is no path of a name")]
    BadPath(String),
    /// There is too much of it.
    #[error("it is too long")]
    TooLong,
}

/// What becomes of a listed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is what the other has there, unless that is a directory.
    Taken,
    /// It is not there.
    Gone,
    /// It is a directory: the base's, else the other's.
    Directory,
}

/// What the list says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Taken,
    Gone,
    /// The directory with this number.
    Directory(usize),
}

/// A list, checked.
#[derive(Debug)]
pub struct NameList {
    bytes: Vec<u8>,
    directories: usize,
    names: usize,
}

/// A directory while a list is made.
#[derive(Default)]
struct Draft<'a>(BTreeMap<&'a [u8], (Fate, usize)>);

/// The file for a list of paths without a leading `/`. Directories that lead to them need not be named.
///
/// # Errors
/// [`ListError::BadPath`] and [`ListError::TooLong`].
pub fn encode<'a>(paths: impl IntoIterator<Item = (&'a [u8], Fate)>) -> Result<Vec<u8>, ListError> {
    let mut drafts = vec![Draft::default()];
    for (path, fate) in paths {
        let bad = || ListError::BadPath(String::from_utf8_lossy(path).into_owned());
        let mut at = 0;
        let mut names = path.split(|&byte| byte == b'/').peekable();
        while let Some(name) = names.next() {
            EntryName::new(name).map_err(|_| bad())?;
            let is_directory = names.peek().is_some() || fate == Fate::Directory;
            let new = drafts.len();
            let draft = drafts.get_mut(at).ok_or(ListError::Damaged)?;
            let known = draft.0.entry(name).or_insert((fate, 0));
            if is_directory && known.1 == 0 {
                *known = (Fate::Directory, new);
                at = new;
                drafts.push(Draft::default());
            } else {
                at = known.1;
            }
        }
    }
    // Directories are numbered as they were met: each after the one that it is in.
    let names: usize = drafts.iter().map(|draft| draft.0.len()).sum();
    let number = |number: usize| u32::try_from(number).map_err(|_| ListError::TooLong);
    let mut directories = Vec::new();
    let mut entries = Vec::new();
    let mut text = Vec::new();
    let mut first = 0;
    for draft in &drafts {
        directories.extend(number(first)?.to_le_bytes());
        directories.extend(number(draft.0.len())?.to_le_bytes());
        first += draft.0.len();
        for (name, (fate, directory)) in &draft.0 {
            entries.extend(number(text.len())?.to_le_bytes());
            entries.push(u8::try_from(name.len()).map_err(|_| ListError::TooLong)?);
            entries.push(*fate as u8);
            entries.extend([0, 0]);
            entries.extend(number(*directory)?.to_le_bytes());
            text.extend_from_slice(name);
        }
    }
    let mut file = Vec::with_capacity(HEADER + directories.len() + entries.len() + text.len());
    file.extend_from_slice(MAGIC);
    for value in [
        VERSION,
        number(drafts.len())?,
        number(names)?,
        number(text.len())?,
    ] {
        file.extend(value.to_le_bytes());
    }
    for part in [&directories, &entries, &text] {
        file.extend_from_slice(part);
    }
    Ok(file)
}

impl NameList {
    /// Reads the list at `path`.
    ///
    /// # Errors
    /// See [`ListError`].
    pub fn open(path: &Path) -> Result<Self, ListError> {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(LONGEST + 1)
            .read_to_end(&mut bytes)?;
        match bytes.len() as u64 > LONGEST {
            true => Err(ListError::TooLong),
            false => Self::decode(bytes),
        }
    }

    /// Takes the bytes of a list.
    ///
    /// # Errors
    /// See [`ListError`].
    pub fn decode(bytes: Vec<u8>) -> Result<Self, ListError> {
        if bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(ListError::Damaged);
        }
        let field = |at| number_at(&bytes, at).ok_or(ListError::Damaged);
        let version = field(8)?;
        if version != VERSION as usize {
            return Err(ListError::Version(u32::try_from(version).unwrap_or(0)));
        }
        let (directories, names, text) = (field(12)?, field(16)?, field(20)?);
        let expected = directories
            .checked_mul(DIRECTORY)
            .zip(names.checked_mul(NAME))
            .and_then(|(a, b)| HEADER.checked_add(a)?.checked_add(b)?.checked_add(text));
        if expected != Some(bytes.len()) || directories == 0 {
            return Err(ListError::Damaged);
        }
        let list = Self {
            bytes,
            directories,
            names,
        };
        match list.is_sound() {
            true => Ok(list),
            false => Err(ListError::Damaged),
        }
    }

    /// Number of directories, of which 0 is the root.
    pub fn directories(&self) -> usize {
        self.directories
    }

    /// Number of names, directories included.
    pub fn names(&self) -> usize {
        self.names
    }

    /// What becomes of a path.
    pub fn fate(&self, path: &[u8]) -> Option<Fate> {
        let mut at = 0;
        let mut names = path.split(|&byte| byte == b'/').peekable();
        while let Some(name) = names.next() {
            match (self.find(at, name)?, names.peek()) {
                (Listed::Directory(below), Some(_)) => at = below,
                (Listed::Directory(_), None) => return Some(Fate::Directory),
                (Listed::Taken, None) => return Some(Fate::Taken),
                (Listed::Gone, None) => return Some(Fate::Gone),
                (Listed::Taken | Listed::Gone, Some(_)) => return None,
            }
        }
        None
    }

    /// First name of a directory, and the one behind its last.
    fn range(&self, directory: usize) -> Option<(usize, usize)> {
        if directory >= self.directories {
            return None;
        }
        let at = HEADER + directory * DIRECTORY;
        let first = number_at(&self.bytes, at)?;
        let count = number_at(&self.bytes, at + 4)?;
        Some((first, first.checked_add(count)?))
    }

    fn name(&self, index: usize) -> Option<(&[u8], Listed)> {
        if index >= self.names {
            return None;
        }
        let entries = HEADER + self.directories * DIRECTORY;
        let texts = entries + self.names * NAME;
        let at = entries + index * NAME;
        let start = texts.checked_add(number_at(&self.bytes, at)?)?;
        let length = usize::from(*self.bytes.get(at + 4)?);
        let name = self.bytes.get(start..start.checked_add(length)?)?;
        let listed = match *self.bytes.get(at + 5)? {
            fate if fate == Fate::Taken as u8 => Listed::Taken,
            fate if fate == Fate::Gone as u8 => Listed::Gone,
            fate if fate == Fate::Directory as u8 => {
                Listed::Directory(number_at(&self.bytes, at + 8)?)
            }
            _ => return None,
        };
        Some((name, listed))
    }

    /// Whether everything in it means something.
    fn is_sound(&self) -> bool {
        let mut next = 0;
        let mut seen = vec![false; self.directories];
        for directory in 0..self.directories {
            let Some((first, end)) = self.range(directory) else {
                return false;
            };
            if first != next || end > self.names {
                return false;
            }
            next = end;
            let mut last: Option<&[u8]> = None;
            for index in first..end {
                let Some((name, listed)) = self.name(index) else {
                    return false;
                };
                if EntryName::new(name).is_err() || last.is_some_and(|last| last >= name) {
                    return false;
                }
                last = Some(name);
                if let Listed::Directory(below) = listed {
                    match seen.get_mut(below) {
                        Some(seen) if below > directory && !*seen => *seen = true,
                        _ => return false,
                    }
                }
            }
        }
        next == self.names
    }

    /// What is listed of `name` in a directory.
    pub(super) fn find(&self, directory: usize, name: &[u8]) -> Option<Listed> {
        let (mut low, mut high) = self.range(directory)?;
        while low < high {
            let middle = low + (high - low) / 2;
            let (there, listed) = self.name(middle)?;
            match there.cmp(name) {
                std::cmp::Ordering::Equal => return Some(listed),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

fn number_at(bytes: &[u8], at: usize) -> Option<usize> {
    let (number, _) = bytes.get(at..)?.split_first_chunk()?;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<u8> {
        encode([
            (&b"usr/bin/b"[..], Fate::Taken),
            (b"usr/bin/a", Fate::Gone),
            (b"usr/bin", Fate::Taken),
            (b"var/lib/empty", Fate::Directory),
            (b"usr", Fate::Gone),
            (b"init", Fate::Taken),
        ])
        .unwrap()
    }

    #[test]
    fn what_was_listed_is_found() {
        let list = NameList::decode(list()).unwrap();
        assert_eq!(list.find(0, b"init"), Some(Listed::Taken));
        assert_eq!(list.find(0, b"nothing"), None);
        let below = |directory, name: &[u8]| match list.find(directory, name) {
            Some(Listed::Directory(below)) => below,
            other => panic!("{other:?}"),
        };
        let bin = below(below(0, b"usr"), b"bin");
        assert_eq!(list.find(bin, b"a"), Some(Listed::Gone));
        assert_eq!(list.find(bin, b"b"), Some(Listed::Taken));
        assert_eq!(list.find(bin, b"c"), None);
        let empty = below(below(below(0, b"var"), b"lib"), b"empty");
        assert_eq!(list.find(empty, b"x"), None);
        assert_eq!(list.names(), 8);
        assert_eq!(list.fate(b"usr/bin/a"), Some(Fate::Gone));
        assert_eq!(list.fate(b"usr/bin"), Some(Fate::Directory));
        assert_eq!(list.fate(b"usr/bin/a/x"), None);
        assert_eq!(list.fate(b"usr/share"), None);
    }

    #[test]
    fn the_order_of_paths_is_of_no_matter_for_what_is_found() {
        let paths = [
            (&b"a/x"[..], Fate::Taken),
            (b"a", Fate::Directory),
            (b"a/y", Fate::Gone),
        ];
        let mut reversed = paths;
        reversed.reverse();
        assert_eq!(encode(paths).unwrap(), encode(reversed).unwrap());
    }

    #[test]
    fn no_byte_can_be_changed_to_make_it_loop_or_panic() {
        let good = list();
        for at in 0..good.len() {
            for value in [0, 1, 2, 255] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(list) = NameList::decode(bad) {
                    for directory in 0..list.directories() {
                        let _ = list.find(directory, b"b");
                    }
                }
            }
            assert!(NameList::decode(good[..at].to_vec()).is_err());
        }
    }

    #[test]
    fn only_paths_are_listed() {
        for path in [&b""[..], b"/a", b"a//b", b"a/..", b"a/"] {
            assert!(encode([(path, Fate::Taken)]).is_err(), "{path:?}");
        }
    }
}
