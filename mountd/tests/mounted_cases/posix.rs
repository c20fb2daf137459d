//! What programs expect of a root file system and no public suite looks at.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{RawDir, SeekFrom, Timespec, seek};

use super::fixture;

/// Names of all events that wait, with what happened.
fn events(watch: &impl std::os::fd::AsFd) -> Vec<(ReadFlags, Option<String>)> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(watch, &mut buffer);
    let mut events = Vec::new();
    while let Ok(event) = reader.next() {
        let name = event
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        events.push((event.events(), name));
    }
    events
}

#[test]
fn a_watched_directory_tells_of_changes_also_over_a_copy_up() {
    let Some(fixture) = fixture(|tree| tree.file("etc/app.conf", "old\n")) else {
        return;
    };
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let wanted = WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::DELETE
        | WatchFlags::MOVED_TO
        | WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&watch, fixture.path("etc"), wanted).unwrap();
    let mut file = OpenOptions::new()
        .append(true)
        .open(fixture.path("etc/app.conf"))
        .unwrap();
    file.write_all(b"new\n").unwrap();
    drop(file);
    fs::write(fixture.path("etc/draft"), "").unwrap();
    fs::rename(fixture.path("etc/draft"), fixture.path("etc/final")).unwrap();
    fs::remove_file(fixture.path("etc/final")).unwrap();
    let seen = events(&watch);
    for (what, name) in [
        (ReadFlags::MODIFY, "app.conf"),
        (ReadFlags::CLOSE_WRITE, "app.conf"),
        (ReadFlags::CREATE, "draft"),
        (ReadFlags::MOVED_TO, "final"),
        (ReadFlags::DELETE, "final"),
    ] {
        let told = seen
            .iter()
            .any(|(events, of)| events.contains(what) && of.as_deref() == Some(name));
        assert!(told, "{what:?} of {name} is not in {seen:?}");
    }
}

#[test]
fn a_watched_file_of_the_lower_is_the_same_after_its_copy_up() {
    let Some(fixture) = fixture(|tree| tree.file("log", "one\n")) else {
        return;
    };
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, fixture.path("log"), WatchFlags::MODIFY).unwrap();
    for line in ["two\n", "three\n"] {
        let mut file = OpenOptions::new()
            .append(true)
            .open(fixture.path("log"))
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
        assert!(!events(&watch).is_empty(), "{line:?} was not told");
    }
}

/// The names of a directory from a place on, and the place behind each.
fn names_from(directory: &File, place: u64, most: usize) -> Vec<(String, u64)> {
    seek(directory, SeekFrom::Start(place)).unwrap();
    let mut buffer = vec![MaybeUninit::uninit(); 16 << 10];
    let mut raw = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        names.push((name, entry.next_entry_cookie()));
        if names.len() == most {
            break;
        }
    }
    names
}

/// As `telldir` and `seekdir` do it: what stays is listed exactly once, whatever comes and goes.
#[test]
fn places_in_a_directory_stay_while_it_changes() {
    const EACH: usize = 10_000;
    let Some(fixture) = fixture(|tree| {
        (0..EACH).fold(tree, |tree, number| {
            tree.file(format!("many/lower-{number:05}"), "")
        })
    }) else {
        return;
    };
    for number in 0..EACH {
        fs::write(fixture.path(format!("many/upper-{number:05}")), "").unwrap();
    }
    let directory = File::open(fixture.path("many")).unwrap();
    let (mut seen, mut place, mut round) = (Vec::new(), 0, 0);
    let mut removed = HashSet::new();
    loop {
        let part = names_from(&directory, place, 700);
        let Some((_, next)) = part.last() else {
            break;
        };
        place = *next;
        seen.extend(part.into_iter().map(|(name, _)| name));
        // Some of what was listed goes, some new names come, in both layers' parts.
        round += 1;
        for name in seen.iter().filter(|name| name.contains('-')).rev().take(50) {
            if removed.insert(name.clone()) {
                fs::remove_file(fixture.path(Path::new("many").join(name))).unwrap();
            }
        }
        for number in 0..20 {
            fs::write(fixture.path(format!("many/new-{round}-{number}")), "").unwrap();
        }
    }
    let mut old: Vec<_> = seen
        .iter()
        .filter(|name| !name.starts_with("new-"))
        .collect();
    old.sort();
    let listed = old.len();
    old.dedup();
    assert_eq!(listed, old.len(), "a name was listed twice");
    assert_eq!(listed, 2 * EACH + 2, "a name was not listed");
    assert!(removed.len() > 1000, "{}", removed.len());
    // A place that was told long ago still leads on to the same names.
    let first = names_from(&directory, 0, 1500);
    let later = names_from(&directory, first[999].1, 100);
    assert_eq!(later[0].0, first[1000].0);
}

