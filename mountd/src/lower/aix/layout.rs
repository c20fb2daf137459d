//! Where what belongs to an entry lies behind its header.
//!
//! Two words give the lengths of ACL and PCL, which begin with lengths of their own; if both agree,
//! as they do in all that real programs wrote, that is it. Where they do not, and for what has been
//! described in more than one way (symbolic links, further names of a file), there are several
//! candidates, and the one is taken behind which a header follows whose checksum holds.

use super::acl;
use super::header::{UNIT, u32_at};

/// A place for the contents of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where the contents begin.
    pub(super) data: u64,
    /// Where the next header would be.
    pub(super) end: u64,
    /// Whether it is what the archive says, and not what could be meant.
    pub(super) is_said: bool,
}

/// The bytes behind the header of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind<'b> {
    /// Where they are in the stream.
    pub(super) offset: u64,
    pub(super) bytes: &'b [u8],
}

/// The length of something that is padded to whole units.
pub(super) fn padded(length: u64) -> u64 {
    length.next_multiple_of(UNIT)
}

impl Behind<'_> {
    fn word(&self, at: u64) -> u32 {
        u32_at(self.bytes, usize::try_from(at).unwrap_or(usize::MAX))
    }

    /// Length of the two words, ACL and PCL that begin at `at`, as the words say it, if that can be.
    pub(super) fn acl_bytes(&self, at: u64) -> Option<u64> {
        let (acl, pcl) = (self.length_at(at), self.length_at(at + 4));
        (acl <= acl::LIMIT && pcl <= acl::LIMIT).then_some(UNIT + acl + pcl)
    }

    fn length_at(&self, at: u64) -> u64 {
        u64::from(self.word(at)) * UNIT
    }

    /// Whether the words for ACL and PCL say what these say of themselves.
    fn acl_agrees(&self) -> bool {
        let (acl, pcl) = (self.length_at(0), self.length_at(4));
        let own = |at| padded(u64::from(self.word(at)));
        own(UNIT) == acl && acl <= acl::LIMIT && (pcl == 0 || own(UNIT + acl) == pcl)
    }

    /// Where `stored` bytes of contents may lie.
    pub(super) fn of_data(&self, stored: u64) -> Vec<Layout> {
        let words = self.acl_bytes(0);
        let at = |length: u64| {
            let data = self.offset + length;
            Layout {
                data,
                end: data + padded(stored),
                is_said: words == Some(length),
            }
        };
        match words {
            Some(length) if self.acl_agrees() => vec![at(length)],
            _ => {
                let acl = padded(u64::from(self.word(UNIT)));
                let pcl = padded(u64::from(self.word(UNIT + acl)));
                let own = (acl <= acl::LIMIT && pcl <= acl::LIMIT).then_some(UNIT + acl + pcl);
                let without_pcl = Some(UNIT + self.length_at(0));
                let usual = Some(UNIT + 2 * acl::BASE_BYTES as u64);
                let lengths = [words, own, usual, without_pcl, Some(UNIT), Some(0)];
                let mut found: Vec<_> = lengths.into_iter().flatten().map(at).collect();
                found.retain(|layout| layout.data <= self.offset + UNIT + 2 * acl::LIMIT);
                found
            }
        }
    }

    /// Where the target of a symbolic link of this size may lie.
    pub(super) fn of_link(&self, size: u64) -> Vec<Layout> {
        let text = self.bytes.iter().position(|byte| *byte == 0);
        let until_zero = padded(text.map_or(size, |length| length as u64) + 1);
        let layout = |data: u64, end: u64| Layout {
            data: self.offset + data,
            end: self.offset + end,
            is_said: data == 0 && end == padded(size),
        };
        let mut found = Vec::new();
        for end in [padded(size), until_zero] {
            found.push(layout(0, end));
            found.extend(self.acl_bytes(end).map(|acl| layout(0, end + acl)));
        }
        let behind = self.acl_bytes(0);
        found.extend(behind.map(|acl| layout(acl, acl + padded(size))));
        found
    }
}

/// Nearest first, and each once.
pub(super) fn in_order(mut layouts: Vec<Layout>) -> Vec<Layout> {
    layouts.sort_unstable_by_key(|layout| (layout.end, layout.data, !layout.is_said));
    layouts.dedup_by_key(|layout| (layout.end, layout.data));
    layouts
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &[u8] = b"\x02\0\0\0\x02\0\0\0\x10\0\0\0........\0\0\0\0\x10\0\0\0";

    fn starts(bytes: &[u8]) -> Vec<u64> {
        let behind = Behind {
            offset: 1000,
            bytes,
        };
        let found = behind.of_data(9);
        assert!(found.iter().all(|layout| layout.end == layout.data + 16));
        found.iter().map(|layout| layout.data).collect()
    }

    #[test]
    fn lengths_that_agree_are_taken() {
        assert_eq!(starts(USUAL), [1040]);
        let extended = b"\x03\0\0\0\0\0\0\0\x18\0\0\0";
        assert_eq!(starts(extended), [1032]);
    }

    #[test]
    fn lengths_that_do_not_are_tried() {
        let mut flipped = USUAL.to_vec();
        flipped[0] = 6;
        let found = starts(&flipped);
        assert!(found.contains(&1040) && found.contains(&1072), "{found:?}");
        flipped[3] = 0x80;
        assert!(starts(&flipped).contains(&1040));
        assert!(starts(b"").contains(&1008));
    }

    #[test]
    fn links_have_three_layouts() {
        let mut bytes = b"target\0\0".to_vec();
        bytes.extend(USUAL);
        let of_link = |bytes, size| Behind { offset: 0, bytes }.of_link(size);
        let found = of_link(&bytes, 6);
        let has = |found: &[Layout], data, end| {
            let mut found = found.iter();
            found.any(|layout| (layout.data, layout.end) == (data, end))
        };
        assert!(has(&found, 0, 8) && has(&found, 0, 48));
        let mut bytes = USUAL.to_vec();
        bytes.resize(40, 0);
        bytes.extend(b"target\0\0");
        assert!(has(&of_link(&bytes, 6), 40, 48));
        // A target that fills its units, with a zero behind it.
        let whole = [&b"12345678"[..], &[0; 8]].concat();
        assert!(has(&of_link(&whole, 8), 0, 16));
    }
}
