//! Where a name of a merged tree comes from, found without opening the store.
//!
//! For the eyes of an administrator: the same steps as [`super::Overlay::lookup`] makes, but each says
//! why. Reads the store's directories as they are, so it can be asked while a daemon has it open, and
//! then answers for a moment. Nothing is written, and no lock is taken.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use crate::error::{FsError, FsResult};
use crate::filter::HiddenNames;
use crate::lower::{LowerLayer, LowerNode};
use crate::overlay::find::lower_at;
use crate::types::Ino;
use crate::types::{EntryName, FileKind};
use crate::upper::calls::{CWD, Mode, openat};
use crate::upper::names::{self, DIRECTORY, UpperName};
use crate::upper::object::UpperObject;
use crate::upper::{number_name, symlink};

/// How many links are followed at the most, as in the kernel.
const LINKS_MAX: usize = 40;

/// What is asked.
#[derive(Debug)]
pub struct Layers<'a> {
    /// The lower, without the names that are hidden being hidden.
    pub lower: &'a dyn LowerLayer,
    /// What is hidden of it.
    pub hidden: &'a HiddenNames,
    /// Directory of the store, if there is one.
    pub store: Option<&'a Path>,
}

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The path, links on the way (but not at the end) followed, without a leading `/`. If something
    /// on the way is not there, it ends there.
    pub path: Vec<u8>,
    /// Whether `path` is all of it.
    pub complete: bool,
    /// Where what is there comes from, or why it is not there.
    pub origin: Origin,
    /// What is there.
    pub kind: Option<FileKind>,
    /// Where it leads, if it is a symbolic link.
    pub target: Option<Vec<u8>>,
}

/// Where something comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The lower, unchanged.
    Lower {
        /// Its path there.
        path: Vec<u8>,
    },
    /// The store has a copy of what was the lower's.
    Copied {
        /// Its path in the lower, where that is known: it may have been moved.
        path: Option<Vec<u8>>,
        /// Where the copy is.
        store: PathBuf,
        /// Whether some of its blocks are still the lower's.
        partial: bool,
    },
    /// A directory that shows what is in the store above what is in the lower.
    Merged {
        /// Its path in the lower.
        path: Vec<u8>,
        /// Where it is in the store.
        store: PathBuf,
    },
    /// It was made in the WPAR.
    Own {
        /// Where it is in the store.
        store: PathBuf,
    },
    /// The lower has it, and it was removed in the WPAR.
    Removed {
        /// Its path in the lower.
        path: Vec<u8>,
    },
    /// A rule hides it, if it is there.
    Hidden {
        /// Its path in the lower.
        path: Vec<u8>,
        /// Why.
        reason: String,
    },
    /// There is nothing.
    Absent,
}

/// A directory on the way.
struct Step {
    name: Vec<u8>,
    upper: Option<Arc<OwnedFd>>,
    lower: Option<(LowerNode, Vec<u8>)>,
}

/// What a name in a directory stands for.
struct Found {
    origin: Origin,
    kind: Option<FileKind>,
    target: Option<Vec<u8>>,
    /// What is below it, if it is a directory.
    upper: Option<Arc<OwnedFd>>,
    lower: Option<(LowerNode, Vec<u8>)>,
}

impl Found {
    fn nothing(origin: Origin) -> Self {
        Self {
            origin,
            kind: None,
            target: None,
            upper: None,
            lower: None,
        }
    }
}

/// Says where `path` comes from.
///
/// # Errors
/// `ELOOP` for more than 40 links, else those of the layers.
pub fn trace(layers: &Layers<'_>, path: &[u8]) -> FsResult<Traced> {
    let mut way = vec![layers.top()?];
    let mut to_do: VecDeque<Vec<u8>> = components(path);
    let mut links = 0;
    let mut last = None;
    while let Some(name) = to_do.pop_front() {
        if name == b".." {
            if way.len() > 1 {
                way.pop();
            }
            continue;
        }
        let entry = EntryName::new(&name)?;
        let Some(directory) = way.last() else {
            break;
        };
        let above: Vec<_> = way.iter().skip(1).map(|step| step.name.clone()).collect();
        let here = [above, vec![name.clone()]].concat().join(&b'/');
        let found = layers.find(directory, &here, entry)?;
        if to_do.is_empty() {
            last = Some((here, found));
            break;
        }
        match found.kind {
            Some(FileKind::Directory) => way.push(Step {
                name,
                upper: found.upper,
                lower: found.lower,
            }),
            Some(FileKind::Symlink) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(FsError::Layer(Errno::LOOP));
                }
                let target = found.target.unwrap_or_default();
                if target.starts_with(b"/") {
                    way.truncate(1);
                }
                for component in components(&target).into_iter().rev() {
                    to_do.push_front(component);
                }
            }
            // Nothing is in what is no directory.
            kind => {
                let origin = match kind {
                    Some(_) => Origin::Absent,
                    None => found.origin,
                };
                return Ok(Traced {
                    path: here,
                    complete: false,
                    origin,
                    kind: None,
                    target: None,
                });
            }
        }
    }
    let (path, found) = match last {
        Some(last) => last,
        None => layers.directory(&way),
    };
    Ok(Traced {
        path,
        complete: true,
        origin: found.origin,
        kind: found.kind,
        target: found.target,
    })
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"" => name.to_vec(),
        _ => [directory, name].join(&b'/'),
    }
}

