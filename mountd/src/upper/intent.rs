//! What is about to be done in several calls of the host, told to whoever opens the store after a
//! crash in their middle.
//!
//! Before the first call a symbolic link is made in `work`, after the last one it is removed. A
//! rename that leaves a whiteout behind, or puts something aside, has `work/intent`:
//!
//! `PIECES//rename//NUMBER//FROM//TO//LEFT//REPLACED`
//!
//! NUMBER is the moved inode, FROM and TO are paths below `tree` (which cannot contain `//`), LEFT
//! is what must be left at FROM: `whiteout`, `nothing`, or the number of an inode that was made for
//! that (see [`super::remainder`]). If TO already is the inode NUMBER, the first call was made:
//! FROM is put right, where the inode REPLACED (0 for none) may be and be removed. Otherwise
//! nothing had happened.
//!
//! A name that comes or goes of an inode with several has `work/count`:
//!
//! `PIECES//count//NUMBER//HOME//BEFORE//AFTER//PATH//BECOMES`
//!
//! HOME says who has the inode: the `store`, in `links`, or still the `lower`. If PATH already is
//! what it BECOMES (`whiteout`, `nothing`, or the number of an inode), the inode has AFTER names
//! left, otherwise BEFORE; that is written once more. For an inode of the lower, 0 says that
//! nothing is to be recorded.
//!
//! A target that is too long for a symbolic link is cut in pieces, as many as it says; the further
//! ones are made first and are called `intent1`, `intent2` ... Renames do not overlap (the core
//! has one lock for all names), so one of each kind is enough.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::calls::{self as fs, Mode};
use super::names::{self, DIRECTORY, UpperName};
use super::object::UpperObject;
use super::record::Record;
use super::{DISCARDED, UpperStore, number_name, remainder};
use crate::error::{FsError, FsResult};
use crate::types::{EntryName, Ino};

const RENAME: &str = "intent";
const COUNT: &str = "count";
const SEPARATOR: &str = "//";

/// What of a target is put into one symbolic link.
const PIECE: usize = 4000;
/// More pieces than any path can need that the host has accepted.
const PIECES_MAX: usize = 4096;

/// A rename in its middle; see the module.
#[derive(Debug)]
pub struct RenameIntent<'a> {
    /// The inode that moves.
    pub ino: Ino,
    /// Path below `tree` that it leaves.
    pub from: &'a [u8],
    /// Path below `tree` that it gets.
    pub to: &'a [u8],
    /// What must be left.
    pub leaves: Becomes,
    /// The inode that had the new name in the store.
    pub replaced: Option<Ino>,
}

/// Who has an inode of which names are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The store.
    Store,
    /// Only the lower.
    Lower,
}

/// What becomes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// The store has nothing of that name.
    Nothing,
    /// It is a whiteout.
    Whiteout,
    /// It is this inode.
    Inode(Ino),
}

/// The names of an inode are about to become more, or fewer; see the module.
#[derive(Clone, Copy, Debug)]
pub struct CountIntent<'a> {
    /// The inode.
    pub ino: Ino,
    /// Who has it.
    pub home: Home,
    /// How many names are recorded.
    pub before: u32,
    /// How many will be.
    pub after: u32,
    /// Path below `tree` of the name.
    pub path: &'a [u8],
    /// What becomes of it.
    pub becomes: Becomes,
}

/// An intent that stands until it is dropped.
#[derive(Debug)]
pub struct Standing<'a> {
    work: BorrowedFd<'a>,
    link: &'static str,
    pieces: usize,
}

impl RenameIntent<'_> {
    /// Declares the intent.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn declare<'a>(&self, store: &'a UpperStore) -> FsResult<Standing<'a>> {
        let number = number_name(self.ino);
        let replaced = number_name(self.replaced.unwrap_or(Ino(0)));
        let fields = [
            b"rename",
            number.as_bytes(),
            self.from,
            self.to,
            &self.leaves.encode(),
            replaced.as_bytes(),
        ];
        declare(store, RENAME, &fields)
    }
}

impl CountIntent<'_> {
    /// Declares the intent.
    ///
    /// # Errors
    /// Those of the host's file system.
    pub fn declare<'a>(&self, store: &'a UpperStore) -> FsResult<Standing<'a>> {
        let home: &[u8] = match self.home {
            Home::Store => b"store",
            Home::Lower => b"lower",
        };
        let number = number_name(self.ino);
        let [before, after] = [self.before, self.after].map(|count| count.to_string());
        let fields = [
            b"count",
            number.as_bytes(),
            home,
            before.as_bytes(),
            after.as_bytes(),
            self.path,
            &self.becomes.encode(),
        ];
        declare(store, COUNT, &fields)
    }
}

