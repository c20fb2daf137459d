//! The lower of a case: made in memory for the core, and in the model.

use std::sync::{Arc, Once};

use tempfile::TempDir;
use wpar_mountd::filter::HiddenLower;
use wpar_mountd::lower::LowerLayer;
use wpar_mountd::lower::host::HostLower;
use wpar_mountd::lower::memory::{Builder, MemoryLower};
use wpar_mountd::spec::{HiddenExtent, HiddenName};
use wpar_mountd::types::{FileKind, Timestamp};

use crate::acl::{self, Acl};
use crate::model::{Id, Inode, Model, ROOT, Time};
use crate::operation::{LowerStep, Pick, any_name};
use crate::place;
use crate::unpack::unpack;

/// Names of extended attributes that cases use.
pub(crate) const XATTRS: [&str; 6] = [
    "user.a",
    "trusted.b",
    "security.capability",
    "user.c",
    LONG.0,
    LONG.1,
];

/// Two names of (nearly) the greatest length, different at the end only.
const LONG: (&str, &str) = {
    const ALL: [u8; 256] = {
        let mut all = [b'n'; 256];
        let (prefix, _) = all.split_at_mut(5);
        prefix.copy_from_slice(b"user.");
        all[254] = b'x';
        all
    };
    const ONE: &[u8] = ALL.split_at(255).0;
    const OTHER: &[u8] = ALL.split_at(254).0;
    match (std::str::from_utf8(ONE), std::str::from_utf8(OTHER)) {
        (Ok(one), Ok(other)) => (one, other),
        _ => panic!(),
    }
};

/// `cap_net_raw` permitted and effective, in version 2 of the kernel's encoding.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

struct Making {
    model: Model,
    builder: Builder,
    /// All names: path, directory, inode. The root comes first.
    names: Vec<(Vec<u8>, Id)>,
    hidden: Vec<HiddenName>,
}

/// Where the lower comes from, each time that the daemon starts.
pub(crate) struct Source {
    memory: Arc<MemoryLower>,
    hidden: Vec<HiddenName>,
    /// The same as real files.
    host: Option<TempDir>,
}

impl Source {
    /// What a daemon that starts now shows.
    pub(crate) fn open(&self) -> Arc<dyn LowerLayer> {
        let lower: Arc<dyn LowerLayer> = match &self.host {
            Some(directory) => Arc::new(HostLower::open(directory.path()).unwrap()),
            None => Arc::clone(&self.memory) as _,
        };
        Arc::new(HiddenLower::new(lower, &self.hidden).unwrap())
    }
}

/// What `steps` make, in memory or as a directory of the host. Steps that make no sense are left
/// out.
pub(crate) fn make(steps: &[LowerStep], on_host: bool, on_disk: bool) -> (Source, Model) {
    let mut making = Making {
        model: Model::new(),
        builder: MemoryLower::builder(),
        names: vec![(Vec::new(), ROOT)],
        hidden: Vec::new(),
    };
    making.stamp(b"", ROOT);
    for step in steps {
        making.step(step);
    }
    // Attaching names moved times on; the lower has old ones.
    for (id, inode) in making.model.inodes.iter_mut().enumerate() {
        inode.mtime = Time::Exactly(old_time(id));
    }
    for rule in &making.hidden {
        hide(&mut making.model, rule);
    }
    let memory = Arc::new(making.builder.build().unwrap());
    let host = (on_host && may_use_host()).then(|| {
        let directory = place::directory(on_disk);
        unpack(&*memory, directory.path());
        directory
    });
    let source = Source {
        memory,
        hidden: making.hidden,
        host,
    };
    (source, making.model)
}

/// Devices and `trusted.` attributes need root.
fn may_use_host() -> bool {
    static TOLD: Once = Once::new();
    let root = rustix::process::geteuid().is_root();
    if !root {
        TOLD.call_once(|| eprintln!("SKIPPED: not root, so all lowers are in memory"));
    }
    root
}

fn old_time(id: Id) -> Timestamp {
    Timestamp {
        seconds: 1_000_000 + id as i64,
        nanoseconds: 5,
    }
}

fn hide(model: &mut Model, rule: &HiddenName) {
    let mut components: Vec<_> = rule.path.as_bytes().split(|&byte| byte == b'/').collect();
    let last = components.pop().unwrap();
    let mut dir = ROOT;
    for component in components {
        match model.find(dir, component) {
            Ok(next) => dir = next,
            // Hidden with something above it.
            Err(_) => return,
        }
    }
    match (rule.extent, model.find(dir, last)) {
        (HiddenExtent::Name, Ok(_)) => model.hide(dir, last),
        (HiddenExtent::Contents, Ok(id)) => model.hide_contents(id),
        (_, Err(_)) => {}
    }
}

impl Making {
    fn pick(&self, pick: Pick, wanted: impl Fn(Id, &Inode) -> bool) -> Option<(Vec<u8>, Id)> {
        let fitting: Vec<_> = self
            .names
            .iter()
            .filter(|(_, id)| wanted(*id, &self.model.inodes[*id]))
            .collect();
        let chosen = fitting.get(usize::from(pick) % fitting.len().max(1))?;
        Some((*chosen).clone())
    }

