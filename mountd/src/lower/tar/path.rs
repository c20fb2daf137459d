//! Names of entries, taken apart.
//!
//! `.` and empty components vanish, so that `./a`, `/a` and `a/` are all `a`. `..` is refused:
//! no name leads out of the archive, and none is resolved by guessing.

use crate::types::NAME_MAX;

/// Deepest directory that is shown.
const DEPTH_LIMIT: usize = 1024;

/// Why a name cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathFault {
    DotDot,
    Nul,
    NameTooLong,
    TooDeep,
}

impl PathFault {
    /// In words that follow the entry's name.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::DotDot => "has \"..\" in its name; left out",
            Self::Nul => "has a zero byte in its name; left out",
            Self::NameTooLong => "has a component of over 255 bytes in its name; left out",
            Self::TooDeep => "lies more than 1024 directories deep; left out",
        }
    }
}

/// The components of a name that was found good by [`check`].
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

/// Whether all components can be names of directory entries.
pub(super) fn check(path: &[u8]) -> Result<(), PathFault> {
    if path.contains(&0) {
        return Err(PathFault::Nul);
    }
    let mut depth = 0;
    for name in components(path) {
        depth += 1;
        if name == b".." {
            return Err(PathFault::DotDot);
        }
        if name.len() > NAME_MAX {
            return Err(PathFault::NameTooLong);
        }
        if depth > DEPTH_LIMIT {
            return Err(PathFault::TooDeep);
        }
    }
    Ok(())
}

/// Divides a checked name into what leads to its directory and its last component; `None` for the
/// root.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let last = components(path).last()?;
    // The component is a part of `path`, so the distance of the two is its offset.
    let mut end = path.len();
    while !path.get(..end)?.ends_with(last) || !is_boundary(path, end) {
        end = end.checked_sub(1)?;
    }
    Some((path.get(..end - last.len())?, last))
}

fn is_boundary(path: &[u8], end: usize) -> bool {
    path.get(end).is_none_or(|byte| *byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        let parts = |path: &'static [u8]| components(path).collect::<Vec<_>>();
        assert_eq!(parts(b"./a//b/./c/"), [b"a", b"b", b"c"]);
        assert_eq!(parts(b"/a"), [b"a"]);
        assert!(parts(b"./").is_empty());
        type Split<'p> = Option<(&'p [u8], &'p [u8])>;
        let cases: [(&[u8], Split<'_>); 9] = [
            (b"a", Some((b"", b"a"))),
            (b"a/b", Some((b"a/", b"b"))),
            (b"./a/b//", Some((b"./a/", b"b"))),
            (b"a/./.", Some((b"", b"a"))),
            (b"a/a/.", Some((b"a/", b"a"))),
            (b"...", Some((b"", b"..."))),
            (b"x../.", Some((b"", b"x.."))),
            (b"././", None),
            (b"", None),
        ];
        for (path, expected) in cases {
            assert_eq!(split(path), expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn bad_names_are_told_apart() {
        assert_eq!(check(b"a/../b"), Err(PathFault::DotDot));
        assert_eq!(check(b".."), Err(PathFault::DotDot));
        assert_eq!(check(b"a\0b"), Err(PathFault::Nul));
        assert_eq!(check(&[b'x'; 256]), Err(PathFault::NameTooLong));
        assert_eq!(check(&b"a/".repeat(1025)), Err(PathFault::TooDeep));
        assert_eq!(check(&b"a/".repeat(1024)), Ok(()));
        assert_eq!(check(b"..."), Ok(()));
        assert_eq!(check(b"\xff\n"), Ok(()));
    }
}
