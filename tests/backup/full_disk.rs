//! A backup that does not fit leaves nothing.

use std::fs;
use std::process::Command;

use wpar_mountd::lower::tar::save::SaveError;

use crate::save;
use crate::scratch;
use crate::tar_support::{is_root, run};

/// Bytes that no compressor can do anything with.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = crate::tar_support::Random::new(seed);
    (0..length).map(|_| (random.next() >> 32) as u8).collect()
}

#[test]
fn a_full_disk_leaves_nothing() {
    if !is_root() {
        return;
    }
    let (_temp, dir) = scratch("full");
    let (source, disk) = (dir.join("source"), dir.join("disk"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&disk).unwrap();
    for number in 0..40 {
        fs::write(source.join(format!("f{number}")), noise(number, 200_000)).unwrap();
    }
    let point = disk.to_str().unwrap();
    run("mount", ["-t", "tmpfs", "-o", "size=3m", "none", point]);
    let image = disk.join("image");
    let results = [Some(3), None].map(|level| save(&source, &image, level));
    let left: Vec<_> = fs::read_dir(&disk).unwrap().collect();
    let _ = Command::new("umount").arg(point).status();
    for result in results {
        assert!(
            matches!(result, Err(SaveError::DiskFull { .. })),
            "{result:?}"
        );
    }
    assert!(left.is_empty(), "{left:?}");
}
