//! The merged tree of a WPAR that does not run, read through the core of the file system in this
//! process; whole, or only what differs from what is underneath.
//!
//! A difference is told in the way of OCI layers (image-spec, layer.md): what was added or changed
//! is there, what was taken away is named by an empty file `.wh.NAME`.

use std::io;

use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::lower::tar::save::{Contents, DataRange, SaveError};
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::overlay::{DirectoryEntry, DirectorySink, Extent, LookedUp, Overlay};
use wpar_mountd::types::{Attr, EntryName, FileKind, Ino};

use super::tree::{Found, OpenFile, ROOT, Verdict, Visitor, Xattrs, with_name};

/// Deepest directory that is entered, as an index has it.
const DEPTH_LIMIT: usize = 1000;
/// What the name of a file begins with that says that another name was taken away.
pub(super) const WHITEOUT: &[u8] = b".wh.";

/// A merged tree.
#[derive(Clone, Copy, Debug)]
pub struct MergedTree<'o> {
    overlay: &'o Overlay,
    /// Whether only differences are shown.
    difference: bool,
}

/// A directory on the walk.
struct Directory {
    ino: Ino,
    /// What is underneath at the same path, if a directory is there and differences are wanted.
    below: Option<LowerNode>,
    depth: usize,
}

impl<'o> MergedTree<'o> {
    /// All of the tree.
    pub fn whole(overlay: &'o Overlay) -> Self {
        Self {
            overlay,
            difference: false,
        }
    }

    /// What of it differs from what is underneath.
    pub fn difference(overlay: &'o Overlay) -> Self {
        Self {
            overlay,
            difference: true,
        }
    }

    /// Shows it to `visitor`.
    ///
    /// # Errors
    /// Those of the visitor. What cannot be read is told to it.
    pub fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), SaveError> {
        let mut path = ROOT.to_vec();
        let attr = match self.overlay.attr(Ino::ROOT) {
            Ok(attr) => attr,
            Err(error) => {
                visitor.trouble(&path, &plain(error));
                return Ok(());
            }
        };
        let root = Directory {
            ino: Ino::ROOT,
            below: self.difference.then_some(LowerNode::ROOT),
            depth: 0,
        };
        self.show(&path, root.ino, &attr, visitor)?;
        self.directory(&root, &mut path, visitor)
    }

    fn directory(
        &self,
        directory: &Directory,
        path: &mut Vec<u8>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), SaveError> {
        if directory.depth >= DEPTH_LIMIT {
            visitor.trouble(
                path,
                &io::Error::other("too many directories inside each other"),
            );
            return Ok(());
        }
        let mut names = Names::default();
        if let Err(error) = self
            .overlay
            .read_directory(directory.ino, 0, false, &mut names)
        {
            visitor.trouble(path, &plain(error));
            return Ok(());
        }
        names.0.sort_unstable();
        if let Some(below) = directory.below {
            self.whiteouts(below, &names.0, path, visitor)?;
        }
        for name in &names.0 {
            with_name(path, name, |path| {
                self.entry(directory, name, path, visitor)
            })?;
        }
        Ok(())
    }

    fn entry(
        &self,
        directory: &Directory,
        name: &[u8],
        path: &mut Vec<u8>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), SaveError> {
        let verdict = visitor.verdict(path);
        if verdict == Verdict::Leave {
            return Ok(());
        }
        let found = EntryName::new(name).and_then(|name| {
            let inode = self.overlay.lookup(directory.ino, name)?;
            let below = self.below(directory, name)?;
            Ok((inode, below))
        });
        let (inode, below) = match found {
            Ok((Some(inode), below)) => (inode, below),
            Ok((None, _)) => return Ok(()),
            Err(error) => {
                visitor.trouble(path, &plain(error));
                return Ok(());
            }
        };
        let unchanged = self.is_unchanged(&inode, below.as_ref());
        if !unchanged {
            self.show(path, inode.ino(), inode.attr(), visitor)?;
        }
        if inode.attr().kind != FileKind::Directory || verdict != Verdict::Take {
            return Ok(());
        }
        let inner = Directory {
            ino: inode.ino(),
            below: below
                .filter(|(_, attr)| attr.kind == FileKind::Directory)
                .map(|(node, _)| node),
            depth: directory.depth + 1,
        };
        self.directory(&inner, path, visitor)
    }

    /// What is underneath at the path of a name.
    fn below(
        &self,
        directory: &Directory,
        name: EntryName<'_>,
    ) -> FsResult<Option<(LowerNode, Attr)>> {
        match directory.below {
            Some(below) => self.lower().lookup(below, name),
            None => Ok(None),
        }
    }

    fn lower(&self) -> &dyn LowerLayer {
        self.overlay.lower()
    }

    /// Whether what a name shows is what is underneath it, untouched.
    fn is_unchanged(&self, inode: &LookedUp<'_>, below: Option<&(LowerNode, Attr)>) -> bool {
        let same = below.is_some_and(|(node, _)| node.0 == inode.ino().0);
        self.difference && same && self.overlay.is_untouched(inode.ino()).unwrap_or(false)
    }

    /// Tells which names underneath are gone.
    fn whiteouts(
        &self,
        below: LowerNode,
        present: &[Vec<u8>],
        path: &mut Vec<u8>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), SaveError> {
        let mut gone = Vec::new();
        let listed = self.lower().entries(below, &mut |entry| {
            if present
                .binary_search_by(|name| name.as_slice().cmp(entry.name))
                .is_err()
            {
                gone.push([WHITEOUT, entry.name].concat());
            }
        });
        if let Err(error) = listed {
            visitor.trouble(path, &plain(error));
            return Ok(());
        }
        gone.sort_unstable();
        for name in gone {
            with_name(path, &name, |path| {
                visitor.object(&Found {
                    path,
                    attr: &whiteout_attr(),
                    identity: (0, 0),
                    target: &[],
                    xattrs: &[],
                })
            })?;
        }
        Ok(())
    }

    fn show(
        &self,
        path: &[u8],
        ino: Ino,
        attr: &Attr,
        visitor: &mut dyn Visitor,
    ) -> Result<(), SaveError> {
        let details = self.xattrs(ino).and_then(|xattrs| {
            let target = match attr.kind {
                FileKind::Symlink => self.overlay.read_link(ino)?,
                _ => Vec::new(),
            };
            Ok((xattrs, target))
        });
        let (xattrs, target) = match details {
            Ok(details) => details,
            Err(error) => {
                visitor.trouble(path, &plain(error));
                return Ok(());
            }
        };
        let found = Found {
            path,
            attr,
            identity: (0, ino.0),
            target: &target,
            xattrs: &xattrs,
        };
        if attr.kind == FileKind::Regular {
            let mut file = MergedFile {
                overlay: self.overlay,
                ino,
            };
            visitor.file(&found, &mut file)
        } else {
            visitor.object(&found)
        }
    }

    fn xattrs(&self, ino: Ino) -> FsResult<Xattrs> {
        let mut xattrs = Xattrs::new();
        for name in self.overlay.xattr_names(ino)? {
            match self.overlay.xattr(ino, &name) {
                Ok(value) => xattrs.push((name, value)),
                Err(FsError::NoAttribute | FsError::NotSupported) => {}
                Err(error) => return Err(error),
            }
        }
        xattrs.sort_unstable();
        Ok(xattrs)
    }
}

