//! Being ahead of a start: what the last start of the same source read is in the page cache of the
//! new mount before init asks for it.
//!
//! A process of its own does that, by ordinary reads through the mount; nothing waits for it, and
//! it is killed when the mount is to go. What to read is kept in a file per source (a [`Trail`]),
//! which was made of what a guest did: its paths are opened below the mount's root only, without
//! following links, and nothing is done with what they lead to but to ask for read-ahead.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{Advice, FileType, Mode, OFlags, RawDir, ResolveFlags, fadvise, fstat, openat2};
use wpar_mountd::trail::{LONGEST, Touched, Trail};

use super::Payload;
use super::error::{Doing, LaunchError};
use super::inquiry::Inquiry;
use super::note::note;
use super::state::replace;
use super::supervisor::Supervisor;
use crate::mountd_client::Daemon;

/// A trail is made again when it is older: a host changes, and so do habits.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bytes that the kernel reads ahead for one request to do so, at most: the usual size of its
/// read-ahead.
const AT_ONCE: u64 = 128 << 10;

/// A start is over after that, for inits that do not say when.
const LONGEST_START: Duration = Duration::from_secs(5);

/// Largest small file, in bytes. Of these all are read; of larger ones, only what comes first:
/// later the system would wait for what it needs now while this process reads what it may need.
const SMALL: u64 = 64 << 10;

/// Bytes to read of small files, and of larger ones. The programs and libraries of systemd have 15 MB.
const MOST: u64 = 16 << 20;

/// The trail in `file`, if it is there, whole and fresh.
pub(super) fn load(file: &Path) -> Option<Trail> {
    // It may lie beside an image, in a directory that others can write to.
    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(careful.bits().cast_signed())
        .open(file)
        .ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() {
        return None;
    }
    let age = SystemTime::now()
        .duration_since(metadata.modified().ok()?)
        .ok()?;
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text).ok()?;
    let whole = text.len() as u64 <= LONGEST;
    (whole && age < FRESH)
        .then(|| Trail::decode(&text))
        .flatten()
}

/// Keeps `trail` in `file` for the next start. One that says nothing is not worth it.
pub(super) fn keep(trail: &Trail, file: &Path) -> Result<(), LaunchError> {
    if trail.touched.is_empty() {
        return Ok(());
    }
    replace(file, &trail.encode()).doing(format!("write {}", file.display()))
}

/// What becomes of the trail of this start.
#[derive(Debug, Default)]
pub(super) enum Recording {
    /// None is wanted, or it is kept already.
    #[default]
    Off,
    /// It goes on until the system is up, at the latest until then.
    Until(Instant),
    /// The daemon was asked what there was.
    Asked,
}

impl Supervisor {
    /// The files are there: what the last start read is read again, or this one is recorded.
    pub(super) fn go_ahead(&mut self) {
        let (Some(root), Some(daemon)) = (&self.root, &self.daemon) else {
            return;
        };
        let (Payload::Init, Some(file)) = (&self.spec.payload, &self.spec.trail) else {
            return daemon.decline_trail();
        };
        let Some(trail) = load(file) else {
            self.recording = Recording::Until(Instant::now() + LONGEST_START);
            return;
        };
        daemon.decline_trail();
        let started = root
            .copy()
            .and_then(|root| Inquiry::start(root, |root| follow(root, &trail)));
        match started {
            Ok(inquiry) => self.inquiries.push(inquiry),
            Err(error) => note(format_args!("cannot read ahead: {error}")),
        }
    }

    /// When the recording ends by itself.
    pub(super) fn recording_due(&self) -> Option<Instant> {
        match self.recording {
            Recording::Until(due) => Some(due),
            Recording::Off | Recording::Asked => None,
        }
    }

    /// The daemon, if it owes us a trail.
    pub(super) fn teller(&self) -> Option<BorrowedFd<'_>> {
        let daemon = self.daemon.as_ref()?;
        matches!(self.recording, Recording::Asked).then(|| daemon.answer_descriptor())
    }

    /// Asks for the trail if the system `is_up`, or has had its time.
    pub(super) fn check_recording(&mut self, is_up: bool) {
        let Recording::Until(due) = self.recording else {
            return;
        };
        if !is_up && Instant::now() < due {
            return;
        }
        let asked = self.daemon.as_ref().map(Daemon::ask_for_trail);
        self.recording = match asked {
            Some(Ok(())) => Recording::Asked,
            _ => Recording::Off,
        };
    }

    /// Hears of the trail that was asked for, and keeps it.
    pub(super) fn hear_trail(&mut self) {
        let Some(heard) = self.daemon.as_mut().and_then(Daemon::hear_trail) else {
            return;
        };
        self.recording = Recording::Off;
        if let (Some(trail), Some(file)) = (heard, &self.spec.trail)
            && let Err(error) = keep(&trail, file)
        {
            note(format_args!("the next start will not be ahead: {error}"));
        }
    }
}

