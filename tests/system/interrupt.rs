//! Ctrl-C at any point of any command leaves nothing half-made.

use std::time::Duration;

use rustix::process::Signal;

use crate::common::fixtures::fixture;
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::world::World;

/// When the interrupt comes, in milliseconds after the start of the command.
const DELAYS: &[u64] = &[0, 1, 3, 6, 10, 15, 25, 40, 70, 120, 250, 500];

/// The same for commands that wait for a shutdown, which takes busybox two seconds.
const STOP_DELAYS: &[u64] = &[0, 3, 10, 40, 250, 1500];

/// Runs `wpar` with `words`, and interrupts it, as a terminal would, after `delay`.
#[track_caller]
fn interrupted(world: &World, words: &[&str], delay: u64) -> crate::common::Output {
    let running = world.wpar(words).start();
    std::thread::sleep(Duration::from_millis(delay));
    running.signal(Signal::INT);
    let output = running.wait();
    assert!(
        !output.complaint().contains("panicked"),
        "after {delay} ms\n{output}"
    );
    output
}

/// Waits for one of the states `allowed` (`None`: it does not exist).
#[track_caller]
fn settles(world: &World, name: &str, allowed: &[Option<&str>], after: &str) -> Option<String> {
    let mut state = None;
    eventually(
        &format!("{name} settles in one of {allowed:?} {after}"),
        Duration::from_secs(60),
        || {
            state = world.state(name);
            allowed.contains(&state.as_deref())
        },
    );
    state
}

#[test]
fn mkwpar_interrupted_makes_all_or_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    for &delay in DELAYS {
        // An index that is not there yet makes the command longer and the cut more interesting.
        let own = world.scratch().join(format!("image-{delay}.tar"));
        std::fs::hard_link(&image, &own)
            .or_else(|_| std::fs::copy(&image, &own).map(drop))
            .expect("an image");
        let path = own.to_str().expect("a plain path");
        let output = interrupted(&world, &["mkwpar", "-t", "-B", path, "-n", "cut"], delay);
        let state = settles(&world, "cut", &[None, Some("D")], &output.to_string());
        assert_eq!(
            state.is_some(),
            output.status.success(),
            "the status tells which\n{output}"
        );
        if state.is_some() {
            world.ok("rmwpar cut");
        }
        world.assert_gone("cut");
        world.assert_empty();
        // It can be done again at once.
        world.ok(&format!("mkwpar -t -B {path} -n cut"));
        world.ok("rmwpar cut");
        std::fs::remove_file(&own).expect("removing the copy");
    }
}

#[test]
fn mkwpar_s_and_startwpar_interrupted_leave_a_wpar_that_works() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    let path = image.to_str().expect("a plain path");
    world.mkwpar(&image, "warm");
    world.ok("rmwpar warm");
    for &delay in DELAYS {
        let output = interrupted(
            &world,
            &["mkwpar", "-t", "-s", "-B", path, "-n", "cut"],
            delay,
        );
        let state = settles(
            &world,
            "cut",
            &[None, Some("D"), Some("A")],
            &output.to_string(),
        );
        match state.as_deref() {
            None => world.ok(&format!("mkwpar -t -B {path} -n cut")),
            Some("A") => world.ok("stopwpar -F cut"),
            _ => output,
        };
        world.assert_empty_but("cut");
        let output = interrupted(&world, &["startwpar", "cut"], delay);
        let state = settles(&world, "cut", &[Some("D"), Some("A")], &output.to_string());
        if state.as_deref() == Some("D") {
            assert!(
                !output.status.success(),
                "success means that it runs\n{output}"
            );
            world.assert_empty_but("cut");
            world.ok("startwpar cut");
        }
        assert_eq!(world.inside("cut", "hostname"), "cut");
        world.ok("rmwpar -F cut");
        world.assert_gone("cut");
        world.assert_empty();
    }
}

#[test]
fn stopwpar_and_rmwpar_interrupted_can_be_repeated() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    for &delay in STOP_DELAYS {
        world.mkwpar(&image, "cut");
        world.ok("startwpar cut");
        let output = interrupted(&world, &["stopwpar", "cut"], delay);
        let state = settles(&world, "cut", &[Some("A"), Some("D")], &output.to_string());
        assert!(
            state.as_deref() == Some("D") || !output.status.success(),
            "{output}"
        );
        let output = interrupted(&world, &["rmwpar", "-s", "cut"], delay);
        let state = settles(
            &world,
            "cut",
            &[None, Some("A"), Some("D")],
            &output.to_string(),
        );
        assert!(state.is_none() || !output.status.success(), "{output}");
        if state.is_some() {
            world.ok("rmwpar -s cut");
        }
        world.assert_gone("cut");
        world.assert_empty();
    }
}

#[test]
fn rebootwpar_interrupted_ends_up_or_down() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "cut");
    for &delay in STOP_DELAYS {
        if world.state("cut").as_deref() == Some("D") {
            world.ok("startwpar cut");
        }
        let output = interrupted(&world, &["rebootwpar", "cut"], delay);
        settles(&world, "cut", &[Some("A"), Some("D")], &output.to_string());
    }
    world.remove_all();
}

#[test]
fn wparexec_interrupted_leaves_nothing() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let path = image.to_str().expect("a plain path");
    for &delay in DELAYS {
        let output = interrupted(
            &world,
            &["wparexec", "-t", "-B", path, "--", "sleep", "1000"],
            delay,
        );
        assert!(!output.status.success(), "{output}");
        eventually(
            "the throw-away WPAR is gone",
            Duration::from_secs(30),
            || world.table().is_empty(),
        );
        world.assert_empty();
    }
}

#[test]
fn clogin_interrupted_leaves_the_wpar_alone() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    for &delay in DELAYS {
        let output = interrupted(&world, &["clogin", "one", "sleep", "1000"], delay);
        assert_eq!(output.code(), 130, "as in a shell\n{output}");
        assert_eq!(world.state("one").as_deref(), Some("A"), "{output}");
        eventually(
            "the command inside has ended",
            Duration::from_secs(30),
            || world.inside("one", "ps | grep -c '[s]leep 1000' || true") == "0",
        );
    }
    world.remove_all();
}
