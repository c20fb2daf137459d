//! Programs that make a system copy fit, run inside it before its first init.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::common::fixtures::{fixture, unpack};
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::world::{BOOT, World};

const DIRECTORY: &str = "usr/lib/wpars/wparconvert.d";

/// Puts a shell script in one of the directories below `root`.
fn script(root: &Path, name: &str, text: &str, mode: u32) {
    let path = root.join(DIRECTORY).join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// The busybox image as a tree, in `scratch`.
fn tree(scratch: &Path) -> Result<PathBuf, String> {
    let image = fixture("busybox")?;
    let tree = scratch.join("tree");
    fs::create_dir(&tree).expect("a directory");
    unpack(&image, &tree);
    Ok(tree)
}

#[test]
fn programs_run_once_in_order_before_init_and_their_failure_is_told() {
    let world = need!(World::new());
    let tree = need!(tree(&world.scratch()));
    let say = "echo ${0##*/} $$ $INUWPAR $WPAR_NAME $WPAR_SOURCE >>/root/log";
    script(&tree, "usr/b", say, 0o755);
    script(&tree, "usr/B", say, 0o755);
    script(&tree, "root/a", say, 0o755);
    script(
        &tree,
        "root/c",
        &format!("{say}; echo to the console; exit 7"),
        0o755,
    );
    let pry = "(ls /proc/1/fd || cat /proc/1/environ || readlink /proc/1/exe) 2>&1 >/root/pried";
    script(&tree, "root/b-pries", pry, 0o755);
    script(
        &tree,
        "root/d",
        "test -e /run/rcS && echo too late >>/root/log",
        0o755,
    );
    script(&tree, "root/not-executable", say, 0o644);
    script(
        &world.root(),
        "usr/z-of-the-host",
        &format!("{say}; sleep 1000 &"),
        0o700,
    );

    world.mkwpar(&tree, "one");
    let started = world.ok("startwpar one");
    assert!(
        started.complaint().contains("root/c failed: exit status 7"),
        "{started}"
    );
    let log = world.inside("one", "sed 's/ [0-9]* / PID /' /root/log");
    let line = |name: &str| format!("{name} PID 1 one image");
    let expected = ["z-of-the-host", "B", "b", "a", "c"].map(line).join("\n");
    assert_eq!(log, expected);
    assert_eq!(
        world.inside("one", "pgrep sleep || true"),
        "",
        "what one leaves behind ends"
    );
    assert_eq!(
        world.inside("one", "ls /run/host"),
        "container-manager\nnotify"
    );
    let console = world.root().join("var/lib/wpar/logs/one/console.log");
    let console = fs::read_to_string(console).expect("the console's log");
    assert!(console.contains("to the console"), "{console}");

    let pried = world.inside("one", "cat /root/pried");
    assert_eq!(pried, "", "no way to the launcher's files");

    // Once, for as long as its store lives.
    world.ok("stopwpar -F one");
    world.ok("startwpar one");
    world.ok("rmwpar -F -p one");
    world.ok("mkwpar -p -n one");
    world.ok("startwpar one");
    assert_eq!(world.inside("one", "wc -l </root/log"), "5");
    world.ok("rmwpar -F one");
    world.mkwpar(&tree, "two");
    world.ok("startwpar two");
    assert_eq!(
        world.inside("two", "wc -l </root/log"),
        "5",
        "another copy has its own"
    );
    world.remove_all();
}

#[test]
fn a_start_that_is_interrupted_in_a_program_is_undone_and_runs_it_again() {
    let world = need!(World::new());
    let tree = need!(tree(&world.scratch()));
    script(
        &tree,
        "usr/slow",
        "echo x >>/root/log; test -s /root/go || sleep 1000",
        0o755,
    );
    world.mkwpar(&tree, "slow");
    let running = world.wpar(["startwpar", "slow"]).start();
    let console = world.root().join("var/lib/wpar/logs/slow/console.log");
    eventually("the program runs", BOOT, || {
        fs::read_to_string(&console).is_ok_and(|text| text.contains("usr/slow"))
    });
    running.signal(Signal::INT);
    let output = running.wait();
    assert!(!output.status.success(), "{output}");
    assert_eq!(world.state("slow").as_deref(), Some("D"), "{output}");
    fs::write(tree.join("root/go"), "now").expect("a file");
    world.ok("startwpar slow");
    assert_eq!(world.inside("slow", "wc -l </root/log"), "2");
    world.remove_all();
}
