//! From the bytes of a tar stream to its entries.
//!
//! Reads headers only and jumps over contents. Whatever the bytes are, a scan ends: each step
//! moves at least one block ahead.

use crate::types::{FileKind, Timestamp};

use super::entries::Entries;
use super::error::ScanError;
use super::header::{self, BLOCK, BLOCK_LENGTH, Block, RawHeader};
use super::member::{Member, MemberData, MemberKind, encode_device};
use super::pax::{PaxFields, PaxLayout};
use super::source::Source;
use super::sparse::{LineMap, SparseMap};

/// Longest extended header or GNU long name that is read.
const EXTENDED_LIMIT: u64 = 32 << 20;
/// Longest name; the kernel takes no path over 4096, but an archive may hold deeper ones.
const PATH_LIMIT: u64 = 64 << 10;
/// Who owns a file whose owner's number does not fit in 32 bits (`nobody`).
const OVERFLOW_ID: u32 = 65534;

/// How the entries ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lower) enum ArchiveEnd {
    /// Two blocks of zeros (or one, and nothing behind it).
    Marked,
    /// With the stream, between two entries, without the mark.
    Unmarked,
    /// As marked, but another header follows at this offset.
    AnotherArchive(u64),
    /// As marked, but this offset holds neither zeros nor a header.
    Garbage(u64),
}

/// Reads entry after entry.
pub(super) struct Scanner<'s> {
    source: &'s mut dyn Source,
    /// Where the next header is due.
    offset: u64,
    globals: PaxFields,
    end: Option<ArchiveEnd>,
    first: bool,
}

/// The extended headers in front of an entry.
#[derive(Default)]
struct Extended {
    pax: PaxFields,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    /// Whether an `x` header came; then later ones for all entries do not count for this one.
    own: bool,
    /// Whether a header for all entries said what it must not.
    global_excess: bool,
}

impl<'s> Scanner<'s> {
    /// A scanner from the first byte on.
    pub(super) fn new(source: &'s mut dyn Source) -> Self {
        let globals = PaxFields::default();
        Self {
            source,
            offset: 0,
            globals,
            end: None,
            first: true,
        }
    }

    /// A scanner that begins with the entry at `offset`, behind whatever was there before.
    pub(super) fn resume(source: &'s mut dyn Source, offset: u64) -> Self {
        Self {
            offset,
            first: false,
            ..Self::new(source)
        }
    }

    /// Reads the header at the current offset; `None` at the end of the archive.
    fn header(&mut self, inside: bool) -> Result<Option<Box<RawHeader>>, ScanError> {
        let offset = self.offset;
        let bytes = self.source.bytes(offset, BLOCK_LENGTH)?;
        let Some(block) = bytes.first_chunk::<BLOCK_LENGTH>().copied() else {
            let rest_is_zero = bytes.iter().all(|byte| *byte == 0);
            let length = bytes.len() as u64;
            return self.short_block(length, rest_is_zero, inside);
        };
        match header::parse(&block) {
            Block::Header(header) => {
                self.first = false;
                Ok(Some(header))
            }
            Block::Zero if !inside => {
                self.end = Some(self.after_zero_block()?);
                Ok(None)
            }
            Block::Zero => Err(ScanError::Corrupt {
                offset,
                why: "an extended header is followed by no entry".to_owned(),
            }),
            Block::Bad(_) if self.first => Err(ScanError::NotTar),
            Block::Bad(why) => Err(ScanError::Corrupt {
                offset,
                why: why.to_owned(),
            }),
        }
    }

    /// The stream ends where a header is due.
    fn short_block(
        &mut self,
        length: u64,
        rest_is_zero: bool,
        inside: bool,
    ) -> Result<Option<Box<RawHeader>>, ScanError> {
        let end = self.source.end().unwrap_or(self.offset + length);
        if inside || end < self.offset || !rest_is_zero {
            let error = if self.first {
                ScanError::NotTar
            } else {
                ScanError::Truncated
            };
            return Err(error);
        }
        self.end = Some(ArchiveEnd::Unmarked);
        Ok(None)
    }

