//! One archive laid over another, by the rules of the OCI image format (image-spec, `layer.md`).
//!
//! * An entry replaces what has its name below, a directory what is not one, and what is not one a
//!   whole directory. A directory over a directory only changes its attributes.
//! * `.wh.NAME` takes away `NAME` of the archives below, `.wh..wh..opq` all names of its directory.
//!   Neither touches what the same archive brings, wherever in it the whiteout stands: so all of
//!   them are carried out at the archive's end.
//! * Other names with `.wh..wh.` in front are AUFS' own and left out.

use std::collections::HashSet;

use super::table::NameTable;
use super::{Name, ROOT, Tree};
use crate::lower::tar::error::ScanError;
use crate::lower::tar::format::InodeRecord;
use crate::lower::tar::path;
use crate::types::FileKind;

/// What a whiteout's name begins with.
const WHITEOUT: &[u8] = b".wh.";
/// What other marks' names begin with.
const MARK: &[u8] = b".wh..wh.";
/// The mark of a directory that hides all below.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What is known of the archive that is being laid over others.
#[derive(Debug)]
pub(super) struct Layer {
    /// Names from this place on are its own.
    start: usize,
    /// Names before that which it gave to another inode, or other attributes to their inode.
    touched: HashSet<u32>,
    /// Names of the archives below that it takes away.
    whiteouts: Vec<u32>,
    /// Directories of which it takes away all names.
    opaque: Vec<u32>,
}

impl Layer {
    fn is_own(&self, dentry: usize) -> bool {
        dentry >= self.start || self.touched.contains(&(dentry as u32))
    }
}

/// What an entry of a layer is besides an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lower::tar) enum LayerEntry {
    /// Nothing else.
    Ordinary,
    /// A whiteout that was taken note of, or something to be passed over.
    Mark,
}

impl Tree {
    /// Begins an archive that lies above all entries so far.
    pub(in crate::lower::tar) fn begin_layer(&mut self) {
        self.layer = Some(Layer {
            start: self.names.len(),
            touched: HashSet::new(),
            whiteouts: Vec::new(),
            opaque: Vec::new(),
        });
    }

    /// Notes that a name belongs to the layer under way.
    pub(super) fn touch(&mut self, dentry: Option<u32>) {
        if let (Some(layer), Some(dentry)) = (&mut self.layer, dentry)
            && (dentry as usize) < layer.start
        {
            layer.touched.insert(dentry);
        }
    }

