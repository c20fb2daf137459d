//! What the merged tree shows at one moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wpar_mountd::error::FsResult;
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::memory::MemoryLower;
use wpar_mountd::overlay::{CopyUp, DirectoryEntry, DirectorySink, LookedUp, Overlay};
use wpar_mountd::types::{EntryName, FileKind, Ino};
use wpar_mountd::upper::{StoreError, UpperStore};

/// Size of a block of partly copied files.
const BLOCK: u32 = 4096;

/// What is known of an inode but for the data of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) ino: Ino,
    kind: FileKind,
    permissions: u16,
    owner: (u32, u32),
    nlink: u32,
    target: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// All names, and the data of all files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) names: BTreeMap<String, Facts>,
    pub(crate) data: BTreeMap<Ino, Arc<Vec<u8>>>,
}

struct Names(Vec<Vec<u8>>);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _: Option<LookedUp<'_>>) -> bool {
        if entry.name != b"." && entry.name != b".." {
            self.0.push(entry.name.to_vec());
        }
        true
    }
}

/// The lower: letters, never a zero.
pub(crate) fn lower() -> Arc<dyn LowerLayer> {
    let text = |seed: u8, length: usize| -> Vec<u8> {
        (0..length).map(|at| seed + (at % 23) as u8).collect()
    };
    let lower = MemoryLower::builder()
        .file("a/one", text(b'a', 3000))
        .file("a/two", text(b'b', 9000))
        .hard_link("a/two", "b/two")
        .file("a/big", text(b'c', 60_000))
        .file("b/huge", text(b'A', 100_000))
        .symlink("b/link", "../a/one")
        .file("c/deep/leaf", text(b'B', 500))
        .directory("c/empty");
    Arc::new(lower.build().unwrap())
}

/// Opens the store in `directory`.
pub(crate) fn open(directory: &Path) -> Result<Overlay, StoreError> {
    let lower = lower();
    let root = wpar_mountd::source::root_of(&*lower).unwrap();
    let store = UpperStore::open(&directory.join("store"), &root, lower.first_free())?;
    Ok(Overlay::new(lower, Some(store)).with_copy_up(CopyUp {
        whole: 20_000,
        whole_of_living: 20_000,
        block_size: BLOCK,
    }))
}

/// The inode at a path, looked up and kept.
pub(crate) fn find(core: &Overlay, path: &str) -> FsResult<Option<Ino>> {
    let mut at = Ino::ROOT;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match core.lookup(at, EntryName::new(name.as_bytes())?)? {
            Some(found) => at = found.hand_over().0,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// Reads everything.
pub(crate) fn take(core: &Overlay) -> FsResult<Tree> {
    let mut tree = Tree::default();
    let mut pending = vec![(String::new(), Ino::ROOT)];
    while let Some((path, ino)) = pending.pop() {
        let attr = core.attr(ino)?;
        if attr.kind == FileKind::Directory {
            let mut names = Names(Vec::new());
            core.read_directory(ino, 0, false, &mut names)?;
            for name in names.0 {
                let below = format!("{path}/{}", name.escape_ascii());
                let found = core.lookup(ino, EntryName::new(&name)?)?;
                let found = found.unwrap_or_else(|| panic!("{below} is listed and not found"));
                pending.push((below, found.hand_over().0));
            }
        }
        if attr.kind == FileKind::Regular && !tree.data.contains_key(&ino) {
            let mut data = vec![0; attr.size as usize];
            assert_eq!(core.read(ino, &mut data, 0)?, data.len(), "{path}");
            tree.data.insert(ino, Arc::new(data));
        }
        let mut xattrs = BTreeMap::new();
        for name in core.xattr_names(ino)? {
            let value = core.xattr(ino, &name)?;
            xattrs.insert(name, value);
        }
        let is_directory = attr.kind == FileKind::Directory;
        let target = if attr.kind == FileKind::Symlink {
            core.read_link(ino)?
        } else {
            Vec::new()
        };
        let facts = Facts {
            ino,
            kind: attr.kind,
            permissions: attr.permissions,
            owner: (attr.uid, attr.gid),
            nlink: if is_directory { 0 } else { attr.nlink },
            target,
            xattrs,
        };
        tree.names.insert(path, facts);
    }
    Ok(tree)
}
