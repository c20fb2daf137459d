//! The whole of it: from counting what there is to the last directory that is closed.
//!
//! Order: what the host has open for writing, because it is what changes; `/etc`, which decides what the
//! copy is; what users and services have; programs last, which change least.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::note::{self, Progress, State, Wish, now};
use super::settle;
use super::walk::{Found, Witness, names_of, walk};
use crate::error::{FsError, FsResult};
use crate::overlay::{GIVEN_UP, Hydrated, Hydrator, LookedUp, Overlay};
use crate::types::{EntryName, FileKind, Ino, Timestamp};

/// Directories that come one after the other; then the rest.
const ORDER: &[&str] = &["etc", "var", "root", "srv", "home", "usr", "opt"];

/// Those that are copied if there is no room for all.
const ESSENTIAL: &[&str] = &["etc", "var", "root"];

/// What is to stay free of the store's file system: bytes, and one part in this many.
const FREE: (u64, u64) = (256 << 20, 20);

/// How often the progress is noted, and the wish looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// How often the whole tree is gone through: directories that the WPAR moves meanwhile may be met late.
const PASSES: u32 = 5;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is nothing more to do, or it cannot be done.
    Over,
    /// Nobody wants it any more.
    Unwanted,
    /// The caller said that it is not to go on.
    Interrupted,
}

/// Does it, as long as `go_on` says so and the note in `store`, the directory of the overlay's store,
/// wants it.
///
/// # Errors
/// If the progress cannot be noted.
pub fn work(overlay: &Overlay, store: OwnedFd, go_on: &dyn Fn() -> bool) -> std::io::Result<Ended> {
    let wish = note::wish(&store).unwrap_or_default();
    if !wish.wanted {
        return Ok(Ended::Unwanted);
    }
    let before = note::progress(&store).unwrap_or_default();
    if before.state == State::Done {
        return Ok(Ended::Over);
    }
    let mut worker = Worker::new(store, before, go_on);
    let result = worker.all(overlay, &wish);
    worker.end(overlay, result)
}

struct Worker<'a> {
    store: OwnedFd,
    progress: Progress,
    go_on: &'a dyn Fn() -> bool,
    /// When the progress was noted last.
    noted: Instant,
    unwanted: bool,
    /// Of this pass.
    failures: u64,
    space: Option<Space>,
}

/// The space of the store's file system that is not ours to take.
struct Space {
    tree: OwnedFd,
}

impl<'a> Worker<'a> {
    fn new(store: OwnedFd, before: Progress, go_on: &'a dyn Fn() -> bool) -> Self {
        let begun = if before.begun == 0 {
            now()
        } else {
            before.begun
        };
        let progress = Progress {
            version: note::VERSION,
            state: State::Running,
            begun,
            ended: None,
            reason: None,
            failed: note::Paths::default(),
            ..before
        };
        let tree = store.try_clone().ok();
        Self {
            store,
            progress,
            go_on,
            noted: Instant::now(),
            unwanted: false,
            failures: 0,
            space: tree.map(|tree| Space { tree }),
        }
    }

    /// All of it; whether everything, or only what is essential, is in the store.
    fn all(&mut self, overlay: &Overlay, wish: &Wish) -> FsResult<bool> {
        self.note()?;
        let essential = self.count(overlay)?;
        self.note()?;
        self.first(overlay, &wish.first)?;
        let tops = if essential { ESSENTIAL } else { ORDER };
        for top in tops {
            walk(overlay, Some(top), false, self)?;
        }
        if essential {
            return Ok(false);
        }
        for pass in 0..PASSES {
            self.failures = 0;
            self.progress.failed = note::Paths::default();
            let found = walk(overlay, None, pass > 0, self)?;
            if !found.complete {
                break;
            }
            if found
                == (Found {
                    complete: true,
                    changed: false,
                })
            {
                break;
            }
        }
        if self.failures > 0 || !overlay.close_directory(Ino::ROOT, true)? {
            self.progress.reason = Some("some files cannot be copied".to_owned());
            return Err(FsError::Layer(Errno::IO));
        }
        Ok(true)
    }

