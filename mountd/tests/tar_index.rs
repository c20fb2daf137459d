//! The life of an index: built once, used again, built anew when it must be, never half there.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wpar_mountd::lower::tar::{
    BuildReason, ImageError, IndexFault, Progress, Silent, TarIndex, TarLower, ensure_index,
    side_file,
};

mod tar_support;
use tar_support::{contents, have, is_root, resolve, scratch, shell};

fn image(directory: &Path) -> PathBuf {
    shell(
        directory,
        "mkdir s; echo one >s/a; ln s/a s/b; tar -cf image.tar -C s .",
    );
    directory.join("image.tar")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_index_is_built_once_and_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(directory.path());
    let cache = directory.path().join("cache");
    let first = ensure_index(&image, &cache, &mut Silent).unwrap();
    assert_eq!(first.path, directory.path().join("image.tar.wparidx"));
    assert_eq!(first.path, side_file(&image, &cache));
    assert_eq!(
        (first.built, first.built_because),
        (true, Some(BuildReason::Missing))
    );
    assert_eq!(
        (first.entries, first.carries_xattrs, first.seekable_copy),
        (3, false, None)
    );
    let before = fs::read(&first.path).unwrap();
    let second = ensure_index(&image, &cache, &mut Silent).unwrap();
    assert_eq!((second.built, second.built_because), (false, None));
    assert_eq!(fs::read(&first.path).unwrap(), before);
    assert!(!cache.exists());
    assert_eq!(
        names(directory.path()),
        ["image.tar", "image.tar.wparidx", "s"]
    );
    // Built again, it is the same to the byte, and so are all numbers in it.
    fs::remove_file(&first.path).unwrap();
    ensure_index(&image, &cache, &mut Silent).unwrap();
    assert_eq!(fs::read(&first.path).unwrap(), before);
}

#[test]
fn a_changed_archive_is_refused_until_it_is_indexed_again() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(directory.path());
    let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    shell(directory.path(), "echo two >s/c; tar -cf image.tar -C s .");
    let error = TarLower::open(&image, &report.path).unwrap_err();
    assert!(matches!(error, ImageError::Changed { .. }), "{error}");
    let again = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    assert_eq!(again.built_because, Some(BuildReason::ArchiveChanged));
    let layer = TarLower::open(&image, &again.path).unwrap();
    assert_eq!(contents(&layer, "c"), b"two\n");
    let time = File::open(&image)
        .unwrap()
        .metadata()
        .unwrap()
        .modified()
        .unwrap();
    File::open(&image)
        .unwrap()
        .set_modified(time + Duration::from_nanos(1))
        .unwrap();
    assert!(matches!(
        TarLower::open(&image, &again.path),
        Err(ImageError::Changed { .. })
    ));
}

#[test]
fn a_damaged_or_foreign_index_is_built_again() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(directory.path());
    let path = ensure_index(&image, directory.path(), &mut Silent)
        .unwrap()
        .path;
    let whole = fs::read(&path).unwrap();
    let mut other_version = whole.clone();
    other_version[8] = 99;
    let cases = [
        (
            other_version,
            BuildReason::OtherVersion,
            IndexFault::OtherVersion(99),
        ),
        (
            whole[..100].to_vec(),
            BuildReason::Damaged,
            IndexFault::Damaged("it is too short"),
        ),
        (
            Vec::new(),
            BuildReason::Damaged,
            IndexFault::Damaged("it is too short"),
        ),
        (
            b"x".repeat(whole.len()),
            BuildReason::Damaged,
            IndexFault::Damaged("it does not begin like an index"),
        ),
        (
            [&whole[..], b"x"].concat(),
            BuildReason::Damaged,
            IndexFault::Damaged("its length is not what its header says"),
        ),
    ];
    for (bytes, reason, expected) in cases {
        fs::write(&path, &bytes).unwrap();
        match TarIndex::open(&path).unwrap_err() {
            ImageError::Index { fault, .. } => assert_eq!(fault, expected),
            other => panic!("{other}"),
        }
        let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
        assert_eq!(report.built_because, Some(reason));
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_lost_or_foreign_copy_is_built_again() {
    if !have("zstd") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    shell(
        directory.path(),
        "mkdir s; head -c 20000000 /dev/zero >s/zeros; echo x >s/a; tar -cf - -C s . | zstd -q >image",
    );
    let image = directory.path().join("image");
    let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    let copy = directory.path().join("image.wparidx.zst");
    assert_eq!(
        report.seekable_copy,
        Some(fs::metadata(&copy).unwrap().len())
    );
    assert!(
        !ensure_index(&image, directory.path(), &mut Silent)
            .unwrap()
            .built
    );
    fs::remove_file(&copy).unwrap();
    let error = TarLower::open(&image, &report.path).unwrap_err();
    assert!(
        error.to_string().contains("has lost its seekable copy"),
        "{error}"
    );
    let again = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    assert_eq!(again.built_because, Some(BuildReason::Damaged));
    let mut bytes = fs::read(&copy).unwrap();
    let last = bytes.len() - 30;
    bytes[last] ^= 1;
    fs::write(&copy, bytes).unwrap();
    assert!(
        ensure_index(&image, directory.path(), &mut Silent)
            .unwrap()
            .built
    );
    // An archive that needs none has none.
    shell(directory.path(), "zstd -qdc image >plain && mv plain image");
    assert_eq!(
        ensure_index(&image, directory.path(), &mut Silent)
            .unwrap()
            .seekable_copy,
        None
    );
    assert!(!copy.exists());
}

#[test]
fn the_index_of_an_image_that_others_may_not_read_is_as_private() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(directory.path());
    for (mode, expected) in [(0o600, 0o600), (0o640, 0o600), (0o644, 0o644)] {
        fs::set_permissions(&image, Permissions::from_mode(mode)).unwrap();
        let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
        let found = fs::metadata(&report.path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found & !expected, 0, "{mode:o} gave {found:o}");
        fs::remove_file(&report.path).unwrap();
    }
}

