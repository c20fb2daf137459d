//! A supervisor that dies is followed by another one; or what it left is taken away. The state is
//! true at each moment, and one command puts everything right.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::fixtures::fixture;
use crate::common::procfs::Process;
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::world::{BOOT, World};

#[track_caller]
fn kill(process: &Process) {
    let pid = Pid::from_raw(process.pid).expect("a process id");
    kill_process(pid, Signal::KILL).unwrap_or_else(|error| panic!("{process:?}: {error}"));
    // Until its number says nothing about it any more.
    eventually("a killed process ends", Duration::from_secs(30), || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
        stat.rsplit_once(')')
            .is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
    });
}

#[track_caller]
fn keeper(world: &World, role: &str) -> Process {
    let keepers = world.keepers();
    let found = keepers
        .iter()
        .find(|process| process.command.starts_with(role));
    found
        .unwrap_or_else(|| panic!("no {role} in {keepers:#?}"))
        .clone()
}

/// Process 1 of the only WPAR of this world, as the host numbers it.
fn init(world: &World) -> Option<Process> {
    let groups = world.groups();
    let is_first = |process: &Process| {
        let status = fs::read_to_string(format!("/proc/{}/status", process.pid));
        status.is_ok_and(|status| {
            let numbers = status.lines().find(|line| line.starts_with("NSpid:"));
            numbers.is_some_and(|line| line.ends_with("\t1"))
        })
    };
    let mut processes = world.processes().into_iter();
    processes.find(|process| process.is_in(&groups) && is_first(process))
}

fn console_log(world: &World, name: &str) -> String {
    let path = world
        .root()
        .join(format!("var/lib/wpar/logs/{name}/console.log"));
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

#[test]
fn a_supervisor_that_is_killed_is_followed_by_another_one() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    world.mkwpar(&image, "victim");
    world.ok("startwpar victim");
    assert_eq!(world.wait_for_systemd("victim"), "running");
    let (first, daemon) = (
        keeper(&world, "wpar-supervisor"),
        keeper(&world, "wpar-mountd"),
    );
    let system = init(&world).expect("process 1");
    kill(&first);
    assert_eq!(
        world.state("victim").as_deref(),
        Some("A"),
        "looked after again"
    );
    let second = keeper(&world, "wpar-supervisor");
    assert_ne!(second.pid, first.pid);
    assert_eq!(
        keeper(&world, "wpar-mountd").pid,
        daemon.pid,
        "the same daemon"
    );
    assert_eq!(
        init(&world).expect("process 1").pid,
        system.pid,
        "the same system"
    );
    // Its console is the same one, and read.
    world.inside("victim", "echo still-heard >/dev/console");
    eventually("the console is logged", BOOT, || {
        console_log(&world, "victim").contains("still-heard")
    });
    // The new one is a supervisor in full: it lets another daemon follow, and can die as well.
    kill(&daemon);
    assert_eq!(world.inside("victim", "cat /etc/hostname; echo"), "victim");
    kill(&second);
    world.inside("victim", "echo heard-again >/dev/console");
    eventually("the console is logged", BOOT, || {
        console_log(&world, "victim").contains("heard-again")
    });
    world.ok("rebootwpar victim");
    assert_eq!(world.wait_for_systemd("victim"), "running");
    kill(&keeper(&world, "wpar-supervisor"));
    world.ok("stopwpar victim");
    assert_eq!(world.state("victim").as_deref(), Some("D"));
    world.remove_all();
}