    /// Looks whether an entry of a layer is a whiteout, and takes note of it.
    ///
    /// # Errors
    /// [`ScanError::Corrupt`], at `offset`, for a whiteout of nothing.
    pub(in crate::lower::tar) fn whiteout(
        &mut self,
        path: &[u8],
        offset: u64,
    ) -> Result<LayerEntry, ScanError> {
        if path::check(path).is_err() {
            return Ok(LayerEntry::Ordinary);
        }
        let Some((directory, name)) = path::split(path) else {
            return Ok(LayerEntry::Ordinary);
        };
        if path::components(directory).any(|name| name.starts_with(MARK)) {
            return Ok(LayerEntry::Mark);
        }
        let Some(hidden) = name.strip_prefix(WHITEOUT) else {
            return Ok(LayerEntry::Ordinary);
        };
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(ScanError::Corrupt {
                offset,
                why: "a whiteout (\".wh.\") names nothing".to_owned(),
            });
        }
        let parent = self.find_directory(directory);
        if name == OPAQUE {
            if let (Some(layer), Some(parent)) = (&mut self.layer, parent) {
                layer.opaque.push(parent);
            }
        } else if !name.starts_with(MARK)
            && let Some(dentry) = parent.and_then(|parent| self.find(parent, hidden))
            && let Some(layer) = &mut self.layer
            && (dentry as usize) < layer.start
        {
            layer.whiteouts.push(dentry);
        }
        Ok(LayerEntry::Mark)
    }

    /// Ends the layer under way: carries out its whiteouts.
    pub(in crate::lower::tar) fn end_layer(&mut self) {
        let Some(layer) = self.layer.take() else {
            return;
        };
        if layer.whiteouts.is_empty() && layer.opaque.is_empty() {
            return;
        }
        let holds_own = self.directories_with_own(&layer);
        let mut cleared = vec![false; self.inodes.len() + 1];
        for &directory in &layer.opaque {
            mark(&mut cleared, directory);
        }
        for &dentry in &layer.whiteouts {
            self.take_away(&layer, dentry as usize, &holds_own, &mut cleared);
        }
        // A directory's name stands before all names in it, so that one pass finds them all.
        for dentry in 0..self.names.len() {
            let name = self.names.get(dentry as u32);
            if name.is_some_and(|name| name.inode != 0 && is_marked(&cleared, name.parent)) {
                self.take_away(&layer, dentry, &holds_own, &mut cleared);
            }
        }
        self.has_lost_names = true;
        self.recent = None;
    }

    /// Which directories have something of the layer in them, however deep.
    fn directories_with_own(&self, layer: &Layer) -> Vec<bool> {
        let mut holds_own = vec![false; self.inodes.len() + 1];
        for (at, name) in self.names.iter().rev() {
            if name.inode != 0 && (layer.is_own(at as usize) || is_marked(&holds_own, name.inode)) {
                mark(&mut holds_own, name.parent);
            }
        }
        holds_own
    }

    /// Takes away what a name has from below the layer: itself, or only what is in it if the layer
    /// has something there.
    fn take_away(
        &mut self,
        layer: &Layer,
        dentry: usize,
        holds_own: &[bool],
        cleared: &mut [bool],
    ) {
        let Some(Name { inode, .. }) = self.names.get(dentry as u32) else {
            return;
        };
        let is_directory = self.is_directory(inode);
        let is_own = layer.is_own(dentry);
        if is_directory && (is_own || is_marked(holds_own, inode)) {
            mark(cleared, inode);
            if !is_own {
                self.forget_attributes(inode);
            }
        } else if !is_own {
            self.drop_name(dentry);
        }
    }

    /// A directory that a layer has names in, but no entry for.
    fn forget_attributes(&mut self, directory: u32) {
        self.pending.remove(&directory);
        let generated = self.generated_directory();
        self.inodes.change(directory, |record| {
            *record = InodeRecord {
                count: record.count,
                ..generated
            };
        });
    }

    fn drop_name(&mut self, dentry: usize) {
        let place = dentry as u32;
        let Some(name) = self.names.get(place).filter(|name| name.inode != 0) else {
            return;
        };
        let hash = self.hash(name.parent, self.names.text(&name));
        self.table.remove(hash, place);
        self.names.set(place, &Name { inode: 0, ..name });
        self.inodes.change(name.parent, |parent| {
            parent.count = parent.count.saturating_sub(1);
        });
        self.has_lost_names = true;
    }

    /// Makes the directory `top` the root, whose number and place it takes; all that was not in it
    /// is lost.
    pub(in crate::lower::tar) fn set_root(&mut self, top: u32) {
        let Some(record) = self.inodes.get(top).filter(|_| top != ROOT) else {
            return;
        };
        if let Some(attributes) = self.pending.remove(&top) {
            self.pending.insert(ROOT, attributes);
        }
        for place in 0..self.names.len() as u32 {
            let Some(name) = self.names.get(place) else {
                break;
            };
            if name.parent == ROOT {
                self.names.set(place, &Name { inode: 0, ..name });
            } else if name.parent == top {
                let parent = ROOT;
                self.names.set(place, &Name { parent, ..name });
            }
        }
        self.inodes.change(ROOT, |root| *root = record);
        self.inodes.change(top, |top| top.count = 0);
        self.table = NameTable::default();
        self.has_lost_names = true;
        self.recent = None;
    }

    /// Drops all names that lead nowhere or that nothing leads to. Nothing can be added after that.
    pub(in crate::lower::tar) fn sweep(&mut self) {
        self.table = NameTable::default();
        if !self.has_lost_names {
            return;
        }
        let mut alive = vec![false; self.inodes.len() + 1];
        mark(&mut alive, ROOT);
        let (inodes, mut lost) = (&self.inodes, Vec::new());
        self.names.retain(|name| {
            if name.inode == 0 {
                return false;
            }
            if !is_marked(&alive, name.parent) {
                lost.push(name.parent);
                return false;
            }
            let mode = inodes.mode(name.inode);
            if mode.is_some_and(|mode| mode >> 12 == FileKind::Directory as u16) {
                mark(&mut alive, name.inode);
            }
            true
        });
        for parent in lost {
            self.inodes.change(parent, |parent| parent.count = 0);
        }
    }
}

fn mark(marks: &mut [bool], number: u32) {
    if let Some(slot) = marks.get_mut(number as usize) {
        *slot = true;
    }
}

fn is_marked(marks: &[bool], number: u32) -> bool {
    marks.get(number as usize).copied().unwrap_or(false)
}
