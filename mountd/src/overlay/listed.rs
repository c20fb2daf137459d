//! The entries of one directory, as they were found at one moment.
//!
//! Sorted by position, which is a hash of the name (see `listing`). A name that goes is marked, and
//! nothing else ever changes. An entry takes 24 bytes and its name.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::error::{FsError, FsResult};
use crate::types::{FileKind, Ino};

/// Position of `.`; that of `..` is one more. Those of names are larger.
pub(super) const FIRST: u64 = 1;

/// The entries. See the module.
#[derive(Debug, Default)]
pub(super) struct Listing {
    entries: Vec<Entry>,
    /// The names, one after the other.
    names: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    position: u64,
    ino: Ino,
    /// Start of the name.
    name: u32,
    name_bytes: u16,
    kind: FileKind,
    /// Whether the name was taken away since. Changed under the `names` lock, for writing.
    gone: AtomicBool,
}

/// An entry that is there.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    pub(super) name: &'a [u8],
    pub(super) ino: Ino,
    pub(super) kind: FileKind,
    pub(super) position: u64,
}

impl Listing {
    /// Takes an entry in; when all are in, [`Self::complete`] is to be called.
    ///
    /// # Errors
    /// `ENOMEM` if the names are longer than 4 GiB together, `NameTooLong` if this one is no name.
    pub(super) fn push(&mut self, name: &[u8], ino: Ino, kind: FileKind) -> FsResult<()> {
        let start = self.names.len();
        let entry = Entry {
            position: position_of(name),
            ino,
            name: u32::try_from(start).map_err(|_| FsError::Layer(Errno::NOMEM))?,
            name_bytes: u16::try_from(name.len()).map_err(|_| FsError::NameTooLong)?,
            kind,
            gone: AtomicBool::new(false),
        };
        self.names.extend_from_slice(name);
        self.entries.push(entry);
        Ok(())
    }

    /// Sorts the entries, and gives each a position of its own.
    pub(super) fn complete(mut self) -> Self {
        let names = &self.names;
        self.entries.sort_unstable_by(|a, b| {
            (a.position, name_of(names, a)).cmp(&(b.position, name_of(names, b)))
        });
        for at in 1..self.entries.len() {
            if let [before, after] = &mut self.entries[at - 1..=at]
                && after.position <= before.position
            {
                after.position = before.position + 1;
            }
        }
        self.entries.shrink_to_fit();
        self.names.shrink_to_fit();
        self
    }

    /// How many names there were.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is there behind `position`.
    pub(super) fn behind(&self, position: u64) -> impl Iterator<Item = Listed<'_>> {
        let start = self
            .entries
            .partition_point(|entry| entry.position <= position);
        let rest = self.entries.get(start..).unwrap_or(&[]).iter();
        let there = rest.filter(|entry| !entry.gone.load(Ordering::Relaxed));
        there.map(|entry| Listed {
            name: name_of(&self.names, entry),
            ino: entry.ino,
            kind: entry.kind,
            position: entry.position,
        })
    }

    /// Marks a name that goes; false if it was never in the listing.
    pub(super) fn mark_gone(&self, name: &[u8]) -> bool {
        let position = position_of(name);
        let start = self
            .entries
            .partition_point(|entry| entry.position < position);
        let rest = self.entries.get(start..).unwrap_or(&[]);
        // Of names with one hash the later ones follow without a gap.
        let same_hash = rest.iter().zip(position..);
        let found = same_hash
            .take_while(|(entry, at)| entry.position == *at)
            .find(|(entry, _)| name_of(&self.names, entry) == name);
        if let Some((entry, _)) = found {
            entry.gone.store(true, Ordering::Relaxed);
        }
        found.is_some()
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.names.capacity()
    }
}

fn name_of<'a>(names: &'a [u8], entry: &Entry) -> &'a [u8] {
    let start = entry.name as usize;
    let end = start + usize::from(entry.name_bytes);
    names.get(start..end).unwrap_or_default()
}

/// Position of a name: FNV-1a, mixed, and kept clear of the sign bit and of `.` and `..`.
fn position_of(name: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = name.iter().fold(OFFSET, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 2) + FIRST + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_earlier_versions_and_fit_in_off_t() {
        // A program may keep a position over an upgrade of the daemon.
        assert_eq!(position_of(b"etc"), position_of(b"etc"));
        for name in [&b"a"[..], b"b", b"", &[0xff; 255]] {
            let position = position_of(name);
            assert!(position > 2 && position < 1 << 63, "{position}");
        }
    }

    #[test]
    fn names_with_one_hash_have_positions_of_their_own_and_go_one_by_one() {
        let names = [&b"one"[..], b"two", b"three"];
        let mut listing = Listing::default();
        for (number, name) in (2..).zip(names) {
            listing.push(name, Ino(number), FileKind::Regular).unwrap();
        }
        let hash = position_of(b"two");
        for entry in &mut listing.entries {
            entry.position = hash;
        }
        let listing = listing.complete();
        let seen = |listing: &Listing, position| -> Vec<(Vec<u8>, u64)> {
            let behind = listing.behind(position);
            behind
                .map(|entry| (entry.name.to_vec(), entry.ino.0))
                .collect()
        };
        let sorted = [
            (b"one".to_vec(), 2),
            (b"three".to_vec(), 4),
            (b"two".to_vec(), 3),
        ];
        assert_eq!(seen(&listing, 0), sorted);
        assert_eq!(seen(&listing, hash), sorted[1..]);
        assert!(listing.mark_gone(b"two"));
        assert_eq!(seen(&listing, 0), sorted[..2]);
        assert!(!listing.mark_gone(b"four"));
    }
}
