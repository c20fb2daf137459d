//! From the bytes of a backup to its entries.
//!
//! Reads headers and jumps over contents. Whatever the bytes are, a scan ends: each step moves at
//! least one unit ahead, and what is looked through for the next header is limited.

use crate::lower::tar::{ArchiveEnd, Entries, Member, MemberData, ScanError, Source, quoted};
use crate::types::FileKind;

use super::header::{self, Header, HeaderFault, LONGEST, UNIT};
use super::links::Links;

/// What is looked through for headers in one step.
const WINDOW: usize = 64 << 10;
/// How many bytes of what looks like headers are added up while one is looked for, in all: a
/// moment's work.
const WORK_LIMIT: u64 = 64 << 20;
/// How many places are told one by one where something was passed over.
const GAPS_TOLD: usize = 20;

/// Reads entry after entry.
pub(in crate::lower) struct Scanner<'s> {
    pub(super) source: &'s mut dyn Source,
    /// Where the next header is due.
    pub(super) offset: u64,
    end: Option<ArchiveEnd>,
    begun: bool,
    /// The archive was written without checksums.
    pub(super) unchecked: bool,
    pub(super) links: Links,
    gaps: Vec<String>,
    gap_count: usize,
    /// Records of types that are not known.
    unknown: u64,
    work: u64,
    /// How many ACLs of another type there are.
    pub(super) acls_lost: u64,
    pub(super) last: Vec<u8>,
}

impl<'s> Scanner<'s> {
    /// A scanner from the first byte on.
    pub(in crate::lower) fn new(source: &'s mut dyn Source) -> Self {
        Self {
            source,
            offset: 0,
            end: None,
            begun: false,
            unchecked: false,
            links: Links::default(),
            gaps: Vec::new(),
            gap_count: 0,
            unknown: 0,
            work: 0,
            acls_lost: 0,
            last: Vec::new(),
        }
    }

    /// Reads the volume's header.
    fn begin(&mut self) -> Result<(), ScanError> {
        let bytes = self.source.bytes(0, LONGEST)?;
        if !header::is_volume(bytes) {
            return Err(ScanError::NotTar);
        }
        self.unchecked = header::is_unchecked(bytes);
        match header::parse(bytes, self.unchecked) {
            Ok((Header::Volume { number: 0 | 1 }, length)) => self.offset = length,
            Ok(_) => return Err(other_volume(0)),
            Err(HeaderFault::Short) => return Err(ScanError::Truncated),
            Err(HeaderFault::None) => {
                return Err(ScanError::Corrupt {
                    offset: 0,
                    why: "the checksum of the volume's header does not hold".to_owned(),
                });
            }
        }
        self.begun = true;
        Ok(())
    }

    /// The header that is due, or the next one that can be found; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, ScanError> {
        let bytes = self.source.bytes(self.offset, LONGEST)?;
        match header::parse(bytes, self.unchecked) {
            Ok((header, length)) => {
                self.offset += length;
                Ok(Some(header))
            }
            Err(HeaderFault::None) => self.search(),
            Err(HeaderFault::Short) => {
                let is_zero = bytes.iter().all(|byte| *byte == 0);
                let length = bytes.len() as u64;
                let end = self.source.end().unwrap_or(self.offset + length);
                if end < self.offset || !is_zero {
                    return Err(ScanError::Truncated);
                }
                self.end = Some(ArchiveEnd::Unmarked);
                Ok(None)
            }
        }
    }

    /// Looks for the next header whose checksum holds, since the one that is due does not.
    fn search(&mut self) -> Result<Option<Header>, ScanError> {
        let start = self.offset;
        let mut at = start;
        let mut all_zero = true;
        loop {
            let bytes = self.source.bytes(at, WINDOW + LONGEST)?;
            let whole = bytes.len() == WINDOW + LONGEST;
            let step = if whole { WINDOW } else { bytes.len() };
            for unit in (0..step).step_by(UNIT as usize) {
                let rest = bytes.get(unit..).unwrap_or_default();
                if !header::has_magic(rest) {
                    all_zero &= rest.iter().take(UNIT as usize).all(|byte| *byte == 0);
                    continue;
                }
                all_zero = false;
                self.work += u64::from(rest[0]) * UNIT;
                let Some((header, length)) = found(rest, self.unchecked) else {
                    continue;
                };
                let place = at + unit as u64;
                if matches!(header, Header::Volume { .. }) {
                    return Err(damaged(
                        start,
                        "and it cannot be told where the next one begins",
                    ));
                }
                self.note_gap(start, place);
                self.offset = place + length;
                return Ok(Some(header));
            }
            at += step as u64;
            if !whole && all_zero {
                self.end = Some(ArchiveEnd::Unmarked);
                return Ok(None);
            }
            if !whole || self.work > WORK_LIMIT {
                return Err(damaged(start, "and none was found behind it"));
            }
        }
    }

    /// Counts what was passed over from `start` to `end`.
    fn note_gap(&mut self, start: u64, end: u64) {
        self.gap_count += 1;
        if self.gaps.len() == GAPS_TOLD {
            return;
        }
        let behind = match self.last.is_empty() {
            true => "the volume's header".to_owned(),
            false => quoted(&self.last),
        };
        self.gaps.push(format!(
            "{} bytes at byte {start}, behind {behind}, are damaged or of an unknown type and were \
             passed over: entries may be missing, and what precedes may be wrong",
            end - start
        ));
    }
}

