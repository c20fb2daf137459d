//! The tool's own processes die by force: the state says so, and everything can be cleaned up.

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
}

/// After the deaths in `what`: T or B, no start, and `rmwpar -F` takes everything away.
#[track_caller]
fn assert_broken_and_removable(world: &World, name: &str, what: &str) {
    eventually(
        &format!("state T or B after {what}"),
        Duration::from_secs(30),
        || matches!(world.state(name).as_deref(), Some("T" | "B")),
    );
    // A supervisor that is left takes away what it can before it goes.
    eventually(
        &format!("nothing changes any more after {what}"),
        Duration::from_secs(30),
        || {
            let before = world.summary();
            std::thread::sleep(Duration::from_millis(500));
            world.summary() == before
        },
    );
    world.refused(
        &format!("startwpar {name}"),
        &["broken", "transitional", "rmwpar", "state"],
    );
    world.refused(&format!("rmwpar {name}"), &["-F"]);
    world.ok(&format!("rmwpar -F {name}"));
    world.assert_gone(name);
    world.assert_empty();
}

#[test]
fn each_keeper_killed_alone_and_all_at_once() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    for index in 0..=2 {
        world.mkwpar(&image, "victim");
        world.ok("startwpar victim");
        // A third is ahead of the start, for a moment.
        eventually("a supervisor and a daemon", BOOT, || {
            world.keepers().len() == 2
        });
        let keepers = world.keepers();
        let what = if let Some(one) = keepers.get(index) {
            kill(one);
            // Either is followed by another: see `takeover` and `adopt`.
            assert_eq!(world.wait_for_systemd("victim"), "running");
            world.ok("rmwpar -F victim");
            continue;
        } else {
            keepers.iter().for_each(kill);
            "all of them".to_owned()
        };
        assert_broken_and_removable(&world, "victim", &what);
    }
}

#[test]
fn a_wpar_survives_the_death_of_another_ones_keepers() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "bystander");
    world.ok("startwpar bystander");
    let before: Vec<i32> = world.keepers().iter().map(|process| process.pid).collect();
    world.mkwpar(&image, "victim");
    world.ok("startwpar victim");
    for process in world
        .keepers()
        .iter()
        .filter(|process| !before.contains(&process.pid))
    {
        kill(process);
    }
    eventually("the victim is broken", Duration::from_secs(30), || {
        matches!(world.state("victim").as_deref(), Some("T" | "B"))
    });
    assert_eq!(world.state("bystander").as_deref(), Some("A"));
    assert_eq!(world.inside("bystander", "hostname"), "bystander");
    world.ok("rmwpar -F victim");
    world.assert_gone("victim");
    assert_eq!(world.inside("bystander", "hostname"), "bystander");
    world.remove_all();
}

#[test]
fn what_was_synced_before_a_crash_is_there_after_it() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "victim");
    world.ok("startwpar victim");
    world.inside("victim", "echo precious >/root/note && sync");
    world.keepers().iter().for_each(kill);
    eventually("state T or B", Duration::from_secs(30), || {
        matches!(world.state("victim").as_deref(), Some("T" | "B"))
    });
    // A forced stop brings it back to D, from where it starts again with all that it had.
    world.ok("stopwpar -F victim");
    assert_eq!(world.state("victim").as_deref(), Some("D"));
    world.ok("startwpar victim");
    assert_eq!(world.inside("victim", "cat /root/note"), "precious");
    world.remove_all();
}

#[test]
fn a_system_that_will_not_stop_is_stopped_by_force() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    world.mkwpar(&image, "stubborn");
    world.ok("startwpar stubborn");
    assert_eq!(world.wait_for_systemd("stubborn"), "running");
    world.inside("stubborn",
        "printf '[Service]\\nExecStart=/bin/sh -c \"trap : TERM; while :; do sleep 1; done\"\\nTimeoutStopSec=600\\nSendSIGKILL=no\\n' \
         >/etc/systemd/system/stubborn.service; systemctl daemon-reload; systemctl start stubborn");
    world
        .wpar(["stopwpar", "-t", "3", "stubborn"])
        .refused(&["3 s", "seconds", "did not", "-F"]);
    assert_eq!(
        world.state("stubborn").as_deref(),
        Some("T"),
        "it is still on its way down"
    );
    world.ok("stopwpar -F stubborn");
    assert_eq!(world.state("stubborn").as_deref(), Some("D"));
    world.ok("startwpar stubborn");
    world.remove_all();
}