#[test]
fn times_before_1970_and_of_single_nanoseconds_are_kept() {
    let before = SystemTime::UNIX_EPOCH - Duration::new(300_000_000, 1);
    let Some(mut fixture) = fixture(|tree| tree.file("old", "").file("copied", "")) else {
        return;
    };
    for name in ["old", "copied", "new"] {
        let path = fixture.path(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .unwrap();
        let times = FileTimes::new().set_modified(before).set_accessed(before);
        file.set_times(times).unwrap();
    }
    for _ in 0..2 {
        for name in ["old", "copied", "new"] {
            let metadata = fs::metadata(fixture.path(name)).unwrap();
            assert_eq!(metadata.modified().unwrap(), before, "{name}");
            assert_eq!(
                (metadata.mtime(), metadata.mtime_nsec()),
                (-300_000_001, 999_999_999),
                "{name}"
            );
        }
        fixture.mount();
    }
    // And for what the kernel is told to use as it is.
    let exact = Timespec {
        tv_sec: -1,
        tv_nsec: 1,
    };
    let times = rustix::fs::Timestamps {
        last_access: exact,
        last_modification: exact,
    };
    rustix::fs::futimens(File::open(fixture.path("new")).unwrap(), &times).unwrap();
    let metadata = fs::metadata(fixture.path("new")).unwrap();
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-1, 1));
}

#[test]
fn names_may_be_any_bytes_and_as_long_as_on_ext4() {
    let Some(mut fixture) = fixture(|tree| tree.directory("d")) else {
        return;
    };
    let long = [b'n'; 255];
    let names: [&[u8]; 4] = [b"\xff\xfe", b" \n\t", &long, "\u{e4}\u{20ac}".as_bytes()];
    for name in names {
        fs::write(fixture.path("d").join(OsStr::from_bytes(name)), name).unwrap();
    }
    let too_long = fixture.path("d").join(OsStr::from_bytes(&[b'n'; 256]));
    let error = fs::write(too_long, "").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidFilename);
    fixture.mount();
    let listed: HashSet<Vec<u8>> = fs::read_dir(fixture.path("d"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().as_bytes().to_vec())
        .collect();
    assert_eq!(listed.len(), names.len());
    for name in names {
        assert!(listed.contains(name));
        let contents = fs::read(fixture.path("d").join(OsStr::from_bytes(name))).unwrap();
        assert_eq!(contents, name);
    }
}

#[test]
fn holes_stay_holes_and_are_found() {
    const FAR: u64 = 6 << 30;
    let Some(mut fixture) = fixture(|tree| tree.file("lower", "x")) else {
        return;
    };
    for name in ["lower", "new"] {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(fixture.path(name))
            .unwrap();
        file.write_all_at(b"end", FAR).unwrap();
    }
    fixture.mount();
    for name in ["lower", "new"] {
        let file = File::open(fixture.path(name)).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), FAR + 3, "{name}");
        assert!(metadata.blocks() < 100, "{name}: {}", metadata.blocks());
        assert_eq!(seek(&file, SeekFrom::Data(1 << 20)).unwrap(), FAR, "{name}");
        let hole = seek(&file, SeekFrom::Hole(0)).unwrap();
        assert!(hole < 1 << 20, "{name}: {hole}");
        let mut end = [0; 4];
        assert_eq!(file.read_at(&mut end, FAR).unwrap(), 3);
        assert_eq!(&end[..3], b"end");
    }
}

#[test]
fn appending_from_two_sides_loses_nothing() {
    let Some(fixture) = fixture(|tree| tree.file("log", "")) else {
        return;
    };
    let path = fixture.path("log");
    std::thread::scope(|scope| {
        for who in ["a", "b", "c"] {
            let path = &path;
            scope.spawn(move || {
                let mut file = OpenOptions::new().append(true).open(path).unwrap();
                for number in 0..500 {
                    file.write_all(format!("{who} {number:05}\n").as_bytes())
                        .unwrap();
                }
            });
        }
    });
    let log = fs::read_to_string(path).unwrap();
    let lines: HashSet<&str> = log.lines().collect();
    assert_eq!(lines.len(), 1500);
    assert!(lines.iter().all(|line| line.len() == 7));
}

#[test]
fn locks_of_two_descriptors_exclude_each_other() {
    let Some(fixture) = fixture(|tree| tree.file("lock", "")) else {
        return;
    };
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(fixture.path("lock"))
            .unwrap()
    };
    let (one, other) = (open(), open());
    one.lock_shared().unwrap();
    other.try_lock_shared().unwrap();
    other.unlock().unwrap();
    assert!(other.try_lock().is_err());
    one.unlock().unwrap();
    other.try_lock().unwrap();
    assert!(one.try_lock_shared().is_err());
    drop(other);
    one.try_lock().unwrap();
}

#[test]
fn a_huge_directory_shows_each_inode_that_it_lists() {
    const NAMES: usize = 6_000;
    let Some(fixture) = fixture(|tree| {
        (0..NAMES).fold(tree, |tree, number| {
            tree.file(format!("huge/{number}"), "x".repeat(number % 7))
        })
    }) else {
        return;
    };
    // Told by names alone until the first is looked at, with inodes from then on.
    let mut inodes = HashSet::new();
    for entry in fs::read_dir(fixture.path("huge")).unwrap() {
        let entry = entry.unwrap();
        let number: usize = entry.file_name().to_str().unwrap().parse().unwrap();
        assert!(entry.file_type().unwrap().is_file());
        if inodes.len() > 300 {
            let found = entry.metadata().unwrap();
            assert_eq!(found.len(), number as u64 % 7, "{number}");
            assert_eq!(found.ino(), std::os::unix::fs::DirEntryExt::ino(&entry));
        }
        assert!(inodes.insert(std::os::unix::fs::DirEntryExt::ino(&entry)));
    }
    assert_eq!(inodes.len(), NAMES);
}
