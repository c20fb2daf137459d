//! File systems in files, and disks: shown by the kernel, never written, compared with the tree
//! that they were made from.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::common::fixtures::sha256;
use crate::common::skip::need;
use crate::common::world::World;
use crate::trees::{assert_same, needs, shell, system};

/// Made in a mount namespace of its own, so that nothing is left mounted.
const BY_COPYING: &str = "
    truncate -s 512M \"$2\"; MKFS \"$2\" >/dev/null 2>&1
    unshare -m --propagation private sh -ec '
        mount -t FORMAT -o loop \"$2\" \"$3\"; cp -a \"$1/.\" \"$3\"; umount \"$3\"' sh \"$1\" \"$2\" \"$3\"";

/// How an image of each kind is made: its name, the programs, the script for `$1` tree, `$2` image,
/// `$3` an empty directory.
fn makers() -> Vec<(&'static str, Vec<&'static str>, String)> {
    let copying = |format: &str, program: &str| {
        BY_COPYING
            .replace("FORMAT", format)
            .replace("MKFS", program)
    };
    vec![
        (
            "squashfs",
            vec!["mksquashfs"],
            "mksquashfs \"$1\" \"$2\" -quiet -no-progress >/dev/null".to_owned(),
        ),
        (
            "erofs",
            vec!["mkfs.erofs"],
            "mkfs.erofs \"$2\" \"$1\" >/dev/null 2>&1".to_owned(),
        ),
        (
            "ext4",
            vec!["mkfs.ext4"],
            copying("ext4", "mkfs.ext4 -q -F"),
        ),
        (
            "ext2",
            vec!["mkfs.ext2"],
            copying("ext4", "mkfs.ext2 -q -F"),
        ),
        ("xfs", vec!["mkfs.xfs"], copying("xfs", "mkfs.xfs -q")),
        (
            "btrfs",
            vec!["mkfs.btrfs"],
            copying("btrfs", "mkfs.btrfs -q"),
        ),
    ]
}

struct Place {
    tree: PathBuf,
    point: PathBuf,
}

impl Place {
    fn new(world: &World) -> Result<Self, String> {
        let tree = system(&world.scratch())?;
        let point = world.scratch().join("mnt");
        fs::create_dir(&point).expect("a mount point");
        Ok(Self { tree, point })
    }

    fn make(&self, world: &World, name: &str, script: &str) -> PathBuf {
        let image = world.scratch().join(name);
        shell(script, &[&self.tree, &image, &self.point]);
        image
    }
}

fn loops() -> String {
    shell("losetup -a", &[])
}

#[test]
fn each_file_system_is_shown_as_the_tree_that_it_is_of() {
    let world = need!(World::new());
    let place = need!(Place::new(&world));
    for (name, programs, script) in makers() {
        need!(needs(&programs));
        let image = place.make(&world, name, &script);
        let before = (sha256(&image), fs::metadata(&image).unwrap().mtime_nsec());
        let (loops_before, mounts) = (loops(), host_mounts());
        world.wpar(["mount"]).arg(&image).arg(&place.point).ok();
        assert_eq!(
            host_mounts(),
            mounts + 1,
            "{name}: only the mount asked for"
        );
        assert_same(&place.tree, &place.point, name);
        world.wpar(["umount"]).arg(&place.point).ok();
        world.assert_empty();
        assert_eq!(loops(), loops_before, "{name}: no device is left");
        let after = (sha256(&image), fs::metadata(&image).unwrap().mtime_nsec());
        assert_eq!(after, before, "{name}: not written");
        fs::remove_file(&image).expect("the image");
    }
}

fn host_mounts() -> usize {
    fs::read("/proc/self/mountinfo").map_or(0, |text| text.split(|byte| *byte == b'\n').count())
}

#[test]
fn a_system_is_started_from_each_file_system() {
    let world = need!(World::new());
    let place = need!(Place::new(&world));
    for (name, programs, script) in makers() {
        need!(needs(&programs));
        let image = place.make(&world, name, &script);
        // Two at once, from one image.
        for wpar in ["one", "two"] {
            world.mkwpar(&image, wpar);
            world.ok(&format!("startwpar {wpar}"));
        }
        let say = "cat /srv/plain; echo changed >/srv/plain; cat /srv/plain";
        assert_eq!(world.inside("one", say), "plain\nchanged", "{name}");
        assert_eq!(world.inside("two", "cat /srv/plain"), "plain", "{name}");
        world.ok("stopwpar one");
        world.ok("startwpar one");
        assert_eq!(world.inside("one", "cat /srv/plain"), "changed", "{name}");
        for wpar in ["one", "two"] {
            world.ok(&format!("stopwpar {wpar}"));
        }
        world.remove_all();
        fs::remove_file(&image).expect("the image");
    }
}

#[test]
fn a_changed_file_system_is_not_started() {
    let world = need!(World::new());
    need!(needs(&["mksquashfs"]));
    let place = need!(Place::new(&world));
    let script = "mksquashfs \"$1\" \"$2\" -quiet -no-progress -noappend >/dev/null";
    let image = place.make(&world, "image", script);
    world.mkwpar(&image, "squash1");
    place.make(&world, "image", script);
    world
        .wpar(["startwpar", "squash1"])
        .refused(&["has changed since squash1 was made from it"]);
    world.remove_all();
}

