//! Replacing a file of a merged tree from outside: whole, or not at all.
//!
//! What is new is made under a name of its own in the same directory, and gets its name when it is complete.
//! So a tool that is killed leaves the file that was there, or the new one. What it was making may
//! be left under the other name; whoever replaces a file in that directory next takes it away.

use rustix::io::Errno;

use super::edit::new_file;
use super::{LookedUp, NewInode, Overlay, RenameMode, SetAttr};
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, FileKind, Ino};
use crate::upper::calls::XattrFlags;

/// What a file is called until it is complete.
const UNFINISHED: &[u8] = b".wpar-unfinished";

/// Completes something new; it is told what was there before.
pub type Fill<'a> = &'a mut dyn FnMut(&LookedUp<'_>, Option<&LookedUp<'_>>) -> FsResult<()>;

impl Overlay {
    /// As [`Self::write_path`], but the file is never seen with a part of `contents`: it is another one,
    /// with owner, permissions and attributes of the one that was there.
    ///
    /// # Errors
    /// As [`Self::write_path`]; what was there is then unchanged.
    pub fn replace_path(&self, path: &[u8], contents: &[u8], permissions: u16) -> FsResult<()> {
        let (parent, name) = self.parent_of(path)?;
        self.replace_in(
            parent.ino(),
            name,
            &new_file(0o600),
            &mut |draft, before| {
                if self.write(draft.ino(), contents, 0, false)? < contents.len() {
                    return Err(FsError::Layer(Errno::NOSPC));
                }
                match before.filter(|before| before.attr().kind == FileKind::Regular) {
                    Some(before) => self.liken(draft, before),
                    None => self.set_permissions(draft, permissions),
                }
            },
        )
    }

    /// Puts `new`, completed by `fill`, in place of whatever `name` in `parent` is, which `fill` is told of.
    ///
    /// # Errors
    /// `IsDirectory`, those of `fill` and of the store; what was there is then unchanged.
    pub fn replace_in(
        &self,
        parent: Ino,
        name: EntryName<'_>,
        new: &NewInode<'_>,
        fill: Fill<'_>,
    ) -> FsResult<()> {
        let before = self.lookup(parent, name)?;
        if before
            .as_ref()
            .is_some_and(|before| before.attr().kind == FileKind::Directory)
        {
            return Err(FsError::IsDirectory);
        }
        let unfinished = EntryName::new(UNFINISHED)?;
        let draft = match self.create(parent, unfinished, new) {
            // Who made it was killed.
            Err(FsError::Exists) => {
                self.unlink(parent, unfinished)?;
                self.create(parent, unfinished, new)?
            }
            made => made?,
        };
        let replaced = fill(&draft, before.as_ref())
            .and_then(|()| self.rename((parent, unfinished), (parent, name), RenameMode::Replace));
        if replaced.is_err() {
            // The first error is the one to tell.
            let _ = self.unlink(parent, unfinished);
        }
        replaced
    }

    /// Gives `draft` owner, attributes and permissions of `before`, in an order in which the one does not
    /// take the other away.
    fn liken(&self, draft: &LookedUp<'_>, before: &LookedUp<'_>) -> FsResult<()> {
        let owner = SetAttr {
            uid: Some(before.attr().uid),
            gid: Some(before.attr().gid),
            ..SetAttr::default()
        };
        self.set_attr(draft.ino(), &owner)?;
        // What it has from its directory's default ACL is not what was there.
        for name in self.xattr_names(draft.ino())? {
            self.remove_xattr(draft.ino(), &name)?;
        }
        for name in self.xattr_names(before.ino())? {
            match self.xattr(before.ino(), &name) {
                Ok(value) => self.set_xattr(draft.ino(), &name, &value, XattrFlags::empty())?,
                // Those of the lower's file system alone (`btrfs.compression`) mean nothing here.
                Err(FsError::NoAttribute | FsError::NotSupported) => {}
                Err(error) => return Err(error),
            }
        }
        self.set_permissions(draft, before.attr().permissions)
    }

    fn set_permissions(&self, inode: &LookedUp<'_>, permissions: u16) -> FsResult<()> {
        let set = SetAttr {
            permissions: Some(permissions),
            ..SetAttr::default()
        };
        self.set_attr(inode.ino(), &set).map(drop)
    }
}
