//! `clogin`: commands, and a terminal with a person at it.

use std::time::Duration;

use crate::common::fixtures::fixture;
use crate::common::skip::need;
use crate::common::terminal::Terminal;
use crate::common::world::World;

const SOON: Duration = Duration::from_secs(60);

/// A `clogin` of `name` on a terminal of 24 by 80.
fn clogin(world: &World, args: &[&str]) -> Terminal {
    let words: Vec<&str> = std::iter::once("clogin")
        .chain(args.iter().copied())
        .collect();
    Terminal::start(env!("CARGO_BIN_EXE_wpar"), &words, &world.root(), (24, 80))
}

#[test]
fn commands_pass_status_input_and_output() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    for code in [0, 1, 42, 255] {
        world
            .wpar(["clogin", "one", "sh", "-c", &format!("exit {code}")])
            .output()
            .ended_with(code);
    }
    world
        .wpar(["clogin", "one", "sh", "-c", "kill -TERM $$"])
        .output()
        .ended_with(143);
    let bytes: Vec<u8> = (0..=255u8).cycle().take(1_000_003).collect();
    let echoed = world
        .wpar(["clogin", "one", "cat"])
        .stdin(bytes.clone())
        .ok();
    assert!(
        echoed.stdout == bytes,
        "{} bytes came back of {}",
        echoed.stdout.len(),
        bytes.len()
    );
    let both = world
        .wpar([
            "clogin",
            "one",
            "sh",
            "-c",
            "echo out; echo err >&2; test ! -t 0",
        ])
        .ok();
    assert_eq!(
        (both.text(), both.complaint().as_str()),
        ("out", "err\n"),
        "{both}"
    );
    let ids = world.inside("one", "id; readlink /proc/self/ns/pid");
    assert!(ids.starts_with("uid=0(root) gid=0(root)"), "{ids}");
    let own = std::fs::read_link("/proc/self/ns/pid").expect("a pid namespace");
    assert!(ids.contains("\npid:["), "{ids}");
    assert!(
        !ids.contains(own.to_str().expect("plain")),
        "in the WPAR's own pid namespace: {ids}"
    );
    assert_eq!(
        world.inside("one", "readlink /proc/self/ns/pid"),
        ids.lines().last().expect("two lines")
    );
    world.remove_all();
}

#[test]
fn a_terminal_has_job_control_a_size_and_a_status() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    assert_eq!(world.wait_for_systemd("one"), "running");

    let mut terminal = clogin(&world, &["one"]);
    let settings = terminal.settings();
    terminal.type_keys("PS1='ready''> '; stty -echo\n");
    terminal.expect("ready> ", SOON);
    terminal.type_keys("tty; stty size; id -un; pwd\n");
    terminal.expect("/dev/pts/", SOON);
    terminal.expect("24 80", SOON);
    terminal.expect("root", SOON);
    terminal.expect("/root", SOON);
    terminal.resize((50, 132));
    terminal.type_keys("sleep 0.3; stty size\n");
    terminal.expect("50 132", SOON);

    terminal.type_keys("sleep 1000\n");
    std::thread::sleep(Duration::from_millis(500));
    terminal.type_keys("\x1a");
    terminal.expect("Stopped", SOON);
    terminal.type_keys("bg; jobs\n");
    terminal.expect("Running", SOON);
    terminal.type_keys("fg\n");
    terminal.expect("sleep 1000", SOON);
    std::thread::sleep(Duration::from_millis(500));
    terminal.type_keys("\x03");
    terminal.expect("ready> ", SOON);
    terminal.type_keys("echo status=$?\n");
    terminal.expect("status=130", SOON);
    terminal.type_keys("exit 7\n");
    let status = terminal.wait(SOON);
    assert_eq!(
        status.code(),
        Some(7),
        "the shell's status is the command's"
    );
    let after = terminal.settings();
    assert_eq!(
        (
            after.input_modes,
            after.output_modes,
            after.control_modes,
            after.local_modes
        ),
        (
            settings.input_modes,
            settings.output_modes,
            settings.control_modes,
            settings.local_modes
        ),
        "the terminal is as it was"
    );
    world.remove_all();
}

