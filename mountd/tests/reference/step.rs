//! One operation, done in the core and in the model.

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::{AllocateMode, NewInode, RenameMode, SetAttr, SetTime};
use wpar_mountd::types::{Caller, EntryName, FileKind, Ino, Timestamp};

use crate::acl::{self, Acl};
use crate::lower::XATTRS;
use crate::model::{self, Id, Inode, Time};
use crate::operation::{Name, Operation, Pick};
use crate::world::{Verdict, World};

impl World {
    /// Does the same in both and compares what they answer.
    pub(crate) fn step(&mut self, operation: &Operation) -> Verdict {
        let words = format!("{operation:?}");
        let verb = words.split([' ', '{']).next().unwrap_or_default();
        self.story.push(verb.to_owned());
        match *operation {
            Operation::Create {
                dir,
                name,
                kind,
                permissions,
                umask,
                owner,
            } => self.create((dir, name), kind, permissions, umask, owner),
            Operation::Link { target, dir, name } => {
                let inode = self.any(target)?;
                self.link(inode, (dir, name))
            }
            Operation::LinkHeld { held, dir, name } => {
                if self.held.is_empty() {
                    return Ok(());
                }
                let inode = self.held[usize::from(held) % self.held.len()];
                self.tell(format!("held {}", inode.1));
                self.link(inode, (dir, name))
            }
            Operation::CreateUnnamed {
                dir,
                permissions,
                owner,
            } => self.create_unnamed(dir, permissions, owner),
            Operation::Unlink { dir, name } => {
                let (id, ino, name) = self.place(dir, name)?;
                self.unlink(id, ino, &name)
            }
            Operation::RemoveDirectory { dir, name } => {
                let (id, ino, name) = self.place(dir, name)?;
                self.remove_directory(id, ino, &name)
            }
            Operation::RemoveTree { dir, name } => {
                let (id, ino, name) = self.place(dir, name)?;
                match self.model.find(id, &name) {
                    Ok(_) => self.remove_tree(id, ino, &name),
                    Err(_) => Ok(()),
                }
            }
            Operation::Rename { from, to, mode } => self.rename(from, to, mode),
            Operation::Hold { target } => {
                let (id, ino) = self.any(target)?;
                if let Some(count) = self.lookups.get_mut(&ino).filter(|count| **count > 0) {
                    *count -= 1;
                    self.held.push((id, ino));
                }
                Ok(())
            }
            Operation::Release { held } => {
                if !self.held.is_empty() {
                    let at = usize::from(held) % self.held.len();
                    let (_, ino) = self.held.swap_remove(at);
                    self.core().forget(ino, 1);
                }
                Ok(())
            }
            Operation::ForgetAll => {
                self.forget_all();
                Ok(())
            }
            Operation::Reopen => {
                // The kernel's side goes with the mount: nothing is forgotten one by one.
                self.lookups.clear();
                self.held.clear();
                self.core = None;
                self.open();
                Ok(())
            }
            _ => self.change_inode(operation),
        }
    }

    fn link(&mut self, (id, ino): (Id, Ino), (dir, name): (Pick, Name)) -> Verdict {
        let (dir_id, dir, name) = self.place(dir, name)?;
        let expected = self.model.link(id, dir_id, &name);
        let made = self.core().link(ino, dir, EntryName::new(&name).unwrap());
        let made = made.map(|made| made.hand_over().0);
        if let Ok(ino) = made {
            *self.lookups.entry(ino).or_default() += 1;
            self.same(id, ino)?;
            self.parents.insert(id, dir_id);
        }
        agree(made.map(drop), expected)
    }

    fn create_unnamed(&mut self, dir: Pick, permissions: u16, owner: u32) -> Verdict {
        let (dir_id, dir, _) = self.place(dir, Name::Any(0))?;
        let new = NewInode {
            kind: FileKind::Regular,
            permissions,
            umask: 0o027,
            rdev: 0,
            target: b"",
            caller: Caller {
                uid: owner,
                gid: owner + 10,
            },
        };
        let mut inode = Inode::new(FileKind::Regular, permissions);
        (inode.uid, inode.gid) = (owner, owner + 10);
        inode.inherit(&self.model.inodes[dir_id], new.umask);
        let expected = self.model.create_unnamed(dir_id, inode);
        let made = self.core().create_unnamed(dir, &new);
        let made = made.map(|made| made.hand_over().0);
        if let (Ok(ino), Ok(id)) = (made, expected) {
            self.same(id, ino)?;
            self.held.push((id, ino));
        }
        agree(made.map(drop), expected.map(drop))
    }

