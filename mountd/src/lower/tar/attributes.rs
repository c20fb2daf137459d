//! The extended attributes of one entry, as its headers list them: those that Linux can have, no
//! name twice, and no more than the kernel would list.

/// Longest name of an extended attribute (`XATTR_NAME_MAX`).
const NAME_MAX: usize = 255;
/// Longest value of an extended attribute (`XATTR_SIZE_MAX`), and of the list of all names
/// (`XATTR_LIST_MAX`).
const SIZE_MAX: usize = 65536;

/// Attributes in the order in which they first came.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    list: Vec<(Vec<u8>, Vec<u8>)>,
    /// Places in `list`, in the order of the names: headers may have a million of them.
    order: Vec<u32>,
    /// Bytes of all names with a zero behind each.
    names: usize,
    /// How many had to be left out.
    lost: u32,
}

impl Attributes {
    /// Adds one, or gives a known one another value.
    pub(super) fn set(&mut self, name: &[u8], value: Vec<u8>) {
        let place = self
            .order
            .binary_search_by(|at| match self.list.get(*at as usize) {
                Some((known, _)) => known.as_slice().cmp(name),
                None => std::cmp::Ordering::Greater,
            });
        if !is_linux_name(name) || value.len() > SIZE_MAX {
            return self.lose();
        }
        match place {
            Ok(place) => {
                let at = self.order.get(place).map_or(usize::MAX, |at| *at as usize);
                if let Some((_, known)) = self.list.get_mut(at) {
                    *known = value;
                }
            }
            Err(_) if self.names + name.len() + 1 > SIZE_MAX => self.lose(),
            Err(place) => {
                self.names += name.len() + 1;
                self.order.insert(place, self.list.len() as u32);
                self.list.push((name.to_vec(), value));
            }
        }
    }

    /// Counts one that cannot be kept.
    pub(super) fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }

    /// How many could not be kept.
    pub(super) fn lost(&self) -> u32 {
        self.lost
    }

    /// Names and values.
    pub(super) fn into_list(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.list
    }

    /// Forgets all of them, and tells whether there were any.
    pub(super) fn clear(&mut self) -> bool {
        let any = !self.list.is_empty() || self.lost > 0;
        *self = Self::default();
        any
    }
}

/// Whether a file system of Linux could have an attribute of this name (`xattr(7)`). Other systems'
/// (`com.apple.quarantine`) cannot be asked for through the kernel.
fn is_linux_name(name: &[u8]) -> bool {
    const SPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    let within = |space: &&[u8]| name.starts_with(space) && name.len() > space.len();
    let acl = [&b"system.posix_acl_access"[..], b"system.posix_acl_default"];
    name.len() <= NAME_MAX
        && !name.contains(&0)
        && (SPACES.iter().any(within) || acl.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_over_the_kernels_limits_are_left_out() {
        let mut found = Attributes::default();
        found.set(&[b"user.", &[b'n'; NAME_MAX][..]].concat(), vec![]);
        found.set(b"user.big", vec![0; SIZE_MAX + 1]);
        found.set(b"user.big", vec![0; SIZE_MAX]);
        for number in 0..400 {
            found.set(format!("user.{number:0>250}").as_bytes(), vec![]);
        }
        assert_eq!(found.list.len(), 1 + (SIZE_MAX - 9) / 256);
        assert_eq!(found.lost(), 2 + 401 - found.list.len() as u32);
        assert!(found.clear() && !found.clear());
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let mut found = Attributes::default();
        for (name, value) in [
            ("user.b", "1"),
            ("user.a", "2"),
            ("user.b", "3"),
            ("user.c", "4"),
        ] {
            found.set(name.as_bytes(), value.into());
        }
        let expected = [("user.b", "3"), ("user.a", "2"), ("user.c", "4")];
        let expected = expected.map(|(name, value)| (name.into(), value.into()));
        assert_eq!(found.into_list(), expected);
    }

    #[test]
    fn names_that_no_file_system_of_linux_has_are_left_out() {
        let mut found = Attributes::default();
        for name in [
            "",
            "user.",
            "user",
            "com.apple.quarantine",
            "system.nfs4_acl",
            "user.a\0b",
        ] {
            found.set(name.as_bytes(), vec![]);
        }
        assert_eq!((found.lost(), found.list.len()), (6, 0));
        found.set(b"system.posix_acl_access", vec![]);
        assert_eq!(found.lost(), 6);
    }
}
