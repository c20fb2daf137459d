//! A program that uses a file system as hard as it can, and knows at any time what must be there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const NAMES: u64 = 10;
const LARGEST: u64 = 20_000;
const OPEN: usize = 12;

/// What a file must be like, wherever its names are.
#[derive(Default)]
struct Expected {
    data: Vec<u8>,
    number: u64,
    names: u64,
}

/// What a name must be.
enum Entry {
    File(usize),
    Directory,
    Link(String),
}

/// One program, in a directory of its own.
pub(super) struct Worker {
    directory: PathBuf,
    random: u64,
    entries: BTreeMap<String, Entry>,
    files: Vec<Expected>,
    open: Vec<(File, usize)>,
    /// Operations that were right so far.
    pub(super) operations: u64,
}

impl Worker {
    /// Begins in the new directory `directory`.
    pub(super) fn new(directory: PathBuf, seed: u64) -> Self {
        fs::create_dir(&directory).expect("a directory for a worker");
        Self {
            directory,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            entries: BTreeMap::new(),
            files: Vec::new(),
            open: Vec::new(),
            operations: 0,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let (length, first) = (self.below(most), self.below(251));
        (0..length)
            .map(|at| ((first + at * 7) % 251) as u8)
            .collect()
    }

    fn name(&mut self) -> String {
        format!("name{}", self.below(NAMES))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Does something and checks what came of it.
    ///
    /// # Panics
    /// If it failed, or was wrong.
    pub(super) fn step(&mut self) {
        let (name, other) = (self.name(), self.name());
        let what = self.below(12);
        let done = match what {
            0 | 1 => self.write(&name),
            2 => self.remove(&name),
            3 => self.rename(&name, &other),
            4 => self.link(&name, &other),
            5 => self.make_directory(&name),
            6 => self.make_link(&name),
            7 => self.look(&name),
            8 => self.list(),
            9 => self.use_open(),
            10 => self.truncate(&name),
            _ => self.use_directory(&name),
        };
        if let Err(error) = done {
            let entries: Vec<_> = self.entries.keys().collect();
            panic!(
                "{}: operation {} ({what}) on {name} and {other}, of {entries:?}: {error}",
                self.directory.display(),
                self.operations
            );
        }
        self.operations += 1;
    }

    /// Checks everything once more.
    ///
    /// # Panics
    /// If anything is not as it must be.
    pub(super) fn finish(mut self) {
        while !self.open.is_empty() {
            self.use_open().expect("an open file");
        }
        self.list().expect("a listing");
        for name in self.entries.keys().cloned().collect::<Vec<_>>() {
            self.look(&name).expect("a name");
        }
        fs::remove_dir_all(&self.directory).expect("everything can be removed");
    }

    fn write(&mut self, name: &str) -> io::Result<()> {
        let data = self.bytes(LARGEST);
        let index = match self.entries.get(name) {
            Some(Entry::File(index)) => *index,
            Some(_) => return Ok(()),
            None => self.files.len(),
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = if index == self.files.len() {
            let file = options.create_new(true).open(self.path(name))?;
            self.entries.insert(name.to_owned(), Entry::File(index));
            self.files.push(Expected {
                number: file.metadata()?.ino(),
                names: 1,
                ..Expected::default()
            });
            file
        } else {
            options.open(self.path(name))?
        };
        file.write_all_at(&data, 0)?;
        let expected = &mut self.files[index].data;
        let rest = expected.split_off(data.len().min(expected.len()));
        *expected = [data, rest].concat();
        if self.below(20) == 0 {
            file.sync_all()?;
        }
        self.open.push((file, index));
        if self.open.len() > OPEN {
            self.use_open()?;
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match self.entries.remove(name) {
            Some(Entry::Directory) => fs::remove_dir(self.path(name)),
            Some(Entry::Link(_)) => fs::remove_file(self.path(name)),
            Some(Entry::File(index)) => {
                self.files[index].names -= 1;
                fs::remove_file(self.path(name))
            }
            None => {
                let error = fs::remove_file(self.path(name)).expect_err("nothing was there");
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
                Ok(())
            }
        }
    }

    fn rename(&mut self, name: &str, other: &str) -> io::Result<()> {
        let fits = match (self.entries.get(name), self.entries.get(other)) {
            (Some(_), None) => true,
            // Two names of one file stay both.
            (Some(Entry::File(one)), Some(Entry::File(two))) => one != two,
            _ => false,
        };
        if !fits {
            return Ok(());
        }
        fs::rename(self.path(name), self.path(other))?;
        let moved = self.entries.remove(name).expect("it was there");
        if let Some(Entry::File(index)) = self.entries.insert(other.to_owned(), moved) {
            self.files[index].names -= 1;
        }
        Ok(())
    }

    fn link(&mut self, name: &str, other: &str) -> io::Result<()> {
        let Some(&Entry::File(index)) = self.entries.get(name) else {
            return Ok(());
        };
        if self.entries.contains_key(other) {
            return Ok(());
        }
        fs::hard_link(self.path(name), self.path(other))?;
        self.files[index].names += 1;
        self.entries.insert(other.to_owned(), Entry::File(index));
        Ok(())
    }

    fn make_directory(&mut self, name: &str) -> io::Result<()> {
        if self.entries.contains_key(name) {
            return Ok(());
        }
        self.entries.insert(name.to_owned(), Entry::Directory);
        fs::create_dir(self.path(name))
    }

    fn make_link(&mut self, name: &str) -> io::Result<()> {
        if self.entries.contains_key(name) {
            return Ok(());
        }
        let target = format!("to{}", self.operations);
        symlink(&target, self.path(name))?;
        self.entries.insert(name.to_owned(), Entry::Link(target));
        Ok(())
    }

    fn look(&mut self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        match self.entries.get(name) {
            Some(&Entry::File(index)) => {
                assert_eq!(fs::metadata(&path)?.ino(), self.files[index].number);
                let permissions = 0o600 + self.below(0o100) as u32;
                fs::set_permissions(&path, PermissionsExt::from_mode(permissions))?;
                assert_eq!(fs::metadata(&path)?.mode() & 0o7777, permissions);
                self.check(&File::open(&path)?, index)
            }
            Some(Entry::Link(target)) => {
                assert_eq!(fs::read_link(&path)?, Path::new(target));
                Ok(())
            }
            Some(Entry::Directory) => {
                assert!(fs::symlink_metadata(&path)?.is_dir());
                Ok(())
            }
            None => {
                assert!(!path.try_exists()?, "{name} was removed");
                Ok(())
            }
        }
    }

    fn list(&mut self) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            names.push(entry?.file_name().into_string().expect("a name of ours"));
        }
        names.sort();
        assert!(names.iter().eq(self.entries.keys()), "{names:?}");
        Ok(())
    }

    /// A file that has been open for a while, perhaps without a name.
    fn use_open(&mut self) -> io::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let at = self.below(self.open.len() as u64) as usize;
        let (file, index) = self.open.swap_remove(at);
        self.check(&file, index)?;
        let more = self.bytes(3000);
        let length = self.files[index].data.len();
        file.write_all_at(&more, length as u64)?;
        self.files[index].data.extend_from_slice(&more);
        self.check(&file, index)
    }

    fn check(&self, file: &File, index: usize) -> io::Result<()> {
        let expected = &self.files[index];
        let metadata = file.metadata()?;
        assert_eq!(metadata.len(), expected.data.len() as u64);
        assert_eq!(metadata.nlink(), expected.names);
        let mut data = vec![0; expected.data.len()];
        file.read_exact_at(&mut data, 0)?;
        assert!(data == expected.data, "contents differ");
        Ok(())
    }

    fn truncate(&mut self, name: &str) -> io::Result<()> {
        let Some(&Entry::File(index)) = self.entries.get(name) else {
            return Ok(());
        };
        let length = self.below(LARGEST);
        let file = OpenOptions::new().write(true).open(self.path(name))?;
        file.set_len(length)?;
        self.files[index].data.resize(length as usize, 0);
        Ok(())
    }

    fn use_directory(&mut self, name: &str) -> io::Result<()> {
        if !matches!(self.entries.get(name), Some(Entry::Directory)) {
            return Ok(());
        }
        let (before, after) = (
            self.path(name).join("before"),
            self.path(name).join("after"),
        );
        fs::write(&before, "contents")?;
        fs::rename(&before, &after)?;
        assert_eq!(fs::read(&after)?, b"contents");
        fs::remove_file(&after)
    }
}
