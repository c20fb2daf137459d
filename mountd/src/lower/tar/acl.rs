//! ACLs: from the text of `SCHILY.acl.access` and `.default` to the value of the kernel's
//! `system.posix_acl_access` and `.default` attributes.
//!
//! The kernel's encoding (`include/uapi/linux/posix_acl_xattr.h`): a 32-bit version 2, then for
//! each entry a 16-bit tag, 16 bits of permission and a 32-bit id, all little-endian, in the order
//! of tag and id.

use std::collections::HashMap;

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Most entries of an ACL that are read; the kernel's limit is the size of an attribute.
const MOST_ENTRIES: usize = 4096;

/// Names of users or groups and their numbers, as the image's own `etc/passwd` or `etc/group`.
#[derive(Debug, Default)]
pub(super) struct IdTable(HashMap<Vec<u8>, u32>);

impl IdTable {
    /// Reads the first and third field of each line.
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut table = HashMap::new();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b':');
            let (name, id) = (fields.next(), fields.nth(1).and_then(id));
            if let (Some(name), Some(id)) = (name, id) {
                table.entry(name.to_vec()).or_insert(id);
            }
        }
        Self(table)
    }
}

/// The text is no ACL that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoAcl;

fn id(bytes: &[u8]) -> Option<u32> {
    super::number::decimal(bytes)
        .and_then(|id| u32::try_from(id).ok())
        .filter(|id| *id != NO_ID)
}

/// An ACL in the kernel's encoding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Acl {
    /// The attribute's value.
    pub(super) value: Vec<u8>,
    /// Whether it says no more than permission bits do.
    pub(super) is_mode: bool,
    /// Whether entries are missing, of users or groups that the image does not know. All others, the
    /// mask above all, are there: without them the owning group would have the mask's permissions.
    pub(super) is_partial: bool,
}

