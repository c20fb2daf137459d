//! How an image is named: by a path, and behind a `#` which of several in it is meant.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// The file or directory.
    pub path: PathBuf,
    /// Which of the images in it: the tag of a container image, the time of a backup.
    pub wanted: Option<String>,
}

impl ImageName {
    /// Takes `IMAGE#NAME` apart. A `#` that belongs to the name of a file that exists is not taken
    /// for the mark.
    pub fn of(name: &Path) -> Self {
        let whole = || Self {
            path: name.to_path_buf(),
            wanted: None,
        };
        if std::fs::symlink_metadata(name).is_ok() {
            return whole();
        }
        let bytes = name.as_os_str().as_bytes();
        let marks = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'#');
        for (at, _) in marks {
            let path = Path::new(OsStr::from_bytes(&bytes[..at]));
            let wanted = std::str::from_utf8(&bytes[at + 1..]);
            if let Ok(wanted) = wanted
                && !wanted.is_empty()
                && std::fs::metadata(path).is_ok()
            {
                return Self {
                    path: path.to_path_buf(),
                    wanted: Some(wanted.to_owned()),
                };
            }
        }
        whole()
    }

    /// The name with the path made absolute and free of links.
    ///
    /// # Errors
    /// The kernel's, if there is no such file.
    pub fn canonical(&self) -> std::io::Result<PathBuf> {
        Ok(self.with_path(std::fs::canonicalize(&self.path)?))
    }

    fn with_path(&self, path: PathBuf) -> PathBuf {
        match &self.wanted {
            None => path,
            Some(wanted) => joined(path, wanted).into(),
        }
    }

    /// The last component of the path, and what is wanted of it, as one file's name.
    pub(super) fn file_name(&self) -> OsString {
        let name = self.path.file_name().unwrap_or_default();
        match &self.wanted {
            None => name.to_owned(),
            Some(wanted) => {
                // A name has no slash; what stands for one must not stand for itself.
                let wanted = wanted.replace('%', "%25").replace('/', "%2F");
                joined(name.into(), &wanted)
            }
        }
    }
}

fn joined(path: PathBuf, wanted: &str) -> OsString {
    let mut name = OsString::from(path);
    name.push("#");
    name.push(wanted);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_only_where_no_file_has_it_in_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("image"), "").unwrap();
        std::fs::write(at("odd#name"), "").unwrap();
        let cases = [
            ("image", "image", None),
            ("image#12", "image", Some("12")),
            ("image#a/b:1#2", "image", Some("a/b:1#2")),
            ("image#", "image#", None),
            ("odd#name", "odd#name", None),
            ("odd#name#x", "odd#name", Some("x")),
            ("missing#x", "missing#x", None),
        ];
        for (name, path, wanted) in cases {
            let found = ImageName::of(&at(name));
            assert_eq!(found.path, at(path), "{name}");
            assert_eq!(found.wanted.as_deref(), wanted, "{name}");
        }
        let found = ImageName::of(&at("image#a/b%2F"));
        assert_eq!(found.file_name(), "image#a%2Fb%252F");
    }
}
