//! Ranges of user and group numbers of the host that stand for those of a WPAR.

use serde::{Deserialize, Serialize};

/// Numbers in the range of one WPAR: 0 to 65,535 inside.
pub const IDS_PER_WPAR: u32 = 65_536;

/// The first number that is ever given to a WPAR.
pub const IDS_FIRST: u32 = 0x4000_0000;

/// The last number that is ever given: the end of systemd's range for containers, so that its
/// tools, too, take these users for those of a container.
pub const IDS_LAST: u32 = 0x6fff_ffff;

/// A range of user and group numbers of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRange {
    /// The host's number of the WPAR's root.
    pub first: u32,
    /// How many numbers.
    pub count: u32,
}

impl IdRange {
    /// Whether the two have a number in common.
    pub fn overlaps(self, other: IdRange) -> bool {
        let end = |range: IdRange| u64::from(range.first) + u64::from(range.count);
        u64::from(self.first) < end(other) && u64::from(other.first) < end(self)
    }

    /// The first free range of [`IDS_PER_WPAR`] numbers, at a multiple of that size, searched in
    /// a circle from the `start`-th on; `None` if all are taken.
    pub fn allocate(taken: &[IdRange], start: u32) -> Option<IdRange> {
        let slots = (IDS_LAST - IDS_FIRST) / IDS_PER_WPAR + 1;
        (0..slots)
            .map(|step| (start % slots + step) % slots)
            .map(|slot| IdRange {
                first: IDS_FIRST + slot * IDS_PER_WPAR,
                count: IDS_PER_WPAR,
            })
            .find(|range| !taken.iter().any(|other| range.overlaps(*other)))
    }

    /// The ranges of a file in the form of `/etc/subuid`: `owner:first:count` in each line. Lines
    /// that are not of that form are ignored, as all tools that read these files do.
    pub fn parse_subids(text: &str) -> Vec<IdRange> {
        let range = |line: &str| {
            let mut fields = line.trim().split(':').skip(1);
            let first = fields.next()?.parse().ok()?;
            let count = fields.next()?.parse().ok()?;
            Some(IdRange { first, count })
        };
        text.lines().filter_map(range).collect()
    }

    /// The numbers of a file in the form of `/etc/passwd` or `/etc/group`, one range for each.
    pub fn parse_accounts(text: &str) -> Vec<IdRange> {
        let number = |line: &str| line.split(':').nth(2)?.parse().ok();
        text.lines()
            .filter_map(number)
            .map(|first| IdRange { first, count: 1 })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, count: u32) -> IdRange {
        IdRange { first, count }
    }

    #[test]
    fn ranges_overlap_if_they_share_a_number() {
        let middle = range(100, 10);
        for (other, expected) in [
            (range(90, 10), false),
            (range(90, 11), true),
            (range(105, 1), true),
            (range(109, 5), true),
            (range(110, 5), false),
            (range(0, u32::MAX), true),
            (range(105, 0), true),
        ] {
            assert_eq!(middle.overlaps(other), expected, "{other:?}");
            assert_eq!(other.overlaps(middle), expected, "{other:?}");
        }
    }

    #[test]
    fn allocation_avoids_what_is_taken_and_ends() {
        let first = IdRange::allocate(&[], 0).unwrap();
        assert_eq!(first, range(IDS_FIRST, IDS_PER_WPAR));
        // One single account inside is enough to skip the range.
        let second = IdRange::allocate(&[range(IDS_FIRST + 5, 1)], 0).unwrap();
        assert_eq!(second.first, IDS_FIRST + IDS_PER_WPAR);
        // A start far on wraps around.
        let slots = (IDS_LAST - IDS_FIRST) / IDS_PER_WPAR + 1;
        let last = IdRange::allocate(&[], slots - 1).unwrap();
        assert_eq!(last.first + (last.count - 1), IDS_LAST);
        assert_eq!(
            IdRange::allocate(&[last], slots - 1).unwrap().first,
            IDS_FIRST
        );
        assert_eq!(IdRange::allocate(&[range(0, u32::MAX)], 7), None);
    }

    #[test]
    fn subid_and_account_files_are_read_leniently() {
        let text = "alice:100000:65536\n# comment\nbad\nbob:x:1\n 1000:165536:65536 \n";
        assert_eq!(
            IdRange::parse_subids(text),
            [range(100_000, 65_536), range(165_536, 65_536)]
        );
        let accounts = "root:x:0:0::/root:/bin/sh\nbad\nldap:x:1073741830:\n";
        assert_eq!(
            IdRange::parse_accounts(accounts),
            [range(0, 1), range(1_073_741_830, 1)]
        );
    }
}