#[test]
fn what_a_system_asks_for_at_its_end_is_heard_by_the_second_supervisor() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    world.mkwpar(&image, "victim");
    world.ok("startwpar victim");
    kill(&keeper(&world, "wpar-supervisor"));
    assert_eq!(world.state("victim").as_deref(), Some("A"));
    let before = init(&world).expect("process 1");
    // The kernel tells since 6.15 how a process ended that is no child.
    if version >= (6, 15) {
        let _ = world
            .wpar(["clogin", "victim", "/bin/sh", "-c", "reboot -f"])
            .output();
        eventually("it has started again", BOOT, || {
            init(&world).is_some_and(|now| now.pid != before.pid)
                && world.state("victim").as_deref() == Some("A")
        });
    }
    let _ = world
        .wpar(["clogin", "victim", "/bin/sh", "-c", "poweroff -f"])
        .output();
    eventually("it is down", BOOT, || {
        world.state("victim").as_deref() == Some("D") && world.keepers().is_empty()
    });
    world.remove_all();
}

#[test]
fn a_system_that_ended_unwatched_is_defined_and_leaves_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "victim");
    for repair in ["lswpar", "startwpar victim", "rmwpar victim"] {
        world.ok("startwpar victim");
        world.inside("victim", "echo kept >/root/note; sync");
        kill(&keeper(&world, "wpar-supervisor"));
        kill(&init(&world).expect("process 1"));
        world.ok(repair);
        match repair {
            "lswpar" => {
                world.assert_empty_but("victim");
                assert_eq!(world.state("victim").as_deref(), Some("D"));
            }
            "startwpar victim" => {
                assert_eq!(world.inside("victim", "cat /root/note"), "kept");
                world.ok("stopwpar -F victim");
            }
            _ => world.assert_empty(),
        }
    }
}

#[test]
fn both_keepers_killed_is_broken_until_it_is_stopped_by_force() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "victim");
    world.ok("startwpar victim");
    let keepers = world.keepers();
    let (supervisor, daemon) = (
        keeper(&world, "wpar-supervisor"),
        keeper(&world, "wpar-mountd"),
    );
    assert_eq!(keepers.len(), 2, "{keepers:?}");
    kill(&supervisor);
    kill(&daemon);
    // Its init has lost its files. If it lives all the same, nobody can save it.
    if init(&world).is_some() && world.state("victim").as_deref() != Some("D") {
        assert_eq!(world.state("victim").as_deref(), Some("B"));
        world
            .wpar(["clogin", "victim", "true"])
            .refused(&["stopwpar -F"]);
        world.ok("stopwpar -F victim");
    }
    assert_eq!(world.state("victim").as_deref(), Some("D"));
    world.assert_empty_but("victim");
    world.ok("startwpar victim");
    world.remove_all();
}

/// Places at which a supervisor dies while it starts a WPAR; what was started may live behind the
/// last ones.
const STARTING: &[&str] = &[
    "run-directory",
    "state",
    "sockets",
    "groups",
    "daemon",
    "daemon-ready",
    "mounted",
    "root-given",
    "born",
    "birth-noted",
    "executed",
    "execution-noted",
    "answered",
];

/// Places while it stops one.
const STOPPING: &[&str] = &[
    "stop-noted",
    "stop-told",
    "ended",
    "killed",
    "unmounted",
    "undone",
];

/// Places while it starts one again.
const RESTARTING: &[&str] = &["restart-killed", "restart-noted"];

/// After a death: the state is A or D, and true, by one look; the next commands work.
#[track_caller]
fn assert_true_and_usable(world: &World, place: &str) {
    let mut states = BTreeSet::new();
    eventually(&format!("state A or D after {place}"), BOOT, || {
        let state = world.state("victim").unwrap_or_default();
        let settled = matches!(state.as_str(), "A" | "D");
        states.insert(state);
        settled
    });
    match world.state("victim").as_deref() {
        Some("A") => {
            assert_eq!(
                world.inside("victim", "hostname"),
                "victim",
                "after {place}"
            );
            assert_eq!(world.keepers().len(), 2, "after {place}");
            world.ok("stopwpar -F victim");
        }
        Some("D") => {}
        other => panic!("{other:?} after {place}, before: {states:?}"),
    }
    world.assert_empty_but("victim");
    assert!(!states.contains("B"), "broken after {place}: {states:?}");
}

