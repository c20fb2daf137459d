//! `clogin -C`: the console of a WPAR on a terminal here.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::fixtures::fixture;
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::terminal::Terminal;
use crate::common::world::World;

const SOON: Duration = Duration::from_secs(90);

fn console(world: &World, name: &str) -> Terminal {
    let words = ["clogin", "-C", name];
    Terminal::start(env!("CARGO_BIN_EXE_wpar"), &words, &world.root(), (24, 80))
}

/// A WPAR whose process 1 runs a shell on its console.
fn started(world: &World) -> Result<(), String> {
    let image = fixture("busybox")?;
    world.mkwpar(&image, "one");
    let inittab = world.scratch().join("inittab");
    fs::write(
        &inittab,
        "::sysinit:/bin/echo here it comes\n::respawn:-/bin/sh\n::ctrlaltdel:/bin/true\n",
    )
    .unwrap();
    world.ok(&format!("cp {} one:/etc/inittab", inittab.display()));
    world.ok("startwpar one");
    Ok(())
}

#[test]
fn a_console_shows_what_was_and_takes_what_is_typed() {
    let world = need!(World::new());
    need!(started(&world));
    let mut first = console(&world, "one");
    first.expect("Ctrl-] leaves it", SOON);
    first.expect("here it comes", SOON);
    first.type_keys("PS1='ready''> '; stty -echo\n");
    first.expect("ready> ", SOON);
    first.type_keys("tty; stty size\n");
    first.expect("24 80", SOON);
    first.resize((50, 132));
    // When the size arrives is not ours to say.
    first.type_keys("until test \"$(stty size)\" = '50 132'; do :; done; echo si''zed\n");
    first.expect("sized", SOON);

    // Another one sees the same, and what one types the other sees.
    let mut second = console(&world, "one");
    second.expect("sized", SOON);
    second.type_keys("echo to''gether\n");
    second.expect("together", SOON);
    first.expect("together", SOON);

    // One leaves; nothing inside notices.
    second.type_keys("\x1d");
    assert_eq!(second.wait(SOON).code(), Some(0));
    first.type_keys("echo still ''here\n");
    first.expect("still here", SOON);
    // Job control belongs to the inside.
    first.type_keys("\x1d");
    assert_eq!(first.wait(SOON).code(), Some(0));
    assert_eq!(world.state("one").as_deref(), Some("A"));
    world.remove_all();
}

#[test]
fn a_console_goes_on_over_the_death_of_the_supervisor_and_a_restart() {
    let world = need!(World::new());
    need!(started(&world));
    let mut terminal = console(&world, "one");
    terminal.type_keys("echo be''fore\n");
    terminal.expect("before", SOON);
    let supervisor = world.keepers().into_iter();
    let supervisor = supervisor
        .filter(|process| process.command.starts_with("wpar-supervisor"))
        .find_map(|process| Pid::from_raw(process.pid))
        .expect("a supervisor");
    kill_process(supervisor, Signal::KILL).unwrap();
    eventually("another supervisor takes over", SOON, || {
        world.keepers().iter().any(|process| {
            process.command.starts_with("wpar-supervisor")
                && Pid::from_raw(process.pid) != Some(supervisor)
        })
    });
    terminal.type_keys("echo af''ter\n");
    terminal.expect("after", SOON);
    world.ok("rebootwpar -F one");
    terminal.expect("here it comes", SOON);
    terminal.type_keys("echo a''gain\n");
    terminal.expect("again", SOON);
    world.ok("stopwpar -F one");
    terminal.expect("one has ended", SOON);
    assert_eq!(terminal.wait(SOON).code(), Some(0));
    world.remove_all();
}

#[test]
fn a_terminal_is_as_it_was_after_a_console() {
    let world = need!(World::new());
    need!(started(&world));
    for leave in ["\x1d", ""] {
        let mut terminal = console(&world, "one");
        let before = terminal.settings();
        terminal.expect("here it comes", SOON);
        if leave.is_empty() {
            world.ok("stopwpar -F one");
        } else {
            terminal.type_keys(leave);
        }
        assert_eq!(terminal.wait(SOON).code(), Some(0));
        let after = terminal.settings();
        assert_eq!(before.local_modes, after.local_modes);
        assert_eq!(before.input_modes, after.input_modes);
    }
    world.remove_all();
}

#[test]
fn what_has_no_console_says_so() {
    let world = need!(World::new());
    need!(started(&world));
    world.ok("stopwpar -F one");
    world.refused("clogin -C one", &["startwpar one"]);
    world.ok("startwpar -m one");
    world.refused("clogin -C one", &["clogin one"]);
    world.refused("clogin -C one ls", &["cannot be used with"]);
    world.remove_all();
}