impl Becomes {
    fn encode(self) -> Vec<u8> {
        match self {
            Self::Nothing => b"nothing".to_vec(),
            Self::Whiteout => b"whiteout".to_vec(),
            Self::Inode(ino) => number_name(ino).into_bytes(),
        }
    }

    fn decode(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"nothing" => Self::Nothing,
            b"whiteout" => Self::Whiteout,
            number => Self::Inode(Ino(decimal(number)?)),
        })
    }
}

impl Standing<'_> {
    /// Leaves the intent to the next opening of the store.
    pub fn abandon(self) {
        std::mem::forget(self);
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        // It must not be found after something else was done with these names.
        let removed = names::remove_tree(self.work, self.link)
            .or_else(|_| names::remove_tree(self.work, self.link));
        if let Err(error) = removed {
            log::error!(
                "cannot remove {} from the work directory: {error}",
                self.link
            );
        }
        for number in 1..self.pieces {
            names::remove_quietly(self.work, &piece_name(self.link, number));
        }
    }
}

fn piece_name(link: &str, number: usize) -> String {
    match number {
        0 => link.to_owned(),
        number => format!("{link}{number}"),
    }
}

fn declare<'a>(
    store: &'a UpperStore,
    link: &'static str,
    fields: &[&[u8]],
) -> FsResult<Standing<'a>> {
    let target = fields.join(SEPARATOR.as_bytes());
    let pieces = target.len().div_ceil(PIECE);
    let standing = Standing {
        work: store.work(),
        link,
        pieces,
    };
    for (number, piece) in target.chunks(PIECE).enumerate().skip(1) {
        make_link(store.work(), &piece_name(link, number), piece)?;
    }
    let mut first = format!("{pieces}{SEPARATOR}").into_bytes();
    first.extend_from_slice(target.get(..PIECE).unwrap_or(&target));
    make_link(store.work(), link, &first)?;
    Ok(standing)
}

fn make_link(work: BorrowedFd<'_>, name: &str, target: &[u8]) -> FsResult<()> {
    match fs::symlinkat(target, work, name) {
        // One that could not be removed.
        Err(Errno::EXIST) => {
            names::remove_tree(work, name)?;
            Ok(fs::symlinkat(target, work, name)?)
        }
        other => Ok(other?),
    }
}

