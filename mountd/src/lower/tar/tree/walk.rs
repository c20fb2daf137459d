//! Ways through the tree, symbolic links included.
//!
//! A link leads where it would lead if the image were the root of a running system: an absolute
//! target begins at the image's root, and `..` does not go above that. So no way leads out, and it
//! ends: after 40 links (the kernel's limit) or 4096 steps.

use super::{ROOT, Remark, Tree};
use crate::lower::tar::error::{ScanError, quoted};
use crate::lower::tar::path;
use crate::types::FileKind;

/// Most links on one way.
const LINK_LIMIT: u32 = 40;
/// Most names on one way.
const STEP_LIMIT: u32 = 4096;
/// Longest target of a link that the kernel would follow.
const TARGET_LIMIT: u64 = 4095;

/// How a regular file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lower::tar) enum StoredFile {
    /// From an offset of the stream on.
    Whole { offset: u64, bytes: u64 },
    /// With holes, or packed.
    InPieces,
}

/// Where a walk has got to: the directories from the root down.
struct Walk {
    directories: Vec<u32>,
    links: u32,
    steps: u32,
}

/// Why a walk cannot go on.
enum Stop {
    /// There is no such name.
    Missing,
    /// It is a link, and where it leads there is nothing, or no directory, or too many links.
    Astray,
    /// It is neither a directory nor a link.
    NotDirectory,
}

impl Walk {
    fn new() -> Self {
        Self {
            directories: vec![ROOT],
            links: 0,
            steps: 0,
        }
    }

    fn at(&self) -> u32 {
        self.directories.last().copied().unwrap_or(ROOT)
    }
}

impl Tree {
    /// The directory at a checked path, made with its parents where it does not exist.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<Result<u32, Remark>, ScanError> {
        if let Some((known, number)) = &self.recent
            && known == path
        {
            return Ok(Ok(*number));
        }
        let mut walk = Walk::new();
        for name in path::components(path) {
            match self.step(&mut walk, name) {
                Ok(()) => {}
                Err(Stop::Missing) => {
                    let made = self.add_inode(&self.generated_directory())?;
                    self.add_name(walk.at(), name, made)?;
                    walk.directories.push(made);
                }
                Err(Stop::Astray) => {
                    return Ok(Err(format!(
                        "lies below {}, a symbolic link that leads to no directory; left out",
                        quoted(name)
                    )));
                }
                Err(Stop::NotDirectory) => {
                    return Ok(Err(format!(
                        "lies below {}, which is no directory; left out",
                        quoted(name)
                    )));
                }
            }
        }
        self.recent = Some((path.to_vec(), walk.at()));
        Ok(Ok(walk.at()))
    }

    /// The inode at a checked path; `None` if it is not there. Links on the way are followed, one
    /// that is named itself is not.
    pub(in crate::lower::tar) fn resolve(&self, path: &[u8]) -> Option<u32> {
        let Some((directory, name)) = path::split(path) else {
            return Some(ROOT);
        };
        self.child(self.find_directory(directory)?, name)
    }

    /// The directory at a checked path, if it is there.
    pub(super) fn find_directory(&self, path: &[u8]) -> Option<u32> {
        let mut walk = Walk::new();
        for name in path::components(path) {
            self.step(&mut walk, name).ok()?;
        }
        Some(walk.at())
    }

    /// The regular file that a path leads to, whatever links there are on the way or at its end.
    pub(in crate::lower::tar) fn find_file(&self, path: &[u8]) -> Option<StoredFile> {
        path::check(path).ok()?;
        let mut walk = Walk::new();
        let mut rest = path.to_vec();
        loop {
            let mut names: Vec<_> = path::components(&rest).collect();
            let last = names.pop().filter(|last| *last != b"..")?;
            for name in names {
                self.step_or_up(&mut walk, name).ok()?;
            }
            let found = self.child(walk.at(), last)?;
            if self.kind(found)? != FileKind::Symlink {
                return self.stored_file(found);
            }
            walk.links += 1;
            if walk.links > LINK_LIMIT {
                return None;
            }
            rest = self.target(found)?.to_vec();
            if rest.starts_with(b"/") {
                walk.directories.truncate(1);
            }
        }
    }

    /// The directory at a path that links do not lead to.
    pub(in crate::lower::tar) fn directory_at(&self, path: &[u8]) -> Option<u32> {
        let found = self.resolve(path)?;
        self.is_directory(found).then_some(found)
    }

    /// Names in the root.
    pub(in crate::lower::tar) fn root_names(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter().map(|(_, name)| name);
        let names = names.filter(|name| name.parent == ROOT && name.inode != 0);
        names.map(|name| self.names.text(&name))
    }

    fn stored_file(&self, number: u32) -> Option<StoredFile> {
        let record = self.inodes.get(number)?;
        if self.kind(number)? != FileKind::Regular {
            return None;
        }
        Some(if record.flags == 0 {
            StoredFile::Whole {
                offset: record.data,
                bytes: record.size,
            }
        } else {
            StoredFile::InPieces
        })
    }

    /// Goes into `name`.
    fn step(&self, walk: &mut Walk, name: &[u8]) -> Result<(), Stop> {
        walk.steps += 1;
        if walk.steps > STEP_LIMIT {
            return Err(Stop::Astray);
        }
        let found = self.child(walk.at(), name).ok_or(Stop::Missing)?;
        match self.kind(found) {
            Some(FileKind::Directory) => {
                walk.directories.push(found);
                Ok(())
            }
            Some(FileKind::Symlink) => self.follow(walk, found),
            _ => Err(Stop::NotDirectory),
        }
    }

    fn step_or_up(&self, walk: &mut Walk, name: &[u8]) -> Result<(), Stop> {
        if name != b".." {
            return self.step(walk, name);
        }
        if walk.directories.len() > 1 {
            walk.directories.pop();
        }
        Ok(())
    }

    fn follow(&self, walk: &mut Walk, link: u32) -> Result<(), Stop> {
        walk.links += 1;
        let target = self.target(link).ok_or(Stop::Astray)?;
        if walk.links > LINK_LIMIT || target.is_empty() {
            return Err(Stop::Astray);
        }
        if target.starts_with(b"/") {
            walk.directories.truncate(1);
        }
        for name in path::components(target) {
            self.step_or_up(walk, name).map_err(|_| Stop::Astray)?;
        }
        Ok(())
    }

    /// Where a link leads; `None` if it is too long for the kernel.
    fn target(&self, link: u32) -> Option<&[u8]> {
        let record = self.inodes.get(link)?;
        if record.size > TARGET_LIMIT {
            return None;
        }
        self.targets.get(record.data as usize, record.size as usize)
    }
}
