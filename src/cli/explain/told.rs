//! What `wpar explain` says: as a paragraph, and as JSON, whose names and words are a promise.

use std::path::Path;

use serde::Serialize;
use wpar_mountd::overlay::trace::{Origin, Traced};
use wpar_mountd::types::FileKind;

use crate::diff::escape;
use crate::model::generation::HostPackage;
use crate::model::view::FilesetFate;
use crate::model::{Source, View};
use crate::packages::Package;

/// Owners that are named in a paragraph; a directory has many.
const OWNERS_SHOWN: usize = 3;

/// Where a running WPAR has a file system of its own, whatever its source has.
const MOUNTED: &[&str] = &["proc", "sys", "dev", "run"];

/// All that is said about one path.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// As it was asked.
    path: String,
    /// Without links on the way; where nothing is further on, so far.
    real: String,
    /// Whether the WPAR has it.
    visible: bool,
    /// `file`, `directory`, `link` and so on; null if there is nothing.
    kind: Option<&'static str>,
    /// Where a link leads.
    target: Option<String>,
    /// `source`, `copied`, `partial`, `merged`, `own`, `removed`, `hidden`, `absent`.
    layer: &'static str,
    /// Why it is hidden, or was written.
    reason: Option<String>,
    /// `creation`, if what hides it was decided when the WPAR was made, or `start`.
    decided: Option<&'static str>,
    /// Where it is in the source.
    source: Option<Place>,
    /// Where it is in the store, on the host.
    store: Option<String>,
    /// Whose it is.
    filesets: Vec<Owner>,
    /// What else is to be known.
    note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Place {
    /// What the source is: an image, or a file system of the running system; of a synchronized WPAR
    /// whether it is the host's, or what the WPAR had before.
    of: String,
    path: String,
}

/// A fileset that has the path.
#[derive(Debug, Serialize)]
pub(super) struct Owner {
    name: String,
    version: String,
    architecture: String,
    /// `hidden`, `ghost` or `kept`, if the private list names it.
    fate: Option<FilesetFate>,
    reason: Option<String>,
}

impl Owner {
    /// The package, with what the view says about it.
    pub(super) fn new(package: &Package, view: &View) -> Self {
        let mut filesets = view.filesets.iter();
        let listed = filesets.find(|fileset| {
            fileset.name == package.name && fileset.architecture == package.architecture
        });
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            fate: listed.map(|fileset| fileset.fate),
            reason: listed.map(|fileset| fileset.reason.clone()),
        }
    }

    /// Takes the version of the host, if it is one of these.
    pub(super) fn follow(&mut self, borrowed: &[HostPackage]) {
        let mut borrowed = borrowed.iter();
        let host =
            borrowed.find(|one| (&one.name, &one.architecture) == (&self.name, &self.architecture));
        if let Some(host) = host {
            self.version.clone_from(&host.version);
        }
    }
}

/// Puts it together.
pub(super) fn told(
    path: &[u8],
    traced: &Traced,
    filesets: Vec<Owner>,
    view: &View,
    source: &Source,
    lower_of: &dyn Fn(&[u8]) -> Option<String>,
) -> Told {
    let real = String::from_utf8_lossy(&traced.path);
    let written = view.written.iter().find(|written| written.path == real);
    let (layer, lower, store) = match &traced.origin {
        Origin::Lower { path } => ("source", Some(path), None),
        Origin::Copied {
            path,
            store,
            partial,
        } => {
            let layer = if *partial { "partial" } else { "copied" };
            (layer, path.as_ref(), Some(store))
        }
        Origin::Merged { path, store } => ("merged", Some(path), Some(store)),
        Origin::Own { store } => ("own", None, Some(store)),
        Origin::Removed { path } => ("removed", Some(path), None),
        Origin::Hidden { path, .. } => ("hidden", Some(path), None),
        Origin::Absent => ("absent", None, None),
    };
    let (reason, decided) = match &traced.origin {
        Origin::Hidden { path, reason } => {
            let path = Path::new(std::str::from_utf8(path).unwrap_or_default());
            let mut hidden = view.hidden.iter();
            let mut left_out = view.left_out.iter();
            let at_creation = hidden.any(|name| path.starts_with(&name.path))
                || left_out.any(|out| path.starts_with(&out.point));
            let when = if at_creation { "creation" } else { "start" };
            (Some(escape::text(reason)), Some(when))
        }
        _ => (written.map(|written| escape::text(&written.reason)), None),
    };
    Told {
        path: escape::bytes(path),
        real: format!("/{}", escape::bytes(&traced.path)),
        visible: traced.kind.is_some(),
        kind: traced.kind.map(word),
        target: traced.target.as_deref().map(escape::bytes),
        layer,
        reason,
        decided,
        source: lower.map(|lower| place(lower, view, source, lower_of(lower))),
        store: store.map(|store| store.display().to_string()),
        filesets,
        note: note(&traced.path),
    }
}

