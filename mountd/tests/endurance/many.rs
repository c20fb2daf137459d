//! Many files, all of them known to the kernel at once: memory and descriptors stay small, and come
//! back.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use wpar_mountd::lower::tar::{Silent, ensure_index};
use wpar_mountd::spec::{LowerSpec, MountSpec, SpaceLimits};

use crate::mount::{Mount, directory_spec, possible, scratch, walk};

/// Files of an ordinary run; `WPAR_MANY_FILES` says another number.
const FILES: usize = 100_000;
const FILES_IN_DIRECTORY: usize = 500;

/// What the daemon may have in memory (`VmRSS`, what `ps` shows), in kilobytes.
struct Most {
    /// In all, whatever the number of files up to a million.
    all: u64,
    /// Of its own (`RssAnon`) more than before the first walk: for caches, and for each file. Pages
    /// of the program come and go with the memory of the machine, and are not counted.
    grown: u64,
}

fn most(megabytes: u64, caches: u64, bytes_for_each: usize) -> Most {
    Most {
        all: megabytes << 10,
        grown: (caches << 10) + (files() * bytes_for_each / 1024) as u64,
    }
}

/// Descriptors that caches of the daemon may keep open.
const MOST_CACHED: usize = 1100;

/// Seconds for the kernel to give back what it was told to.
const PATIENCE: Duration = Duration::from_secs(60);

fn files() -> usize {
    std::env::var("WPAR_MANY_FILES").map_or(FILES, |text| text.parse().unwrap())
}

fn names() -> impl Iterator<Item = (usize, usize)> {
    (0..files()).map(|number| (number / FILES_IN_DIRECTORY, number))
}

#[test]
fn many_files_of_an_image_are_walked_in_little_memory() {
    if !possible() {
        return;
    }
    let directory = scratch();
    let image = directory.path().join("image.tar");
    write_image(&image);
    let index = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    let spec = MountSpec {
        lower: LowerSpec::Image {
            path: image,
            index: index.path,
            shared: None,
        },
        store: Some(directory.path().join("store")),
        hidden: Vec::new(),
        limits: SpaceLimits::default(),
        access: Default::default(),
    };
    let most = most(50, 12, 30);
    walk_twice("image", &spec, &directory.path().join("mnt"), &most);
}

#[test]
fn many_files_of_a_directory_are_walked_in_little_memory() {
    if !possible() {
        return;
    }
    let directory = scratch();
    let lower = directory.path().join("lower");
    for (above, number) in names() {
        let above = lower.join(format!("directory-{above}"));
        if number % FILES_IN_DIRECTORY == 0 {
            fs::create_dir_all(&above).unwrap();
        }
        File::create(above.join(format!("file-{number}"))).unwrap();
    }
    let spec = directory_spec(&lower, Some(&directory.path().join("store")));
    // Holes between tables that grew and shrank settle at 6 MB after five walks.
    let most = most(100, 12, 88);
    walk_twice("directory", &spec, &directory.path().join("mnt"), &most);
}

fn write_image(path: &Path) {
    let mut archive = tar::Builder::new(BufWriter::new(File::create(path).unwrap()));
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(0);
    for (above, number) in names() {
        header
            .set_path(format!("directory-{above}/file-{number}"))
            .unwrap();
        header.set_cksum();
        archive.append(&header, &b""[..]).unwrap();
    }
    archive.into_inner().unwrap().flush().unwrap();
}

fn walk_twice(what: &str, spec: &MountSpec, place: &Path, most: &Most) {
    fs::create_dir(place).unwrap();
    let mount = Mount::new(spec, place);
    let expected = files() + files().div_ceil(FILES_IN_DIRECTORY);
    let before = mount.descriptors();
    let small = mount.kilobytes("RssAnon");
    for round in 0..2 {
        assert_eq!(walk(place), expected);
        let (own, all) = (mount.kilobytes("RssAnon"), mount.kilobytes("VmRSS"));
        let peak = mount.kilobytes("VmHWM");
        let descriptors = mount.descriptors();
        println!(
            "{what}, {expected} names, walk {round}: {all} KiB in memory, {own} of its own ({small} at \
             the beginning), {peak} at the most, {descriptors} descriptors ({before} at the \
             beginning)"
        );
        assert!(all < most.all, "{all} KiB of {}", most.all);
        let grown = own.saturating_sub(small);
        assert!(grown < most.grown, "{grown} KiB more, of {}", most.grown);
        assert!(descriptors <= before + MOST_CACHED, "{descriptors}");
        forget_all(&mount);
        println!(
            "after the kernel forgot: {} KiB",
            mount.kilobytes("RssAnon")
        );
        assert!(mount.descriptors() <= before + MOST_CACHED);
    }
    mount.end();
}

/// Makes the kernel forget all inodes that nobody uses, and waits until the daemon is at rest.
fn forget_all(mount: &Mount) {
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    let begun = Instant::now();
    let mut last = mount.ticks();
    while begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_secs(1));
        let now = mount.ticks();
        if now == last {
            return;
        }
        last = now;
    }
}
