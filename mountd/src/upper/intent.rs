//! What a rename is about to do, told to whoever opens the store after a crash in its middle.
//!
//! A rename that leaves a whiteout behind, or that puts something else than a plain file aside,
//! is two calls of the host. Before the first one the symbolic link `work/intent` is made, after
//! the last one it is removed. Its target is
//!
//! `rename//NUMBER//FROM//TO//whiteout`, `rename//NUMBER//FROM//TO//device DEVICE` or
//! `rename//NUMBER//FROM//TO//nothing`
//!
//! NUMBER is the moved inode, FROM and TO are paths below `tree` (which cannot contain `//`), the
//! last word is what must be left at FROM: a whiteout, the inode DEVICE (which is at `work/cDEVICE`
//! until it is in its place), or nothing. If TO already is that inode, the first call was made:
//! FROM is put right. Otherwise nothing had happened. Renames do not overlap (the core has one
//! lock for all names), so one intent is enough.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Mode};
use rustix::io::Errno;

use super::UpperStore;
use super::names::{self, DIRECTORY, UpperName};
use super::remainder::{self, Kind};
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, Ino};

const LINK: &str = "intent";
const SEPARATOR: &str = "//";
const DEVICE: &str = "device ";

/// The longest target that a symbolic link can have.
const TARGET_MAX: usize = 4095;

/// A rename in its middle; see the module.
#[derive(Debug, PartialEq, Eq)]
pub struct RenameIntent<'a> {
    /// The inode that moves.
    pub ino: Ino,
    /// Path below `tree` that it leaves.
    pub from: &'a [u8],
    /// Path below `tree` that it gets.
    pub to: &'a [u8],
    /// What must be left, if anything.
    pub remains: Option<Kind>,
}

/// An intent that stands until it is dropped.
#[derive(Debug)]
pub struct Standing<'a> {
    work: Option<BorrowedFd<'a>>,
}

impl RenameIntent<'_> {
    /// Declares the intent.
    ///
    /// Paths over 4 KiB cannot be told; such a rename goes without, and a crash in its middle may
    /// leave the old name visible beside the new one.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn declare<'a>(&self, store: &'a UpperStore) -> FsResult<Standing<'a>> {
        let remains = match self.remains {
            None => "nothing".to_owned(),
            Some(Kind::Whiteout) => "whiteout".to_owned(),
            Some(Kind::Device(ino)) => format!("{DEVICE}{}", ino.0),
        };
        let number = self.ino.0.to_string();
        let target = [
            &b"rename"[..],
            number.as_bytes(),
            self.from,
            self.to,
            remains.as_bytes(),
        ]
        .join(SEPARATOR.as_bytes());
        if target.len() > TARGET_MAX {
            return Ok(Standing { work: None });
        }
        fs::symlinkat(&target[..], store.work(), LINK)?;
        Ok(Standing {
            work: Some(store.work()),
        })
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        if let Some(work) = self.work {
            names::remove_quietly(work, LINK);
        }
    }
}