impl Layers<'_> {
    fn top(&self) -> FsResult<Step> {
        let open = |store: &Path| openat(CWD, store.join("tree"), DIRECTORY, Mode::empty());
        Ok(Step {
            name: Vec::new(),
            upper: self.store.map(open).transpose()?.map(Arc::new),
            lower: Some((LowerNode::ROOT, Vec::new())),
        })
    }

    /// The directory at the end of `way`, for paths that end in `..` or are the root.
    fn directory(&self, way: &[Step]) -> (Vec<u8>, Found) {
        let names: Vec<_> = way.iter().skip(1).map(|step| &step.name[..]).collect();
        let path = names.join(&b'/');
        let lower = way.last().and_then(|step| step.lower.clone());
        let in_store = way.last().is_some_and(|step| step.upper.is_some());
        let origin = match (lower, in_store) {
            (Some((_, lower)), true) => Origin::Merged {
                path: lower,
                store: self.stored(&path),
            },
            (Some((_, lower)), false) => Origin::Lower { path: lower },
            (None, _) => Origin::Own {
                store: self.stored(&path),
            },
        };
        let found = Found {
            kind: Some(FileKind::Directory),
            ..Found::nothing(origin)
        };
        (path, found)
    }

    fn stored(&self, path: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let tree = self.store.unwrap_or(Path::new("")).join("tree");
        tree.join(std::ffi::OsStr::from_bytes(path))
    }

    /// What `name`, whose path is `here`, is in `directory`.
    fn find(&self, directory: &Step, here: &[u8], name: EntryName<'_>) -> FsResult<Found> {
        if let Some(upper) = &directory.upper {
            match names::look_up(upper.as_fd(), name)? {
                UpperName::Object(object) => {
                    return self.in_store(directory, name, object, self.stored(here));
                }
                UpperName::Whiteout => {
                    let path = directory.lower.as_ref();
                    let path =
                        path.map_or_else(Vec::new, |(_, path)| joined(path, name.as_bytes()));
                    return Ok(Found::nothing(Origin::Removed { path }));
                }
                UpperName::Absent | UpperName::Remains => {}
            }
        }
        let Some((parent, above)) = &directory.lower else {
            return Ok(Found::nothing(Origin::Absent));
        };
        let path = joined(above, name.as_bytes());
        // Whether it is there or not: where a file system is left out, its files are elsewhere.
        if let Some(reason) = self.hidden.name_hidden(*parent, name.as_bytes()) {
            let reason = reason.to_owned();
            return Ok(Found::nothing(Origin::Hidden { path, reason }));
        }
        let Some((node, attr)) = self.lower.lookup(*parent, name)? else {
            return Ok(Found::nothing(Origin::Absent));
        };
        if attr.nlink > 1
            && attr.kind != FileKind::Directory
            && let Some((object, store)) = self.linked(Ino(node.0))?
        {
            return self.copied(&object, Some(path), store);
        }
        let target = match attr.kind {
            FileKind::Symlink => Some(self.lower.read_link(node)?),
            _ => None,
        };
        Ok(Found {
            kind: Some(attr.kind),
            target,
            lower: (attr.kind == FileKind::Directory).then(|| (node, path.clone())),
            ..Found::nothing(Origin::Lower { path })
        })
    }

    fn in_store(
        &self,
        directory: &Step,
        name: EntryName<'_>,
        object: UpperObject,
        store: PathBuf,
    ) -> FsResult<Found> {
        let record = *object.record();
        let redirect = object.redirect()?;
        // What the lower has there, if nothing hides it.
        let below = match (&redirect, &directory.lower) {
            (Some(path), _) => lower_at(self.lower, path)?.map(|found| (found, path.clone())),
            (None, Some((parent, above)))
                if self.hidden.name_hidden(*parent, name.as_bytes()).is_none() =>
            {
                let found = self.lower.lookup(*parent, name)?;
                found.map(|found| (found, joined(above, name.as_bytes())))
            }
            _ => None,
        };
        if record.kind != FileKind::Directory {
            let same = below.filter(|((node, _), _)| node.0 == record.ino.0);
            return self.copied(&object, same.map(|(_, path)| path), store);
        }
        let shown =
            below.filter(|((_, attr), _)| attr.kind == FileKind::Directory && !record.opaque);
        let lower = shown.map(|((node, _), path)| (node, path));
        let origin = match &lower {
            Some((_, path)) => Origin::Merged {
                path: path.clone(),
                store,
            },
            None => Origin::Own { store },
        };
        Ok(Found {
            kind: Some(FileKind::Directory),
            target: None,
            origin,
            upper: Some(object.into_fd()),
            lower,
        })
    }

    /// A file of the store, which was the lower's if its number says so.
    fn copied(
        &self,
        object: &UpperObject,
        path: Option<Vec<u8>>,
        store: PathBuf,
    ) -> FsResult<Found> {
        let record = object.record();
        let origin = if record.ino.0 < self.lower.first_free() {
            Origin::Copied {
                path,
                store,
                partial: record.partial,
            }
        } else {
            Origin::Own { store }
        };
        let target = match record.kind {
            FileKind::Symlink => Some(symlink::read(object)?),
            _ => None,
        };
        Ok(Found {
            kind: Some(record.kind),
            target,
            ..Found::nothing(origin)
        })
    }

    /// The inode of the store that stands for all names of one of the lower.
    fn linked(&self, ino: Ino) -> FsResult<Option<(UpperObject, PathBuf)>> {
        let Some(store) = self.store else {
            return Ok(None);
        };
        let links = openat(CWD, store.join("links"), DIRECTORY, Mode::empty())?;
        let name = number_name(ino);
        Ok(
            match names::look_up(links.as_fd(), EntryName::new(name.as_bytes())?)? {
                UpperName::Object(object) => Some((object, store.join("links").join(name))),
                _ => None,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::filter::HiddenLower;
    use crate::lower::memory::MemoryLower;
    use crate::overlay::{Overlay, RenameMode};
    use crate::spec::{HiddenExtent, HiddenName};
    use crate::upper::UpperStore;

    fn lower() -> Arc<dyn LowerLayer> {
        let tree = MemoryLower::builder()
            .file("usr/bin/tool", "tool")
            .file("usr/bin/other", "other")
            .symlink("bin", "/usr/bin")
            .symlink("usr/bin/alias", "tool")
            .symlink("loop", "loop")
            .file("etc/changed", "old")
            .file("etc/removed", "old")
            .file("etc/linked", "old")
            .hard_link("etc/linked", "etc/other-name")
            .file("boot/kernel", "")
            .file("dev/sda", "")
            .file("moved/in", "");
        Arc::new(tree.build().unwrap())
    }

    fn rules() -> Vec<HiddenName> {
        let rule = |path: &str, extent, reason: &str| HiddenName {
            path: path.to_owned(),
            extent,
            reason: reason.to_owned(),
        };
        vec![
            rule("boot/kernel", HiddenExtent::Name, "what boots"),
            rule("dev", HiddenExtent::Contents, "devices"),
        ]
    }

    fn ino(core: &Overlay, path: &str) -> Option<Ino> {
        let mut at = Ino::ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let name = EntryName::new(part.as_bytes()).unwrap();
            at = core.lookup(at, name).unwrap()?.hand_over().0;
        }
        Some(at)
    }

    #[test]
    fn every_name_is_told_where_it_comes_from() {
        let store = TempDir::new().unwrap();
        let store = store.path().join("store");
        let raw = lower();
        let seen: Arc<dyn LowerLayer> =
            Arc::new(HiddenLower::new(Arc::clone(&raw), &rules()).unwrap());
        let root = crate::source::root_of(&*seen).unwrap();
        let upper = UpperStore::open(&store, &root, seen.first_free()).unwrap();
        let core = Overlay::new(seen, Some(upper));
        let name = |text: &'static str| EntryName::new(text.as_bytes()).unwrap();
        let etc = ino(&core, "etc").unwrap();
        core.write_path(b"etc/changed", b"new", 0o644).unwrap();
        core.write_path(b"etc/linked", b"new", 0o644).unwrap();
        core.write_path(b"etc/own", b"own", 0o644).unwrap();
        core.write_path(b"boot/kernel", b"own", 0o644).unwrap();
        core.unlink(etc, name("removed")).unwrap();
        core.rename(
            (Ino::ROOT, name("moved")),
            (etc, name("here")),
            RenameMode::Replace,
        )
        .unwrap();

        let hidden = HiddenNames::new(&rules(), &*raw).unwrap();
        let layers = Layers {
            lower: &*raw,
            hidden: &hidden,
            store: Some(&store),
        };
        let lower = |path: &str| Origin::Lower { path: path.into() };
        let copied = |path: Option<&str>, at: &str| Origin::Copied {
            path: path.map(Into::into),
            store: store.join(at),
            partial: false,
        };
        let link = format!("links/{}", ino(&core, "etc/linked").unwrap().0);
        for (path, real, origin) in [
            ("/bin/tool", "usr/bin/tool", lower("usr/bin/tool")),
            ("/bin", "bin", lower("bin")),
            ("usr/bin/alias", "usr/bin/alias", lower("usr/bin/alias")),
            (
                "/bin/../bin/./other",
                "usr/bin/other",
                lower("usr/bin/other"),
            ),
            ("usr", "usr", lower("usr")),
            (
                "etc/changed",
                "etc/changed",
                copied(Some("etc/changed"), "tree/etc/changed"),
            ),
            (
                "etc/other-name",
                "etc/other-name",
                copied(Some("etc/other-name"), &link),
            ),
            (
                "etc",
                "etc",
                Origin::Merged {
                    path: "etc".into(),
                    store: store.join("tree/etc"),
                },
            ),
            (
                "etc/own",
                "etc/own",
                Origin::Own {
                    store: store.join("tree/etc/own"),
                },
            ),
            (
                "etc/removed",
                "etc/removed",
                Origin::Removed {
                    path: "etc/removed".into(),
                },
            ),
            (
                "boot/kernel",
                "boot/kernel",
                Origin::Own {
                    store: store.join("tree/boot/kernel"),
                },
            ),
            (
                "dev/sda",
                "dev/sda",
                Origin::Hidden {
                    path: "dev/sda".into(),
                    reason: "devices".to_owned(),
                },
            ),
            (
                "dev/not/there",
                "dev/not",
                Origin::Hidden {
                    path: "dev/not".into(),
                    reason: "devices".to_owned(),
                },
            ),
            ("etc/here/in", "etc/here/in", lower("moved/in")),
            (
                "moved",
                "moved",
                Origin::Removed {
                    path: "moved".into(),
                },
            ),
            ("nothing", "nothing", Origin::Absent),
            ("usr/bin/tool/in", "usr/bin/tool", Origin::Absent),
            ("nothing/in", "nothing", Origin::Absent),
        ] {
            let traced = trace(&layers, path.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&traced.path), real, "{path}");
            assert_eq!(traced.origin, origin, "{path}");
            // The merged tree itself says the same of what is there.
            let found = ino(&core, real).is_some();
            assert_eq!(traced.kind.is_some(), found && traced.complete, "{path}");
        }
        let root = trace(&layers, b"/").unwrap();
        assert!(root.path.is_empty() && matches!(root.origin, Origin::Merged { .. }));
        assert_eq!(trace(&layers, b"loop/x"), Err(FsError::Layer(Errno::LOOP)));
        let alias = trace(&layers, b"usr/bin/alias").unwrap();
        assert_eq!(alias.target.as_deref(), Some(&b"tool"[..]));
    }

    #[test]
    fn without_a_store_there_is_the_lower_alone() {
        let raw = lower();
        let hidden = HiddenNames::new(&rules(), &*raw).unwrap();
        let layers = Layers {
            lower: &*raw,
            hidden: &hidden,
            store: None,
        };
        for (path, kind) in [
            ("etc/removed", Some(FileKind::Regular)),
            ("/", Some(FileKind::Directory)),
            ("boot/kernel", None),
        ] {
            assert_eq!(trace(&layers, path.as_bytes()).unwrap().kind, kind);
        }
    }
}
