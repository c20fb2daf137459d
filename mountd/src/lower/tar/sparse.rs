//! Sparse files: where the stored bytes of an entry belong in the file.

use super::number;

/// A stretch of data of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lower) struct Extent {
    /// Where it begins in the file.
    pub(in crate::lower) file_offset: u64,
    /// How long it is.
    pub(in crate::lower) length: u64,
    /// Where its bytes begin in the tar stream.
    pub(in crate::lower) data_offset: u64,
}

impl Extent {
    /// End of the stretch in the file.
    pub(super) fn end(&self) -> u64 {
        self.file_offset.saturating_add(self.length)
    }
}

/// The data stretches of a sparse file, in order, not overlapping, none empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SparseMap {
    /// Size of the file with its holes.
    pub(super) size: u64,
    extents: Vec<Extent>,
}

impl SparseMap {
    /// A file of `size` bytes that is one hole.
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            extents: Vec::new(),
        }
    }

    /// Appends a stretch; `None` if it lies before the end of the last one or wraps around.
    pub(super) fn push(&mut self, extent: Extent) -> Option<()> {
        extent
            .file_offset
            .checked_add(extent.length)
            .filter(|end| *end <= i64::MAX as u64)?;
        if extent.length == 0 {
            return Some(());
        }
        match self.extents.last_mut() {
            Some(last) if last.end() > extent.file_offset => return None,
            Some(last) if last.end() == extent.file_offset => last.length += extent.length,
            _ => self.extents.push(extent),
        }
        Some(())
    }

    /// Ties the stretches to the `stored` bytes that begin at `data_offset` of the tar stream;
    /// `None` if the map does not fit them or the file's size.
    pub(super) fn place(mut self, data_offset: u64, stored: u64) -> Option<(u64, Vec<Extent>)> {
        let mut next = data_offset;
        for extent in &mut self.extents {
            extent.data_offset = next;
            next = next.checked_add(extent.length)?;
        }
        let fits = next - data_offset <= stored
            && self.size <= i64::MAX as u64
            && self
                .extents
                .last()
                .is_none_or(|last| last.end() <= self.size);
        fits.then_some((self.size, self.extents))
    }
}

/// The map of `GNU.sparse.map` (format 0.1): `offset,length,offset,length...`.
pub(super) fn comma_map(size: u64, text: &[u8]) -> Option<SparseMap> {
    let mut map = SparseMap::new(size);
    let mut numbers = text.split(|byte| *byte == b',').map(number::decimal);
    if text.is_empty() {
        return Some(map);
    }
    while let Some(offset) = numbers.next() {
        let length = numbers.next()??;
        map.push(Extent {
            file_offset: offset?,
            length,
            data_offset: 0,
        })?;
    }
    Some(map)
}

/// Reader of the map that stands before the data (format 1.0): decimal numbers, one to a line,
/// the first of which counts the pairs; padded with NULs to whole blocks.
#[derive(Debug)]
pub(super) struct LineMap {
    map: SparseMap,
    pairs: Option<u64>,
    offset: Option<u64>,
    line: Vec<u8>,
}

impl LineMap {
    /// A reader for a file of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        Self {
            map: SparseMap::new(size),
            pairs: None,
            offset: None,
            line: Vec::new(),
        }
    }

    /// Takes the next block; `None` if it is no part of a map, `Some(true)` if the map is whole.
    pub(super) fn take(&mut self, block: &[u8]) -> Option<bool> {
        for &byte in block {
            if byte != b'\n' {
                // 20 digits hold any 64-bit number.
                if self.line.len() == 20 {
                    return None;
                }
                self.line.push(byte);
                continue;
            }
            let value = number::decimal(&self.line)?;
            self.line.clear();
            if self.number(value)? {
                return Some(true);
            }
        }
        Some(false)
    }

    fn number(&mut self, value: u64) -> Option<bool> {
        let Some(left) = self.pairs else {
            self.pairs = Some(value);
            return Some(value == 0);
        };
        let Some(file_offset) = self.offset.take() else {
            self.offset = Some(value);
            return Some(false);
        };
        self.map.push(Extent {
            file_offset,
            length: value,
            data_offset: 0,
        })?;
        self.pairs = Some(left - 1);
        Some(left == 1)
    }

    /// The map.
    pub(super) fn finish(self) -> SparseMap {
        self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(file_offset: u64, length: u64, data_offset: u64) -> Extent {
        Extent {
            file_offset,
            length,
            data_offset,
        }
    }

    #[test]
    fn maps_are_ordered_and_fit() {
        let map = comma_map(100, b"0,10,20,5,25,5,90,0").unwrap();
        assert_eq!(
            map.clone().place(1000, 20).unwrap(),
            (100, vec![extent(0, 10, 1000), extent(20, 10, 1010)])
        );
        assert_eq!(map.place(1000, 19), None);
        assert_eq!(comma_map(100, b"0,10,5,5"), None);
        assert_eq!(comma_map(100, b"0,10,5"), None);
        assert_eq!(comma_map(100, b"x"), None);
        assert_eq!(comma_map(9, b"0,10").unwrap().place(0, 10), None);
        assert_eq!(comma_map(9, b"18446744073709551615,2"), None);
        assert_eq!(
            comma_map(7, b"").unwrap().place(0, 0),
            Some((7, Vec::new()))
        );
    }

    #[test]
    fn line_maps_may_cross_blocks() {
        let text = b"2\n0\n512\n1024\n3\n";
        for cut in 0..text.len() {
            let mut lines = LineMap::new(2000);
            assert_eq!(lines.take(&text[..cut]), Some(false), "{cut}");
            assert_eq!(lines.take(&text[cut..]), Some(true), "{cut}");
            let placed = lines.finish().place(512, 515).unwrap();
            assert_eq!(placed.1, [extent(0, 512, 512), extent(1024, 3, 1024)]);
        }
        for bad in [
            &b"-1\n"[..],
            b"\n",
            b"999999999999999999999\n",
            b"1\n0\nx\n",
        ] {
            assert_eq!(LineMap::new(0).take(bad), None, "{}", bad.escape_ascii());
        }
        assert_eq!(LineMap::new(0).take(b"0\n"), Some(true));
    }
}
