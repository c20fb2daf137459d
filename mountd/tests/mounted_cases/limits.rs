//! A limited store, as programs meet it.

use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, StatVfs, fallocate, statvfs};
use rustix::io::Errno;
use wpar_mountd::spec::SpaceLimits;

use super::*;

const MIB: u64 = 1 << 20;

fn limited(bytes: Option<u64>, inodes: Option<u64>) -> Option<Fixture> {
    let mut fixture = fixture(|tree| tree.file("small", vec![b's'; 500_000]))?;
    fixture.limits = SpaceLimits { bytes, inodes };
    fixture.mount();
    Some(fixture)
}

fn space(fixture: &Fixture) -> StatVfs {
    statvfs(fixture.root()).unwrap()
}

fn is_full(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOSPC.raw_os_error())
}

/// Waits until so many bytes can be had: the kernel forgets an inode when it likes.
fn until_free(fixture: &Fixture, bytes: u64) {
    let begun = Instant::now();
    while space(fixture).f_bavail * space(fixture).f_frsize < bytes {
        assert!(begun.elapsed() < Duration::from_secs(30), "never freed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn programs_get_no_space_at_the_limit_and_go_on_when_there_is_some() {
    let Some(mut fixture) = limited(Some(4 * MIB), None) else {
        return;
    };
    let path = fixture.path("new");
    let mut file = fs::File::create(&path).unwrap();
    let mut written = 0;
    let error = loop {
        match file.write(&[b'f'; 300_000]) {
            Ok(0) => panic!("nothing was written, and no reason given"),
            Ok(length) => written += length as u64,
            Err(error) => break error,
        }
    };
    assert!(is_full(&error), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), written);
    assert!(
        written > 4 * MIB - 64 * 1024 && written < 4 * MIB,
        "{written}"
    );
    let full = space(&fixture);
    assert_eq!(full.f_blocks * full.f_frsize, 4 * MIB);
    assert_eq!((full.f_bfree, full.f_bavail), (0, 0));
    // No copy-up, no space ahead, no directory; but what is there can be written and read.
    let small = fs::OpenOptions::new()
        .write(true)
        .open(fixture.path("small"));
    let refused = small.and_then(|small| small.write_all_at(b"x", 0));
    assert!(is_full(&refused.unwrap_err()));
    assert_eq!(
        fs::read(fixture.path("small")).unwrap(),
        vec![b's'; 500_000]
    );
    let ahead = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 8 * MIB);
    assert_eq!(ahead, Err(Errno::NOSPC));
    assert!(is_full(&fs::create_dir(fixture.path("dir")).unwrap_err()));
    file.write_all_at(b"again", 1000).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fixture.mount();
    assert_eq!(
        space(&fixture).f_bfree,
        0,
        "as before, from the first moment"
    );
    let contents = fs::read(&path).unwrap();
    assert_eq!(contents.len() as u64, written);
    assert_eq!(&contents[999..1006], b"fagainf");
    // A file that is open without a name takes what it took, until it is closed.
    let open = fs::File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(space(&fixture).f_bfree, 0);
    drop(open);
    until_free(&fixture, 3 * MIB);
    fs::write(fixture.path("more"), vec![1; 2 << 20]).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(fixture.path("small"))
        .and_then(|small| small.write_all_at(b"x", 0))
        .unwrap();
}

#[test]
fn parallel_programs_stay_within_the_limit() {
    let Some(fixture) = limited(Some(16 * MIB), None) else {
        return;
    };
    std::thread::scope(|scope| {
        for number in 0..6 {
            let path = fixture.path(format!("f{number}"));
            scope.spawn(move || {
                let mut file = fs::File::create(path).unwrap();
                loop {
                    match file.write(&vec![1; 50_000 + 10_000 * number]) {
                        Ok(length) => assert!(length > 0),
                        Err(error) => {
                            assert!(is_full(&error), "{error}");
                            break;
                        }
                    }
                }
            });
        }
    });
    let taken: u64 = (0..6)
        .map(|number| fs::metadata(fixture.upper(format!("f{number}"))).unwrap())
        .map(|metadata| metadata.blocks() * 512)
        .sum();
    assert!(taken <= 16 * MIB, "{taken}");
    assert!(taken > 16 * MIB - 128 * 1024, "{taken}");
    assert_eq!(space(&fixture).f_bfree, 0);
}

#[test]
fn inodes_are_limited_and_told() {
    let Some(fixture) = limited(None, Some(80)) else {
        return;
    };
    assert_eq!((space(&fixture).f_files, space(&fixture).f_ffree), (80, 79));
    for number in 0..79 {
        fs::write(fixture.path(format!("f{number}")), "").unwrap();
    }
    let error = fs::write(fixture.path("late"), "").unwrap_err();
    assert!(is_full(&error), "{error}");
    assert_eq!(space(&fixture).f_ffree, 0);
    // Space is the host's.
    let host = statvfs(fixture.directory.path()).unwrap();
    assert_eq!(space(&fixture).f_blocks, host.f_blocks);
    fs::remove_file(fixture.path("f7")).unwrap();
    let begun = Instant::now();
    while fs::write(fixture.path("late"), "").is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never freed");
        std::thread::sleep(Duration::from_millis(20));
    }
}