#[test]
fn a_supervisor_may_die_at_each_step_of_a_start() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "victim");
    for place in STARTING {
        let output = world
            .wpar(["startwpar", "victim"])
            .env("WPAR_DIE_AT", place)
            .output();
        // Whoever has heard that it runs is right: it does.
        let told = output.status.success();
        assert_eq!(told, matches!(*place, "answered"), "{place}: {output}");
        assert_true_and_usable(&world, place);
    }
    world.remove_all();
}

#[test]
fn a_supervisor_may_die_at_each_step_of_a_stop_and_of_a_restart() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "victim");
    let stops = STOPPING.iter().map(|place| ("stopwpar", *place));
    let restarts = RESTARTING.iter().map(|place| ("rebootwpar", *place));
    for (verb, place) in stops.chain(restarts) {
        world
            .wpar(["startwpar", "victim"])
            .env("WPAR_DIE_AT", place)
            .ok();
        let first = keeper(&world, "wpar-supervisor");
        let output = world.wpar([verb, "victim"]).output();
        let died = world
            .keepers()
            .iter()
            .all(|process| process.pid != first.pid);
        assert!(died, "{place} was never reached: {output}");
        assert_true_and_usable(&world, place);
    }
    world.remove_all();
}

/// Small numbers from a seed, for a test that can be repeated.
fn next(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (*seed >> 33) % bound
}

#[test]
fn commands_killed_at_any_moment_leave_what_the_next_one_puts_right() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let mut seed = 20_261_128;
    let image = image.display().to_string();
    for round in 0..16 {
        for line in [
            vec!["mkwpar", "-t", "-B", &image, "-n", "victim"],
            vec!["startwpar", "victim"],
            vec!["rebootwpar", "-F", "victim"],
            vec!["stopwpar", "-F", "victim"],
            vec!["rmwpar", "-F", "victim"],
        ] {
            if next(&mut seed, 2) == 0 {
                let running = world.wpar(line).start();
                std::thread::sleep(Duration::from_millis(next(&mut seed, 200)));
                running.signal(Signal::KILL);
                running.wait();
            } else {
                // Its state may be any: of an earlier command that was killed.
                let _ = world.wpar(line).output();
            }
            eventually(&format!("round {round}: a state that stays"), BOOT, || {
                !matches!(world.state("victim").as_deref(), Some("T"))
            });
            let state = world.state("victim");
            assert!(
                matches!(state.as_deref(), None | Some("A" | "D")),
                "round {round}: {state:?}"
            );
        }
        let _ = world.wpar(["rmwpar", "-F", "victim"]).output();
        world.assert_gone("victim");
        world.assert_empty();
    }
}

#[test]
fn a_command_goes_on_when_its_supervisor_is_killed() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let script = "touch /ready; until test -e /go; do sleep 0.1; done; echo done; exit 7";
    let running = world
        .wpar(["wparexec", "-t", "-n", "once", "-B"])
        .arg(&image)
        .args(["--", "sh", "-c", script])
        .start();
    let soon = Duration::from_secs(60);
    let is_there = |file: &str| {
        let asked = world.wpar(["clogin", "once", "test", "-e", file]).output();
        asked.status.success()
    };
    eventually("the command runs", soon, || is_there("/ready"));
    let first = keeper(&world, "wpar-supervisor");
    kill(&first);
    eventually("another supervisor follows", soon, || {
        let keepers = world.keepers();
        let mut supervisors = keepers.iter().filter(|process| {
            process.command.starts_with("wpar-supervisor") && process.pid != first.pid
        });
        supervisors.next().is_some()
    });
    eventually("the command can be reached again", soon, || {
        world
            .wpar(["clogin", "once", "touch", "/go"])
            .output()
            .status
            .success()
    });
    let output = running.wait().ended_with(7);
    assert_eq!(output.text(), "done", "{output}");
    world.assert_gone("once");
    world.assert_empty();
}
