//! The states that are neither running nor at rest, and what is kept about a WPAR: paused, in
//! maintenance, its console log, its errors.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::fixtures::fixture;
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::world::{BOOT, World};

/// A counter that runs inside, and its value as the host sees it.
fn counter(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.base(name).join("root/count")).unwrap_or_default()
}

#[test]
fn a_paused_wpar_stands_still_and_goes_on() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "still");
    world.refused("pause still", &["only an active"]);
    world.ok("startwpar still");
    world.inside(
        "still",
        "(i=0; while :; do i=$((i+1)); echo $i >/root/count; sleep 0.02; done) >/dev/null 2>&1 &",
    );
    let first = counter(&world, "still");
    eventually("it counts", BOOT, || counter(&world, "still") != first);
    world.refused("resume still", &["wpar pause"]);
    world.ok("pause still");
    assert_eq!(world.state("still").as_deref(), Some("F"));
    let halted = counter(&world, "still");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(counter(&world, "still"), halted, "it stands still");
    world.refused("clogin still true", &["wpar resume still"]);
    world.refused("startwpar still", &["wpar resume still"]);
    world.refused("pause still", &["only an active"]);
    world.refused("rmwpar still", &["-s"]);
    // One that is adopted is paused all the same.
    let supervisor = world.keepers().into_iter();
    let mut supervisor =
        supervisor.filter(|process| process.command.starts_with("wpar-supervisor"));
    let pid = Pid::from_raw(supervisor.next().expect("a supervisor").pid).expect("a process id");
    kill_process(pid, Signal::KILL).expect("kill");
    eventually("paused, and looked after", BOOT, || {
        world.state("still").as_deref() == Some("F") && world.keepers().len() == 2
    });
    world.ok("resume still");
    assert_eq!(world.state("still").as_deref(), Some("A"));
    eventually("it counts again", BOOT, || {
        counter(&world, "still") != halted
    });
    // A soft stop needs the processes: they go on first.
    world.ok("pause still");
    world.ok("stopwpar still");
    assert_eq!(world.state("still").as_deref(), Some("D"));
    world.ok("startwpar still");
    world.ok("pause still");
    world.ok("rmwpar -F still");
    world.assert_empty();
}

#[test]
fn maintenance_is_a_system_with_nothing_running_in_it() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    world.mkwpar(&image, "care");
    world.ok("startwpar -m care");
    assert_eq!(world.state("care").as_deref(), Some("L"));
    // Only what was asked for runs: the first process, the shell and this.
    let running = world.inside("care", "ls -d /proc/[0-9]* | wc -l");
    assert!(
        running.trim().parse::<u32>().expect("a number") <= 5,
        "{running}"
    );
    world.inside("care", "echo mended >/etc/motd");
    world.refused("startwpar care", &["stopwpar care"]);
    world.ok("stopwpar care");
    assert_eq!(world.state("care").as_deref(), Some("D"));
    world.ok("startwpar care");
    assert_eq!(world.state("care").as_deref(), Some("A"));
    assert_eq!(world.inside("care", "cat /etc/motd"), "mended");
    world.remove_all();
}

#[test]
fn the_console_and_the_errors_are_kept_and_shown() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "told");
    assert_eq!(world.ok("wparerr told").text(), "");
    world.ok("startwpar told");
    world.inside("told", "printf 'first\\nsecond\\nthird\\n' >/dev/console");
    eventually("the console is logged", BOOT, || {
        world.ok("logs told").text().contains("third")
    });
    let last = world.ok("logs -n 2 told");
    let lines: Vec<_> = last.text().lines().map(str::trim_end).collect();
    assert_eq!(lines, ["second", "third"]);
    let keepers = world.keepers();
    let daemon = keepers
        .iter()
        .find(|process| process.command.starts_with("wpar-mountd"));
    let pid = Pid::from_raw(daemon.expect("a daemon").pid).expect("a process id");
    kill_process(pid, Signal::KILL).expect("kill");
    eventually("the death is noted", BOOT, || {
        world
            .ok("wparerr told")
            .text()
            .contains("the file system daemon died")
    });
    world.ok("stopwpar told");
    let kept = world.ok("wparerr -w told");
    assert!(kept.text().contains("went on in its place"), "{kept}");
    world.refused("logs nobody", &["nobody"]);
    world.refused("wparerr nobody", &["nobody"]);
    world.remove_all();
}
