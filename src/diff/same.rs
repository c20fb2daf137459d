//! Whether two inodes hold the same: contents, targets, devices, extended attributes.

use std::collections::HashMap;

use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::{Extent, LookedUp, Overlay};
use wpar_mountd::types::{Attr, FileKind, Ino};

use super::files::Aspect;

/// How much is read by one call.
const CHUNK: usize = 256 << 10;

/// Compares inodes of the same kind.
pub(super) struct Same<'t> {
    a: &'t Overlay,
    b: &'t Overlay,
    buffers: [Vec<u8>; 2],
    /// What is known of inodes with several names.
    known: HashMap<(Ino, Ino), bool>,
}

impl<'t> Same<'t> {
    pub(super) fn new(a: &'t Overlay, b: &'t Overlay) -> Self {
        Self {
            a,
            b,
            buffers: [vec![0; CHUNK], vec![0; CHUNK]],
            known: HashMap::new(),
        }
    }

    /// Adds what differs to `aspects`.
    ///
    /// # Errors
    /// Those of the layers.
    pub(super) fn compare(
        &mut self,
        a: &LookedUp<'_>,
        b: &LookedUp<'_>,
        aspects: &mut Vec<Aspect>,
    ) -> FsResult<()> {
        match a.attr().kind {
            FileKind::Regular if !self.has_same_contents(a, b)? => aspects.push(Aspect::Content),
            FileKind::Symlink if self.a.read_link(a.ino())? != self.b.read_link(b.ino())? => {
                aspects.push(Aspect::Target);
            }
            FileKind::CharDevice | FileKind::BlockDevice if a.attr().rdev != b.attr().rdev => {
                aspects.push(Aspect::Device);
            }
            _ => {}
        }
        if attributes(self.a, a.ino())? != attributes(self.b, b.ino())? {
            aspects.push(Aspect::Attributes);
        }
        Ok(())
    }

    fn has_same_contents(&mut self, a: &LookedUp<'_>, b: &LookedUp<'_>) -> FsResult<bool> {
        if a.attr().size != b.attr().size {
            return Ok(false);
        }
        if a.attr().nlink == 1 || b.attr().nlink == 1 {
            return self.read_both(a, b);
        }
        let key = (a.ino(), b.ino());
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        let is_same = self.read_both(a, b)?;
        self.known.insert(key, is_same);
        Ok(is_same)
    }

    /// Reads two files of one size; where both have holes nothing is read.
    fn read_both(&mut self, a: &LookedUp<'_>, b: &LookedUp<'_>) -> FsResult<bool> {
        let size = a.attr().size;
        let are_sparse = is_sparse(a.attr()) && is_sparse(b.attr());
        let mut at = 0;
        while at < size {
            if are_sparse {
                at = next_data(self.a, a, at)?.min(next_data(self.b, b, at)?);
            }
            let length = usize::try_from(size.saturating_sub(at))
                .unwrap_or(CHUNK)
                .min(CHUNK);
            let [first, second] = &mut self.buffers;
            let first = first.get_mut(..length).unwrap_or_default();
            let second = second.get_mut(..length).unwrap_or_default();
            let read = self.a.read(a.ino(), first, at)?;
            if self.b.read(b.ino(), second, at)? != read || first.get(..read) != second.get(..read)
            {
                return Ok(false);
            }
            if read < length || length == 0 {
                break;
            }
            at += length as u64;
        }
        Ok(true)
    }
}

fn is_sparse(attr: &Attr) -> bool {
    attr.blocks.saturating_mul(512) < attr.size
}

/// Where data come next, or the size of the file.
fn next_data(overlay: &Overlay, inode: &LookedUp<'_>, at: u64) -> FsResult<u64> {
    match overlay.seek(inode.ino(), at, Extent::Data) {
        Ok(found) => Ok(found.max(at)),
        Err(error) if error.errno() == rustix::io::Errno::NXIO => Ok(inode.attr().size),
        Err(error) => Err(error),
    }
}

/// The extended attributes of an inode, sorted.
fn attributes(overlay: &Overlay, ino: Ino) -> FsResult<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in overlay.xattr_names(ino)? {
        match overlay.xattr(ino, &name) {
            Ok(value) => found.push((name, value)),
            // A namespace that no WPAR sees, or gone meanwhile.
            Err(FsError::NotSupported | FsError::NoAttribute) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}