    /// Counts what is to be done; true if there is no room for all of it.
    fn count(&mut self, overlay: &Overlay) -> FsResult<bool> {
        let (mut bytes, mut files) = (0, 0);
        let (mut essential, mut within) = (0, false);
        let mut frames = vec![(None::<LookedUp<'_>>, names_of(overlay, Ino::ROOT)?)];
        while let Some((inode, names)) = frames.last_mut() {
            if !Witness::go_on(self) {
                return Err(GIVEN_UP);
            }
            let parent = inode.as_ref().map_or(Ino::ROOT, LookedUp::ino);
            let Some((name, _)) = names.next() else {
                frames.pop();
                settle(overlay);
                continue;
            };
            if parent == Ino::ROOT {
                within = ESSENTIAL.iter().any(|top| top.as_bytes() == &*name);
            }
            let Ok(Some(found)) = overlay.lookup(parent, EntryName::new(&name)?) else {
                continue;
            };
            if found.attr().kind == FileKind::Directory {
                if let Ok(names) = names_of(overlay, found.ino()) {
                    frames.push((Some(found), names));
                }
            } else if !overlay.in_store(found.ino())? {
                let space = found.attr().blocks.saturating_mul(512);
                files += 1;
                bytes += space;
                essential += if within { space } else { 0 };
            }
        }
        self.progress.bytes_all = self.progress.bytes_all.max(bytes);
        self.progress.files_all = self.progress.files_all.max(files);
        self.progress.bytes_done = self.progress.bytes_all - bytes;
        self.progress.files_done = self.progress.files_all - files;
        let room = self.room(overlay)?;
        if bytes <= room {
            return Ok(false);
        }
        let short = |needed: u64| {
            format!(
                "{} MiB are needed and {} MiB are free for it",
                needed.div_ceil(1 << 20),
                room >> 20
            )
        };
        if essential > room {
            self.progress.reason = Some(short(essential));
            return Err(FsError::Layer(Errno::NOSPC));
        }
        self.progress.reason = Some(format!(
            "{}: only /etc, /var and /root are copied, the rest is live",
            short(bytes)
        ));
        Ok(true)
    }

    /// Bytes that may be taken.
    fn room(&self, overlay: &Overlay) -> FsResult<u64> {
        let space = overlay.space()?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let all = space.f_blocks.saturating_mul(space.f_frsize);
        Ok(free.saturating_sub(FREE.0.min(all / FREE.1)))
    }

    /// Files that change at this moment.
    fn first(&mut self, overlay: &Overlay, paths: &[String]) -> FsResult<()> {
        for path in paths {
            let Ok(Some(file)) = overlay.resolve(path.as_bytes()) else {
                continue;
            };
            let (above, name) = match file.path.iter().rposition(|&byte| byte == b'/') {
                Some(at) => (file.path.get(..at), file.path.get(at + 1..)),
                None => (Some(&b""[..]), Some(&file.path[..])),
            };
            let (Some(above), Some(name)) = (above, name) else {
                continue;
            };
            let Ok(Some(above)) = overlay.resolve(above) else {
                continue;
            };
            let Ok(name) = EntryName::new(name) else {
                continue;
            };
            let mut hydrator = Hydrator::new(overlay);
            let added = {
                let this = &*self;
                hydrator.add(above.inode.ino(), name, &|| Witness::go_on(this))
            };
            match added {
                Ok(Hydrated::Ready {
                    bytes,
                    changed,
                    torn,
                }) => {
                    self.copied(&file.path, bytes, changed, torn)?;
                    // What fails is tried again when its turn comes.
                    let _ = hydrator.publish(false);
                }
                Err(GIVEN_UP) => return Err(GIVEN_UP),
                _ => {}
            }
        }
        Ok(())
    }

    fn note(&mut self) -> FsResult<()> {
        self.noted = Instant::now();
        let noted = note::put_progress(&self.store, &self.progress);
        noted.map_err(|error| match error.raw_os_error() {
            Some(number) => FsError::Layer(Errno::from_raw_os_error(number)),
            None => FsError::Layer(Errno::IO),
        })
    }

    fn end(mut self, overlay: &Overlay, result: FsResult<bool>) -> std::io::Result<Ended> {
        settle(overlay);
        let (state, ended) = match result {
            Ok(true) => (State::Done, Ended::Over),
            Ok(false) => (State::Essential, Ended::Over),
            Err(GIVEN_UP) if self.unwanted || !self.is_wanted() => {
                (State::Stopped, Ended::Unwanted)
            }
            Err(GIVEN_UP) => (State::Waiting, Ended::Interrupted),
            Err(error) => {
                let reason = self.progress.reason.take();
                self.progress.reason = Some(match error {
                    FsError::Layer(Errno::NOSPC) => {
                        let said = reason.unwrap_or_else(|| "the limit is reached".to_owned());
                        format!("there is not enough space: {said}")
                    }
                    error => reason.unwrap_or_else(|| error.to_string()),
                });
                (State::Failed, Ended::Over)
            }
        };
        self.progress.state = state;
        if ended == Ended::Over {
            self.progress.ended = Some(now());
        }
        note::put_progress(&self.store, &self.progress)?;
        Ok(ended)
    }

    fn is_wanted(&self) -> bool {
        note::wish(&self.store).is_some_and(|wish| wish.wanted)
    }

    /// Whether the host's disk is nearly full, whoever fills it.
    fn is_short_of_space(&self) -> bool {
        let Some(space) = &self.space else {
            return false;
        };
        rustix::fs::fstatvfs(space.tree.as_fd()).is_ok_and(|stat| {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let all = stat.f_blocks.saturating_mul(stat.f_frsize);
            free < (FREE.0 / 2).min(all / FREE.1 / 2)
        })
    }
}

impl Witness for Worker<'_> {
    fn go_on(&self) -> bool {
        !self.unwanted && (self.go_on)()
    }

    fn copied(&mut self, path: &[u8], bytes: u64, changed: Timestamp, torn: bool) -> FsResult<()> {
        self.progress.files_done += 1;
        self.progress.bytes_done = self.progress.bytes_done.saturating_add(bytes);
        if torn {
            self.progress.torn.add(path);
        } else if changed.seconds >= self.progress.begun {
            self.progress.changed.add(path);
        }
        if self.noted.elapsed() >= INTERVAL {
            self.unwanted = !self.is_wanted();
            self.note()?;
            if self.is_short_of_space() {
                self.progress.reason = Some("the host's disk is nearly full".to_owned());
                return Err(FsError::Layer(Errno::NOSPC));
            }
        }
        Ok(())
    }

    fn failed(&mut self, path: &[u8], error: FsError) -> FsResult<()> {
        if error == FsError::Layer(Errno::NOSPC) {
            return Err(error);
        }
        log::warn!("/{} stays the host's: {error}", path.escape_ascii());
        self.failures += 1;
        self.progress.failed.add(path);
        Ok(())
    }
}