    fn step(&mut self, step: &LowerStep) {
        match *step {
            LowerStep::Directory {
                dir,
                name,
                permissions,
            } => {
                let inode = Inode::new(FileKind::Directory, permissions);
                self.add(dir, name, inode, |builder, path| builder.directory(path));
            }
            LowerStep::File {
                dir,
                name,
                permissions,
                length,
                hole,
            } => {
                let mut inode = Inode::new(FileKind::Regular, permissions);
                let hole = usize::from(hole);
                let text: Vec<u8> = (0..length).map(|at| b'A' + (at % 26) as u8).collect();
                inode.data = [vec![0; hole], text.clone(), vec![0; hole]].concat();
                let size = inode.data.len() as u64;
                self.add(dir, name, inode, |builder, path| {
                    builder.sparse_file(path, size, &[(hole as u64, &text)])
                });
            }
            LowerStep::Symlink { dir, name } => {
                let mut inode = Inode::new(FileKind::Symlink, 0o777);
                inode.target = b"some/../where".to_vec();
                let target = inode.target.clone();
                self.add(dir, name, inode, |builder, path| {
                    builder.symlink(path, target)
                });
            }
            LowerStep::Special { dir, name, rdev } => {
                let mut inode = Inode::new(FileKind::CharDevice, 0o640);
                inode.rdev = rdev;
                self.add(dir, name, inode, |builder, path| {
                    builder.special(path, FileKind::CharDevice, rdev)
                });
            }
            LowerStep::LowerLink { target, dir, name } => self.link(target, dir, name),
            LowerStep::Xattr { target, name, root } => {
                let Some((path, id)) = self.pick(target, |id, _| (id == ROOT) == root) else {
                    return;
                };
                let key = XATTRS[usize::from(name) % XATTRS.len()];
                // What Linux lets these have, so that the tree can be made as real files.
                let (allowed, value) = match (key, self.model.inodes[id].kind) {
                    ("security.capability", kind) => (kind == FileKind::Regular, CAPABILITY),
                    ("trusted.b", _) => (true, &b"of the lower"[..]),
                    (_, kind) => {
                        let plain = matches!(kind, FileKind::Regular | FileKind::Directory);
                        (plain, &b"of the lower"[..])
                    }
                };
                if !allowed {
                    return;
                }
                self.model.inodes[id]
                    .xattrs
                    .insert(key.into(), value.to_vec());
                self.change(|builder| builder.xattr(path, key, value));
            }
            LowerStep::Acl {
                target,
                default,
                acl,
            } => self.acl(target, default, acl),
            LowerStep::Hide { target, contents } => self.hide(target, contents),
        }
    }

    fn acl(&mut self, target: Pick, default: bool, acl: Acl) {
        let chosen = self.pick(target, |_, inode| {
            inode.is_directory() || !default && inode.kind == FileKind::Regular
        });
        // One that nine bits say as well is nowhere kept.
        let Some((path, id)) = chosen.filter(|_| default || acl.is_extended()) else {
            return;
        };
        let inode = &mut self.model.inodes[id];
        if default {
            inode.xattrs.insert(acl::DEFAULT.to_vec(), acl.encode());
        } else {
            inode.set_access(acl);
        }
        let permissions = inode.permissions;
        self.change(|builder| {
            let builder = builder.attributes(&path, |attr| attr.permissions = permissions);
            let name = if default { acl::DEFAULT } else { acl::ACCESS };
            builder.xattr(path, std::str::from_utf8(name).unwrap(), acl.encode())
        });
    }

    fn change(&mut self, change: impl FnOnce(Builder) -> Builder) {
        let builder = std::mem::replace(&mut self.builder, MemoryLower::builder());
        self.builder = change(builder);
    }

    fn stamp(&mut self, path: &[u8], id: Id) {
        let inode = self.model.inodes[id].clone();
        self.change(|builder| {
            builder.attributes(path, |attr| {
                attr.permissions = inode.permissions;
                (attr.uid, attr.gid) = (inode.uid, inode.gid);
                (attr.mtime, attr.ctime) = (old_time(id), old_time(id));
            })
        });
    }

    fn add(
        &mut self,
        dir: Pick,
        name: u8,
        inode: Inode,
        build: impl FnOnce(Builder, &[u8]) -> Builder,
    ) {
        let Some((above, dir)) = self.pick(dir, |_, inode| inode.is_directory()) else {
            return;
        };
        let name = any_name(name);
        let permissions = inode.permissions;
        let Ok(id) = self.model.create(dir, &name, inode) else {
            return;
        };
        // A layer has no rules of inheritance.
        (self.model.inodes[id].gid, self.model.inodes[id].permissions) = (0, permissions);
        let path = join(&above, &name);
        self.change(|builder| build(builder, &path));
        self.stamp(&path, id);
        self.names.push((path, id));
    }

    fn link(&mut self, target: Pick, dir: Pick, name: u8) {
        let Some((existing, id)) = self.pick(target, |_, inode| !inode.is_directory()) else {
            return;
        };
        let Some((above, dir)) = self.pick(dir, |_, inode| inode.is_directory()) else {
            return;
        };
        let name = any_name(name);
        if self.model.link(id, dir, &name).is_ok() {
            let path = join(&above, &name);
            self.change(|builder| builder.hard_link(existing, &path));
            self.names.push((path, id));
        }
    }

    fn hide(&mut self, target: Pick, contents: bool) {
        let chosen = self.pick(target, |_, inode| !contents || inode.is_directory());
        let Some((path, _)) = chosen.filter(|(path, _)| !path.is_empty()) else {
            return;
        };
        self.hidden.push(HiddenName {
            path: String::from_utf8(path).unwrap(),
            extent: if contents {
                HiddenExtent::Contents
            } else {
                HiddenExtent::Name
            },
            reason: "a test".into(),
        });
    }
}

fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() {
        name.to_vec()
    } else {
        [above, b"/", name].concat()
    }
}