#[test]
fn processes_that_want_the_same_index_build_it_once() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(directory.path());
    let built: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ensure_index(&image, directory.path(), &mut Silent).unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().unwrap().built))
            .sum()
    });
    assert_eq!(built, 1);
    assert_eq!(
        names(directory.path()),
        ["image.tar", "image.tar.wparidx", "s"]
    );
}

/// Interrupts after some calls, and counts them.
struct Interrupting {
    left: u32,
    started: u32,
    finished: u32,
}

impl Progress for Interrupting {
    fn start(&mut self, total_bytes: u64) {
        assert!(total_bytes > 0);
        self.started += 1;
    }

    fn advance(&mut self, _bytes_done: u64, _entries: u64) {
        self.left = self.left.saturating_sub(1);
    }

    fn finish(&mut self) {
        self.finished += 1;
    }

    fn interrupted(&self) -> bool {
        self.left == 0
    }
}

#[test]
fn an_interruption_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    shell(
        directory.path(),
        "mkdir s; cd s; seq 3000 | xargs touch; tar -cf ../image.tar .; cd ..
         gzip -k image.tar; rm -r s",
    );
    for (name, ticks) in [("image.tar", 2), ("image.tar.gz", 1), ("image.tar.gz", 3)] {
        let image = directory.path().join(name);
        let mut progress = Interrupting {
            left: ticks,
            started: 0,
            finished: 0,
        };
        let error = ensure_index(&image, directory.path(), &mut progress).unwrap_err();
        assert!(matches!(error, ImageError::Interrupted { .. }), "{error}");
        assert_eq!((progress.started, progress.finished), (1, 1));
        assert_eq!(names(directory.path()), ["image.tar", "image.tar.gz"]);
    }
    // An old index stays.
    let image = directory.path().join("image.tar");
    ensure_index(&image, directory.path(), &mut Silent).unwrap();
    shell(directory.path(), "echo >>image.tar");
    let mut progress = Interrupting {
        left: 1,
        started: 0,
        finished: 0,
    };
    assert!(ensure_index(&image, directory.path(), &mut progress).is_err());
    assert_eq!(names(directory.path()).len(), 3);
}

