//! The numbers of users and groups of a place, as this process sees them and as the system does.

/// The kernel's number for an owner that has none.
pub(super) const NOBODY: u32 = 65534;

/// How many ids a system has, and which of this host's is its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    first: u32,
    count: u32,
}

impl Ids {
    /// Those of the host, and of its own mount of a WPAR's files: as they are.
    pub(crate) const PLAIN: Self = Self {
        first: 0,
        count: u32::MAX,
    };

    /// `count` ids of the host from `first` on are 0 and up.
    pub(crate) fn shifted(first: u32, count: u32) -> Self {
        Self { first, count }
    }

    /// The same numbers as they are, but no more than `count` of them.
    pub(crate) fn bounded(count: u32) -> Self {
        Self { first: 0, count }
    }

    pub(super) fn first(self) -> u32 {
        self.first
    }

    /// Whether they are the host's own numbers.
    pub(super) fn is_plain(self) -> bool {
        self.first == 0
    }

    /// What the system calls `id`, which this process sees.
    pub(super) fn inward(self, id: u32) -> Option<u32> {
        id.checked_sub(self.first).filter(|id| *id < self.count)
    }

    /// What this process calls `id`, which the system has.
    pub(super) fn outward(self, id: u32) -> Option<u32> {
        (id < self.count).then(|| id.checked_add(self.first))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_inside_is_the_first_of_the_range_and_nobody_else_is() {
        let ids = Ids::shifted(1_000_000, 65_536);
        assert_eq!(ids.inward(1_000_000), Some(0));
        assert_eq!(ids.inward(1_065_535), Some(65_535));
        for outside in [0, 999_999, 1_065_536, u32::MAX] {
            assert_eq!(ids.inward(outside), None, "{outside}");
        }
        assert_eq!(ids.outward(1000), Some(1_001_000));
        assert_eq!(ids.outward(65_536), None);
        assert_eq!(Ids::PLAIN.inward(1000), Some(1000));
        assert_eq!(Ids::bounded(65_536).outward(100_000), None);
    }
}
