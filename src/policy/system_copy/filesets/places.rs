//! Where the paths of data bases really are.
//!
//! Data bases name a file as its package did: by `/lib/x` where `/lib` is a link to `/usr/lib` by
//! now. The directories of a path are followed inside the source, its last component never is.
//!
//! Nearly no directory is a link, and there are many: the links in a directory are found by listing it
//! once, not by asking for each name.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use rustix::io::Errno;
use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

use crate::source::files::{Files, join, split};

/// Names, sorted, and whether each is a link.
type Ways = Vec<(Vec<u8>, bool)>;

/// Directories as they are written, and where they are.
pub(in crate::policy) struct Places<'a> {
    files: &'a dyn Files,
    known: HashMap<Vec<u8>, Rc<[u8]>>,
    /// The links and directories in directories.
    listed: HashMap<Rc<[u8]>, Ways>,
    /// What was asked for last: lists name what is in a directory together.
    last: (Vec<u8>, Rc<[u8]>),
}

impl<'a> Places<'a> {
    pub(in crate::policy) fn new(files: &'a dyn Files) -> Self {
        let root: Rc<[u8]> = Rc::from(&b""[..]);
        Self {
            files,
            known: HashMap::from([(Vec::new(), Rc::clone(&root))]),
            listed: HashMap::new(),
            last: (Vec::new(), root),
        }
    }

    /// Names in the directory that `path` leads to, and what they are themselves.
    pub(in crate::policy) fn names(
        &self,
        path: &[u8],
    ) -> Result<Vec<(Vec<u8>, FileKind)>, FsError> {
        names(self.files, path)
    }

    /// The files.
    pub(in crate::policy) fn files(&self) -> &'a dyn Files {
        self.files
    }

    /// Where a directory is; as it is written, if there is none.
    pub(in crate::policy) fn directory(&mut self, path: &[u8]) -> Result<Rc<[u8]>, FsError> {
        // The part of the path that is known, and then down from there: lists may be hostile, and
        // their paths deep.
        if self.last.0 == path {
            return Ok(Rc::clone(&self.last.1));
        }
        let mut unknown = Vec::new();
        let mut rest = path;
        let mut place = loop {
            if let Some(known) = self.known.get(rest) {
                break Rc::clone(known);
            }
            unknown.push(rest);
            rest = split(rest).0;
        };
        while let Some(step) = unknown.pop() {
            let name = split(step).1;
            let found = join(&place, name);
            let real = match self.is_link(&place, name)? {
                Some(true) => match lenient(self.files.real(&found))? {
                    Some((real, FileKind::Directory)) => real,
                    _ => found,
                },
                Some(false) => found,
                None => {
                    // Nothing is in what is not there, and it is not worth being remembered.
                    let rest = path.get(step.len()..).unwrap_or_default();
                    place = [&found[..], rest].concat().into();
                    break;
                }
            };
            place = real.into();
            self.known.insert(step.to_vec(), Rc::clone(&place));
        }
        self.last = (path.to_vec(), Rc::clone(&place));
        Ok(place)
    }

    /// Whether `name` in the directory, which is free of links, is a link; `None` if it is no directory
    /// either.
    fn is_link(&mut self, directory: &Rc<[u8]>, name: &[u8]) -> Result<Option<bool>, FsError> {
        let listed = match self.listed.entry(Rc::clone(directory)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let names = names(self.files, directory)?.into_iter();
                let ways = names.filter_map(|(name, kind)| match kind {
                    FileKind::Symlink => Some((name, true)),
                    FileKind::Directory => Some((name, false)),
                    _ => None,
                });
                vacant.insert(ways.collect())
            }
        };
        let at = listed.binary_search_by(|(listed, _)| listed.as_slice().cmp(name));
        Ok(at
            .ok()
            .and_then(|at| listed.get(at))
            .map(|(_, is_link)| *is_link))
    }

    /// Where a name is: its directory followed, itself not.
    pub(in crate::policy) fn name(&mut self, path: &[u8]) -> Result<Vec<u8>, FsError> {
        let (directory, name) = split(path);
        Ok(join(&self.directory(directory)?, name))
    }

    /// Where what a link names is, one step on, and where it leads to in the end; nothing for what is
    /// no link or leads nowhere.
    pub(in crate::policy) fn targets(&mut self, link: &[u8]) -> Result<Vec<Vec<u8>>, FsError> {
        let Some(target) = lenient(self.files.link(link))? else {
            return Ok(Vec::new());
        };
        let Some((last, _)) = lenient(self.files.real(link))? else {
            return Ok(Vec::new());
        };
        let step = match target.strip_prefix(b"/") {
            Some(absolute) => absolute.to_vec(),
            None => join(split(link).0, &target),
        };
        // What has `..` in it was found by following it.
        let is_plain = step
            .split(|&byte| byte == b'/')
            .all(|name| !matches!(name, b"" | b"." | b".."));
        let mut targets = vec![last];
        if is_plain {
            targets.push(self.name(&step)?);
        }
        Ok(targets)
    }
}

/// Names in the directory that `path` leads to.
pub(in crate::policy) fn names(
    files: &dyn Files,
    path: &[u8],
) -> Result<Vec<(Vec<u8>, FileKind)>, FsError> {
    Ok(lenient(files.names(path).map(Some))?.unwrap_or_default())
}

/// A source may hold links that lead in circles: what they name is nowhere.
pub(in crate::policy) fn lenient<T>(
    result: Result<Option<T>, FsError>,
) -> Result<Option<T>, FsError> {
    match result {
        Err(FsError::Layer(Errno::LOOP)) => Ok(None),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wpar_mountd::lower::memory::MemoryLower;
    use wpar_mountd::overlay::Overlay;

    use super::*;

    #[test]
    fn directories_are_followed_and_last_names_are_not() {
        let builder = MemoryLower::builder()
            .file("usr/lib/x/file", "")
            .symlink("lib", "usr/lib")
            .symlink("usr/lib/x/link", "file")
            .symlink("lib64", "/lib")
            .symlink("round", "round");
        let files = Overlay::new(Arc::new(builder.build().unwrap()), None);
        let mut places = Places::new(&files);
        for (path, expected) in [
            ("lib/x/file", "usr/lib/x/file"),
            ("lib64/x/link", "usr/lib/x/link"),
            ("lib", "lib"),
            ("round/x", "round/x"),
            ("nowhere/at/all", "nowhere/at/all"),
        ] {
            let found = places.name(path.as_bytes()).unwrap();
            assert_eq!(found, expected.as_bytes(), "{path}");
        }
        assert_eq!(
            places.targets(b"usr/lib/x/link").unwrap(),
            [b"usr/lib/x/file".to_vec(), b"usr/lib/x/file".to_vec()]
        );
        let deep = "a/".repeat(2000);
        assert!(places.name(deep.as_bytes()).is_ok());
        assert_eq!(
            places.directory(b"usr/lib/file/x//y").unwrap()[..],
            *b"usr/lib/file/x//y"
        );
        // Lists may be hostile: what is not there is not remembered.
        assert!(places.known.len() < 10, "{:?}", places.known.keys());
    }
}