    fn unlink(&mut self, id: Id, ino: Ino, name: &[u8]) -> Verdict {
        let expected = self.model.unlink(id, name);
        if expected.is_ok() {
            self.lost.push((id, name.to_vec()));
        }
        agree(
            self.core().unlink(ino, EntryName::new(name).unwrap()),
            expected,
        )
    }

    fn remove_directory(&mut self, id: Id, ino: Ino, name: &[u8]) -> Verdict {
        let expected = self.model.remove_directory(id, name);
        if expected.is_ok() {
            self.lost.push((id, name.to_vec()));
        }
        let removed = self
            .core()
            .remove_directory(ino, EntryName::new(name).unwrap());
        agree(removed, expected)
    }

    /// What `rm -r` does.
    fn remove_tree(&mut self, dir: Id, dir_ino: Ino, name: &[u8]) -> Verdict {
        let (ino, _) = self
            .look_up(dir_ino, name)?
            .ok_or("the model finds it, the core not")?;
        let id = self.model.inodes[dir].entries[name];
        self.same(id, ino)?;
        self.parents.insert(id, dir);
        if !self.model.inodes[id].is_directory() {
            return self.unlink(dir, dir_ino, name);
        }
        for below in self.model.inodes[id]
            .entries
            .keys()
            .cloned()
            .collect::<Vec<_>>()
        {
            self.remove_tree(id, ino, &below)?;
        }
        self.remove_directory(dir, dir_ino, name)
    }

    fn create(
        &mut self,
        (dir, name): (Pick, Name),
        kind: FileKind,
        permissions: u16,
        umask: u16,
        owner: u32,
    ) -> Verdict {
        let (dir_id, dir, name) = self.place(dir, name)?;
        let symlink = kind == FileKind::Symlink;
        let rdev = if matches!(kind, FileKind::CharDevice | FileKind::BlockDevice) {
            0x103
        } else {
            0
        };
        let new = NewInode {
            kind,
            permissions: if symlink { 0o777 } else { permissions },
            umask,
            rdev,
            target: if symlink { b"a target" } else { b"" },
            caller: Caller {
                uid: owner,
                gid: owner + 10,
            },
        };
        let mut inode = Inode::new(kind, new.permissions);
        (inode.uid, inode.gid, inode.rdev) = (owner, owner + 10, rdev);
        inode.target = new.target.to_vec();
        inode.inherit(&self.model.inodes[dir_id], umask);
        let expected = self.model.create(dir_id, &name, inode);
        let made = self
            .core()
            .create(dir, EntryName::new(&name).unwrap(), &new);
        let made = made.map(|made| made.hand_over().0);
        if let Ok(ino) = made {
            *self.lookups.entry(ino).or_default() += 1;
            if let Ok(id) = expected {
                self.same(id, ino)?;
            }
        }
        agree(made.map(drop), expected.map(drop))
    }

    fn rename(&mut self, from: (Pick, Name), to: (Pick, Name), mode: RenameMode) -> Verdict {
        let (from_dir, name) = self.end(from.0, from.1);
        let (to_dir, new_name) = self.end(to.0, to.1);
        // Into itself, or over what it is in: the kernel refuses that itself.
        let loops = |name: &[u8], dir: Id, other: Id| {
            let moved = self.model.find(dir, name);
            moved.is_ok_and(|id| self.model.is_within(other, id))
        };
        if loops(&name, from_dir.id, to_dir.id) || loops(&new_name, to_dir.id, from_dir.id) {
            return Ok(());
        }
        let from_ino = self.lead(&from_dir)?;
        self.tell(format!("{} ({mode:?}) to", name.escape_ascii()));
        let to_ino = self.lead(&to_dir)?;
        self.tell(new_name.escape_ascii().to_string());
        let from = (from_ino, EntryName::new(&name).unwrap());
        let to = (to_ino, EntryName::new(&new_name).unwrap());
        let expected = self
            .model
            .rename((from_dir.id, &name), (to_dir.id, &new_name), mode);
        for dir in [from_dir.id, to_dir.id] {
            for &id in self.model.inodes[dir].entries.values() {
                self.parents.insert(id, dir);
            }
        }
        if expected.is_ok() {
            self.lost.push((from_dir.id, name.clone()));
        }
        agree(self.core().rename(from, to, mode), expected)
    }