#[test]
fn a_journal_is_told_and_not_replayed() {
    let world = need!(World::new());
    need!(needs(&["mkfs.ext4"]));
    let place = need!(Place::new(&world));
    let (_, _, script) = makers().swap_remove(2);
    // Else the superblock has a checksum, and could not be changed by hand.
    let script = script.replace("-q -F", "-q -F -O ^metadata_csum");
    let image = place.make(&world, "image", &script);
    let run = world.wpar(["mount"]).arg(&image).arg(&place.point);
    assert_eq!(run.ok().stderr, b"", "nothing to be said");
    world.wpar(["umount"]).arg(&place.point).ok();
    // As a host leaves it that loses its power: EXT4_FEATURE_INCOMPAT_RECOVER.
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&image)
        .unwrap();
    let mut flags = [0];
    file.read_exact_at(&mut flags, 1024 + 0x60).unwrap();
    file.write_all_at(&[flags[0] | 4], 1024 + 0x60).unwrap();
    let before = sha256(&image);
    let output = world.wpar(["mount"]).arg(&image).arg(&place.point).output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("its journal is not replayed"), "{said}");
    world.wpar(["umount", "-f"]).arg(&place.point).output();
    assert_eq!(sha256(&image), before);
    world.assert_empty();
}

/// A disk of `table` with the file systems `parts`, from the second partition on.
fn disk(world: &World, table: &str, parts: &[&Path]) -> PathBuf {
    let disk = world.scratch().join(format!("disk-{table}"));
    let mut lines = format!("label: {table}\nsize=2MiB\n");
    let sizes = parts
        .iter()
        .map(|part| fs::metadata(part).unwrap().len().div_ceil(1 << 20));
    let sizes: Vec<u64> = sizes.collect();
    for size in &sizes {
        lines.push_str(&format!("size={size}MiB\n"));
    }
    let total = sizes.iter().sum::<u64>() + 8;
    fs::write(world.scratch().join("table"), lines).unwrap();
    let script = "truncate -s \"$3\"M \"$1\"; sfdisk -q \"$1\" <\"$2\" >/dev/null";
    let size = PathBuf::from(total.to_string());
    shell(script, &[&disk, &world.scratch().join("table"), &size]);
    let mut offset = 3_u64 << 20;
    let file = fs::File::options().write(true).open(&disk).unwrap();
    for (part, size) in parts.iter().zip(sizes) {
        file.write_all_at(&fs::read(part).unwrap(), offset).unwrap();
        offset += size << 20;
    }
    disk
}

#[test]
fn the_system_on_a_disk_is_found() {
    let world = need!(World::new());
    need!(needs(&["mksquashfs", "sfdisk"]));
    let place = need!(Place::new(&world));
    let script = "mksquashfs \"$1\" \"$2\" -quiet -no-progress >/dev/null";
    let image = place.make(&world, "part", script);
    let other = world.scratch().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("data"), "no system").unwrap();
    let data = world.scratch().join("data");
    shell(script, &[&other, &data]);
    for table in ["gpt", "dos"] {
        let disk = disk(&world, table, &[&data, &image]);
        let output = world.wpar(["mount"]).arg(&disk).arg(&place.point).ok();
        let said = output.complaint();
        let expected = "partition 3 of the disk is shown (squashfs, Test System 1)";
        assert!(said.contains(expected), "{said}");
        assert_same(&place.tree, &place.point, table);
        world.wpar(["umount"]).arg(&place.point).ok();
        world.mkwpar(&disk, "disk1");
        world.ok("startwpar disk1");
        assert_eq!(world.inside("disk1", "cat /srv/small"), "small");
        world.ok("stopwpar disk1");
        world.remove_all();
        // Which of two is meant cannot be known.
        let two = self::disk(&world, table, &[&image, &image]);
        let says = "more than one system (1: unknown; 2: squashfs, Test System 1; 3: squashfs";
        let run = world.wpar(["mount"]).arg(&two).arg(&place.point);
        run.refused(&[says]);
        let none = self::disk(&world, table, &[&data, &data]);
        let run = world.wpar(["mkwpar", "-t", "-n", "none", "-B"]).arg(&none);
        run.refused(&["without a system"]);
        world.assert_empty();
    }
}

#[test]
fn the_root_sub_volume_of_a_btrfs_is_found() {
    let world = need!(World::new());
    need!(needs(&["mkfs.btrfs", "btrfs"]));
    let place = need!(Place::new(&world));
    let script = BY_COPYING
        .replace("FORMAT", "btrfs")
        .replace("MKFS", "mkfs.btrfs -q")
        .replace(
            "cp -a \"$1/.\" \"$3\"",
            "btrfs -q subvolume create \"$3/@home\"; btrfs -q subvolume create \"$3/@\"; \
             cp -a \"$1/.\" \"$3/@\"",
        );
    let image = place.make(&world, "image", &script);
    world.wpar(["mount"]).arg(&image).arg(&place.point).ok();
    assert_same(&place.tree, &place.point, "the sub-volume");
    world.wpar(["umount"]).arg(&place.point).ok();
    world.mkwpar(&image, "btrfs1");
    world.ok("startwpar btrfs1");
    assert_eq!(world.inside("btrfs1", "cat /srv/small"), "small");
    world.remove_all();
}

#[test]
fn damaged_file_systems_are_refused_by_the_kernels_own_words() {
    let world = need!(World::new());
    need!(needs(&["mksquashfs"]));
    let place = need!(Place::new(&world));
    let script = "mksquashfs \"$1\" \"$2\" -quiet -no-progress >/dev/null";
    let image = place.make(&world, "image", script);
    fs::File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(8192)
        .unwrap();
    let before = loops();
    for run in [
        world.wpar(["mount"]).arg(&image).arg(&place.point),
        world.wpar(["mkwpar", "-t", "-n", "x", "-B"]).arg(&image),
    ] {
        run.refused(&["the kernel cannot mount its squashfs file system"]);
        world.assert_empty();
    }
    assert_eq!(loops(), before);
}
