//! The notes in a store that say what is wanted and how far it is.
//!
//! ```text
//! STORE/hydrate.json     the wish; written by the tool, read by the worker
//! STORE/hydration.json   the progress; written by the worker, read by the tool
//! ```
//!
//! JSON, version 1. Each is replaced whole, by a rename; what cannot be read counts as not there.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of both formats.
pub const VERSION: u32 = 1;

/// The name of the wish.
pub const WISH: &str = "hydrate.json";

/// The name of the progress.
pub const PROGRESS: &str = "hydration.json";

/// Longest note that is read.
const LONGEST: u64 = 8 << 20;

/// Most paths that are kept in a list; of more only the number is known.
pub const MOST_PATHS: usize = 1000;

/// What the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Version of its format.
    pub version: u32,
    /// Whether it is to be done, or to stop.
    pub wanted: bool,
    /// Files that are to come first, because the host has them open for writing: paths from the root.
    #[serde(default)]
    pub first: Vec<String>,
}

/// How it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has not begun, or was interrupted.
    #[default]
    Waiting,
    /// It goes on.
    Running,
    /// It was stopped because it was not wanted any more.
    Stopped,
    /// Everything is in the store.
    Done,
    /// What is essential is in the store; for the rest there was no room.
    Essential,
    /// It cannot go on: see the reason.
    Failed,
}

/// Paths, as many as are worth keeping.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Paths {
    /// How many there are.
    pub count: u64,
    /// The first [`MOST_PATHS`] of them, from the root.
    pub paths: Vec<String>,
}

impl Paths {
    /// Takes one in.
    pub fn add(&mut self, path: &[u8]) {
        let path = format!("/{}", String::from_utf8_lossy(path));
        if self.paths.contains(&path) {
            return;
        }
        self.count += 1;
        if self.paths.len() < MOST_PATHS {
            self.paths.push(path);
        }
    }
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Version of its format.
    pub version: u32,
    /// How it stands.
    pub state: State,
    /// When it began, in seconds since 1970.
    pub begun: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// Bytes of files that were to be copied.
    pub bytes_all: u64,
    /// Of these, bytes that were.
    pub bytes_done: u64,
    /// Files, links and nodes that were to be copied.
    pub files_all: u64,
    /// Of these, those that were.
    pub files_done: u64,
    /// Files that the host changed after it began, and before they were copied.
    pub changed: Paths,
    /// Files that the host changed all the time: they may be damaged.
    pub torn: Paths,
    /// What could not be copied.
    pub failed: Paths,
    /// Why it ended before it was done.
    pub reason: Option<String>,
}

impl Progress {
    /// How much is done, of 100. 100 is only said of what is.
    pub fn percent(&self) -> u64 {
        if self.state == State::Done {
            return 100;
        }
        // A file counts as much as 4 KiB of data.
        let part = |bytes: u64, files: u64| bytes.saturating_add(files.saturating_mul(4096));
        let (done, all) = (
            part(self.bytes_done, self.files_done),
            part(self.bytes_all, self.files_all),
        );
        let percent = u128::from(done) * 100 / u128::from(all.max(1));
        u64::try_from(percent).unwrap_or(99).min(99)
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs().cast_signed())
}

/// The directory of a store, for notes.
///
/// # Errors
/// Those of opening it.
pub fn open_store(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty())
}

/// What is wanted; `None` if nobody ever said.
pub fn wish(store: impl AsFd) -> Option<Wish> {
    read(store, WISH)
}

/// How far it is; `None` if it never began.
pub fn progress(store: impl AsFd) -> Option<Progress> {
    read(store, PROGRESS)
}

fn read<T: DeserializeOwned>(store: impl AsFd, name: &str) -> Option<T> {
    #[derive(Deserialize)]
    struct Format {
        version: u32,
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::openat(store, name, flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    File::from(file).take(LONGEST).read_to_end(&mut text).ok()?;
    let format: Format = serde_json::from_slice(&text).ok()?;
    (format.version == VERSION).then(|| serde_json::from_slice(&text).ok())?
}

/// Writes the wish.
///
/// # Errors
/// Those of the host's file system; the old one then stands.
pub fn put_wish(store: impl AsFd, wish: &Wish) -> std::io::Result<()> {
    let wish = Wish {
        version: VERSION,
        ..wish.clone()
    };
    // Nobody says it a second time after a loss of power.
    write(store, WISH, &serde_json::to_vec(&wish)?, true)
}

/// Writes the progress.
///
/// # Errors
/// As [`put_wish`].
pub fn put_progress(store: impl AsFd, progress: &Progress) -> std::io::Result<()> {
    write(store, PROGRESS, &serde_json::to_vec(progress)?, false)
}

fn write(store: impl AsFd, name: &str, text: &[u8], durable: bool) -> std::io::Result<()> {
    let draft = format!("{name}.new");
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(&store, draft.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(file);
    file.write_all(text)?;
    if durable {
        file.sync_data()?;
    }
    fs::renameat(&store, draft.as_str(), &store, name)?;
    if durable {
        fs::fsync(&store)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written_and_others_are_not_there() {
        let temp = tempfile::tempdir().unwrap();
        let store = open_store(temp.path()).unwrap();
        assert_eq!(wish(&store), None);
        assert_eq!(progress(&store), None);
        let wanted = Wish {
            version: VERSION,
            wanted: true,
            first: vec!["/var/lib/mysql/ibdata1".to_owned()],
        };
        put_wish(&store, &wanted).unwrap();
        assert_eq!(wish(&store), Some(wanted));
        for text in ["", "{", "{\"version\": 2, \"wanted\": true}"] {
            std::fs::write(temp.path().join(WISH), text).unwrap();
            assert_eq!(wish(&store), None, "{text}");
        }
        let text = "{\"version\": 1, \"state\": \"essential\", \"later\": 5}";
        std::fs::write(temp.path().join(PROGRESS), text).unwrap();
        assert_eq!(progress(&store).unwrap().state, State::Essential);
    }

    #[test]
    fn a_hundred_percent_is_only_what_is_done() {
        let mut progress = Progress {
            bytes_all: 1000,
            bytes_done: 1000,
            files_all: 3,
            files_done: 3,
            state: State::Running,
            ..Progress::default()
        };
        assert_eq!(progress.percent(), 99);
        progress.files_done = 0;
        assert_eq!(progress.percent(), 7);
        progress.state = State::Done;
        assert_eq!(progress.percent(), 100);
        assert_eq!(Progress::default().percent(), 0);
    }

    #[test]
    fn of_too_many_paths_only_the_number_is_kept() {
        let mut paths = Paths::default();
        for number in 0..=MOST_PATHS {
            paths.add(format!("var/log/{number}").as_bytes());
            paths.add(b"var/log/0");
        }
        assert_eq!((paths.count, paths.paths.len()), (1001, MOST_PATHS));
        assert_eq!(paths.paths[0], "/var/log/0");
    }
}
