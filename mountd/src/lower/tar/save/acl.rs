//! ACLs: from the kernel's value to the text of `SCHILY.acl.access` and `.default`.
//!
//! Ids stay numbers: names would mean somebody else on the host that reads them.

/// The text form of a `system.posix_acl_*` value (`include/uapi/linux/posix_acl_xattr.h`), as
/// `acl_from_text(3)` reads it; `None` if it is no such value.
pub(super) fn to_text(value: &[u8]) -> Option<Vec<u8>> {
    let entries = value.strip_prefix(&2_u32.to_le_bytes())?;
    if entries.is_empty() || !entries.len().is_multiple_of(8) {
        return None;
    }
    let mut text = Vec::with_capacity(entries.len() * 2);
    for entry in entries.chunks_exact(8) {
        let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (tag, name) = match number(0) {
            0x01 => ("user", String::new()),
            0x02 => ("user", id.to_string()),
            0x04 => ("group", String::new()),
            0x08 => ("group", id.to_string()),
            0x10 => ("mask", String::new()),
            0x20 => ("other", String::new()),
            _ => return None,
        };
        let bit = |mask: u16, letter: char| if number(2) & mask == 0 { '-' } else { letter };
        let line = format!(
            "{tag}:{name}:{}{}{}\n",
            bit(4, 'r'),
            bit(2, 'w'),
            bit(1, 'x')
        );
        text.extend_from_slice(line.as_bytes());
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::super::super::acl::{IdTable, from_text};
    use super::*;

    #[test]
    fn a_text_reads_back_as_the_same_value() {
        let text = b"user::rw-\nuser:1000:rwx\ngroup::r--\ngroup:10:r-x\nmask::rwx\nother::---\n";
        let tables = (IdTable::default(), IdTable::default());
        let value = from_text(text, &tables.0, &tables.1).unwrap().value;
        assert_eq!(to_text(&value).unwrap(), text);
    }

    #[test]
    fn what_is_no_acl_has_no_text() {
        for value in [
            &b""[..],
            &[2, 0, 0, 0],
            &[3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(to_text(value), None, "{value:?}");
        }
        assert_eq!(to_text(&[2, 0, 0, 0, 3, 0, 6, 0, 0, 0, 0, 0]), None);
    }
}
