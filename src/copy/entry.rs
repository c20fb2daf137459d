//! One file on its way, whatever it comes from.

/// The longest path that is copied, by `PATH_MAX` of Linux.
pub(crate) const LONGEST_PATH: usize = 4095;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    /// With what it points to, which nobody here follows.
    Symlink(Vec<u8>),
    /// Another name of the file that came under this path.
    HardLink(Vec<u8>),
    Fifo,
    Device,
    Socket,
}

/// A time in seconds since 1970, and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// A file without its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it goes, below the directory that is copied to: components with `/` between them, none
    /// of them `.` or `..`; empty for that directory itself.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permissions with the bits for set-id and sticky.
    pub(crate) mode: u32,
    /// Owner as the system sees it that the file belongs to.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    /// Extended attributes, ids in them as inside.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of contents that follow.
    pub(crate) size: u64,
    /// Whether it takes less room than its size.
    pub(crate) sparse: bool,
}

/// A path from an archive as one of an [`Entry`]; `None` if it leads out or is no path.
pub(crate) fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part if part.contains(&0) => return None,
            part => parts.push(part),
        }
    }
    let path = parts.join(&b'/');
    (path.len() <= LONGEST_PATH).then_some(path)
}

/// `directory` with `name` below it.
pub(crate) fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"" => name.to_vec(),
        directory => [directory, name].join(&b'/'),
    }
}

/// Directory and name of a path that has a name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_archives_stay_below() {
        for (path, expected) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("/etc/passwd", Some("etc/passwd")),
            ("./", Some("")),
            ("../a", None),
            ("a/../../b", None),
            ("a/..", None),
            ("a\0b", None),
        ] {
            let expected = expected.map(|path| path.as_bytes().to_vec());
            assert_eq!(clean(path.as_bytes()), expected, "{path:?}");
        }
        assert_eq!(clean(&vec![b'x'; 5000]), None);
    }

    #[test]
    fn paths_are_taken_apart_and_joined() {
        for path in ["a", "a/b", "a/b/c"] {
            let (directory, name) = split(path.as_bytes());
            assert_eq!(joined(directory, name), path.as_bytes());
        }
    }
}
