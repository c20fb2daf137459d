//! What kernels, boot loaders and makers of initial file systems generate in places of all: no package
//! owns it, and it goes with them.

use std::collections::BTreeSet;
use std::rc::Rc;

use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

use super::names::{Names, above};
use super::places::{self, lenient};
use crate::source::files::join;

/// Directories that stay, empty.
const EMPTIED: &[&[u8]] = &[
    b"boot",
    b"efi",
    b"lib/modules",
    b"usr/lib/modules",
    b"etc/kernel",
    b"var/lib/initramfs-tools",
];

/// Beginnings of links and files in the root directory.
const IN_ROOT: &[&[u8]] = &[b"vmlinuz", b"initrd.img"];

/// The places where they generate something, with what visible packages own there.
#[derive(Debug)]
pub(super) struct Places {
    roots: Vec<Vec<u8>>,
    visible: BTreeSet<Vec<u8>>,
}

impl Places {
    /// Those that the source has.
    pub(super) fn find(places: &places::Places<'_>) -> Result<Self, FsError> {
        let mut roots = Vec::new();
        for path in EMPTIED {
            if let Some((real, FileKind::Directory)) = lenient(places.files().real(path))?
                && !real.is_empty()
                && !roots.contains(&real)
            {
                roots.push(real);
            }
        }
        Ok(Self {
            roots,
            visible: BTreeSet::new(),
        })
    }

    /// Whether a directory is one of the places, or in one.
    pub(super) fn holds(&self, directory: &[u8]) -> bool {
        let is_in = |root: &Vec<u8>| {
            let rest = directory.strip_prefix(&root[..]);
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        self.roots.iter().any(is_in)
    }

    /// Notes a path in them that a visible package owns.
    pub(super) fn see_visible(&mut self, path: Vec<u8>) {
        self.visible.insert(path);
    }

    /// Adds everything there that no visible package owns.
    pub(super) fn hide(
        &self,
        places: &places::Places<'_>,
        names: &mut Names,
    ) -> Result<(), FsError> {
        let reason: Rc<str> = "was generated for the kernel or the boot".into();
        // Directories that hold something of a visible package, and so stay.
        let mut held: BTreeSet<&[u8]> = BTreeSet::new();
        for path in &self.visible {
            held.extend(above(path));
        }
        let mut todo = self.roots.clone();
        while let Some(directory) = todo.pop() {
            if !held.contains(&*directory) {
                names.hide_contents(directory, &reason);
                continue;
            }
            for (name, kind) in places.names(&directory)? {
                let path = join(&directory, &name);
                if !self.visible.contains(&path) && !held.contains(&*path) {
                    names.hide(path, &reason);
                } else if kind == FileKind::Directory {
                    todo.push(path);
                }
            }
        }
        for (name, _) in places.names(b"")? {
            if IN_ROOT.iter().any(|start| name.starts_with(start)) {
                names.hide(name, &reason);
            }
        }
        Ok(())
    }
}
