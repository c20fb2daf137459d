//! The core and the model side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rustix::fs::XattrFlags;
use tempfile::TempDir;
use wpar_mountd::error::FsResult;
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::overlay::{NewInode, Overlay, RenameMode, SetAttr, SetTime};
use wpar_mountd::types::{Attr, Caller, EntryName, FileKind, Ino, Timestamp};
use wpar_mountd::upper::UpperStore;

use crate::lower::{self, XATTRS};
use crate::model::{Id, Inode, Model, ROOT, Time};
use crate::operation::{Case, Name, Operation, Pick, any_name};

/// What went wrong, in words.
pub(crate) type Verdict<T = ()> = Result<T, String>;

/// The core above a fresh store, the model, and what the kernel would remember.
pub(crate) struct World {
    pub(crate) model: Model,
    lower: Arc<dyn LowerLayer>,
    store: TempDir,
    core: Option<Overlay>,
    /// What was done so far, in words.
    story: Vec<String>,
    /// Lookups that were counted and not given back, but for those that are held.
    lookups: BTreeMap<Ino, u64>,
    pub(crate) held: Vec<(Id, Ino)>,
    /// The directory in which each object was looked up last.
    parents: HashMap<Id, Id>,
    numbers: HashMap<Id, Ino>,
    ids: HashMap<Ino, Id>,
}

/// An object, and how the core is led to it.
#[derive(Clone, Debug)]
struct Chosen {
    id: Id,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Path(Vec<Vec<u8>>),
    Held(Ino),
}

/// Runs a case to its end.
pub(crate) fn run(case: &Case) -> Verdict {
    let mut world = World::new(case);
    let verdict = world.live(case);
    verdict.map_err(|error| format!("{error}\n{}", world.story.join("\n")))
}

impl World {
    fn live(&mut self, case: &Case) -> Verdict {
        self.compare()
            .map_err(|error| format!("before any operation: {error}"))?;
        self.forget_all();
        for (number, operation) in case.operations.iter().enumerate() {
            let told = |error| format!("operation {number}, {operation:?}: {error}");
            self.step(operation).map_err(told)?;
            if case.watch {
                self.compare().map_err(told)?;
            }
            if !case.keep {
                self.forget_all();
            }
        }
        self.compare()
            .map_err(|error| format!("at the end: {error}"))?;
        self.step(&Operation::Reopen)?;
        self.compare()
            .map_err(|error| format!("opened again at the end: {error}"))
    }