/// Runs one test of this program again in a mount namespace, after some shell.
fn in_namespace(test: &str, prepare: &str, directory: &Path) {
    let program = std::env::current_exe().unwrap();
    let line = format!(
        "{prepare}; exec {} --exact {test} --nocapture",
        program.display()
    );
    let output = std::process::Command::new("unshare")
        .args(["-m", "sh", "-ec", &line])
        .env("INSIDE_NAMESPACE", directory)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

fn inside() -> Option<PathBuf> {
    std::env::var_os("INSIDE_NAMESPACE").map(PathBuf::from)
}

#[test]
fn an_image_on_a_read_only_disk_has_its_index_in_the_cache() {
    if let Some(directory) = inside() {
        let image = directory.join("ro/image.tar");
        let cache = directory.join("cache");
        let report = ensure_index(&image, &cache, &mut Silent).unwrap();
        assert_eq!(report.path, side_file(&image, &cache));
        assert_eq!(report.path.parent().unwrap(), cache);
        assert_eq!(names(&cache).len(), 1);
        let layer = TarLower::open(&image, &report.path).unwrap();
        assert!(resolve(&layer, "a").is_some());
        assert!(!ensure_index(&image, &cache, &mut Silent).unwrap().built);
        // Another path to the same file has the same index, another image another one.
        assert_eq!(
            side_file(&directory.join("ro/../ro/image.tar"), &cache),
            report.path
        );
        assert_ne!(
            side_file(&directory.join("ro/s/image.tar"), &cache),
            report.path
        );
        let error = ensure_index(&image, Path::new("/proc/none"), &mut Silent).unwrap_err();
        assert!(
            matches!(error, ImageError::IndexNotWritable { .. }),
            "{error}"
        );
        return;
    }
    if !is_root() || !have("unshare") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let read_only = directory.path().join("ro");
    fs::create_dir(&read_only).unwrap();
    image(&read_only);
    let at = read_only.display();
    let prepare = format!("mount --bind {at} {at}; mount -o remount,bind,ro {at}");
    let name = "an_image_on_a_read_only_disk_has_its_index_in_the_cache";
    in_namespace(name, &prepare, directory.path());
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left() {
    if let Some(directory) = inside() {
        let image = directory.join("small/image.tar");
        let error = ensure_index(&image, &directory, &mut Silent).unwrap_err();
        assert!(matches!(error, ImageError::DiskFull { .. }), "{error}");
        assert_eq!(names(&directory.join("small")), ["image.tar"]);
        return;
    }
    if !is_root() || !have("unshare") {
        return;
    }
    let (directory, small) = scratch("small");
    fs::create_dir(&small).unwrap();
    shell(
        directory.path(),
        "mkdir s; cd s; seq 3000 | xargs touch; tar -cf ../image.tar .",
    );
    let prepare = format!(
        "mount -t tmpfs -o size=1800k none {small}; cp {image} {small}",
        small = small.display(),
        image = directory.path().join("image.tar").display()
    );
    in_namespace(
        "a_full_disk_is_told_and_nothing_is_left",
        &prepare,
        directory.path(),
    );
}

#[test]
fn what_is_no_image_is_told_with_the_next_step() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::write(at("text"), "hello\n".repeat(1000)).unwrap();
    fs::write(at("zeros"), [0; 10_240]).unwrap();
    fs::write(at("lzip"), b"LZIP\x01........").unwrap();
    fs::write(at("zip"), b"PK\x03\x04........").unwrap();
    fs::write(at("squash"), b"hsqs........").unwrap();
    fs::write(at("mksysb"), b"\x09\x00\x6b\xea....").unwrap();
    shell(
        directory.path(),
        "mkfifo pipe; echo text | gzip >text.gz; gzip <squash >squash.gz",
    );
    let cases = [
        ("missing", "no such file; check the path"),
        ("directory", "is a directory, not an archive; pack it with"),
        ("pipe", "is not a regular file; copy"),
        ("empty", "is empty: it has no bytes"),
        ("zeros", "is empty: the archive has no entries"),
        (
            "text",
            "is not a tar archive: it does not begin with a tar header; check with",
        ),
        (
            "text.gz",
            "is gzip-compressed, but no tar archive is inside",
        ),
        (
            "lzip",
            "cannot be read directly: it is lzip-compressed; run \"lzip -dc ",
        ),
        ("zip", "it looks like a zip archive; unpack it"),
        (
            "squash",
            "it looks like a squashfs file system; it needs no index",
        ),
        (
            "squash.gz",
            "it is gzip-compressed, and inside is what looks like a squashfs file system; run \"gzip -dc ",
        ),
        // Of AIX, and torn: as such it can be read.
        ("mksysb", "is cut off at byte 8"),
    ];
    let before = names(directory.path());
    for (name, expected) in cases {
        let error = ensure_index(&at(name), directory.path(), &mut Silent).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{text}");
        assert!(text.contains(at(name).to_str().unwrap()), "{text}");
        assert_eq!(names(directory.path()), before);
    }
}

#[test]
fn a_directory_becomes_an_image_by_the_command_that_its_refusal_names() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir_all(tree.join("etc")).unwrap();
    fs::write(tree.join("etc/hostname"), "host\n").unwrap();
    let error = ensure_index(&tree, directory.path(), &mut Silent).unwrap_err();
    let text = error.to_string();
    let command = text.split('"').nth(1).expect("a command in quotes");
    shell(directory.path(), command);
    let image = directory.path().join("IMAGE.tar");
    let report = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    assert_eq!(report.warnings, [""; 0]);
    let lower = TarLower::open(&image, &report.path).unwrap();
    assert_eq!(contents(&lower, "etc/hostname"), b"host\n");
}
