//! The file system daemon is killed, again and again: what runs in the WPAR sees pauses.
//!
//! `WPAR_TEST_KILLS=1000` kills more often than the ordinary run does.

mod worker;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use self::worker::Worker;
use crate::common::Run;
use crate::common::fixtures::fixture;
use crate::common::manifest::{Manifest, Times};
use crate::common::program::copy_program;
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::world::{BOOT, World};

/// Kills of each run, unless the environment has another number.
const KILLS: u64 = 25;
const WORKERS: u64 = 4;
/// A daemon lives at least so long: one that dies at once is not followed for ever.
const SHORTEST_LIFE: u64 = 250;

fn kills() -> u64 {
    let asked = std::env::var("WPAR_TEST_KILLS").ok();
    asked
        .and_then(|number| number.parse().ok())
        .unwrap_or(KILLS)
}

/// Where file systems of the kernel are mounted.
fn of_the_kernel(path: &Path) -> bool {
    ["proc", "sys", "dev", "run", "tmp"]
        .iter()
        .any(|top| path.starts_with(top))
}

fn daemon(world: &World) -> i32 {
    let keepers = world.keepers();
    let daemon = keepers
        .iter()
        .find(|process| process.command.starts_with("wpar-mountd"));
    daemon
        .unwrap_or_else(|| panic!("no daemon among {keepers:?}"))
        .pid
}

/// Kills the daemon of the only WPAR, and waits for the next one.
#[track_caller]
pub(crate) fn kill_daemon(world: &World) {
    let pid = daemon(world);
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    eventually("another daemon", BOOT, || {
        world
            .keepers()
            .iter()
            .any(|process| process.command.starts_with("wpar-mountd") && process.pid != pid)
    });
}

/// Lets workers work below `directory` of the WPAR while its daemon is killed.
fn work_and_kill(world: &World, name: &str, directory: &str) {
    let root = world.base(name).join(directory);
    let over = AtomicBool::new(false);
    let operations: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let mut worker = Worker::new(root.join(format!("worker{number}")), number + 1);
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        worker.step();
                    }
                    let operations = worker.operations;
                    worker.finish();
                    operations
                })
            })
            .collect();
        for number in 0..kills() {
            thread::sleep(Duration::from_millis(SHORTEST_LIFE + number * 37 % 200));
            // A worker that found something wrong has panicked, which ends the test.
            if workers.iter().any(|worker| worker.is_finished()) {
                break;
            }
            kill_daemon(world);
        }
        over.store(true, Ordering::Relaxed);
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker found nothing wrong"))
            .sum()
    });
    println!("{operations} operations, {} kills", kills());
    assert!(operations > kills(), "next to nothing was done");
    assert_eq!(world.state(name).as_deref(), Some("A"));
}

#[test]
fn programs_see_a_pause_when_the_daemon_is_killed_over_rings() {
    let world = need!(World::new());
    world.mkwpar(&need!(fixture("busybox")), "victim");
    world.ok("startwpar victim");
    work_and_kill(&world, "victim", "tmp/..");
    world.remove_all();
}

#[test]
fn programs_see_a_pause_when_the_daemon_is_killed_over_the_device() {
    let world = need!(World::new());
    world.mkwpar(&need!(fixture("busybox")), "victim");
    let start = world.wpar(["startwpar", "victim"]);
    start.env("WPAR_FUSE_URING", "no").ok();
    work_and_kill(&world, "victim", "tmp/..");
    world.remove_all();
}

