//! The program that runs when the power fails, and what it knows of itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::XattrFlags;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::{AllocateMode, NewInode, Overlay, RenameMode, SetAttr};
use wpar_mountd::types::{Caller, EntryName, FileKind, Ino};

use crate::chance::Chance;
use crate::tree::{self, Tree};
use crate::{again, check, replay};

/// Number of operations.
const LENGTH: u64 = 250;

/// What a program made sure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    Nothing,
    /// The data of this file, and that it exists.
    File(Ino),
    /// The names in this directory.
    Directory(Ino),
    All,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) words: String,
    /// Length of the disk's log when it began, and when it was answered.
    pub(crate) begun: u64,
    pub(crate) answered: u64,
    pub(crate) synced: Synced,
    /// What there was afterwards.
    pub(crate) tree: Tree,
}

/// Everything: the program, and then the disks that it may have left.
pub(crate) fn run(place: &Path) {
    // A store that finds another boot id knows that the host was restarted.
    let image = place.join("image");
    make_file_system(&image);
    fs::copy(&image, place.join("empty")).unwrap();
    fs::create_dir(place.join("fuse")).unwrap();
    fs::create_dir(place.join("ext4")).unwrap();
    let mut disk = start_disk(place);
    mount(&place.join("fuse/disk"), &place.join("ext4"));
    let steps = live(place);
    command(Command::new("umount").arg(place.join("ext4")));
    disk.kill().unwrap();
    disk.wait().unwrap();
    let events = crate::disk::read_log(place);
    let boot = place.join("boot_id");
    fs::write(&boot, "00000000-0000-4000-8000-000000000001\n").unwrap();
    let kernel = "/proc/sys/kernel/random/boot_id";
    command(Command::new("mount").arg("--bind").arg(&boot).arg(kernel));
    let failures = replay::all(place, &events, |mounted, durable, now| {
        check::disk(&steps, mounted, durable, now)
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn make_file_system(image: &Path) {
    File::create(image).unwrap().set_len(32 << 20).unwrap();
    let mut mkfs = Command::new("mkfs.ext4");
    command(mkfs.args(["-q", "-b", "4096", "-J", "size=4"]).arg(image));
}

fn start_disk(place: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    again(&mut command, "disk", place);
    let disk = command.spawn().unwrap();
    let begun = Instant::now();
    while !place.join("fuse/disk").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no disk");
        std::thread::sleep(Duration::from_millis(5));
    }
    disk
}

/// Mounts an image of ext4.
pub(crate) fn mount(image: &Path, directory: &Path) {
    let mut mount = Command::new("mount");
    // All that is not synced waits until it is: the most that can be lost.
    mount.args(["-t", "ext4", "-o", "loop,commit=300"]);
    command(mount.arg(image).arg(directory));
}

pub(crate) fn command(command: &mut Command) {
    let ended = command.status().unwrap();
    assert!(ended.success(), "{command:?} {ended}");
}

struct Life {
    place: PathBuf,
    core: Overlay,
    chance: Chance,
    fill: u8,
}

fn live(place: &Path) -> Vec<Step> {
    let core = tree::open(&place.join("ext4")).unwrap();
    core.sync_all().unwrap();
    let mut life = Life {
        place: place.to_owned(),
        core,
        chance: Chance::new(crate::seed()),
        fill: 0,
    };
    let mut steps = vec![Step {
        words: "open".into(),
        begun: 0,
        answered: life.position(),
        synced: Synced::All,
        tree: tree::take(&life.core).unwrap(),
    }];
    for _ in 0..LENGTH {
        let begun = life.position();
        let (words, result) = life.step();
        let answered = life.position();
        let synced = match result {
            Ok(synced) => synced,
            Err(
                FsError::NotFound
                | FsError::Exists
                | FsError::NotDirectory
                | FsError::IsDirectory
                | FsError::NotEmpty
                | FsError::NotPermitted
                | FsError::InvalidArgument
                | FsError::Stale
                | FsError::NoAttribute,
            ) => Synced::Nothing,
            Err(error) => panic!("{words}: {error}"),
        };
        steps.push(Step {
            words,
            begun,
            answered,
            synced,
            tree: tree::take(&life.core).unwrap(),
        });
    }
    steps
}

impl Life {
    fn position(&self) -> u64 {
        fs::metadata(self.place.join("log")).map_or(0, |log| log.len())
    }

    /// A directory and a name in it.
    fn name(&mut self) -> (String, &'static str) {
        let directories = ["", "a", "b", "c", "c/deep", "c/empty", "d"];
        let names = [
            "one", "two", "big", "huge", "link", "leaf", "d", "e", "empty", "deep",
        ];
        let directory = directories[self.chance.below(directories.len() as u64) as usize];
        let name = names[self.chance.below(names.len() as u64) as usize];
        (directory.to_owned(), name)
    }

    fn end(&mut self) -> (String, FsResult<Ino>, EntryName<'static>) {
        let (directory, name) = self.name();
        let found = tree::find(&self.core, &directory);
        let ino = found.and_then(|found| found.ok_or(FsError::NotFound));
        let told = format!("{directory}/{name}");
        (told, ino, EntryName::new(name.as_bytes()).unwrap())
    }

    /// One of the files that there are.
    fn file(&mut self) -> FsResult<(String, Ino)> {
        let tree = tree::take(&self.core)?;
        let files: Vec<_> = tree
            .names
            .iter()
            .filter(|(_, facts)| tree.data.contains_key(&facts.ino))
            .collect();
        if files.is_empty() {
            return Err(FsError::NotFound);
        }
        let (path, facts) = files[self.chance.below(files.len() as u64) as usize];
        Ok((path.clone(), facts.ino))
    }

    fn step(&mut self) -> (String, FsResult<Synced>) {
        match self.chance.below(24) {
            0..=2 => self.create(),
            3..=6 => self.write(),
            7 => self.write(),
            8..=10 => self.rename(),
            11 => self.link(),
            12..=13 => self.remove(),
            14..=16 => self.change(),
            17 => self.cut(),
            18..=19 => self.sync_file(),
            20 => self.sync_directory(),
            21 => ("sync".into(), self.core.sync_all().map(|()| Synced::All)),
            _ => {
                // The host's journal is written for reasons of its own.
                let other = File::create(self.place.join("ext4/other")).unwrap();
                other.sync_all().unwrap();
                ("commit".into(), Ok(Synced::Nothing))
            }
        }
    }

    fn create(&mut self) -> (String, FsResult<Synced>) {
        let (told, dir, name) = self.end();
        let kinds = [
            FileKind::Regular,
            FileKind::Regular,
            FileKind::Directory,
            FileKind::Symlink,
        ];
        let kind = kinds[self.chance.below(4) as usize];
        let new = NewInode {
            kind,
            permissions: 0o777,
            umask: 0o022,
            rdev: 0,
            target: if kind == FileKind::Symlink {
                b"a/target/of/some/length"
            } else {
                b""
            },
            caller: Caller { uid: 1, gid: 2 },
        };
        let made = dir.and_then(|dir| self.core.create(dir, name, &new).map(drop));
        (
            format!("create {told} {kind:?}"),
            made.map(|()| Synced::Nothing),
        )
    }

    fn write(&mut self) -> (String, FsResult<Synced>) {
        let (told, ino) = match self.file() {
            Ok(found) => found,
            Err(error) => return ("write".into(), Err(error)),
        };
        self.fill = self.fill % 200 + 1;
        let offset = self.chance.below(70_000);
        let length = 1 + self.chance.below(12_000);
        let data = vec![self.fill; length as usize];
        let written = self.core.write(ino, &data, offset, true);
        let words = format!("write {told} {offset}+{length} of {}", self.fill);
        (words, written.map(|_| Synced::Nothing))
    }

    fn rename(&mut self) -> (String, FsResult<Synced>) {
        let (from_told, from, name) = self.end();
        let (to_told, to, new_name) = self.end();
        let mode = match self.chance.below(4) {
            0 => RenameMode::Exchange,
            _ => RenameMode::Replace,
        };
        // Into itself: the kernel refuses that itself.
        let within = |path: &str, above: &str| path.starts_with(&format!("{above}/"));
        let result = if within(&to_told, &from_told) || within(&from_told, &to_told) {
            Err(FsError::InvalidArgument)
        } else {
            from.and_then(|from| {
                let to = to?;
                self.core.rename((from, name), (to, new_name), mode)
            })
        };
        let words = format!("rename {from_told} to {to_told} {mode:?}");
        (words, result.map(|()| Synced::Nothing))
    }

    fn link(&mut self) -> (String, FsResult<Synced>) {
        let file = self.file();
        let (told, dir, name) = self.end();
        let result = file.and_then(|(path, ino)| {
            let made = self.core.link(ino, dir?, name).map(drop);
            made.map(|()| path)
        });
        (
            format!("link {told} to {result:?}"),
            result.map(|_| Synced::Nothing),
        )
    }

    fn remove(&mut self) -> (String, FsResult<Synced>) {
        let (told, dir, name) = self.end();
        let result = dir.and_then(|dir| match self.core.unlink(dir, name) {
            Err(FsError::IsDirectory) => self.core.remove_directory(dir, name),
            other => other,
        });
        (format!("remove {told}"), result.map(|()| Synced::Nothing))
    }

    fn change(&mut self) -> (String, FsResult<Synced>) {
        let (told, dir, name) = self.end();
        let by_attr = self.chance.below(2) == 0;
        let permissions = 0o600 + self.chance.below(0o100) as u16;
        let result = dir.and_then(|dir| {
            let found = self.core.lookup(dir, name)?.ok_or(FsError::NotFound)?;
            if by_attr {
                let set = SetAttr {
                    permissions: Some(permissions),
                    ..SetAttr::default()
                };
                return self.core.set_attr(found.ino(), &set).map(drop);
            }
            let value = permissions.to_string();
            let flags = XattrFlags::empty();
            self.core
                .set_xattr(found.ino(), b"user.x", value.as_bytes(), flags)
        });
        let words = format!("change {told} {by_attr} {permissions:o}");
        (words, result.map(|()| Synced::Nothing))
    }

    fn cut(&mut self) -> (String, FsResult<Synced>) {
        let size = self.chance.below(80_000);
        let punches = self.chance.below(3) == 0;
        let result = self.file().and_then(|(told, ino)| {
            if punches {
                let mode = AllocateMode::PunchHole;
                self.core.allocate(ino, size / 2, 9000, mode)?;
            } else {
                let set = SetAttr {
                    size: Some(size),
                    ..SetAttr::default()
                };
                self.core.set_attr(ino, &set)?;
            }
            Ok(told)
        });
        let words = format!("cut {result:?} {size} {punches}");
        (words, result.map(|_| Synced::Nothing))
    }

    fn sync_file(&mut self) -> (String, FsResult<Synced>) {
        let data_only = self.chance.below(2) == 0;
        let result = self.file().and_then(|(told, ino)| {
            self.core.sync(ino, data_only)?;
            Ok((told, ino))
        });
        let words = format!("sync {result:?} {data_only}");
        (words, result.map(|(_, ino)| Synced::File(ino)))
    }

    fn sync_directory(&mut self) -> (String, FsResult<Synced>) {
        let (told, dir, _) = self.end();
        let result = dir.and_then(|dir| self.core.sync(dir, false).map(|()| dir));
        (
            format!("sync the directory of {told}"),
            result.map(Synced::Directory),
        )
    }
}
