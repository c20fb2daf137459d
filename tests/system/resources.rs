//! `-R`: what a WPAR may use of the host, and that it gets no more.

use std::path::PathBuf;
use std::time::Duration;

use crate::common::fixtures::fixture;
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::world::World;

const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn start(world: &World, controls: &str) {
    let image = fixture("busybox").expect("an image that was there before");
    world
        .wpar(["mkwpar", "-t", "-n", "one", "-s", "-B"])
        .arg(image)
        .arg("-R")
        .args(controls.split_whitespace())
        .ok();
}

/// The file of this name in a group of the WPAR.
fn file(world: &World, name: &str) -> Option<PathBuf> {
    let groups = world.groups();
    let found = groups.iter().map(|group| group.join(name));
    found.into_iter().find(|path| path.exists())
}

/// The first of these files that this host has.
fn any_file(world: &World, names: &[&str]) -> Option<PathBuf> {
    names.iter().find_map(|name| file(world, name))
}

#[test]
fn a_fork_bomb_stops_at_the_limit() {
    let world = need!(World::new());
    need!(fixture("busybox"));
    start(&world, "totalProcesses=40");
    let script = "i=0; while [ $i -lt 200 ] && (sleep 1000 >/dev/null 2>&1 & ) 2>/dev/null; do i=$((i+1)); done; \
         ls -d /proc/[0-9]* | wc -l";
    let asked = world
        .wpar(["clogin", "one", "/bin/sh", "-c", script])
        .output();
    // The shell itself may be refused a process: that is what the limit is for.
    let count = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    if let Ok(count) = count.parse::<u32>() {
        assert!((20..=41).contains(&count), "{asked}");
    }
    let current = file(&world, "pids.current").expect("the controller pids");
    let current = std::fs::read_to_string(current).unwrap();
    let current: u32 = current.trim().parse().unwrap();
    assert!((20..=40).contains(&current), "{current} tasks");
    // More, at once: then there is room for a login.
    world.ok("chwpar -R totalProcesses=100 one");
    assert_eq!(world.inside("one", "echo room"), "room");
    world.remove_all();
}

#[test]
fn memory_beyond_the_limit_kills_inside_only() {
    let world = need!(World::new());
    need!(fixture("busybox"));
    start(&world, "memory=48M totalVirtMem=64M");
    let eater = "awk 'BEGIN { s = \"0123456789abcdef\"; while (length(s) < 1000000000) s = s s }'";
    let killed = world
        .wpar(["clogin", "one", "/bin/sh", "-c", eater])
        .output();
    assert_ne!(killed.code(), 0, "{killed}");
    assert_eq!(world.state("one").as_deref(), Some("A"));
    assert_eq!(world.inside("one", "echo alive"), "alive");
    let limit = any_file(&world, &["memory.max", "memory.limit_in_bytes"]).unwrap();
    let limit = std::fs::read_to_string(limit).unwrap();
    assert_eq!(limit.trim(), (48 << 20).to_string());
    world.remove_all();
}

#[test]
fn processor_time_beyond_the_limit_is_not_given() {
    let world = need!(World::new());
    need!(fixture("busybox"));
    start(&world, "CPU=5% shares_CPU=50 rset=0");
    let allowed = world.inside("one", "grep Cpus_allowed_list /proc/self/status");
    assert!(allowed.ends_with("\t0"), "{allowed}");
    world.inside("one", "(while :; do :; done) >/dev/null 2>&1 &");
    // Either version says in which periods it was held back.
    let held = |world: &World| {
        let groups = world.groups();
        groups.iter().any(|group| {
            let stat = std::fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
            stat.lines().any(|line| {
                line.strip_prefix("nr_throttled ")
                    .is_some_and(|count| count != "0")
            })
        })
    };
    eventually("it is held back", PATIENCE, || held(&world));
    world.remove_all();
}

#[test]
fn controls_change_at_once_and_go_back() {
    let world = need!(World::new());
    need!(fixture("busybox"));
    start(&world, "procVirtMem=512MB totalPTYs=2");
    assert_eq!(world.inside("one", "ulimit -v"), "524288");
    assert!(world.inside("one", "mount").contains("max=2"));
    let tasks = file(&world, "pids.max").expect("the controller pids");
    let limit = || std::fs::read_to_string(&tasks).unwrap().trim().to_owned();
    assert_eq!(limit(), "4096");
    world.ok("chwpar -R totalThreads=300 one");
    assert_eq!(limit(), "300");
    let listed = world.ok("lswpar -cq -R -a totalThreads,totalPTYs,procVirtMem one");
    assert_eq!(listed.text(), "300:2:512MB");
    // After a restart, too.
    world.ok("rebootwpar -h one");
    assert_eq!(limit(), "300");
    world.ok("chwpar -K -R totalThreads procVirtMem one");
    assert_eq!(limit(), "4096");
    assert_eq!(world.inside("one", "ulimit -v"), "unlimited");
    world.ok("chwpar -R totalProcesses=unlimited one");
    assert_eq!(limit(), "max");
    world.ok("chwpar -R active=no totalProcesses=50 one");
    assert_eq!(limit(), "4096", "what is not active but for the guard");
    let long = world.ok("lswpar -R one");
    assert!(
        long.text().contains("Total Processes:                  50"),
        "{long}"
    );
    world.remove_all();
}

#[test]
fn what_cannot_be_limited_is_refused_before_anything_is_made() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    for (control, says) in [
        ("cpus=2", "no resource control 'cpus'"),
        ("CPU=lots", "MIN%-SOFT%,HARD%"),
        ("memory=1K", "4M"),
        ("totalProcesses=1", "from 8 up"),
        ("rset=0-8000", "does not have"),
        ("rset=x", "list of processors"),
        ("shares_memory=10", "no shares of memory"),
        ("pct_pinMem=50%", "memory="),
    ] {
        let line = format!("mkwpar -t -B {} -n one -R {control}", image.display());
        world.refused(&line, &[says]);
    }
    world.assert_empty();
    // What is enforced in part is said.
    let made = world
        .wpar(["mkwpar", "-t", "-n", "one", "-R", "CPU=0%-20%,50%", "-B"])
        .arg(&image)
        .ok();
    assert!(made.complaint().contains("only the last, 50%"), "{made}");
    world.remove_all();
}
