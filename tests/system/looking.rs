//! `wpar mount` and `wpar umount`: what is in an image is shown as it is, to who may see it, and
//! nothing is left when it is taken off.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::fixtures::fixture;
use crate::common::procfs::Process;
use crate::common::run::{Run, eventually};
use crate::common::skip::need;
use crate::common::world::World;
use crate::trees::{assert_same, shell, system};

const PATIENCE: Duration = Duration::from_secs(30);

/// A directory `name` to mount on.
fn point(world: &World, name: &str) -> PathBuf {
    let point = world.scratch().join(name);
    fs::create_dir_all(&point).expect("a mount point");
    point
}

fn mount(world: &World, image: &Path, point: &Path) {
    world.wpar(["mount"]).arg(image).arg(point).ok();
}

fn umount(world: &World, point: &Path) {
    world.wpar(["umount"]).arg(point).ok();
    world.assert_empty();
}

/// What the tool lists of the mounts of this world; the machine may have others.
fn listed(world: &World) -> String {
    let scratch = world.scratch().display().to_string();
    let list = world.ok("mount");
    list.text()
        .lines()
        .filter(|line| line.contains(&scratch))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The archive of `tree`, with all that GNU tar can keep.
fn archive(world: &World, tree: &Path) -> PathBuf {
    let image = world.scratch().join("image.tar");
    shell(
        "tar --numeric-owner --xattrs --xattrs-include='*' -C \"$1\" -cf \"$2\" .",
        &[tree, &image],
    );
    image
}

#[test]
fn an_archive_is_shown_as_the_tree_that_it_is_of() {
    let world = need!(World::new());
    let tree = need!(system(&world.scratch()));
    let image = archive(&world, &tree);
    let point = point(&world, "mnt");
    mount(&world, &image, &point);
    assert_same(&tree, &point, "the archive");
    let line = format!("{} on {} (ro)\n", image.display(), point.display());
    assert_eq!(listed(&world), line);
    let refused = fs::write(point.join("srv/new"), "x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    umount(&world, &point);
    assert_eq!(listed(&world), "");
}

#[test]
fn what_is_written_goes_to_a_directory_and_is_there_again() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let (point, upper) = (point(&world, "mnt"), world.scratch().join("upper"));
    let mount = || {
        let run = world.wpar(["mount", "-w"]).arg(&upper);
        run.arg(&image).arg(&point)
    };
    mount().ok();
    fs::write(point.join("etc/new"), "written").expect("it can be written");
    fs::remove_dir_all(point.join("bin")).expect("it can be removed");
    umount(&world, &point);
    mount().ok();
    assert_eq!(fs::read(point.join("etc/new")).unwrap(), b"written");
    assert!(!point.join("bin").exists());
    umount(&world, &point);
    // The store is of that image and of no other.
    let other = world.scratch().join("other.tar");
    fs::copy(&image, &other).expect("a copy of the image");
    let run = world.wpar(["mount", "-w"]).arg(&upper).arg(&other);
    run.arg(&point).refused(&["has what was written to"]);
    world.assert_empty();
}

#[test]
fn a_mount_in_use_is_told_with_its_user_and_taken_by_force() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let point = point(&world, "mnt");
    mount(&world, &image, &point);
    let user = Run::new("sleep", ["600"]).current_dir(&point).start();
    let expected = format!("is in use by sleep ({})", user.pid().as_raw_nonzero());
    let run = world.wpar(["umount"]).arg(&point);
    run.refused(&[&expected]);
    assert!(point.join("bin").is_dir(), "it is still there");
    world.wpar(["umount", "-f"]).arg(&point).ok();
    assert!(!point.join("bin").exists());
    user.signal(Signal::KILL);
    drop(user);
    world.assert_empty();
}

/// The processes of the world that were started under this name.
fn called(world: &World, name: &str) -> Vec<Pid> {
    let is_called = |process: &Process| process.command.starts_with(name);
    let found = world.processes().into_iter().filter(is_called);
    found
        .filter_map(|process| Pid::from_raw(process.pid))
        .collect()
}

#[test]
fn a_daemon_that_is_killed_is_followed_by_another() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let point = point(&world, "mnt");
    mount(&world, &image, &point);
    for _ in 0..3 {
        let daemons = daemons(&world);
        assert_eq!(daemons.len(), 1, "{daemons:?}");
        kill_process(daemons[0], Signal::KILL).expect("the daemon can be killed");
        assert!(point.join("bin/busybox").is_file(), "no call fails");
        // A life must not be so short that it looks like a fault.
        eventually("another daemon", PATIENCE, || {
            let now = self::daemons(&world);
            now.len() == 1 && now != daemons
        });
        std::thread::sleep(Duration::from_millis(300));
    }
    umount(&world, &point);
}

/// Daemons have no argument that tells their mount: they are the children of the keeper.
fn daemons(world: &World) -> Vec<Pid> {
    let keepers = called(world, "wpar-keeper");
    let children = |keeper: &Pid| {
        let number = keeper.as_raw_nonzero();
        let list = format!("/proc/{number}/task/{number}/children");
        fs::read_to_string(list).unwrap_or_default()
    };
    let children: Vec<String> = keepers.iter().map(children).collect();
    children
        .iter()
        .flat_map(|list| list.split_whitespace())
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .filter(|pid| is_daemon(*pid))
        .collect()
}

fn is_daemon(pid: Pid) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    line.is_ok_and(|line| line.starts_with(b"wpar-mountd\0"))
}