#[test]
fn a_command_on_a_terminal_has_one() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    let mut terminal = clogin(
        &world,
        &[
            "one",
            "sh",
            "-c",
            "tty && test -t 0 && test -t 1 && test -t 2 && stty size; exit 3",
        ],
    );
    terminal.expect("/dev/", SOON);
    terminal.expect("24 80", SOON);
    assert_eq!(terminal.wait(SOON).code(), Some(3));
    world.remove_all();
}

#[test]
fn another_user_logs_in_with_a_session() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    assert_eq!(world.wait_for_systemd("one"), "running");
    let mut terminal = clogin(&world, &["one", "-l", "anna"]);
    terminal.type_keys("PS1='ready''> '; stty -echo\n");
    terminal.expect("ready> ", SOON);
    terminal.type_keys("id -un; pwd; cat newest | head -n 1\n");
    terminal.expect("anna", SOON);
    terminal.expect("/home/anna", SOON);
    terminal.expect("Dear wpar,", SOON);
    terminal.type_keys("exit\n");
    assert_eq!(terminal.wait(SOON).code(), Some(0));
    world.remove_all();
}

#[test]
fn hanging_up_the_terminal_ends_the_login() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    let mut terminal = clogin(&world, &["one", "sh", "-c", "echo here; sleep 5555"]);
    terminal.expect("here", SOON);
    drop(terminal);
    crate::common::run::eventually("the command inside has ended", SOON, || {
        world.inside("one", "ps | grep -c '[s]leep 5555' || true") == "0"
    });
    assert_eq!(world.state("one").as_deref(), Some("A"));
    world.remove_all();
}

/// Ctrl-\ among them, which once ended the process in between and left the command behind.
#[test]
fn regression_signals_reach_the_command_and_its_answer_comes_back() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    for (signal, name) in [
        (rustix::process::Signal::TERM, "TERM"),
        (rustix::process::Signal::HUP, "HUP"),
        (rustix::process::Signal::QUIT, "QUIT"),
    ] {
        let script = format!(
            "rm -f /ready; trap 'echo got {name}; exit 9' {name}; touch /ready; \
             while :; do sleep 0.1; done"
        );
        let running = world.wpar(["clogin", "one", "sh", "-c", &script]).start();
        crate::common::run::eventually("the command waits", SOON, || {
            world.inside("one", "test -e /ready && echo yes || true") == "yes"
        });
        running.signal(signal);
        let output = running.wait().ended_with(9);
        assert_eq!(output.text(), format!("got {name}"), "{output}");
        world.inside("one", "rm /ready");
    }
    world.remove_all();
}

#[test]
fn much_passes_through_pipes_unchanged_and_a_closed_pipe_ends_the_command() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    let tool = env!("CARGO_BIN_EXE_wpar");
    let sum = |script: &str| {
        crate::common::run::Run::new("sh", ["-c", script, "sh", tool])
            .env("WPAR_ROOT", world.root())
            .ok()
            .text()
            .to_owned()
    };
    // All bytes, in and out again, in a pipe on both sides.
    let bytes = "yes 0123456789abcdef | head -c 50000001";
    assert_eq!(
        sum(&format!(
            "{bytes} | \"$1\" clogin one sh -c 'gzip -1 | cat' | gunzip | md5sum"
        )),
        sum(&format!("{bytes} | md5sum"))
    );
    // yes(1) would go on for ever.
    assert_eq!(sum("\"$1\" clogin one yes | head -n 1"), "y");
    // The command does not wait for input that nobody gives it.
    assert_eq!(
        sum("\"$1\" clogin one sh -c 'cat; echo end' </dev/null"),
        "end"
    );
    // Standard error is its own.
    assert_eq!(
        sum("\"$1\" clogin one sh -c 'echo out; echo err >&2' 2>&1 >/dev/null"),
        "err"
    );
    world.remove_all();
}
