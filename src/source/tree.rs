//! The merged tree of a WPAR that is not mounted, for [`super::identity`] and, to read it, as
//! [`super::files::Files`].

use wpar_mountd::error::FsResult;
use wpar_mountd::overlay::{LookedUp, Overlay};
use wpar_mountd::source::OpenError;
use wpar_mountd::spec::{MountSpec, SpaceLimits};
use wpar_mountd::types::{EntryName, FileKind, Ino};

use super::identity::SystemTree;

/// An open store above its source.
#[derive(Debug)]
pub struct OfflineTree {
    overlay: Overlay,
    /// Whether what is in the store is to be kept, whatever happens.
    is_kept: bool,
}

impl OfflineTree {
    /// Opens the mount that `spec` describes, without mounting it; makes its store if there is
    /// none. What is done here is counted where the WPAR's space is limited, but not refused: who
    /// makes a WPAR's limit less than it takes can still make it. Nor is anything read-only: what the
    /// WPAR may not change is prepared here.
    ///
    /// # Errors
    /// Those of opening the source and of making the store.
    pub fn open(spec: &MountSpec) -> Result<Self, OpenError> {
        let counted = |limit: Option<u64>| limit.map(|_| u64::MAX);
        let limits = SpaceLimits {
            bytes: counted(spec.limits.bytes),
            inodes: counted(spec.limits.inodes),
        };
        let spec = MountSpec {
            limits,
            ..spec.clone().all_writable()
        };
        Ok(Self {
            overlay: wpar_mountd::source::open(&spec)?,
            is_kept: false,
        })
    }

    /// The same, where the store has what the WPAR wrote: its files are replaced whole.
    #[must_use]
    pub fn kept(self) -> Self {
        Self {
            is_kept: true,
            ..self
        }
    }

    /// The merged tree.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// The merged tree alone.
    pub fn into_overlay(self) -> Overlay {
        self.overlay
    }

    /// The kind of what `path` names, without following any link; `None` if there is nothing.
    fn kind(&self, path: &str) -> FsResult<Option<FileKind>> {
        // Each directory on the way stays known while something below it is looked up.
        let mut way: Vec<LookedUp<'_>> = Vec::new();
        for component in path.split('/') {
            let above = way.last().map_or(Ino::ROOT, LookedUp::ino);
            if way
                .last()
                .is_some_and(|inode| inode.attr().kind != FileKind::Directory)
            {
                return Ok(None);
            }
            match self
                .overlay
                .lookup(above, EntryName::new(component.as_bytes())?)?
            {
                Some(inode) => way.push(inode),
                None => return Ok(None),
            }
        }
        Ok(way.last().map(|inode| inode.attr().kind))
    }
}

impl SystemTree for OfflineTree {
    fn is_regular(&mut self, path: &str) -> FsResult<bool> {
        Ok(self.kind(path)? == Some(FileKind::Regular))
    }

    fn is_directory(&mut self, path: &str) -> FsResult<bool> {
        Ok(self.kind(path)? == Some(FileKind::Directory))
    }

    fn read(&mut self, path: &str) -> FsResult<Option<Vec<u8>>> {
        self.overlay.read_path(path.as_bytes())
    }

    fn write(&mut self, path: &str, contents: &[u8], permissions: u16) -> FsResult<()> {
        let path = path.as_bytes();
        match self.is_kept {
            true => self.overlay.replace_path(path, contents, permissions),
            false => self.overlay.write_path(path, contents, permissions),
        }
    }
}
