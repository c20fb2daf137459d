//! ACLs of the type AIXC, as text.
//!
//! The value is a length in bytes, the bits of the mode that the ACL has of its own (set-id and
//! "extended permissions are enabled"), and permission bits for owner, group and others; then
//! entries of a length, two bits of what the entry does, three of permissions, and the numbers of
//! users or groups that it is about. All is little-endian, but for these numbers. The layout of the
//! text is that of IBM's documentation of `aclget` and of the AIXC type.

use std::fmt::Write as _;

use super::header::u32_at;

/// Length of an ACL that says no more than the mode.
pub(super) const BASE_BYTES: usize = 16;
/// Longest ACL that is read, so that its text fits into an attribute; AIX stores them in a page of
/// 4096 bytes.
pub(super) const LIMIT: u64 = 16 << 10;

/// In the mode of an entry and of its ACL: extended permissions are enabled.
pub(super) const EXTENDED: u32 = 0x0200_0000;
const ATTRIBUTES: [(u32, &str); 3] = [(0x800, "SUID"), (0x400, "SGID"), (0x200, "SVTX")];

/// The one of the four kinds of entries that was seen beside its text.
const PERMIT: u16 = 1;
const USER: u16 = 1;
const GROUP: u16 = 2;

/// The ACL of a file of this owner, group and mode as text; `None` if the value is of another type.
pub(super) fn to_text(value: &[u8], (uid, gid): (u32, u32), mode: u32) -> Option<String> {
    let value = value.get(..u32_at(value, 0) as usize)?;
    let (base, mut entries) = value.split_at_checked(BASE_BYTES)?;
    let own = u32_at(base, 4);
    let permissions = |at: usize| bits(u16_at(base, at)?);
    let mut text = String::from("attributes:");
    for (number, (_, name)) in attributes(mode).enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(text, "{comma} {name}");
    }
    let (owner, group, others) = (permissions(10)?, permissions(12)?, permissions(14)?);
    let _ = write!(
        text,
        "\nbase permissions:\n    owner({uid}): {owner}\n    group({gid}): {group}\n    \
         others: {others}\nextended permissions:\n    {}\n",
        if own & EXTENDED != 0 {
            "enabled"
        } else {
            "disabled"
        }
    );
    while !entries.is_empty() {
        let length = usize::from(u16_at(entries, 0)?);
        let (entry, rest) = entries.split_at_checked(length)?;
        let _ = writeln!(text, "    {}", entry_text(entry)?);
        entries = rest;
    }
    Some(text)
}

fn attributes(mode: u32) -> impl Iterator<Item = &'static (u32, &'static str)> {
    ATTRIBUTES.iter().filter(move |(bit, _)| mode & bit != 0)
}

/// One entry, as `permit rw- u:204,g:5`.
fn entry_text(entry: &[u8]) -> Option<String> {
    let what = u16_at(entry, 2)?;
    let mut text = match what >> 14 {
        PERMIT => "permit".to_owned(),
        // "deny" or "specify", which of them is not known.
        other => format!("kind-{other}"),
    };
    let _ = write!(text, " {}", bits(what & 0x3fff)?);
    let mut ids = entry.get(4..).filter(|ids| !ids.is_empty())?;
    let mut gap = ' ';
    while !ids.is_empty() {
        let (id, rest) = ids.split_at_checked(usize::from(u16_at(ids, 0)?))?;
        let kind = match u16_at(id, 2)? {
            USER => 'u',
            GROUP => 'g',
            _ => return None,
        };
        let number = u32::from_be_bytes(*id.get(4..)?.first_chunk()?);
        let _ = write!(text, "{gap}{kind}:{number}");
        (ids, gap) = (rest, ',');
    }
    Some(text)
}

/// Permission bits as `rwx`; `None` if there are others.
fn bits(permissions: u16) -> Option<String> {
    let letter = |bit: u16, letter| if permissions & bit != 0 { letter } else { '-' };
    (permissions <= 7).then(|| {
        [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')]
            .iter()
            .collect()
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::super::writer::{Acl, AclEntry};
    use super::*;

    fn value() -> Vec<u8> {
        let entries = [
            AclEntry {
                kind: 1,
                permissions: 6,
                ids: &[(GROUP, 214), (USER, 0x0102_0304)],
            },
            AclEntry {
                kind: 2,
                permissions: 7,
                ids: &[(USER, 204)],
            },
        ];
        Acl {
            mode: EXTENDED | 0x800,
            permissions: [7, 5, 0],
            entries: &entries,
        }
        .value()
    }

    #[test]
    fn extended_permissions_in_the_words_of_aclget() {
        let text = to_text(&value(), (10, 20), 0o4750).unwrap();
        assert_eq!(
            text,
            "attributes: SUID\nbase permissions:\n    owner(10): rwx\n    group(20): r-x\n    \
             others: ---\nextended permissions:\n    enabled\n    permit rw- g:214,u:16909060\n    \
             kind-2 rwx u:204\n"
        );
        let none = Acl {
            mode: 0,
            permissions: [6, 4, 4],
            entries: &[],
        }
        .value();
        let text = to_text(&none, (0, 0), 0o3644).unwrap();
        assert!(text.starts_with("attributes: SGID, SVTX\n"), "{text}");
        assert!(text.ends_with("    disabled\n"), "{text}");
    }

    #[test]
    fn a_damaged_value_is_text_or_none() {
        let value = value();
        for length in 0..value.len() {
            assert_eq!(to_text(&value[..length], (0, 0), 0), None);
        }
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = to_text(&flipped, (0, 0), 0);
        }
    }
}
