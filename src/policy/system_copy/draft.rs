//! Decisions in the making: looks at the source as the WPAR will see it, and notes what is hidden and
//! written.
//!
//! A name that is hidden already does not exist for the rules that come later. Paths have no leading
//! `/`; patterns have `*` and `?` within one component.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use wpar_mountd::error::FsError;
use wpar_mountd::spec::{HiddenExtent, HiddenName};
use wpar_mountd::types::FileKind;

use super::Decisions;
use crate::model::pattern::matches;
use crate::model::{Edit, Put};
use crate::source::files::Files;

/// The longest file that the rules read; those that they are about have a few lines.
const LONGEST: u64 = 1 << 20;

/// A directory of the source.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Its path without links.
    pub(super) path: String,
    /// The names in it that are visible and UTF-8, sorted, and what they are themselves.
    pub(super) names: Vec<(String, FileKind)>,
}

impl Listing {
    /// What `name` is itself, if it is there.
    pub(super) fn kind(&self, name: &str) -> Option<FileKind> {
        let at = self
            .names
            .binary_search_by(|(known, _)| known.as_str().cmp(name))
            .ok()?;
        self.names.get(at).map(|(_, kind)| *kind)
    }

    /// Path of a name in it.
    pub(super) fn join(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.path)
        }
    }
}

/// Decisions in the making.
pub(super) struct Draft<'a> {
    files: &'a dyn Files,
    decisions: Decisions,
    hidden: BTreeMap<String, (HiddenExtent, String)>,
    listings: HashMap<String, Rc<Listing>>,
}

impl<'a> Draft<'a> {
    /// Goes on from `decisions`.
    pub(super) fn new(files: &'a dyn Files, mut decisions: Decisions) -> Self {
        let hidden = std::mem::take(&mut decisions.view.hidden)
            .into_iter()
            .map(|name| (name.path, (name.extent, name.reason)))
            .collect();
        Self {
            files,
            decisions,
            hidden,
            listings: HashMap::new(),
        }
    }

    /// The decisions; what is hidden is sorted, and none lies below another.
    pub(super) fn finish(mut self) -> Decisions {
        let hidden = std::mem::take(&mut self.hidden);
        let covered = |path: &str| above(path).any(|dir| hidden.contains_key(dir));
        self.decisions.view.hidden = hidden
            .iter()
            .filter(|(path, _)| !covered(path))
            .map(|(path, (extent, reason))| HiddenName {
                path: path.clone(),
                extent: *extent,
                reason: reason.clone(),
            })
            .collect();
        self.decisions
    }

    /// The directory that `path` leads to; an empty one if there is none.
    pub(super) fn listing(&mut self, path: &str) -> Result<Rc<Listing>, FsError> {
        if let Some(known) = self.listings.get(path) {
            return Ok(Rc::clone(known));
        }
        let listing = Rc::new(self.list(path)?);
        self.listings.insert(path.to_owned(), Rc::clone(&listing));
        Ok(listing)
    }

    fn list(&self, path: &str) -> Result<Listing, FsError> {
        let Some((real, FileKind::Directory)) = lenient(self.files.real(path.as_bytes()))? else {
            return Ok(Listing::default());
        };
        let Ok(path) = String::from_utf8(real) else {
            return Ok(Listing::default());
        };
        let mut listing = Listing {
            path,
            names: Vec::new(),
        };
        for (name, kind) in self.files.names(listing.path.as_bytes())? {
            if let Ok(name) = String::from_utf8(name)
                && !self.is_hidden(&listing.join(&name))
            {
                listing.names.push((name, kind));
            }
        }
        Ok(listing)
    }

    /// Whether `path`, without links, is hidden.
    fn is_hidden(&self, path: &str) -> bool {
        matches!(self.hidden.get(path), Some((HiddenExtent::Name, _)))
            || above(path).any(|dir| self.hidden.contains_key(dir))
    }

    /// Where the name `path` itself is, its directory free of links, and what it is.
    pub(super) fn find(&mut self, path: &str) -> Result<Option<(String, FileKind)>, FsError> {
        let (dir, name) = split(path);
        let listing = self.listing(dir)?;
        Ok(listing.kind(name).map(|kind| (listing.join(name), kind)))
    }

    /// Whether `path` leads to something.
    pub(super) fn leads_somewhere(&self, path: &str) -> Result<bool, FsError> {
        Ok(self.real(path)?.is_some())
    }

    /// What `path` leads to: its path without links, and its kind.
    pub(super) fn real(&self, path: &str) -> Result<Option<(String, FileKind)>, FsError> {
        Ok(lenient(self.files.real(path.as_bytes()))?
            .and_then(|(path, kind)| Some((String::from_utf8(path).ok()?, kind)))
            .filter(|(path, _)| !self.is_hidden(path)))
    }

