//! Extended attributes whose values hold numbers of users: how they change at the border.
//!
//! Formats: `linux/posix_acl_xattr.h` (version 2) and `linux/capability.h` (revisions 2 and 3), all
//! in little endian. A value of another shape is not copied.

use super::ids::Ids;

/// File capabilities.
pub(super) const CAPABILITY: &[u8] = b"security.capability";
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

const ACL_VERSION: [u8; 4] = 2u32.to_le_bytes();
/// Tags of entries that name a user or a group (`ACL_USER`, `ACL_GROUP`).
const NAMING: [u16; 2] = [0x02, 0x08];

const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
/// Length of revision 2; revision 3 has the user who is root there behind it.
const LENGTH_2: usize = 20;

/// The value of `name` as the system sees it, from what this process sees; `None` if it is not to
/// be copied.
pub(super) fn inward(name: &[u8], value: &[u8], ids: Ids) -> Option<Vec<u8>> {
    match name {
        CAPABILITY => capability_inward(value, ids),
        ACCESS_ACL | DEFAULT_ACL => acl(value, |id| ids.inward(id)),
        name if name.starts_with(b"user.") => Some(value.to_vec()),
        // Of the host's own doing: security modules, trusted.*.
        _ => None,
    }
}

/// The value of `name` to be written by this process, from what the system is to see.
pub(super) fn outward(name: &[u8], value: &[u8], ids: Ids) -> Option<Vec<u8>> {
    match name {
        CAPABILITY => capability_outward(value, ids),
        ACCESS_ACL | DEFAULT_ACL => acl(value, |id| ids.outward(id)),
        name if name.starts_with(b"user.") => Some(value.to_vec()),
        _ => None,
    }
}

fn acl(value: &[u8], map: impl Fn(u32) -> Option<u32>) -> Option<Vec<u8>> {
    let mut result = value.strip_prefix(&ACL_VERSION).map(<[u8]>::to_vec)?;
    if result.len() % 8 != 0 {
        return None;
    }
    for entry in result.chunks_exact_mut(8) {
        let (tag, rest) = entry.split_first_chunk_mut::<2>()?;
        let (_, id) = rest.split_first_chunk_mut::<2>()?;
        let id: &mut [u8; 4] = id.try_into().ok()?;
        if NAMING.contains(&u16::from_le_bytes(*tag)) {
            *id = map(u32::from_le_bytes(*id))?.to_le_bytes();
        }
    }
    Some([&ACL_VERSION[..], &result].concat())
}

fn word(value: &[u8], at: usize) -> Option<u32> {
    let bytes = value.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// In revision 2, which is what a system has that knows nothing of others.
fn capability_inward(value: &[u8], ids: Ids) -> Option<Vec<u8>> {
    let magic = word(value, 0)?;
    let length = value.len();
    match magic & REVISION_MASK {
        REVISION_2 if length == LENGTH_2 => Some(value.to_vec()),
        REVISION_3 if length == LENGTH_2 + 4 && ids.inward(word(value, LENGTH_2)?) == Some(0) => {
            let magic = (magic & !REVISION_MASK) | REVISION_2;
            let body = value.get(4..LENGTH_2)?;
            Some([&magic.to_le_bytes()[..], body].concat())
        }
        _ => None,
    }
}

fn capability_outward(value: &[u8], ids: Ids) -> Option<Vec<u8>> {
    let magic = word(value, 0)?;
    if magic & REVISION_MASK != REVISION_2 || value.len() != LENGTH_2 {
        return None;
    }
    if ids.is_plain() {
        return Some(value.to_vec());
    }
    let magic = (magic & !REVISION_MASK) | REVISION_3;
    let body = value.get(4..)?;
    let root = ids.first().to_le_bytes();
    Some([&magic.to_le_bytes()[..], body, &root].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: fn() -> Ids = || Ids::shifted(100_000, 65_536);

    /// `cap_net_raw=ep`, as ping has it.
    fn ping() -> Vec<u8> {
        let mut value = 0x0200_0001u32.to_le_bytes().to_vec();
        value.extend(0x2000u32.to_le_bytes());
        value.extend([0; 12]);
        value
    }

    #[test]
    fn capabilities_belong_to_the_root_of_their_system() {
        let outside = outward(CAPABILITY, &ping(), INSIDE()).unwrap();
        assert_eq!(outside.len(), 24);
        assert_eq!(outside[20..], 100_000u32.to_le_bytes());
        assert_eq!(inward(CAPABILITY, &outside, INSIDE()), Some(ping()));
        assert_eq!(outward(CAPABILITY, &ping(), Ids::PLAIN), Some(ping()));
        // Of another system's root.
        assert_eq!(
            inward(CAPABILITY, &outside, Ids::shifted(200_000, 65_536)),
            None
        );
        for broken in [&b""[..], b"\x01", &ping()[..19], &outside[..23]] {
            assert_eq!(inward(CAPABILITY, broken, INSIDE()), None);
        }
    }

    #[test]
    fn acls_name_the_same_users() {
        let acl = |id: u32| {
            let entry = |tag: u16, id: u32| {
                let mut entry = tag.to_le_bytes().to_vec();
                entry.extend(7u16.to_le_bytes());
                entry.extend(id.to_le_bytes());
                entry
            };
            let mut value = ACL_VERSION.to_vec();
            value.extend(entry(0x01, u32::MAX));
            value.extend(entry(0x02, id));
            value.extend(entry(0x10, u32::MAX));
            value
        };
        let outside = outward(ACCESS_ACL, &acl(1000), INSIDE()).unwrap();
        assert_eq!(outside, acl(101_000));
        assert_eq!(inward(ACCESS_ACL, &outside, INSIDE()), Some(acl(1000)));
        assert_eq!(outward(ACCESS_ACL, &acl(70_000), INSIDE()), None);
        assert_eq!(inward(ACCESS_ACL, b"\x02\0\0\0abc", INSIDE()), None);
    }

    #[test]
    fn what_belongs_to_the_host_stays_there() {
        for name in ["security.selinux", "trusted.overlay.opaque", "system.x"] {
            assert_eq!(inward(name.as_bytes(), b"x", Ids::PLAIN), None, "{name}");
            assert_eq!(outward(name.as_bytes(), b"x", Ids::PLAIN), None, "{name}");
        }
    }
}