impl Entries for Scanner<'_> {
    fn end(&self) -> Option<ArchiveEnd> {
        self.end
    }

    fn position(&self) -> u64 {
        self.source.position()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.gaps.clone();
        if self.gap_count > self.gaps.len() {
            let more = self.gap_count - self.gaps.len();
            warnings.push(format!("and bytes in {more} more places were passed over"));
        }
        if self.unknown > 0 {
            warnings.push(format!(
                "{} records are of types that are not known and were passed over: entries or \
                 attributes may be missing",
                self.unknown
            ));
        }
        if self.unchecked {
            warnings.push("the archive has no checksums: damage shows only by chance".to_owned());
        }
        if self.acls_lost > 0 {
            warnings.push(format!(
                "{} ACLs are of a type that is not known and are not shown; their files have \
                 permission bits only",
                self.acls_lost
            ));
        }
        warnings
    }

    fn next(&mut self) -> Result<Option<Member>, ScanError> {
        if !self.begun {
            self.begin()?;
        }
        while self.end.is_none() {
            let at = self.offset;
            match self.header()? {
                None => {}
                Some(Header::End) => self.end = Some(ArchiveEnd::Marked),
                Some(Header::Name(header)) => return self.member(*header).map(Some),
                Some(Header::Volume { .. }) => return Err(other_volume(at)),
                Some(Header::Unknown) if self.last.is_empty() => return Err(by_inode(at)),
                Some(Header::Unknown) => self.unknown += 1,
            }
        }
        Ok(None)
    }

    fn contents(&mut self, data: &MemberData) -> Result<&[u8], ScanError> {
        let length = usize::try_from(data.packed.unwrap_or(data.size)).unwrap_or(0);
        self.source.bytes(data.offset, length)
    }
}

/// A header that is one beyond doubt.
pub(super) fn found(bytes: &[u8], unchecked: bool) -> Option<(Header, u64)> {
    let (header, length) = header::parse(bytes, unchecked).ok()?;
    let is_plausible = match &header {
        Header::Name(header) => {
            FileKind::from_mode(header.mode & 0xf000).is_some() && !header.name.is_empty()
        }
        Header::Volume { .. } | Header::End => true,
        Header::Unknown => false,
    };
    is_plausible.then_some((header, length))
}

fn damaged(offset: u64, more: &str) -> ScanError {
    ScanError::Corrupt {
        offset,
        why: format!(
            "the record that is due there is not known or its checksum does not hold, {more}"
        ),
    }
}

fn other_volume(offset: u64) -> ScanError {
    ScanError::Unsupported {
        offset,
        what: "a further volume of an AIX backup begins",
        remedy: "make the backup anew into one file: what becomes of entries that go over from \
                 one volume to the next is not known",
    }
}

fn by_inode(offset: u64) -> ScanError {
    ScanError::Unsupported {
        offset,
        what: "an AIX backup of an unknown kind begins, perhaps one by i-node",
        remedy: "make it by name, with \"backup -i\" or mksysb",
    }
}
