//! Which archives of an image are stored again in the seekable copy.

use std::collections::HashSet;

use super::format::Codec;
use super::stored::StoredPlace;

/// Smaller archives are not copied on a suspicion.
const LARGE: u64 = 4 << 20;

/// Which archives, by their order, are stored again in a seekable copy.
#[derive(Debug, Default)]
pub(super) struct Copies {
    wanted: HashSet<usize>,
    /// All large ones behind this one that are compressed in the same way: whoever packed one of
    /// an image's layers into a single frame did so with the others.
    behind: Option<(usize, Codec)>,
    /// The one that turned out to need it.
    found: Option<(usize, Codec)>,
}

impl Copies {
    /// Adds what the last pass found out; false if it did not find anything.
    pub(super) fn learn(&mut self) -> bool {
        let Some((number, codec)) = self.found.take() else {
            return false;
        };
        self.behind = Some((number, codec));
        self.wanted.insert(number)
    }

    /// Says that an archive has to be copied, before it is scanned.
    pub(super) fn add(&mut self, number: usize) {
        self.wanted.insert(number);
    }

    /// Notes that the archive under way has to be copied, so that all begins anew.
    pub(super) fn note(&mut self, number: usize, codec: Codec) {
        self.found = Some((number, codec));
    }

    /// Whether an archive is to be copied.
    pub(super) fn contains(&self, number: usize, place: &StoredPlace) -> bool {
        let behind = |(first, codec): (usize, Codec)| {
            number > first && codec == place.codec && place.bytes > LARGE
        };
        self.wanted.contains(&number) || self.behind.is_some_and(behind)
    }
}