/// The fields of an intent that stands.
fn read(work: BorrowedFd<'_>, link: &str) -> FsResult<Option<Vec<u8>>> {
    let first = match fs::readlinkat(work, link, Vec::new()) {
        Ok(first) => first.into_bytes(),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let (pieces, first) = split(&first).ok_or(FsError::Damaged)?;
    let pieces = decimal::<usize>(pieces).filter(|&pieces| pieces <= PIECES_MAX);
    let mut target = first.to_vec();
    for number in 1..pieces.ok_or(FsError::Damaged)? {
        let piece = fs::readlinkat(work, piece_name(link, number), Vec::new())?;
        target.extend_from_slice(piece.to_bytes());
    }
    Ok(Some(target))
}

/// Completes what a crash interrupted, if anything.
pub(super) fn complete(store: &UpperStore) -> FsResult<()> {
    if let Some(target) = read(store.work(), RENAME)? {
        complete_rename(store, &parse_rename(&target).ok_or(FsError::Damaged)?)?;
    }
    if let Some(target) = read(store.work(), COUNT)? {
        complete_count(store, &parse_count(&target).ok_or(FsError::Damaged)?)?;
    }
    Ok(())
}

fn complete_rename(store: &UpperStore, intent: &RenameIntent<'_>) -> FsResult<()> {
    if !is(store, intent.to, Becomes::Inode(intent.ino))? {
        return Ok(());
    }
    let Some((dir, name)) = open_parent(store, intent.from)? else {
        return Ok(());
    };
    log::info!(
        "completing a rename that a crash interrupted: {}",
        intent.from.escape_ascii()
    );
    if let Becomes::Inode(device) = intent.leaves {
        bring_device_back(store, device, intent.replaced)?;
    }
    match names::look_up(dir.as_fd(), name)? {
        UpperName::Object(object) => {
            let record = object.record();
            if intent.replaced != Some(record.ino) {
                // All was done, and this is what was to be left, or came later.
                return Ok(());
            }
            if record.linked {
                names::remove_tree(dir.as_fd(), name.as_bytes())?;
            } else {
                // If it is only the daemon that died, it may still be open.
                bury(store, dir.as_fd(), name, record.ino)?;
            }
        }
        UpperName::Whiteout if intent.leaves == Becomes::Whiteout => return Ok(()),
        UpperName::Whiteout | UpperName::Remains => {
            names::remove_tree(dir.as_fd(), name.as_bytes())?;
        }
        UpperName::Absent => {}
    }
    match intent.leaves {
        Becomes::Nothing => Ok(()),
        Becomes::Whiteout => names::put_whiteout(store.work(), dir.as_fd(), name),
        Becomes::Inode(device) => {
            let draft = remainder::device_name(device);
            match fs::renameat(store.work(), draft, &dir, name.as_bytes()) {
                Err(Errno::NOENT) => {
                    // It was there before the intent. A whiteout at least lets no old name show.
                    log::error!("inode {device}, which a rename was to leave, is gone");
                    names::put_whiteout(store.work(), dir.as_fd(), name)
                }
                other => Ok(other?),
            }
        }
    }
}

/// Takes an inode from its name into `orphans`. What may lie there already is the whiteout that was to
/// change places with it; a directory cannot be renamed over that.
fn bury(store: &UpperStore, dir: BorrowedFd<'_>, name: EntryName<'_>, ino: Ino) -> FsResult<()> {
    let number = number_name(ino);
    match fs::renameat(dir, name.as_bytes(), store.orphans(), &*number) {
        Err(Errno::NOTDIR) => {
            names::remove_tree(store.orphans(), &*number)?;
            Ok(fs::renameat(
                dir,
                name.as_bytes(),
                store.orphans(),
                &*number,
            )?)
        }
        other => Ok(other?),
    }
}

/// Takes an inode that is to be left back to where it was made, if it was on its way to where
/// `replaced` goes.
fn bring_device_back(store: &UpperStore, device: Ino, replaced: Option<Ino>) -> FsResult<()> {
    let Some(replaced) = replaced else {
        return Ok(());
    };
    for in_use in [true, false] {
        let (dir, name) = grave(store, replaced, in_use);
        let entry = EntryName::new(name.as_bytes())?;
        if let UpperName::Object(object) = names::look_up(dir, entry)?
            && object.record().ino == device
        {
            let draft = remainder::device_name(device);
            fs::renameat(dir, name.as_str(), store.work(), draft)?;
        }
    }
    Ok(())
}

fn complete_count(store: &UpperStore, intent: &CountIntent<'_>) -> FsResult<()> {
    let done = is(store, intent.path, intent.becomes)?;
    let count = if done { intent.after } else { intent.before };
    log::info!("inode {} has {count} names after a crash", intent.ino);
    if intent.home == Home::Lower {
        return store.set_link_count(intent.ino, count);
    }
    if count == 0 {
        // As above: whoever may still have it open decides what becomes of it.
        let number = number_name(intent.ino);
        return match fs::renameat(store.links(), &*number, store.orphans(), &*number) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        };
    }
    bring_back(store, intent.ino)?;
    let number = number_name(intent.ino);
    let name = EntryName::new(number.as_bytes())?;
    if let UpperName::Object(object) = names::look_up(store.links(), name)? {
        record_count(object, count)?;
    }
    Ok(())
}

/// Records how many names an inode in `links` has.
///
/// # Errors
/// Those of the host's file system.
pub fn record_count(mut object: UpperObject, count: u32) -> FsResult<()> {
    let record = Record {
        linked: true,
        nlink: count,
        ..*object.record()
    };
    object.set_record(record)
}

/// Where the home of an inode goes with its last name: into `orphans` if it is in use.
pub fn grave(store: &UpperStore, ino: Ino, in_use: bool) -> (BorrowedFd<'_>, String) {
    if in_use {
        (store.orphans(), number_name(ino))
    } else {
        (store.work(), format!("{DISCARDED}{}", ino.0))
    }
}

