//! One entry: its attributes, and where its contents are.

use crate::lower::tar::{Member, MemberData, MemberKind, ScanError, encode_device};
use crate::types::{FileKind, Timestamp};

use super::acl;
use super::header::{self, HeaderFault, LONGEST, NameHeader, UNIT};
use super::layout::{Behind, Layout, in_order, padded};
use super::scan::{Scanner, found};

/// Longest target of a symbolic link that is read; AIX has none over 1023 bytes.
const TARGET_LIMIT: u64 = 4096;
/// What is looked at behind a header, nearly always enough.
const USUAL: usize = 256;
/// Highest value of what may be the high half of a size: for 256 TiB.
const HIGHEST: u32 = 0xffff;
/// What packing saves at most: the shortest code has one bit.
const MOST_EXPANSION: u64 = 8;

/// An extended attribute: name and value.
type Attribute = (Vec<u8>, Vec<u8>);

impl Scanner<'_> {
    /// The entry whose header was just read.
    pub(super) fn member(&mut self, header: NameHeader) -> Result<Member, ScanError> {
        let mut remarks = Vec::new();
        let kind = FileKind::from_mode(header.mode & 0xf000).unwrap_or_else(|| {
            remarks.push("is of an unknown type and shown as a regular file");
            FileKind::Regular
        });
        let first = self.links.first_name(&header, kind);
        let mut link = Vec::new();
        let mut data = MemberData::default();
        let mut attribute = None;
        if kind == FileKind::Symlink {
            link = self.target(&header, &mut remarks)?;
        } else {
            attribute = self.acl(&header, kind)?;
            data = self.data(&header, kind, first.is_some(), &mut remarks)?;
        }
        let member_kind = match first {
            Some(first) => {
                link = first;
                MemberKind::HardLink
            }
            None => MemberKind::Node(kind),
        };
        self.last.clone_from(&header.name);
        let [atime, mtime, ctime] = header.times.map(|seconds| Timestamp {
            seconds: i64::from(seconds as i32),
            nanoseconds: 0,
        });
        Ok(Member {
            rdev: device_number(kind, header.rdev, &mut remarks),
            path: header.name,
            link,
            kind: member_kind,
            permissions: header.mode as u16 & 0o7777,
            uid: header.uid,
            gid: header.gid,
            mtime,
            atime,
            ctime,
            data,
            xattrs: attribute.into_iter().collect(),
            acl: [None, None],
            remarks,
        })
    }

    /// An ACL that says more than the mode, as an attribute that Linux may keep on such a file.
    fn acl(&mut self, header: &NameHeader, kind: FileKind) -> Result<Option<Attribute>, ScanError> {
        let length = u64::from(header::u32_at(self.source.bytes(self.offset, 4)?, 0)) * UNIT;
        let says_more = length > acl::BASE_BYTES as u64 || header.mode & acl::EXTENDED != 0;
        if !says_more || length > acl::LIMIT {
            return Ok(None);
        }
        let bytes = self
            .source
            .bytes(self.offset, UNIT as usize + length as usize)?;
        let value = bytes.get(UNIT as usize..).unwrap_or_default();
        let text = acl::to_text(value, (header.uid, header.gid), header.mode);
        self.acls_lost += u64::from(text.is_none());
        let can_have = matches!(kind, FileKind::Regular | FileKind::Directory);
        let text = text.filter(|_| can_have);
        Ok(text.map(|text| (b"user.aix.acl".to_vec(), text.into_bytes())))
    }

    /// Finds the contents and steps over them.
    fn data(
        &mut self,
        header: &NameHeader,
        kind: FileKind,
        is_again: bool,
        remarks: &mut Vec<&'static str>,
    ) -> Result<MemberData, ScanError> {
        let is_file = kind == FileKind::Regular;
        let packed = is_file && header.packed && header.size > 0;
        let stored = u64::from(if packed { header.stored } else { header.size });
        let layouts = self.behind(|behind| {
            let mut layouts = behind.of_data(stored);
            if stored > 0 && (!is_file || is_again) {
                // Only what is a file surely has data, and only under its first name.
                layouts.extend(behind.of_data(0));
            }
            if is_file && !packed && (1..=HIGHEST).contains(&header.reserved) {
                layouts.extend(behind.of_data(u64::from(header.reserved) << 32 | stored));
            }
            layouts
        })?;
        let (layout, is_sure) = self.choose(layouts)?;
        self.offset = layout.end;
        if !is_sure {
            remarks.push("has an ACL whose length makes no sense; its contents may be wrong");
        }
        let mut data = MemberData {
            size: u64::from(header.size),
            offset: layout.data,
            ..MemberData::default()
        };
        if packed {
            data.packed = Some(stored);
            if data.size > stored * MOST_EXPANSION {
                remarks.push("is damaged: more is claimed than it can hold; reading it fails");
            }
        } else if is_file && layout.end - layout.data > padded(stored) {
            data.size |= u64::from(header.reserved) << 32;
            remarks.push("is over 4 GiB long, by a field whose meaning is a guess");
        }
        Ok(data)
    }

    /// The target of a symbolic link.
    fn target(
        &mut self,
        header: &NameHeader,
        remarks: &mut Vec<&'static str>,
    ) -> Result<Vec<u8>, ScanError> {
        let size = u64::from(header.size);
        if size > TARGET_LIMIT {
            return Err(ScanError::Corrupt {
                offset: self.offset,
                why: format!("a symbolic link claims a target of {size} bytes"),
            });
        }
        let start = self.offset;
        let bytes = self.link_bytes(size)?;
        let behind = Behind {
            offset: start,
            bytes: &bytes,
        };
        let layouts = in_order(behind.of_link(size));
        let (layout, is_sure) = self.choose(layouts)?;
        self.offset = layout.end;
        if !is_sure {
            remarks.push("has a target that may be wrong: what follows it makes no sense");
        }
        let target = bytes
            .get((layout.data - start) as usize..)
            .unwrap_or_default();
        let limit = if size > 0 { size } else { TARGET_LIMIT };
        let target = target.get(..limit as usize).unwrap_or(target);
        let target = target.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(target.to_vec())
    }

    /// The bytes in which the target of a symbolic link is, wherever it begins.
    fn link_bytes(&mut self, size: u64) -> Result<Vec<u8>, ScanError> {
        let text = if size > 0 { size } else { TARGET_LIMIT };
        let (offset, near) = (self.offset, padded(text) + 3 * UNIT);
        let bytes = self.source.bytes(offset, near as usize)?;
        let behind = Behind { offset, bytes }.acl_bytes(0);
        let all = near.max(behind.map_or(0, |acl| acl + padded(size)));
        Ok(self.source.bytes(offset, all as usize)?.to_vec())
    }

    /// What `layouts` finds behind the header, nearest first.
    fn behind(
        &mut self,
        layouts: impl Fn(Behind<'_>) -> Vec<Layout>,
    ) -> Result<Vec<Layout>, ScanError> {
        let offset = self.offset;
        let bytes = self.source.bytes(offset, USUAL)?;
        let found = layouts(Behind { offset, bytes });
        if found.len() == 1 {
            return Ok(found);
        }
        let all = 2 * (UNIT + acl::LIMIT);
        let bytes = self.source.bytes(offset, all as usize)?;
        Ok(in_order(layouts(Behind { offset, bytes })))
    }

    /// The layout behind which a header follows, or the end of the stream if it is what the archive
    /// says; and whether there is one. A single one is not looked into.
    fn choose(&mut self, layouts: Vec<Layout>) -> Result<(Layout, bool), ScanError> {
        let nothing = Layout {
            data: self.offset,
            end: self.offset,
            is_said: false,
        };
        let last = layouts.last().copied().unwrap_or(nothing);
        if layouts.len() < 2 {
            return Ok((last, true));
        }
        for layout in &layouts {
            let bytes = self.source.bytes(layout.end, LONGEST)?;
            // One that is cut off will be refused.
            let is_cut_off = header::has_magic(bytes)
                && header::parse(bytes, self.unchecked) == Err(HeaderFault::Short);
            let is_header = is_cut_off || found(bytes, self.unchecked).is_some();
            let is_empty = bytes.is_empty();
            let ends_here = is_empty && self.source.end() == Some(layout.end);
            if is_header || ends_here && layout.is_said {
                return Ok((*layout, true));
            }
        }
        Ok((last, false))
    }
}

/// The device number of a device node, 0 for anything else.
fn device_number(
    kind: FileKind,
    (major, minor): (u32, u32),
    remarks: &mut Vec<&'static str>,
) -> u32 {
    if !matches!(kind, FileKind::CharDevice | FileKind::BlockDevice) {
        return 0;
    }
    encode_device(major, minor).unwrap_or_else(|| {
        remarks.push("has a device number that Linux cannot express; shown as 0:0");
        0
    })
}