    /// Contents of the regular file that `path` leads to. One that is too long is hidden, with a
    /// note, and counts as none.
    pub(super) fn text(&mut self, path: &str) -> Result<Option<Vec<u8>>, FsError> {
        let Some((real, FileKind::Regular)) = self.real(path)? else {
            return Ok(None);
        };
        match lenient(self.files.read(real.as_bytes(), LONGEST)) {
            Err(FsError::FileTooBig) => {
                self.hide(path, "longer than any such file")?;
                self.note(format!(
                    "/{path} is not in the copy: it is longer than any such file"
                ));
                Ok(None)
            }
            read => read,
        }
    }

    /// Target of the symbolic link that `path` is itself.
    pub(super) fn link(&self, path: &str) -> Result<Option<String>, FsError> {
        Ok(lenient(self.files.link(path.as_bytes()))?
            .and_then(|target| String::from_utf8(target).ok()))
    }

    /// The names that `pattern` matches, each with what it is itself.
    pub(super) fn expand(&mut self, pattern: &str) -> Result<Vec<(String, FileKind)>, FsError> {
        let (dir, last) = split(pattern);
        let mut dirs = vec![dir.to_owned()];
        if dir.contains(['*', '?']) {
            let found = self.expand(dir)?;
            dirs = found.into_iter().map(|(path, _)| path).collect();
        }
        let mut found = Vec::new();
        for dir in dirs {
            let listing = self.listing(&dir)?;
            let names = listing.names.iter().filter(|(name, _)| matches(last, name));
            found.extend(names.map(|(name, kind)| (listing.join(name), *kind)));
        }
        Ok(found)
    }

    /// Hides every name that `pattern` matches.
    pub(super) fn hide(&mut self, pattern: &str, reason: &str) -> Result<(), FsError> {
        for (path, _) in self.expand(pattern)? {
            self.insert(path, HiddenExtent::Name, reason);
        }
        Ok(())
    }

    /// Hides what is in the directories that `pattern` matches; they stay, empty.
    pub(super) fn hide_contents(&mut self, pattern: &str, reason: &str) -> Result<(), FsError> {
        for (path, _) in self.expand(pattern)? {
            // A link may lead to the directory, or to nothing.
            let listing = self.listing(&path)?;
            if !listing.names.is_empty() && !listing.path.is_empty() {
                self.insert(listing.path.clone(), HiddenExtent::Contents, reason);
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: String, extent: HiddenExtent, reason: &str) {
        let (dir, _) = split(&path);
        let below = format!("{path}/");
        self.listings.retain(|_, listing| {
            let at = &listing.path;
            at != dir && *at != path && !at.starts_with(&below)
        });
        let known = self
            .hidden
            .entry(path)
            .or_insert_with(|| (extent, reason.to_owned()));
        if extent == HiddenExtent::Name {
            known.0 = extent;
        }
    }

    /// Puts something at `path`. If that cannot be, because of what stands there, a note says so.
    fn put(&mut self, path: &str, what: Put, reason: &str) -> Result<(), FsError> {
        let mut in_the_way = None;
        for dir in above(path) {
            let found = self.real(dir)?;
            if found.is_some_and(|(_, kind)| kind != FileKind::Directory) {
                in_the_way = Some(dir.to_owned());
            }
        }
        if let Some(dir) = in_the_way {
            self.note(format!(
                "/{path} was not written, because /{dir} is no directory"
            ));
            return Ok(());
        }
        if let Some((real, FileKind::Directory)) = self.find(path)? {
            self.insert(real, HiddenExtent::Name, "a file belongs there");
        }
        self.decisions.edits.push(Edit {
            path: path.to_owned(),
            what,
            reason: reason.to_owned(),
        });
        Ok(())
    }

    /// Puts a file with these contents at `path`.
    pub(super) fn write(
        &mut self,
        path: &str,
        contents: Vec<u8>,
        reason: &str,
    ) -> Result<(), FsError> {
        let file = Put::File {
            contents,
            permissions: 0o644,
        };
        self.put(path, file, reason)
    }

    /// Puts a link to `target` at `path`.
    pub(super) fn write_link(
        &mut self,
        path: &str,
        target: &str,
        reason: &str,
    ) -> Result<(), FsError> {
        self.put(path, Put::Link(target.to_owned()), reason)
    }

    /// Adds a line for the administrator.
    pub(super) fn note(&mut self, line: String) {
        self.decisions.view.notes.push(line);
    }

    /// What was decided besides what is hidden.
    pub(super) fn decisions(&mut self) -> &mut Decisions {
        &mut self.decisions
    }
}

/// An image may hold links that lead in circles: what they name is nowhere.
fn lenient<T>(result: Result<Option<T>, FsError>) -> Result<Option<T>, FsError> {
    match result {
        Err(FsError::Layer(rustix::io::Errno::LOOP)) => Ok(None),
        result => result,
    }
}

/// `path` as directory and last component.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The directories above `path`, without the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}