fn plain(error: FsError) -> io::Error {
    io::Error::from(error.errno())
}

fn whiteout_attr() -> Attr {
    Attr {
        kind: FileKind::Regular,
        permissions: 0o600,
        uid: 0,
        gid: 0,
        rdev: 0,
        nlink: 1,
        size: 0,
        blocks: 0,
        atime: Default::default(),
        mtime: Default::default(),
        ctime: Default::default(),
    }
}

#[derive(Default)]
struct Names(Vec<Vec<u8>>);

impl DirectorySink for Names {
    fn push(&mut self, entry: &DirectoryEntry<'_>, _inode: Option<LookedUp<'_>>) -> bool {
        if entry.name != b"." && entry.name != b".." {
            self.0.push(entry.name.to_vec());
        }
        true
    }
}

struct MergedFile<'o> {
    overlay: &'o Overlay,
    ino: Ino,
}

impl Contents for MergedFile<'_> {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.overlay.read(self.ino, buffer, offset).map_err(plain)
    }
}

impl OpenFile for MergedFile<'_> {
    fn attr(&mut self) -> io::Result<Attr> {
        self.overlay.attr(self.ino).map_err(plain)
    }

    fn data_ranges(&mut self, size: u64) -> io::Result<Vec<DataRange>> {
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < size {
            let offset = match self.overlay.seek(self.ino, at, Extent::Data) {
                Ok(offset) => offset,
                Err(FsError::Layer(rustix::io::Errno::NXIO)) => break,
                Err(error) => return Err(plain(error)),
            };
            let end = self.overlay.seek(self.ino, offset, Extent::Hole);
            let end = end.map_err(plain)?.min(size);
            if end <= offset {
                break;
            }
            ranges.push(DataRange {
                offset,
                length: end - offset,
            });
            at = end;
        }
        Ok(ranges)
    }
}