fn follow(root: BorrowedFd<'_>, trail: &Trail) {
    let mut rest = Rest {
        small: MOST,
        large: MOST,
    };
    for touched in &trail.touched {
        let _ = touch(root, touched, &mut rest);
    }
}

/// What may still be read, in bytes, of small files and of larger ones.
#[derive(Debug, PartialEq, Eq)]
struct Rest {
    small: u64,
    large: u64,
}

impl Rest {
    /// Whether a file of which `bytes` are wanted may be read. If so they are counted.
    fn allows(&mut self, bytes: u64) -> bool {
        let rest = if bytes <= SMALL {
            &mut self.small
        } else {
            &mut self.large
        };
        let left = rest.checked_sub(bytes);
        *rest = left.unwrap_or(*rest);
        left.is_some()
    }
}

/// Asks for one file or directory to be read.
fn touch(root: BorrowedFd<'_>, touched: &Touched, rest: &mut Rest) -> rustix::io::Result<()> {
    let lengths = touched.ranges.iter().map(|&(_, length)| length);
    if !rest.allows(lengths.fold(0, u64::saturating_add)) {
        return Ok(());
    }
    let path = Path::new(&touched.path);
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    // Neither a pipe nor a terminal that has taken the name may hold this process.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let inside = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let file = openat2(root, path, flags, Mode::empty(), inside)?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => {
            for &(offset, length) in &touched.ranges {
                read_ahead(file.as_fd(), offset, length)?;
            }
        }
        FileType::Directory => {
            let mut buffer = Vec::with_capacity(32 * 1024);
            let mut entries = RawDir::new(&file, buffer.spare_capacity_mut());
            while entries.next().transpose()?.is_some() {}
        }
        _ => {}
    }
    Ok(())
}

fn read_ahead(file: BorrowedFd<'_>, offset: u64, length: u64) -> rustix::io::Result<()> {
    let mut done = 0;
    while let Some(part) = NonZeroU64::new((length - done).min(AT_ONCE)) {
        fadvise(
            file,
            offset.saturating_add(done),
            Some(part),
            Advice::WillNeed,
        )?;
        done += part.get();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn trail(touched: &str) -> Trail {
        let text = format!("{{\"version\":1,\"touched\":[{touched}]}}");
        Trail::decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_trail_is_kept_and_found_again_while_it_is_fresh() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("image.trail");
        assert_eq!(load(&file), None);
        keep(&trail(""), &file).unwrap();
        assert!(!file.exists(), "nothing to say");
        let trail = trail(r#"{"path":"init","ranges":[[0,5]]}"#);
        keep(&trail, &file).unwrap();
        assert_eq!(load(&file), Some(trail));
        let old = SystemTime::now() - FRESH - Duration::from_secs(1);
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert_eq!(load(&file), None);
        fs::write(&file, vec![b' '; LONGEST as usize + 1]).unwrap();
        assert_eq!(load(&file), None);
    }

    #[test]
    fn a_hostile_trail_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(directory.path().join("outside"), "x").unwrap();
        symlink("../outside", root.join("link")).unwrap();
        symlink("/etc", root.join("etc")).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(root.join("pipe"))
                .status()
                .unwrap()
                .success()
        );
        fs::write(root.join("file"), "0123456789").unwrap();
        let opened = File::open(&root).unwrap();
        let mut rest = Rest {
            small: 104 * 8,
            large: 0,
        };
        for (path, leads) in [
            ("../outside", false),
            ("/etc/passwd", false),
            ("link", false),
            ("etc/passwd", false),
            ("missing", false),
            ("pipe", true),
            ("", true),
            ("file", true),
        ] {
            let touched = Touched {
                path: path.to_owned(),
                ranges: vec![(0, 4), (8, 100)],
            };
            let result = touch(opened.as_fd(), &touched, &mut rest);
            assert_eq!(result.is_ok(), leads, "{path}: {result:?}");
        }
        let nothing = Rest { small: 0, large: 0 };
        assert_eq!(rest, nothing, "all of it was counted");
    }

    #[test]
    fn small_files_are_read_when_larger_ones_are_not_any_more() {
        let mut rest = Rest {
            small: SMALL + 1,
            large: 2 * SMALL,
        };
        assert!(rest.allows(SMALL + 1));
        assert!(!rest.allows(SMALL + 1));
        assert!(rest.allows(SMALL));
        assert!(!rest.allows(2));
        assert!(rest.allows(1));
        assert!(!rest.allows(u64::MAX));
    }
}
