//! Trees to work on, always the same, and the walk through one.

use std::fs::{self, File};
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};

use crate::Fallible;
use crate::archive::Numbers;
use crate::workload::Scale;

/// Many directories of a few files each, as in a system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forest {
    directories: u32,
    files: u32,
}

/// Directories in one of the upper level.
const PER_PART: u32 = 50;

impl Forest {
    /// The tree that most workloads share: about 50,000 inodes.
    pub(crate) fn of_system(scale: Scale) -> Self {
        Self {
            directories: scale.of(1000, 20),
            files: 49,
        }
    }

    /// A name that tells it from others.
    pub(crate) fn name(&self) -> String {
        format!("forest-{}", self.count())
    }

    /// Files that it has.
    pub(crate) fn count(&self) -> u32 {
        self.directories * self.files
    }

    /// Inodes below its root.
    pub(crate) fn inodes(&self) -> u64 {
        u64::from(self.count() + self.directories + self.directories.div_ceil(PER_PART))
    }

    /// Path of a directory below the root.
    pub(crate) fn directory(number: u32) -> String {
        format!("part{:03}/group{number:05}", number / PER_PART)
    }

    /// Paths of all directories, in their order.
    pub(crate) fn directory_paths(&self) -> impl Iterator<Item = String> {
        (0..self.directories).map(Self::directory)
    }

    /// Path of a file below the root.
    pub(crate) fn file(&self, number: u32) -> String {
        format!("{}/file{number:07}", Self::directory(number / self.files))
    }

    /// Makes it in an empty directory. Files have up to 8 KiB, 4 KiB on average.
    pub(crate) fn plant(&self, tree: &Path) -> Fallible<()> {
        let mut numbers = Numbers(7);
        let text: Vec<u8> = (0..8192)
            .map(|_| b'a' + (numbers.below(26) as u8))
            .collect();
        for number in 0..self.count() {
            if number % self.files == 0 {
                fs::create_dir_all(tree.join(Self::directory(number / self.files)))?;
            }
            let size = usize::try_from(numbers.below(8192))?;
            let mut file = File::create(tree.join(self.file(number)))?;
            file.write_all(text.get(..size).unwrap_or_default())?;
        }
        Ok(())
    }

    /// That a walk found all of it: what is fast because it does not work is not fast.
    pub(crate) fn check(&self, found: u64) -> Fallible<()> {
        match found == self.inodes() {
            true => Ok(()),
            false => Err(format!("{found} of {} inodes were found", self.inodes()).into()),
        }
    }
}

/// Goes through the tree below `root`, and counts what is in it. If `look`, each inode is looked at
/// (`lstat`); otherwise types are taken from the directories, as `find` does without a test.
pub(crate) fn walk(root: &Path, look: bool) -> Fallible<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, root, flags, Mode::empty())?;
    below(root.as_fd(), look)
}

fn below(directory: BorrowedFd<'_>, look: bool) -> Fallible<u64> {
    let mut found = 0;
    let mut directories = Vec::new();
    let mut space = [MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(directory, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        found += 1;
        let mut kind = entry.file_type();
        if look || kind == FileType::Unknown {
            let status = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            kind = FileType::from_raw_mode(status.st_mode);
        }
        if kind == FileType::Directory {
            directories.push(name.to_owned());
        }
    }
    for name in directories {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = openat(directory, &name, flags, Mode::empty())?;
        found += below(inner.as_fd(), look)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_forest_is_always_the_same_and_a_walk_finds_all_of_it() {
        let forest = Forest::of_system(Scale::Short);
        let planted = [(); 2].map(|()| {
            let dir = tempfile::tempdir().unwrap();
            forest.plant(dir.path()).unwrap();
            dir
        });
        for dir in &planted {
            for look in [false, true] {
                forest.check(walk(dir.path(), look).unwrap()).unwrap();
            }
        }
        let [one, other] = &planted;
        for number in (0..forest.count()).step_by(17) {
            let path = forest.file(number);
            let read = |dir: &tempfile::TempDir| fs::read(dir.path().join(&path)).unwrap();
            assert!(read(one) == read(other), "{path}");
        }
        for path in forest.directory_paths() {
            assert!(
                one.path().join(&path).metadata().unwrap().nlink() >= 1,
                "{path}"
            );
        }
        fs::remove_file(one.path().join(forest.file(3))).unwrap();
        assert!(forest.check(walk(one.path(), true).unwrap()).is_err());
    }
}