fn place(lower: &[u8], view: &View, source: &Source, other: Option<String>) -> Place {
    let of = match (other, source.path()) {
        (Some(other), _) => other,
        (None, Some(path)) => path.display().to_string(),
        (None, None) => {
            let path = Path::new(std::str::from_utf8(lower).unwrap_or_default());
            let parts = view.parts.iter();
            let parts = parts.filter(|part| path.starts_with(&part.point));
            match parts.max_by_key(|part| part.point.len()) {
                Some(part) => format!(
                    "the running system, {} on {} at /{}",
                    part.fs_type, part.source, part.point
                ),
                None => "the running system".to_owned(),
            }
        }
    };
    Place {
        of,
        path: format!("/{}", escape::bytes(lower)),
    }
}

fn note(path: &[u8]) -> Option<String> {
    let top = path.split(|&byte| byte == b'/').next()?;
    let top = MOUNTED.iter().find(|name| name.as_bytes() == top)?;
    Some(format!(
        "a running WPAR has a file system of its own at /{top}"
    ))
}

fn word(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "link",
        FileKind::Fifo => "pipe",
        FileKind::Socket => "socket",
        FileKind::CharDevice | FileKind::BlockDevice => "device",
    }
}

/// The same for people.
pub(super) fn paragraph(told: &Told) -> String {
    let mut text = format!("{}\n", told.path);
    let mut line = |key: &str, value: &str| {
        text.push_str(&format!("  {:<10}{value}\n", format!("{key}:")));
    };
    if told.path.trim_start_matches('/') != told.real.trim_start_matches('/') {
        line("path", &told.real);
    }
    let kind = told.kind.unwrap_or_default();
    let state = match told.layer {
        "source" => format!("visible ({kind}), the source's, unchanged"),
        "copied" => format!("visible ({kind}), a copy of the source's in the store"),
        "partial" => format!("visible ({kind}), the source's but for blocks in the store"),
        "merged" => format!("visible ({kind}), the source's with changes in the store"),
        "own" => format!("visible ({kind}), the WPAR's own, in the store"),
        "removed" => "not visible, was removed in the WPAR".to_owned(),
        "hidden" => "not visible, hidden from the WPAR".to_owned(),
        _ => "not there, neither in the source nor in the store".to_owned(),
    };
    line("state", &state);
    if let Some(target) = &told.target {
        line("target", target);
    }
    if let Some(reason) = &told.reason {
        let when = match told.decided {
            Some("creation") => " (decided when the copy was made)",
            Some(_) => " (a rule of every start)",
            None => " (written by mkwpar)",
        };
        line("reason", &format!("{reason}{when}"));
    }
    if let Some(place) = &told.source {
        line("source", &format!("{} of {}", place.path, place.of));
    }
    if let Some(store) = &told.store {
        line("store", store);
    }
    for owner in told.filesets.iter().take(OWNERS_SHOWN) {
        line("fileset", &describe(owner));
    }
    if let Some(more) = told.filesets.len().checked_sub(OWNERS_SHOWN + 1) {
        line("fileset", &format!("and {} more", more + 1));
    }
    if let Some(note) = &told.note {
        line("note", note);
    }
    text
}

fn describe(owner: &Owner) -> String {
    let mut text = escape::text(&owner.name);
    for word in [&owner.version, &owner.architecture] {
        if !word.is_empty() {
            text.push(' ');
            text.push_str(&escape::text(word));
        }
    }
    let fate = match owner.fate {
        Some(FilesetFate::Hidden) => "hidden",
        Some(FilesetFate::Ghost) => "hidden, but known to the data base",
        Some(FilesetFate::Kept) => "private, but kept",
        None => return text,
    };
    let reason = owner.reason.as_deref().unwrap_or_default();
    format!("{text} ({fate}: {})", escape::text(reason))
}
