//! A copy of an image starts at the level of the host, or as a versioned one.

use std::path::{Path, PathBuf};

use crate::common::fixtures::fixture;
use crate::common::skip::need;
use crate::common::world::World;

/// An image that is surely at no level of this machine.
fn foreign() -> Result<PathBuf, String> {
    fixture("busybox")
}

fn make(world: &World, image: &Path, more: &[&str]) -> crate::common::run::Output {
    world
        .wpar_as_is(["mkwpar", "-t", "-n", "one"])
        .args(more)
        .arg("-B")
        .arg(image)
        .output()
}

#[test]
fn another_level_is_made_and_starts_only_as_a_versioned_one() {
    let world = need!(World::new());
    let image = need!(foreign());
    let made = make(&world, &image, &[]);
    assert_eq!(made.code(), 0, "{made}");
    assert!(
        made.complaint()
            .contains("one is at level unknown-0, the host is at "),
        "{made}"
    );
    assert_eq!(world.state("one").as_deref(), Some("D"));
    world.refused(
        "startwpar one",
        &["make it a versioned workload partition with 'chwpar -C one'"],
    );
    assert_eq!(world.state("one").as_deref(), Some("D"));
    world.refused("startwpar -F one", &["is at level unknown-0"]);
    world.ok("chwpar -C one");
    world.ok("startwpar one");
    assert_eq!(world.ok("lswpar -qc -a type,state one").text(), "L:A");
    assert_eq!(world.inside("one", "echo here"), "here");
    world.ok("stopwpar one");
    world.ok("chwpar -K -C one");
    world.refused("startwpar one", &["chwpar -C one"]);
    world.remove_all();
}

#[test]
fn mkwpar_s_leaves_a_defined_one_and_says_why() {
    let world = need!(World::new());
    let image = need!(foreign());
    let made = make(&world, &image, &["-s"]);
    assert_eq!(made.code(), 1, "{made}");
    assert!(
        made.complaint()
            .contains("one was made but did not start: one is at level"),
        "{made}"
    );
    assert_eq!(world.state("one").as_deref(), Some("D"));
    world.ok("rmwpar one");
    assert_eq!(make(&world, &image, &["-s", "-C"]).code(), 0);
    assert_eq!(world.state("one").as_deref(), Some("A"));
    world.remove_all();
}

#[test]
fn the_level_of_the_host_needs_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    need!(match world.is_at_level_of_host(&image) {
        true => Ok(()),
        false => Err("this machine is at another level than the image"),
    });
    let made = make(&world, &image, &["-s"]);
    assert_eq!(made.code(), 0, "{made}");
    assert_eq!(world.ok("lswpar -qc -a type,state one").text(), "S:A");
    assert_eq!(world.ok("oslevel -r -n one").text().len(), "1200-11".len());
    world.remove_all();
}

/// Whoever upgrades a WPAR from inside to the level of the host has a WPAR of that level.
#[test]
fn what_was_upgraded_inside_is_seen() {
    let world = need!(World::new());
    let image = need!(foreign());
    assert_eq!(make(&world, &image, &["-C", "-s"]).code(), 0);
    let release = std::fs::read("/etc/os-release").expect("os-release of this machine");
    world
        .wpar(["clogin", "one", "/bin/sh", "-c", "cat >/etc/os-release"])
        .stdin(release)
        .ok();
    let level = |line: &str| world.ok(line).text().to_owned();
    assert_eq!(
        level("oslevel -r -n one").split('-').next(),
        level("oslevel -r").split('-').next()
    );
    world.ok("stopwpar one");
    world.ok("chwpar -K -C one");
    world.ok("startwpar one");
    world.remove_all();
}

#[test]
fn a_command_and_a_look_need_no_level() {
    let world = need!(World::new());
    let image = need!(foreign());
    let run = world.wpar(["wparexec", "-t", "-B"]).arg(&image);
    assert_eq!(run.args(["--", "echo", "runs"]).ok().text(), "runs");
    world.assert_empty();
}

/// A tree that says of itself that it is a system at the level of this machine, with a shell for
/// another kind of processor.
fn of_another_architecture(world: &World) -> PathBuf {
    let tree = world.scratch().join("tree");
    std::fs::create_dir_all(tree.join("usr/bin")).expect("a directory");
    std::fs::create_dir_all(tree.join("etc")).expect("a directory");
    std::os::unix::fs::symlink("usr/bin", tree.join("bin")).expect("a link");
    std::fs::copy("/etc/os-release", tree.join("etc/os-release")).expect("os-release");
    let mut shell = std::fs::read("/bin/sh").expect("a shell");
    // `EM_S390` of elf(5), in the order of bytes that the shell has.
    shell[18..20].copy_from_slice(&22u16.to_ne_bytes());
    std::fs::write(tree.join("usr/bin/sh"), shell).expect("a shell");
    tree
}

#[test]
fn programs_of_another_processor_are_refused_whatever_is_said() {
    let world = need!(World::new());
    let tree = of_another_architecture(&world);
    let made = make(&world, &tree, &["-C"]);
    assert_eq!(made.code(), 0, "{made}");
    let why = "one cannot run on this host: its programs are for s390x, this host is ";
    assert!(made.complaint().contains(why), "{made}");
    for line in ["startwpar one", "startwpar -F one"] {
        world.refused(line, &[why]);
    }
    assert_eq!(world.state("one").as_deref(), Some("D"));
    world.remove_all();
}