/// Gives an inode, the last name of which did not go after all, its home in `links` back.
///
/// # Errors
/// Those of the host's file system.
pub fn bring_back(store: &UpperStore, ino: Ino) -> FsResult<()> {
    for in_use in [true, false] {
        let (dir, name) = grave(store, ino, in_use);
        match fs::renameat(dir, name, store.links(), number_name(ino)) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Whether the store has this under a path.
fn is(store: &UpperStore, path: &[u8], expected: Becomes) -> FsResult<bool> {
    let Some((dir, name)) = open_parent(store, path)? else {
        return Ok(expected == Becomes::Nothing);
    };
    Ok(match names::look_up(dir.as_fd(), name)? {
        UpperName::Object(object) => expected == Becomes::Inode(object.record().ino),
        UpperName::Whiteout => expected == Becomes::Whiteout,
        UpperName::Absent | UpperName::Remains => expected == Becomes::Nothing,
    })
}

fn split(fields: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut windows = fields.windows(SEPARATOR.len());
    let at = windows.position(|two| two == SEPARATOR.as_bytes())?;
    Some((&fields[..at], &fields[at + SEPARATOR.len()..]))
}

fn fields_of(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    while let Some((field, behind)) = split(rest) {
        fields.push(field);
        rest = behind;
    }
    fields.push(rest);
    fields
}

fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn parse_rename(target: &[u8]) -> Option<RenameIntent<'_>> {
    let &[b"rename", number, from, to, left, replaced] = &fields_of(target)[..] else {
        return None;
    };
    Some(RenameIntent {
        ino: Ino(decimal(number)?),
        from,
        to,
        leaves: Becomes::decode(left)?,
        replaced: Some(Ino(decimal(replaced)?)).filter(|ino| ino.0 != 0),
    })
}

fn parse_count(target: &[u8]) -> Option<CountIntent<'_>> {
    let &[b"count", number, home, before, after, path, becomes] = &fields_of(target)[..] else {
        return None;
    };
    let home = match home {
        b"store" => Home::Store,
        b"lower" => Home::Lower,
        _ => return None,
    };
    Some(CountIntent {
        ino: Ino(decimal(number)?),
        home,
        before: decimal(before)?,
        after: decimal(after)?,
        path,
        becomes: Becomes::decode(becomes)?,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_read_as_it_was_written() {
        let intent = parse_rename(b"rename//7//a/b//c//whiteout//0").unwrap();
        let paths = (intent.from, intent.to);
        assert_eq!((intent.ino, paths), (Ino(7), (&b"a/b"[..], &b"c"[..])));
        let rest = (intent.leaves, intent.replaced);
        assert_eq!(rest, (Becomes::Whiteout, None));
        let intent = parse_rename(b"rename//7//a//c//nothing//9").unwrap();
        let rest = (intent.leaves, intent.replaced);
        assert_eq!(rest, (Becomes::Nothing, Some(Ino(9))));
        let intent = parse_rename(b"rename//7//a//c//12//0").unwrap();
        assert_eq!(intent.leaves, Becomes::Inode(Ino(12)));
        let intent = parse_count(b"count//7//lower//3//2//a/b//whiteout").unwrap();
        assert_eq!((intent.ino, intent.home), (Ino(7), Home::Lower));
        assert_eq!((intent.before, intent.after), (3, 2));
        assert_eq!(
            (intent.path, intent.becomes),
            (&b"a/b"[..], Becomes::Whiteout)
        );
        let intent = parse_count(b"count//7//store//1//2//a//7").unwrap();
        assert_eq!(intent.becomes, Becomes::Inode(Ino(7)));
        for bad in [
            &b"rename//x//a//b//nothing//0"[..],
            b"",
            b"rename//7//a//b//nothing",
            b"rename//7//a//b//device//0",
            b"move//7//a//b//nothing//0",
            b"count//7//store//1//2//a//b//c",
            b"count//7//nobody//1//2//a//7",
        ] {
            assert!(parse_rename(bad).is_none(), "{}", bad.escape_ascii());
            assert!(parse_count(bad).is_none(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_path_of_any_length_can_be_told() {
        let place = tempfile::TempDir::new().unwrap();
        let lower = crate::lower::memory::MemoryLower::builder()
            .build()
            .unwrap();
        let root = crate::source::root_of(&lower).unwrap();
        let store = UpperStore::open(&place.path().join("store"), &root, 10).unwrap();
        let long = [&b"a/".repeat(9000)[..], b"b"].concat();
        let intent = RenameIntent {
            ino: Ino(7),
            from: &long,
            to: b"c",
            leaves: Becomes::Whiteout,
            replaced: None,
        };
        let standing = intent.declare(&store).unwrap();
        let told = read(store.work(), RENAME).unwrap().unwrap();
        assert_eq!(parse_rename(&told).unwrap().from, long);
        drop(standing);
        let work = place.path().join("store/work");
        assert_eq!(std::fs::read_dir(work).unwrap().count(), 0);
    }
}