/// The kernel's value for an ACL in text form: entries `tag:name:perms[:id]` divided by commas or
/// newlines. An id after the permissions counts before the name, a name of digits is an id, any
/// other name is looked up in `users` or `groups`.
pub(super) fn from_text(text: &[u8], users: &IdTable, groups: &IdTable) -> Result<Acl, NoAcl> {
    let (mut entries, mut is_partial) = (Vec::new(), false);
    for line in text.split(|byte| matches!(byte, b',' | b'\n')) {
        let line = line
            .split(|byte| *byte == b'#')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if line.is_empty() {
            continue;
        }
        if entries.len() == MOST_ENTRIES {
            return Err(NoAcl);
        }
        match entry(line, users, groups)? {
            (tag, Some(id), permissions) => entries.push((tag, id, permissions)),
            (_, None, _) => is_partial = true,
        }
    }
    entries.sort_unstable();
    let count = |tag| entries.iter().filter(|entry| entry.0 == tag).count();
    let named = count(USER) + count(GROUP);
    if [USER_OBJ, GROUP_OBJ, OTHER]
        .iter()
        .any(|tag| count(*tag) != 1)
        || count(MASK) > 1
        || (named > 0 && count(MASK) == 0)
        || entries
            .windows(2)
            .any(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
    {
        return Err(NoAcl);
    }
    let is_mode = entries.len() == 3;
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    Ok(Acl {
        value,
        is_mode,
        is_partial,
    })
}

/// Tag, id and permissions of an entry; no id if nobody is known by its name.
type Entry = (u16, Option<u32>, u16);

fn entry(line: &[u8], users: &IdTable, groups: &IdTable) -> Result<Entry, NoAcl> {
    let mut fields = line
        .split(|byte| *byte == b':')
        .map(|field| field.trim_ascii());
    let mut next = || fields.next().ok_or(NoAcl);
    let kind = next()?;
    let name = next()?;
    // "other::rwx" may lose one of its colons: "other:rwx".
    let (name, permissions) = match next() {
        Ok(permissions) => (name, permissions),
        Err(_) if matches!(kind, b"other" | b"mask" | b"o" | b"m") => (&b""[..], name),
        Err(fault) => return Err(fault),
    };
    let permissions = bits(permissions).ok_or(NoAcl)?;
    let number = next().ok();
    let named = |table: &IdTable| {
        number
            .and_then(id)
            .or_else(|| id(name))
            .or_else(|| table.0.get(name).copied())
    };
    match (kind, name.is_empty()) {
        (b"user" | b"u", true) => Ok((USER_OBJ, Some(NO_ID), permissions)),
        (b"user" | b"u", false) => Ok((USER, named(users), permissions)),
        (b"group" | b"g", true) => Ok((GROUP_OBJ, Some(NO_ID), permissions)),
        (b"group" | b"g", false) => Ok((GROUP, named(groups), permissions)),
        (b"mask" | b"m", true) => Ok((MASK, Some(NO_ID), permissions)),
        (b"other" | b"o", true) => Ok((OTHER, Some(NO_ID), permissions)),
        _ => Err(NoAcl),
    }
}

fn bits(text: &[u8]) -> Option<u16> {
    text.iter().try_fold(0, |bits, byte| {
        Some(
            bits | match byte {
                b'r' => 4,
                b'w' => 2,
                b'x' => 1,
                b'-' => 0,
                _ => return None,
            },
        )
    })
}

/// The permission bits (0777) that an inode with this access ACL has: for the group the mask, if
/// there is one. `None` if the ACL lacks an entry that each one has.
pub(super) fn mode_bits(value: &[u8]) -> Option<u16> {
    let of = |tag: u16| {
        let entries = value.get(4..)?.chunks_exact(8);
        let entry = entries
            .into_iter()
            .find(|entry| entry[..2] == tag.to_le_bytes())?;
        Some(u16::from_le_bytes([entry[2], entry[3]]) & 7)
    };
    Some(of(USER_OBJ)? << 6 | of(MASK).or(of(GROUP_OBJ))? << 3 | of(OTHER)?)
}

/// Whether `value` is an ACL that the kernel takes (`posix_acl_valid`): entries in the order of their
/// tags, the three that each has once, and a mask where users or groups are named.
pub(super) fn is_kernel_value(value: &[u8]) -> bool {
    let (Some(version), Some(entries)) = (value.get(..4), value.get(4..)) else {
        return false;
    };
    if version != VERSION.to_le_bytes() || !entries.len().is_multiple_of(8) {
        return false;
    }
    let entries = entries.chunks_exact(8).map(|entry| {
        let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        (number(0), number(2), id)
    });
    // Of user, group, mask and others; named ones before and after stand between them.
    let (mut last, mut seen) = (0, 0);
    for (tag, permissions, id) in entries {
        let once = !matches!(tag, USER | GROUP);
        if ![USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER].contains(&tag)
            || tag < last
            || (once && seen & tag != 0)
            || permissions > 7
            || (!once && id == NO_ID)
        {
            return false;
        }
        last = tag;
        seen |= tag;
    }
    let all = USER_OBJ | GROUP_OBJ | OTHER;
    seen & all == all && (seen & (USER | GROUP) == 0 || seen & MASK != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(text: &[u8]) -> Result<Acl, NoAcl> {
        let users = IdTable::parse(b"root:x:0:0:::\nlisa:x:1000:1000\nbad\n");
        let groups = IdTable::parse(b"wheel:x:10:\n");
        from_text(text, &users, &groups)
    }

    #[test]
    fn texts_become_the_kernels_bytes() {
        let expected = [
            2, 0, 0, 0, // version
            1, 0, 6, 0, 255, 255, 255, 255, // user::rw-
            2, 0, 7, 0, 232, 3, 0, 0, // user:1000:rwx
            4, 0, 4, 0, 255, 255, 255, 255, // group::r--
            8, 0, 5, 0, 10, 0, 0, 0, // group:10:r-x
            16, 0, 7, 0, 255, 255, 255, 255, // mask::rwx
            32, 0, 0, 0, 255, 255, 255, 255, // other::---
        ];
        for text in [
            &b"user::rw-,user:lisa:rwx,group::r--,group:wheel:r-x,mask::rwx,other::---"[..],
            b"user::rw-\nuser:1000:rwx\ngroup::r--\ngroup:10:r-x\nmask::rwx\nother::---\n",
            b"user::rw-,group::r--,other::---,user:who:rwx:1000,group:what:r-x:10,mask::rwx",
            b"u::rw-,u:lisa:rwx,g::r--,g:wheel:r-x  #effective:r-x,m:rwx,o:---",
        ] {
            assert_eq!(
                convert(text),
                Ok(Acl {
                    value: expected.to_vec(),
                    is_mode: false,
                    is_partial: false
                }),
                "{}",
                text.escape_ascii()
            );
            assert!(is_kernel_value(&expected));
            assert_eq!(mode_bits(&expected), Some(0o670));
        }
    }

    #[test]
    fn an_acl_of_three_entries_is_permission_bits() {
        let minimal = convert(b"user::rw-,group::r-x,other::r--").unwrap();
        assert!(minimal.is_mode);
        assert_eq!(mode_bits(&minimal.value), Some(0o654));
        assert_eq!(mode_bits(&minimal.value[..16]), None);
        assert!(
            !convert(b"user::rw-,group::r--,mask::r--,other::r--")
                .unwrap()
                .is_mode
        );
    }

    #[test]
    fn what_is_no_acl_is_refused() {
        for text in [
            &b""[..],
            b"user::rw-",
            b"user::rw-,group::r--,other::r--,other::r--",
            b"user::rw-,group::r--,other::r--,user:1:rwx",
            b"user::rz-,group::r--,other::r--",
            b"user::rw-,group::r--,other:x:r--",
            b"user::rw-,group::r--,other::r--,mask::r--,user:1:r--,user:1:rw-",
            b"nonsense",
        ] {
            assert_eq!(convert(text), Err(NoAcl), "{}", text.escape_ascii());
        }
        assert!(!is_kernel_value(&[2, 0, 0, 0]));
        assert!(!is_kernel_value(&[
            3, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255
        ]));
    }

    #[test]
    fn the_mask_stays_when_a_name_is_not_known() {
        let found = convert(b"user::rw-,user:ghost:rwx,group::---,mask::rwx,other::---").unwrap();
        assert!(found.is_partial && !found.is_mode);
        assert_eq!(mode_bits(&found.value), Some(0o670));
        let group = &found.value[4 + 8..][..4];
        assert_eq!(
            group,
            [4, 0, 0, 0],
            "the owning group itself may do nothing"
        );
    }

    #[test]
    fn values_that_the_kernel_refuses_are_known() {
        let value = |entries: &[(u16, u16, u32)]| {
            let mut value = VERSION.to_le_bytes().to_vec();
            for (tag, permissions, id) in entries {
                value.extend(tag.to_le_bytes());
                value.extend(permissions.to_le_bytes());
                value.extend(id.to_le_bytes());
            }
            value
        };
        let (user, group, other) = ((1, 7, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID));
        let (lisa, wheel, mask) = ((2, 7, 1000), (8, 4, 10), (16, 7, NO_ID));
        assert!(is_kernel_value(&value(&[user, group, other])));
        assert!(is_kernel_value(&value(&[
            user,
            lisa,
            (2, 0, 5),
            group,
            wheel,
            mask,
            other
        ])));
        for bad in [
            &[user, group][..],
            &[group, user, other],
            &[user, user, group, other],
            &[user, lisa, group, other],
            &[user, group, other, (64, 0, 0)],
            &[user, group, (32, 8, NO_ID)],
            &[user, (2, 7, NO_ID), group, mask, other],
        ] {
            assert!(!is_kernel_value(&value(bad)), "{bad:?}");
        }
        let mut long = value(&[user, group, other]);
        long.push(0);
        assert!(!is_kernel_value(&long));
    }
}