    fn set_acl(&mut self, target: Pick, default: bool, acl: Acl) -> Verdict {
        let (id, ino) = self.any(target)?;
        let inode = &mut self.model.inodes[id];
        if inode.kind == FileKind::Symlink {
            // The kernel knows that these have none.
            return Ok(());
        }
        let (name, expected) = match default {
            true if !inode.is_directory() => (acl::DEFAULT, Err(FsError::InvalidArgument)),
            true => {
                inode.xattrs.insert(acl::DEFAULT.to_vec(), acl.encode());
                (acl::DEFAULT, Ok(()))
            }
            false => {
                inode.set_access(acl);
                (acl::ACCESS, Ok(()))
            }
        };
        let done = self
            .core()
            .set_xattr(ino, name, &acl.encode(), XattrFlags::empty());
        agree(done, expected)
    }

    fn copy_range(&mut self, from: (Pick, u16), to: (Pick, u16), length: u16) -> Verdict {
        let (Some(source), Some(target)) = (self.regular(from.0)?, self.regular(to.0)?) else {
            return Ok(());
        };
        let (at, to_at) = (usize::from(from.1), usize::from(to.1));
        // As far as the kernel would let it come: within the source, and not over itself.
        let size = self.model.inodes[source.0].data.len();
        let length = usize::from(length).min(size.saturating_sub(at));
        if length == 0 || source.0 == target.0 && at.abs_diff(to_at) < length {
            return Ok(());
        }
        let copied = self.core().copy_range(
            (source.1, at as u64),
            (target.1, to_at as u64),
            length as u64,
        );
        let copied = match copied {
            Ok(copied) if (1..=length).contains(&copied) => copied,
            // The caller reads and writes instead, and gets the same.
            Err(FsError::Layer(Errno::XDEV)) => {
                let mut buffer = vec![0xee; length];
                let read = self.core().read(source.1, &mut buffer, at as u64);
                agree(read, Ok(length))?;
                let written = self.core().write(target.1, &buffer, to_at as u64, true);
                agree(written, Ok(length))?;
                length
            }
            other => return Err(format!("answered {other:?} to {length} bytes")),
        };
        let data = self.model.inodes[source.0].data[at..at + copied].to_vec();
        let inode = &mut self.model.inodes[target.0];
        inode.kill_privileges();
        inode.mtime = Time::Fresh;
        write(&mut inode.data, to_at, &data);
        Ok(())
    }