#[test]
fn what_is_open_locked_or_hidden_is_so_after_a_kill() {
    let world = need!(World::new());
    world.mkwpar(&need!(fixture("busybox")), "victim");
    world.ok("startwpar victim");
    let root = world.base("victim");
    let locked = File::create(root.join("locked")).unwrap();
    flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut nameless = File::create_new(root.join("nameless")).unwrap();
    nameless.write_all(b"still ").unwrap();
    fs::remove_file(root.join("nameless")).unwrap();
    // A file of the image without a name, and a directory that moved.
    let mut lower = File::open(root.join("etc/passwd")).unwrap();
    let contents = fs::read(root.join("etc/passwd")).unwrap();
    let number = lower.metadata().unwrap().ino();
    fs::remove_file(root.join("etc/passwd")).unwrap();
    fs::rename(root.join("etc"), root.join("moved")).unwrap();
    let before = Manifest::of(&root, Times::All, of_the_kernel);

    kill_daemon(&world);

    before.assert_unchanged(&Manifest::of(&root, Times::All, of_the_kernel), "the tree");
    let other = File::open(root.join("locked")).unwrap();
    let refused = flock(&other, FlockOperation::NonBlockingLockExclusive);
    assert!(refused.is_err(), "the lock is held");
    nameless.write_all(b"there").unwrap();
    assert_eq!(nameless.metadata().unwrap().nlink(), 0);
    assert_eq!(nameless.metadata().unwrap().len(), 11);
    let mut read = Vec::new();
    lower.read_to_end(&mut read).unwrap();
    assert_eq!(read, contents);
    assert_eq!(lower.metadata().unwrap().ino(), number);
    assert!(!root.join("moved/passwd").exists() && !root.join("etc").exists());
    drop((locked, other, nameless, lower));
    world.ok("stopwpar victim");
    world.ok("startwpar victim");
    assert!(root.join("moved/group").exists() && !root.join("nameless").exists());
    world.remove_all();
}

#[test]
fn a_copy_of_the_living_host_survives_a_kill() {
    let world = need!(World::in_view_of_the_host());
    world.ok("mkwpar -t -s -n victim");
    let root = world.base("victim");
    let programs = Manifest::of(&root.join("usr/sbin"), Times::All, |_| false);
    let program = fs::read(root.join("usr/bin/env")).unwrap();
    work_and_kill(&world, "victim", "srv");
    let now = Manifest::of(&root.join("usr/sbin"), Times::All, |_| false);
    programs.assert_unchanged(&now, "/usr/sbin");
    assert_eq!(fs::read(root.join("usr/bin/env")).unwrap(), program);
    world.remove_all();
}

#[test]
fn a_start_survives_the_death_of_its_daemon() {
    let world = need!(World::new());
    world.mkwpar(&need!(fixture("debian12-systemd")), "victim");
    world.ok("startwpar victim");
    for _ in 0..5 {
        kill_daemon(&world);
        thread::sleep(Duration::from_millis(SHORTEST_LIFE));
    }
    assert_eq!(world.wait_for_systemd("victim"), "running");
    world.ok("stopwpar victim");
    world.remove_all();
}

#[test]
fn a_new_version_goes_on_where_the_old_one_was_killed() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let tool = world.scratch().join("wpar");
    copy_program(Path::new(env!("CARGO_BIN_EXE_wpar")), &tool);
    world.mkwpar(&image, "victim");
    Run::new(&tool, ["startwpar", "victim"])
        .env("WPAR_ROOT", world.root())
        .ok();
    let newer = world.scratch().join("newer");
    copy_program(Path::new(env!("CARGO_BIN_EXE_wpar")), &newer);
    let expected = fs::metadata(&newer).unwrap().ino();
    fs::rename(&newer, &tool).unwrap();
    kill_daemon(&world);
    let running = fs::metadata(format!("/proc/{}/exe", daemon(&world))).unwrap();
    assert_eq!(running.ino(), expected, "the file that is there now");
    assert_eq!(world.inside("victim", "hostname"), "victim");
    world.remove_all();
}

#[test]
fn a_daemon_that_cannot_live_is_not_followed_for_ever() {
    let world = need!(World::new());
    world.mkwpar(&need!(fixture("busybox")), "victim");
    world.ok("startwpar victim");
    eventually("the mount is given up", BOOT, || {
        for process in world.keepers() {
            if process.command.starts_with("wpar-mountd")
                && let Some(pid) = Pid::from_raw(process.pid)
            {
                // It may have ended by itself meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        matches!(world.state("victim").as_deref(), Some("T" | "B"))
    });
    world.ok("rmwpar -F victim");
    world.assert_empty();
}