    /// What comes after a block of zeros: tar stops there, we say what is left out.
    fn after_zero_block(&mut self) -> Result<ArchiveEnd, ScanError> {
        const LOOK: usize = 64 * 1024;
        // Padding to a tape's block size ends long before.
        const FAR: u64 = 4 << 20;
        let mut offset = self.offset + BLOCK;
        while offset < self.offset + FAR {
            let bytes = self.source.bytes(offset, LOOK)?;
            if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
                let start = offset + (at as u64 & !(BLOCK - 1));
                let block = self.source.bytes(start, BLOCK_LENGTH)?.first_chunk();
                return Ok(match block {
                    Some(block) if header::checksum_holds(block) => {
                        ArchiveEnd::AnotherArchive(start)
                    }
                    _ => ArchiveEnd::Garbage(start),
                });
            }
            if bytes.len() < LOOK {
                return Ok(ArchiveEnd::Marked);
            }
            offset += LOOK as u64;
        }
        Ok(ArchiveEnd::Marked)
    }

    /// The data of an extended header, which must not be longer than `limit`.
    fn body(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, ScanError> {
        if size > limit {
            return Err(ScanError::Corrupt {
                offset: self.offset - BLOCK,
                why: format!("an extended header claims {size} bytes"),
            });
        }
        let length = usize::try_from(size).unwrap_or(0);
        let bytes = self.source.bytes(self.offset, length)?;
        if bytes.len() < length {
            return Err(ScanError::Truncated);
        }
        let body = bytes.to_vec();
        self.skip(size)?;
        Ok(body)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, ScanError> {
        let mut name = self.body(size, PATH_LIMIT)?;
        let end = name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    /// Steps over `size` bytes of data and their padding.
    fn skip(&mut self, size: u64) -> Result<(), ScanError> {
        let end = self
            .offset
            .checked_add(size)
            .filter(|end| *end <= i64::MAX as u64 - BLOCK);
        let Some(end) = end else {
            return Err(ScanError::Corrupt {
                offset: self.offset - BLOCK,
                why: format!("an entry claims {size} bytes"),
            });
        };
        self.offset = end.next_multiple_of(BLOCK);
        Ok(())
    }

    fn member(&mut self, raw: RawHeader, extended: Extended) -> Result<Member, ScanError> {
        let Extended {
            mut pax,
            long_path,
            long_link,
            global_excess,
            ..
        } = extended;
        let mut remarks = Vec::new();
        if global_excess {
            remarks.push(
                "follows a header for all entries with attributes, ACLs or holes, which do not count",
            );
        }
        let stored = pax.size.unwrap_or(raw.size);
        let layout = pax.layout(stored);
        let path = pax.path.or(long_path).unwrap_or(raw.path);
        let link = pax.link.or(long_link).unwrap_or(raw.link);
        let (kind, known) = kind_of(raw.typeflag, &path);
        if !known {
            remarks.push("is of an unknown type and shown as a regular file");
        }
        let mut data = MemberData::default();
        if kind == MemberKind::Node(FileKind::Regular) {
            data = self.data(raw.typeflag, raw.sparse, layout, stored, &mut remarks)?;
        } else {
            self.skip_odd_data(raw.typeflag, stored)?;
        }
        let rdev = device_number(kind, pax.device, raw.device, &mut remarks);
        let uid = owner(pax.uid.or(raw.uid), &mut remarks);
        let gid = owner(pax.gid.or(raw.gid), &mut remarks);
        if pax.xattrs.lost() > 0 {
            remarks.push("has extended attributes that cannot be shown (too long, or not Linux')");
        }
        let whole = |seconds| Timestamp {
            seconds,
            nanoseconds: 0,
        };
        let mtime = pax.mtime.unwrap_or(whole(raw.mtime));
        let (atime, ctime) = raw.other_times.map(|(a, c)| (whole(a), whole(c))).unzip();
        Ok(Member {
            path,
            link,
            kind,
            permissions: raw.mode as u16,
            uid,
            gid,
            rdev,
            mtime,
            atime: pax.atime.or(atime).unwrap_or(mtime),
            ctime: pax.ctime.or(ctime).unwrap_or(mtime),
            data,
            xattrs: pax.xattrs.into_list(),
            acl: pax.acl,
            remarks,
        })
    }

    /// Finds out where the contents of a regular file are, and steps over them.
    fn data(
        &mut self,
        typeflag: u8,
        sparse: Option<(SparseMap, bool)>,
        layout: Option<PaxLayout>,
        stored: u64,
        remarks: &mut Vec<&'static str>,
    ) -> Result<MemberData, ScanError> {
        let start = self.offset;
        let map = match (typeflag, layout) {
            (b'S', _) => self.gnu_sparse(sparse)?,
            (_, Some(PaxLayout::Plain)) => {
                self.skip(stored)?;
                return Ok(MemberData {
                    size: stored,
                    offset: start,
                    ..Default::default()
                });
            }
            (_, Some(PaxLayout::Map(map))) => Some(map),
            (_, Some(PaxLayout::MapInData(size))) => self.map_in_data(size, stored)?,
            (_, None) => None,
        };
        // A map inside the data is part of what is stored, extension headers are not.
        let (data_start, left) = match typeflag {
            b'S' => (self.offset, stored),
            _ => (self.offset, stored.saturating_sub(self.offset - start)),
        };
        self.skip(left)?;
        let placed = map.and_then(|map| map.place(data_start, left));
        let Some((size, extents)) = placed else {
            remarks.push("has a map of its holes that makes no sense; shown as an empty file");
            return Ok(MemberData {
                size: 0,
                offset: data_start,
                ..Default::default()
            });
        };
        Ok(MemberData {
            size,
            offset: data_start,
            extents: Some(extents),
            packed: None,
        })
    }

    /// The map of an old GNU sparse entry, in its header and the blocks behind it.
    fn gnu_sparse(
        &mut self,
        sparse: Option<(SparseMap, bool)>,
    ) -> Result<Option<SparseMap>, ScanError> {
        let Some((mut map, mut more)) = sparse else {
            return Ok(None);
        };
        while more {
            let bytes = self.source.bytes(self.offset, BLOCK_LENGTH)?;
            let Some(extension) = bytes.first_chunk() else {
                return Err(ScanError::Truncated);
            };
            let Some(again) = header::gnu_sparse_extension(&mut map, extension) else {
                return Err(ScanError::Corrupt {
                    offset: self.offset,
                    why: "the map of a sparse file makes no sense".to_owned(),
                });
            };
            more = again;
            self.offset += BLOCK;
        }
        Ok(Some(map))
    }

    /// The map in front of the data of a PAX sparse entry, format 1.0.
    fn map_in_data(&mut self, size: u64, stored: u64) -> Result<Option<SparseMap>, ScanError> {
        let mut lines = LineMap::new(size);
        let end = self.offset.saturating_add(stored);
        while self.offset + BLOCK <= end {
            let bytes = self.source.bytes(self.offset, BLOCK_LENGTH)?;
            if bytes.len() < BLOCK_LENGTH {
                return Err(ScanError::Truncated);
            }
            let whole = lines.take(bytes);
            self.offset += BLOCK;
            match whole {
                Some(true) => return Ok(Some(lines.finish())),
                Some(false) => {}
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Links, directories and devices have no data, whatever size some programs write into their
    /// headers; a few do store data with a hard link. What follows tells.
    fn skip_odd_data(&mut self, typeflag: u8, stored: u64) -> Result<(), ScanError> {
        if stored == 0 {
            return Ok(());
        }
        if typeflag == b'D' {
            return self.skip(stored);
        }
        let bytes = self.source.bytes(self.offset, BLOCK_LENGTH)?;
        let header_follows = bytes.first_chunk::<BLOCK_LENGTH>().is_none_or(|block| {
            header::checksum_holds(block) || block.iter().all(|byte| *byte == 0)
        });
        if header_follows {
            Ok(())
        } else {
            self.skip(stored)
        }
    }
}

impl Entries for Scanner<'_> {
    fn end(&self) -> Option<ArchiveEnd> {
        self.end
    }

    fn position(&self) -> u64 {
        self.source.position()
    }

    fn contents(&mut self, data: &MemberData) -> Result<&[u8], ScanError> {
        let length = usize::try_from(data.size).unwrap_or(0);
        self.source.bytes(data.offset, length)
    }

    fn next(&mut self) -> Result<Option<Member>, ScanError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let mut extended = Extended {
            pax: self.globals.clone(),
            ..Default::default()
        };
        let header_offset = self.offset;
        loop {
            let at = self.offset;
            let Some(raw) = self.header(at != header_offset)? else {
                return Ok(None);
            };
            self.offset = at + BLOCK;
            match raw.typeflag {
                b'x' | b'X' => {
                    let records = self.body(raw.size, EXTENDED_LIMIT)?;
                    extended.pax.read(&records).ok_or_else(|| bad_records(at))?;
                    extended.own = true;
                }
                b'g' => {
                    let records = self.body(raw.size, EXTENDED_LIMIT)?;
                    self.globals.read(&records).ok_or_else(|| bad_records(at))?;
                    extended.global_excess |= self.globals.keep_to_globals();
                    if !extended.own {
                        extended.pax = self.globals.clone();
                    }
                }
                b'L' => extended.long_path = Some(self.long_name(raw.size)?),
                b'K' => extended.long_link = Some(self.long_name(raw.size)?),
                // A volume's label, names of old GNU archives, Solaris' ACLs and attributes.
                b'V' | b'N' | b'A' | b'E' => self.skip(raw.size)?,
                b'M' => {
                    return Err(ScanError::Unsupported {
                        offset: at,
                        what: "the second part of a multi-volume archive",
                        remedy: "join the volumes into one archive with GNU tar -M first",
                    });
                }
                _ => return self.member(*raw, extended).map(Some),
            }
        }
    }
}

fn bad_records(offset: u64) -> ScanError {
    ScanError::Corrupt {
        offset,
        why: "an extended header makes no sense".to_owned(),
    }
}

/// The device number of a device node, 0 for anything else.
fn device_number(
    kind: MemberKind,
    pax: (Option<u32>, Option<u32>),
    raw: (u32, u32),
    remarks: &mut Vec<&'static str>,
) -> u32 {
    if !matches!(
        kind,
        MemberKind::Node(FileKind::CharDevice | FileKind::BlockDevice)
    ) {
        return 0;
    }
    let (major, minor) = (pax.0.unwrap_or(raw.0), pax.1.unwrap_or(raw.1));
    encode_device(major, minor).unwrap_or_else(|| {
        remarks.push("has a device number that Linux cannot express; shown as 0:0");
        0
    })
}

/// The number of an owner or group, as far as there is one.
fn owner(id: Option<u32>, remarks: &mut Vec<&'static str>) -> u32 {
    id.unwrap_or_else(|| {
        remarks.push("has an owner or group over 32 bits; shown as 65534");
        OVERFLOW_ID
    })
}

/// What the type byte stands for, and whether that is known.
fn kind_of(typeflag: u8, path: &[u8]) -> (MemberKind, bool) {
    let kind = match typeflag {
        // Before POSIX, a directory was a file with a slash at the end.
        b'0' | 0 | b'7' if path.ends_with(b"/") => FileKind::Directory,
        b'0' | 0 | b'7' | b'S' => FileKind::Regular,
        b'1' => return (MemberKind::HardLink, true),
        b'2' => FileKind::Symlink,
        b'3' => FileKind::CharDevice,
        b'4' => FileKind::BlockDevice,
        b'5' | b'D' => FileKind::Directory,
        b'6' => FileKind::Fifo,
        _ => return (MemberKind::Node(FileKind::Regular), false),
    };
    (MemberKind::Node(kind), true)
}