#[test]
fn a_dead_mount_answers_with_errors_and_is_taken_away() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let point = point(&world, "mnt");
    mount(&world, &image, &point);
    let daemons = daemons(&world);
    for keeper in called(&world, "wpar-keeper") {
        kill_process(keeper, Signal::KILL).expect("the keeper can be killed");
    }
    kill_process(daemons[0], Signal::KILL).expect("the daemon can be killed");
    // A call that is under way while the last descriptor of the device goes gets another error.
    eventually("errors instead of waiting", PATIENCE, || {
        let error = fs::read_dir(&point).err();
        error.is_some_and(|error| error.raw_os_error() == Some(libc_enotconn()))
    });
    let run = world.wpar(["mount"]).arg(&image).arg(&point);
    run.refused(&["is mounted on"]);
    umount(&world, &point);
}

fn libc_enotconn() -> i32 {
    rustix::io::Errno::NOTCONN.raw_os_error()
}

#[test]
fn an_image_that_vanishes_is_shown_to_the_end() {
    let world = need!(World::new());
    let fixture = need!(fixture("busybox"));
    let image = world.scratch().join("image.tar");
    fs::copy(&fixture, &image).expect("a copy of the image");
    let point = point(&world, "mnt");
    mount(&world, &image, &point);
    fs::remove_file(&image).expect("the image can be removed");
    let contents = fs::read(point.join("bin/busybox")).expect("it is read");
    assert!(contents.starts_with(b"\x7fELF"));
    umount(&world, &point);
    let run = world.wpar(["mount"]).arg(&image).arg(&point);
    run.refused(&["cannot open the image"]);
}

#[test]
fn in_the_foreground_it_ends_with_the_command() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let point = point(&world, "mnt");
    for signal in [Signal::TERM, Signal::INT] {
        let run = world.wpar(["mount", "--foreground"]);
        let running = run.arg(&image).arg(&point).start();
        eventually("the mount", PATIENCE, || point.join("bin").is_dir());
        running.signal(signal);
        running.wait().succeeded();
        world.assert_empty();
    }
    // And the command with the mount.
    let run = world.wpar(["mount", "-f"]);
    let running = run.arg(&image).arg(&point).start();
    eventually("the mount", PATIENCE, || point.join("bin").is_dir());
    umount(&world, &point);
    running.wait().succeeded();
}

#[test]
fn what_cannot_be_mounted_is_refused_and_leaves_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let point = point(&world, "mnt");
    let (file, missing) = (
        world.scratch().join("file"),
        world.scratch().join("missing"),
    );
    fs::write(&file, "x").expect("a file");
    for (image, directory, says) in [
        (&image, &file, "is not a directory"),
        (&image, &missing, "there is no directory"),
        (&missing, &point, "cannot open the image"),
        (&file, &point, "is not a tar archive"),
    ] {
        let run = world.wpar(["mount"]).arg(image).arg(directory);
        run.refused(&[says]);
        world.assert_empty();
    }
    let upper = point.join("upper");
    let run = world.wpar(["mount", "-w"]).arg(&upper).arg(&image);
    run.arg(&point).refused(&["lies in the directory"]);
    world.wpar(["umount"]).arg(&point).refused(&["is no mount"]);
    world.assert_empty();
    assert!(!world.root().exists(), "no state is made for a mount");
}

#[test]
fn a_directory_is_shown_and_keeps_its_mounts_to_itself() {
    let world = need!(World::new());
    let tree = need!(system(&world.scratch()));
    let point = point(&world, "mnt");
    mount(&world, &tree, &point);
    assert_same(&tree, &point, "the directory");
    umount(&world, &point);
    let upper = tree.join("upper");
    let run = world.wpar(["mount", "-w"]).arg(&upper).arg(&tree);
    run.arg(&point).refused(&["lies in the directory"]);
}

#[test]
fn a_directory_is_started() {
    let world = need!(World::new());
    let tree = need!(system(&world.scratch()));
    world.mkwpar(&tree, "tree1");
    world.ok("startwpar tree1");
    assert_eq!(
        world.inside("tree1", "cat /srv/plain; echo new >/srv/plain"),
        "plain"
    );
    assert_eq!(fs::read(tree.join("srv/plain")).unwrap(), b"plain\n");
    world.ok("stopwpar tree1");
    // Another directory under its name is not what the store is of.
    let aside = world.scratch().join("aside");
    fs::rename(&tree, &aside).expect("the tree can be moved");
    fs::create_dir(&tree).expect("another one");
    let refused = world.wpar(["startwpar", "tree1"]);
    refused.refused(&["has changed since tree1 was made from it"]);
    fs::remove_dir(&tree).expect("it is empty");
    fs::rename(&aside, &tree).expect("the tree can be moved back");
    world.ok("startwpar tree1");
    assert_eq!(world.inside("tree1", "cat /srv/plain"), "new");
    world.ok("stopwpar tree1");
    world.remove_all();
}

#[test]
fn no_copy_of_the_tools_own_state_is_made() {
    let world = need!(World::new());
    let around = world.root().parent().unwrap().to_owned();
    for name in ["etc", "usr"] {
        fs::create_dir_all(around.join(name)).expect("it looks like a system");
    }
    let run = world
        .wpar(["mkwpar", "-t", "-n", "loop", "-B"])
        .arg(&around);
    run.refused(&["contains the stores of wpar itself"]);
    let run = world.wpar(["mkwpar", "-t", "-n", "host", "-B", "/"]);
    run.refused(&["/ is the running system"]);
    world.assert_empty();
}