    fn new(case: &Case) -> Self {
        let (lower, model) = lower::make(&case.lower);
        let mut world = Self {
            model,
            lower,
            store: TempDir::new().unwrap(),
            core: None,
            story: Vec::new(),
            lookups: BTreeMap::new(),
            held: Vec::new(),
            parents: HashMap::new(),
            numbers: HashMap::from([(ROOT, Ino::ROOT)]),
            ids: HashMap::from([(Ino::ROOT, ROOT)]),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let root = self.lower.attr(LowerNode::ROOT).unwrap();
        let path = self.store.path().join("store");
        let store = UpperStore::open(&path, &root, self.lower.first_free()).unwrap();
        self.core = Some(Overlay::new(Arc::clone(&self.lower), Some(store)));
    }

    pub(crate) fn core(&self) -> &Overlay {
        self.core.as_ref().unwrap()
    }

    /// The kernel gives back what it does not need: it never forgets a directory while it knows
    /// something in it.
    fn forget_all(&mut self) {
        let mut needed = BTreeSet::new();
        for (id, _) in &self.held {
            let mut at = *id;
            while let Some(&parent) = self.parents.get(&at) {
                if !needed.insert(self.numbers[&parent]) {
                    break;
                }
                at = parent;
            }
        }
        for (ino, count) in std::mem::take(&mut self.lookups) {
            let kept = u64::from(needed.contains(&ino)).min(count);
            if kept > 0 {
                self.lookups.insert(ino, kept);
            }
            if count > kept {
                self.core().forget(ino, count - kept);
            }
        }
    }

    /// Looks a name up as the kernel does and counts it; `None` if there is none.
    pub(crate) fn look_up(&mut self, dir: Ino, name: &[u8]) -> Verdict<Option<(Ino, Attr)>> {
        let name = EntryName::new(name).unwrap();
        let found = self.core().lookup(dir, name);
        let found = found.map_err(|error| format!("lookup of {name:?} in {dir}: {error}"))?;
        let found = found.map(|found| found.hand_over());
        if let Some((ino, _)) = found {
            *self.lookups.entry(ino).or_default() += 1;
        }
        Ok(found)
    }

    /// Checks that an inode has the number that it always had, and no other inode ever had.
    pub(crate) fn same(&mut self, id: Id, ino: Ino) -> Verdict {
        let number = *self.numbers.entry(id).or_insert(ino);
        let owner = *self.ids.entry(ino).or_insert(id);
        if number != ino {
            return Err(format!("inode {id} was {number} and is {ino}"));
        }
        if owner != id {
            return Err(format!("{ino} was inode {owner} and is inode {id}"));
        }
        Ok(())
    }

    fn choose(&self, pick: Pick, wanted: impl Fn(&Inode) -> bool) -> Option<Chosen> {
        let mut all = vec![Chosen {
            id: ROOT,
            way: Way::Path(Vec::new()),
        }];
        let mut next = 0;
        while let Some(Chosen {
            id,
            way: Way::Path(path),
        }) = all.get(next).cloned()
        {
            for (name, &id) in &self.model.inodes[id].entries {
                let path = path.iter().chain([name]).cloned().collect();
                all.push(Chosen {
                    id,
                    way: Way::Path(path),
                });
            }
            next += 1;
        }
        let held = self.held.iter().map(|&(id, ino)| Chosen {
            id,
            way: Way::Held(ino),
        });
        all.extend(held);
        all.retain(|chosen| wanted(&self.model.inodes[chosen.id]));
        let count = all.len().max(1);
        all.into_iter().nth(usize::from(pick) % count)
    }

    fn directory(&mut self, pick: Pick) -> Verdict<(Id, Ino)> {
        let chosen = self.choose(pick, Inode::is_directory).unwrap();
        Ok((chosen.id, self.lead(&chosen)?))
    }

    fn any(&mut self, pick: Pick) -> Verdict<(Id, Ino)> {
        let chosen = self.choose(pick, |_| true).unwrap();
        Ok((chosen.id, self.lead(&chosen)?))
    }

    fn regular(&mut self, pick: Pick) -> Verdict<Option<(Id, Ino)>> {
        match self.choose(pick, |inode| inode.kind == FileKind::Regular) {
            Some(chosen) => Ok(Some((chosen.id, self.lead(&chosen)?))),
            None => Ok(None),
        }
    }

    fn lead(&mut self, chosen: &Chosen) -> Verdict<Ino> {
        let path = match &chosen.way {
            Way::Path(path) => path,
            Way::Held(ino) => {
                self.tell(format!("held {ino}"));
                return Ok(*ino);
            }
        };
        self.tell(format!("/{}", path.join(&b'/').escape_ascii()));
        let (mut id, mut at) = (ROOT, Ino::ROOT);
        for name in path {
            let name_told = name.escape_ascii().to_string();
            let found = self.look_up(at, name)?;
            at = found
                .ok_or_else(|| format!("{name_told} in {at} is not there"))?
                .0;
            let parent = id;
            id = self.model.inodes[parent].entries[name];
            self.parents.insert(id, parent);
            self.same(id, at)?;
        }
        Ok(at)
    }

    /// Adds to the story of the operation that is being done.
    fn tell(&mut self, words: String) {
        if let Some(last) = self.story.last_mut() {
            last.push(' ');
            last.push_str(&words);
        }
    }

    fn name(&mut self, dir: Id, name: Name) -> Vec<u8> {
        let entries = &self.model.inodes[dir].entries;
        let name = match name {
            Name::There(number) if !entries.is_empty() => {
                let at = usize::from(number) % entries.len();
                entries.keys().nth(at).unwrap().clone()
            }
            Name::There(number) | Name::Any(number) => any_name(number),
        };
        self.tell(name.escape_ascii().to_string());
        name
    }

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
                let (id, ino) = self.any(target)?;
                let (dir_id, dir) = self.directory(dir)?;
                let name = self.name(dir_id, name);
                let expected = self.model.link(id, dir_id, &name);
                let made = self.core().link(ino, dir, EntryName::new(&name).unwrap());
                let made = made.map(|made| made.hand_over().0);
                if let Ok(ino) = made {
                    *self.lookups.entry(ino).or_default() += 1;
                    self.same(id, ino)?;
                }
                agree(made.map(drop), expected)
            }
            Operation::Unlink { dir, name } => {
                let (id, ino) = self.directory(dir)?;
                let name = self.name(id, name);
                let expected = self.model.unlink(id, &name);
                agree(
                    self.core().unlink(ino, EntryName::new(&name).unwrap()),
                    expected,
                )
            }
            Operation::RemoveDirectory { dir, name } => {
                let (id, ino) = self.directory(dir)?;
                let name = self.name(id, name);
                let expected = self.model.remove_directory(id, &name);
                agree(
                    self.core()
                        .remove_directory(ino, EntryName::new(&name).unwrap()),
                    expected,
                )
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

    fn create(
        &mut self,
        (dir, name): (Pick, Name),
        kind: FileKind,
        permissions: u16,
        umask: u16,
        owner: u32,
    ) -> Verdict {
        let (dir_id, dir) = self.directory(dir)?;
        let name = self.name(dir_id, name);
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
        let masked = if symlink { 0o777 } else { permissions & !umask };
        let mut inode = Inode::new(kind, masked);
        (inode.uid, inode.gid, inode.rdev) = (owner, owner + 10, rdev);
        inode.target = new.target.to_vec();
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
        let from_dir = self.choose(from.0, Inode::is_directory).unwrap();
        let to_dir = self.choose(to.0, Inode::is_directory).unwrap();
        let name = self.name(from_dir.id, from.1);
        let new_name = self.name(to_dir.id, to.1);
        // Into itself, or over what it is in: the kernel refuses that itself.
        let loops = |name: &[u8], dir: Id, other: Id| {
            let moved = self.model.find(dir, name);
            moved.is_ok_and(|id| self.model.is_within(other, id))
        };
        if loops(&name, from_dir.id, to_dir.id) || loops(&new_name, to_dir.id, from_dir.id) {
            return Ok(());
        }
        let from = (self.lead(&from_dir)?, EntryName::new(&name).unwrap());
        let to = (self.lead(&to_dir)?, EntryName::new(&new_name).unwrap());
        let expected = self
            .model
            .rename((from_dir.id, &name), (to_dir.id, &new_name), mode);
        for dir in [from_dir.id, to_dir.id] {
            for &id in self.model.inodes[dir].entries.values() {
                self.parents.insert(id, dir);
            }
        }
        agree(self.core().rename(from, to, mode), expected)
    }

    fn change_inode(&mut self, operation: &Operation) -> Verdict {
        match *operation {
            Operation::SetAttr {
                target,
                permissions,
                owner,
                size,
                mtime,
                kill_privileges,
            } => {
                let (id, ino) = self.any(target)?;
                let kind = self.model.inodes[id].kind;
                // Neither can be asked of these through the kernel.
                let size = size.filter(|_| kind == FileKind::Regular);
                let permissions = permissions.filter(|_| kind != FileKind::Symlink);
                let mtime = mtime.map(|seconds| Timestamp {
                    seconds,
                    nanoseconds: 7,
                });
                let set = SetAttr {
                    permissions,
                    uid: owner.map(|owner| owner.0),
                    gid: owner.map(|owner| owner.1),
                    size: size.map(u64::from),
                    atime: None,
                    mtime: mtime.map(SetTime::To),
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
                allocate(
                    &mut self.model.inodes[id],
                    offset.into(),
                    length.into(),
                    mode,
                );
                agree(done, Ok(()))
            }
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
                agree(
                    done,
                    crate::model::set_xattr(xattrs, name, value, create, replace),
                )
            }
            Operation::RemoveXattr { target, name } => {
                let (id, ino) = self.any(target)?;
                let name = XATTRS[usize::from(name) % XATTRS.len()].as_bytes();
                let done = self.core().remove_xattr(ino, name);
                let removed = self.model.inodes[id].xattrs.remove(name);
                agree(
                    done,
                    removed
                        .map(drop)
                        .ok_or(wpar_mountd::error::FsError::NoAttribute),
                )
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
    inode.permissions = set.permissions.unwrap_or(inode.permissions);
    if let Some(size) = set.size {
        inode.data.resize(size as usize, 0);
        inode.mtime = Time::Any;
    }
    if let Some(SetTime::To(time)) = set.mtime {
        inode.mtime = Time::Exactly(time);
    }
}

fn write(contents: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if !data.is_empty() {
        let end = offset + data.len();
        contents.resize(contents.len().max(end), 0);
        contents[offset..end].copy_from_slice(data);
    }
}

fn allocate(
    inode: &mut Inode,
    offset: usize,
    length: usize,
    mode: wpar_mountd::overlay::AllocateMode,
) {
    use wpar_mountd::overlay::AllocateMode::{Grow, KeepSize, Zero};
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