    fn change_inode(&mut self, operation: &Operation) -> Verdict {
        match *operation {
            Operation::SetAttr {
                target,
                permissions,
                owner,
                size,
                mtime,
                now,
                kill_privileges,
            } => {
                let (id, ino) = self.any(target)?;
                let kind = self.model.inodes[id].kind;
                // Neither can be asked of these through the kernel.
                let size = size.filter(|_| kind == FileKind::Regular);
                let permissions = permissions.filter(|_| kind != FileKind::Symlink);
                let exactly = |seconds| {
                    SetTime::To(Timestamp {
                        seconds,
                        nanoseconds: 7,
                    })
                };
                let mtime = if now {
                    Some(SetTime::Now)
                } else {
                    mtime.map(exactly)
                };
                let set = SetAttr {
                    permissions,
                    uid: owner.map(|owner| owner.0),
                    gid: owner.map(|owner| owner.1),
                    size: size.map(u64::from),
                    atime: None,
                    mtime,
                    kill_privileges,
                };
                apply(&mut self.model.inodes[id], &set);
                let attr = self
                    .core()
                    .set_attr(ino, &set)
                    .map_err(|error| error.to_string())?;
                crate::compare::attr(&self.model.inodes[id], &attr)
            }
            Operation::Write {
                target,
                offset,
                length,
                fill,
                kill_privileges,
            } => {
                let Some((id, ino)) = self.regular(target)? else {
                    return Ok(());
                };
                let data = vec![fill; length.into()];
                let written = self
                    .core()
                    .write(ino, &data, offset.into(), kill_privileges);
                let inode = &mut self.model.inodes[id];
                if kill_privileges {
                    inode.kill_privileges();
                }
                inode.mtime = if length > 0 { Time::Fresh } else { Time::Any };
                write(&mut inode.data, offset.into(), &data);
                agree(written, Ok(data.len()))
            }
            Operation::Allocate {
                target,
                offset,
                length,
                mode,
            } => {
                let Some((id, ino)) = self.regular(target)? else {
                    return Ok(());
                };
                let done = self
                    .core()
                    .allocate(ino, offset.into(), length.into(), mode);
                let inode = &mut self.model.inodes[id];
                let zeros = matches!(mode, AllocateMode::Zero | AllocateMode::ZeroKeepSize);
                if zeros && done == Err(FsError::Layer(Errno::OPNOTSUPP)) {
                    // Not every file system of a store has that. It was a try to write all the same.
                    inode.kill_privileges();
                    inode.mtime = Time::Any;
                    return Ok(());
                }
                allocate(inode, offset.into(), length.into(), mode);
                agree(done, Ok(()))
            }
            Operation::CopyRange { from, to, length } => self.copy_range(from, to, length),
            Operation::Read {
                target,
                offset,
                length,
            } => {
                let Some((id, ino)) = self.regular(target)? else {
                    return Ok(());
                };
                let data = &self.model.inodes[id].data;
                let end = (usize::from(offset) + usize::from(length)).min(data.len());
                let expected = data.get(usize::from(offset)..end).unwrap_or(&[]);
                let mut buffer = vec![0xee; length.into()];
                let read = self.core().read(ino, &mut buffer, offset.into());
                agree(read, Ok(expected.len()))?;
                if buffer.starts_with(expected) {
                    Ok(())
                } else {
                    Err("read other data".into())
                }
            }
            Operation::Sync { target, data_only } => {
                let (_, ino) = self.any(target)?;
                agree(self.core().sync(ino, data_only), Ok(()))
            }
            Operation::Complete { target } => match self.regular(target)? {
                Some((_, ino)) => agree(self.core().complete(ino), Ok(())),
                None => Ok(()),
            },
            Operation::SetAcl {
                target,
                default,
                acl,
            } => self.set_acl(target, default, acl),
            Operation::RemoveAcl { target, default } => {
                let (id, ino) = self.any(target)?;
                let name = if default { acl::DEFAULT } else { acl::ACCESS };
                let done = self.core().remove_xattr(ino, name);
                let removed = self.model.inodes[id].xattrs.remove(name);
                agree(done, removed.map(drop).ok_or(FsError::NoAttribute))
            }
            Operation::SetXattr {
                target,
                name,
                ref value,
                create,
                replace,
            } => {
                let (id, ino) = self.any(target)?;
                let name = XATTRS[usize::from(name) % XATTRS.len()].as_bytes();
                let mut flags = XattrFlags::empty();
                flags.set(XattrFlags::CREATE, create);
                flags.set(XattrFlags::REPLACE, replace);
                let done = self.core().set_xattr(ino, name, value, flags);
                let xattrs = &mut self.model.inodes[id].xattrs;
                agree(done, model::set_xattr(xattrs, name, value, create, replace))
            }
            Operation::RemoveXattr { target, name } => {
                let (id, ino) = self.any(target)?;
                let name = XATTRS[usize::from(name) % XATTRS.len()].as_bytes();
                let done = self.core().remove_xattr(ino, name);
                let removed = self.model.inodes[id].xattrs.remove(name);
                agree(done, removed.map(drop).ok_or(FsError::NoAttribute))
            }
            _ => Ok(()),
        }
    }
}

fn agree<T: PartialEq + std::fmt::Debug>(answered: FsResult<T>, expected: FsResult<T>) -> Verdict {
    if answered == expected {
        Ok(())
    } else {
        Err(format!("answered {answered:?}, expected {expected:?}"))
    }
}

fn apply(inode: &mut Inode, set: &SetAttr) {
    let owner_changes = set.uid.is_some() || set.gid.is_some();
    if inode.kind == FileKind::Regular && (owner_changes || set.kill_privileges) {
        inode.kill_privileges();
    }
    inode.uid = set.uid.unwrap_or(inode.uid);
    inode.gid = set.gid.unwrap_or(inode.gid);
    if let Some(permissions) = set.permissions {
        inode.set_permissions(permissions);
    }
    if let Some(size) = set.size {
        inode.data.resize(size as usize, 0);
        inode.mtime = Time::Any;
    }
    match set.mtime {
        Some(SetTime::To(time)) => inode.mtime = Time::Exactly(time),
        Some(SetTime::Now) => inode.mtime = Time::Fresh,
        None => {}
    }
}

fn write(contents: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if !data.is_empty() {
        let end = offset + data.len();
        contents.resize(contents.len().max(end), 0);
        contents[offset..end].copy_from_slice(data);
    }
}

fn allocate(inode: &mut Inode, offset: usize, length: usize, mode: AllocateMode) {
    use AllocateMode::{Grow, KeepSize, Zero};
    inode.kill_privileges();
    inode.mtime = Time::Any;
    let data = &mut inode.data;
    if matches!(mode, Grow | Zero) {
        data.resize(data.len().max(offset + length), 0);
    }
    if !matches!(mode, Grow | KeepSize) {
        let end = (offset + length).min(data.len());
        data[offset.min(end)..end].fill(0);
    }
}
