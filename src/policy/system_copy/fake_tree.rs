//! A system in memory, for the tests of the rules.

use std::collections::{BTreeMap, BTreeSet};

use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::types::FileKind;

use crate::source::files::Files;

/// Files and links by path; a directory is what a path lies in.
#[derive(Debug, Default)]
pub(in crate::policy) struct FakeTree(BTreeMap<String, Object>);

#[derive(Debug)]
enum Object {
    File(Vec<u8>),
    Link(String),
    Directory,
}

impl FakeTree {
    /// `path` and contents of files; a path that ends in `/` is an empty directory, contents that
    /// begin with `->` are the target of a link.
    pub(in crate::policy) fn new(files: &[(&str, &str)]) -> Self {
        let object = |path: &str, text: &str| match text.strip_prefix("->") {
            _ if path.ends_with('/') => Object::Directory,
            Some(target) => Object::Link(target.to_owned()),
            None => Object::File(text.as_bytes().to_vec()),
        };
        let named = |(path, text): &(&str, &str)| {
            (path.trim_end_matches('/').to_owned(), object(path, text))
        };
        Self(files.iter().map(named).collect())
    }

    fn kind(&self, path: &str) -> Option<FileKind> {
        match self.0.get(path) {
            Some(Object::File(_)) => Some(FileKind::Regular),
            Some(Object::Link(_)) => Some(FileKind::Symlink),
            Some(Object::Directory) => Some(FileKind::Directory),
            None if path.is_empty() => Some(FileKind::Directory),
            None => {
                let below = format!("{path}/");
                let mut names = self.0.keys();
                names
                    .any(|name| name.starts_with(&below))
                    .then_some(FileKind::Directory)
            }
        }
    }

    fn walk(&self, path: &str, links: usize) -> FsResult<Option<(String, FileKind)>> {
        if links > 40 {
            return Err(FsError::Layer(rustix::io::Errno::LOOP));
        }
        let mut at: Vec<String> = Vec::new();
        let mut parts = path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".");
        while let Some(part) = parts.next() {
            if part == ".." {
                at.pop();
                continue;
            }
            let directory = at.join("/");
            at.push(part.to_owned());
            let here = at.join("/");
            match self.0.get(&here) {
                Some(Object::Link(target)) => {
                    let rest = parts.collect::<Vec<_>>().join("/");
                    let base = if target.starts_with('/') {
                        ""
                    } else {
                        &directory
                    };
                    return self.walk(&format!("{base}/{target}/{rest}"), links + 1);
                }
                _ if self.kind(&here).is_none() => return Ok(None),
                _ => {}
            }
        }
        let path = at.join("/");
        Ok(self.kind(&path).map(|kind| (path, kind)))
    }
}

impl Files for FakeTree {
    fn read(&self, path: &[u8], limit: u64) -> FsResult<Option<Vec<u8>>> {
        let found = self.walk(std::str::from_utf8(path).unwrap(), 0)?;
        match found.and_then(|(path, _)| self.0.get(&path)) {
            Some(Object::File(text)) if text.len() as u64 > limit => Err(FsError::FileTooBig),
            Some(Object::File(text)) => Ok(Some(text.clone())),
            _ => Ok(None),
        }
    }

    fn names(&self, path: &[u8]) -> FsResult<Vec<(Vec<u8>, FileKind)>> {
        let Some((path, FileKind::Directory)) = self.walk(std::str::from_utf8(path).unwrap(), 0)?
        else {
            return Ok(Vec::new());
        };
        let prefix = if path.is_empty() { path } else { path + "/" };
        let names: BTreeSet<&str> = self
            .0
            .keys()
            .filter_map(|name| name.strip_prefix(&prefix)?.split('/').next())
            .filter(|name| !name.is_empty())
            .collect();
        let kind = |name: &&str| self.kind(&format!("{prefix}{name}")).unwrap();
        Ok(names
            .iter()
            .map(|name| (name.as_bytes().to_vec(), kind(name)))
            .collect())
    }

    fn link(&self, path: &[u8]) -> FsResult<Option<Vec<u8>>> {
        let path = std::str::from_utf8(path).unwrap();
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some((dir, _)) = self.walk(dir, 0)? else {
            return Ok(None);
        };
        let path = if dir.is_empty() {
            name.to_owned()
        } else {
            format!("{dir}/{name}")
        };
        match self.0.get(&path) {
            Some(Object::Link(target)) => Ok(Some(target.as_bytes().to_vec())),
            _ => Ok(None),
        }
    }

    fn real(&self, path: &[u8]) -> FsResult<Option<(Vec<u8>, FileKind)>> {
        let found = self.walk(std::str::from_utf8(path).unwrap(), 0)?;
        Ok(found.map(|(path, kind)| (path.into_bytes(), kind)))
    }
}