/// Completes the rename that a crash interrupted, if there was one.
pub(super) fn complete(store: &UpperStore) -> FsResult<()> {
    let target = match fs::readlinkat(store.work(), LINK, Vec::new()) {
        Ok(target) => target.into_bytes(),
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let intent = parse(&target).ok_or(FsError::Damaged)?;
    let (Some((from_dir, from_name)), Some((to_dir, to_name))) = (
        open_parent(store, intent.from)?,
        open_parent(store, intent.to)?,
    ) else {
        return Ok(());
    };
    let moved = match names::look_up(to_dir.as_fd(), to_name)? {
        UpperName::Object(object) => object.record().ino == intent.ino,
        UpperName::Absent | UpperName::Whiteout => false,
    };
    if !moved {
        return Ok(());
    }
    log::info!(
        "completing a rename that a crash interrupted: {}",
        intent.from.escape_ascii()
    );
    match intent.remains {
        Some(Kind::Device(ino)) => put_device(store, ino, from_dir.as_fd(), from_name),
        Some(Kind::Whiteout) => {
            names::remove_tree(from_dir.as_fd(), from_name.as_bytes())?;
            names::put_whiteout(store.work(), from_dir.as_fd(), from_name)
        }
        None => names::remove_tree(from_dir.as_fd(), from_name.as_bytes()),
    }
}

/// Puts a device in its place, unless that is where it is.
fn put_device(
    store: &UpperStore,
    ino: Ino,
    directory: BorrowedFd<'_>,
    name: EntryName<'_>,
) -> FsResult<()> {
    let is_device =
        |found| matches!(found, UpperName::Object(object) if object.record().ino == ino);
    if is_device(names::look_up(directory, name)?) {
        return Ok(());
    }
    let draft = remainder::device_name(ino);
    let draft = EntryName::new(draft.as_bytes())?;
    names::remove_tree(directory, name.as_bytes())?;
    if !is_device(names::look_up(store.work(), draft)?) {
        // It was there before the intent; a whiteout at least lets no old name show.
        log::error!("the device {ino} that a rename was to leave is gone; leaving nothing");
        return names::put_whiteout(store.work(), directory, name);
    }
    let (from, to) = (draft.as_bytes(), name.as_bytes());
    Ok(fs::renameat(store.work(), from, directory, to)?)
}

fn parse(target: &[u8]) -> Option<RenameIntent<'_>> {
    let mut fields = Vec::new();
    let mut rest = target;
    while let Some(at) = rest
        .windows(SEPARATOR.len())
        .position(|two| two == SEPARATOR.as_bytes())
    {
        fields.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    fields.push(rest);
    let &[b"rename", number, from, to, remains] = &fields[..] else {
        return None;
    };
    let remains = match remains {
        b"nothing" => None,
        b"whiteout" => Some(Kind::Whiteout),
        other => Some(Kind::Device(ino(other.strip_prefix(DEVICE.as_bytes())?)?)),
    };
    Some(RenameIntent {
        ino: ino(number)?,
        from,
        to,
        remains,
    })
}

fn ino(number: &[u8]) -> Option<Ino> {
    std::str::from_utf8(number).ok()?.parse().ok().map(Ino)
}

fn open_parent<'a>(
    store: &UpperStore,
    path: &'a [u8],
) -> FsResult<Option<(OwnedFd, EntryName<'a>)>> {
    let mut components = path.split(|&byte| byte == b'/');
    let name = EntryName::new(components.next_back().unwrap_or(&[]))?;
    let mut dir = fs::openat(store.tree(), ".", DIRECTORY, Mode::empty())?;
    for component in components {
        let component = EntryName::new(component)?;
        match fs::openat(&dir, component.as_bytes(), DIRECTORY, Mode::empty()) {
            Ok(next) => dir = next,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Some((dir, name)))
}

/// Whether an intent stands, for tests of what a crash leaves.
///
/// # Errors
/// Those of the host's file system.
pub fn stands(store: &UpperStore) -> FsResult<bool> {
    match fs::statat(store.work(), LINK, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_read_as_it_was_written() {
        for (words, remains) in [
            ("nothing", None),
            ("whiteout", Some(Kind::Whiteout)),
            ("device 12", Some(Kind::Device(Ino(12)))),
        ] {
            let target = format!("rename//7//a/b//c//{words}");
            let expected = RenameIntent {
                ino: Ino(7),
                from: b"a/b",
                to: b"c",
                remains,
            };
            assert_eq!(parse(target.as_bytes()), Some(expected));
        }
        for bad in [
            &b"rename//x//a//b//nothing"[..],
            b"",
            b"rename//7//a//b",
            b"rename//7//a//b//device",
            b"rename//7//a//b//device x",
            b"move//7//a//b//nothing",
        ] {
            assert_eq!(parse(bad), None, "{}", bad.escape_ascii());
        }
    }
}
