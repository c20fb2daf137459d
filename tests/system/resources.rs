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
fn a_backup_of_a_wpar_keeps_its_controls_and_not_its_address() {
    let lan = need!(crate::common::lan::Lan::new());
    let world = need!(World::new()).on(&lan);
    let image = need!(fixture("busybox"));
    world
        .wpar(["mkwpar", "-t", "-n", "one", "-B"])
        .arg(&image)
        .args(["-R", "totalThreads=300", "memory=0%-50%,60%"])
        .args(["-N", "address=192.0.2.31"])
        .ok();
    let file = world.scratch().join("one.tar");
    world.wpar(["savewpar", "-f"]).arg(&file).arg("one").ok();
    world.ok("rmwpar one");
    world.wpar(["restwpar", "-f"]).arg(&file).ok();
    let listed = world.ok("lswpar -cq -R -a totalThreads,memory one");
    assert_eq!(listed.text(), "300:0%-50%,60%");
    let listed = world.ok("lswpar -cqN one");
    assert_eq!(listed.text(), "one:lo:127.0.0.1:255.0.0.0:");
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

#[test]
fn what_is_used_is_shown_to_people_and_programs() {
    let lan = need!(crate::common::lan::Lan::new());
    let world = need!(World::new()).on(&lan);
    let image = need!(fixture("busybox"));
    world
        .wpar(["mkwpar", "-t", "-n", "one", "-s", "-B"])
        .arg(&image)
        .args(["-R", "memory=256M", "-N", "address=192.0.2.30"])
        .ok();
    world
        .wpar(["mkwpar", "-t", "-n", "idle", "-B"])
        .arg(&image)
        .ok();
    world.inside("one", "(while :; do :; done) >/dev/null 2>&1 &");
    world.inside("one", "ping -c 1 -W 5 192.0.2.9");
    let top = || -> serde_json::Value {
        let output = world.ok("top --once --json");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    eventually("its processor time is seen", PATIENCE, || {
        top()[0]["cpu_percent"]
            .as_f64()
            .is_some_and(|percent| percent > 1.0)
    });
    let shown = top();
    assert_eq!(shown.as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown[0]["name"], "one");
    assert_eq!(shown[0]["memory_limit_bytes"], 256 << 20);
    assert!(shown[0]["tasks"].as_u64() > Some(1), "{shown}");
    assert!(shown[0]["received_bytes"].as_u64() > Some(0), "{shown}");
    let table = world.ok("top --once one");
    let row = table.text().lines().nth(1).unwrap_or_default();
    assert!(
        row.starts_with("one ") && row.contains("256.00 MiB"),
        "{table}"
    );
    world.refused("top --once nobody", &["0960-419"]);
    let metrics = world.ok("metrics");
    for line in [
        "wpar_state{wpar=\"idle\",state=\"D\"} 1",
        "wpar_state{wpar=\"one\",state=\"A\"} 1",
        "wpar_memory_limit_bytes{wpar=\"one\"} 268435456",
    ] {
        assert!(
            metrics.text().lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    assert!(
        metrics
            .text()
            .contains("wpar_cpu_seconds_total{wpar=\"one\"} "),
        "{metrics}"
    );
    world.remove_all();
}

#[test]
fn what_is_read_from_disks_is_held_to_its_rate() {
    let world = need!(World::new());
    need!(fixture("busybox"));
    start(&world, "ioRead=10MB/s ioWrite=20MB/s");
    let groups = || {
        let names = ["io.max", "blkio.throttle.read_bps_device"];
        let places = world.groups().into_iter();
        let found = places.flat_map(|group| names.map(|name| group.join(name)));
        found.filter(|path| path.exists()).collect::<Vec<_>>()
    };
    // The WPAR's own, and that of its file system beside it.
    let files = groups();
    assert_eq!(files.len(), 2, "{files:?}");
    let limits = || {
        let texts = groups()
            .into_iter()
            .map(|file| std::fs::read_to_string(file).unwrap());
        texts.collect::<Vec<_>>()
    };
    for text in limits() {
        assert!(text.contains("10485760"), "{text}");
    }
    let daemon = world.processes();
    let is_in_its_group = |process: &crate::common::procfs::Process| {
        process.command.contains("wpar-mountd") && process.cgroups.contains("one:files")
    };
    assert!(daemon.iter().any(is_in_its_group), "{daemon:?}");
    // Less, at once; nothing; and again after a restart.
    world.ok("chwpar -R ioRead=1MB/s one");
    for text in limits() {
        assert!(
            text.contains("1048576") && !text.contains("10485760"),
            "{text}"
        );
    }
    world.ok("chwpar -K -R ioRead one");
    for text in limits() {
        assert!(!text.contains("1048576"), "{text}");
    }
    world.ok("chwpar -R ioRead=2MB/s one");
    world.ok("rebootwpar -h one");
    for text in limits() {
        assert!(text.contains("2097152"), "{text}");
    }
    let listed = world.ok("lswpar -cqR -a ioRead,ioWrite,ioWeight one");
    assert_eq!(listed.text(), "2MB/s:20MB/s:unlimited");
    let metrics = world.ok("metrics");
    assert!(
        metrics
            .text()
            .contains("wpar_disk_written_bytes_total{wpar=\"one\"} "),
        "{metrics}"
    );
    world.remove_all();
    world.assert_empty();
}

/// Instances of inotify are one of what each user may have so many of; 128 on most hosts.
#[test]
fn what_a_user_may_have_is_counted_for_each_wpar_alone() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances");
    let limit: usize = limit.expect("inotify").trim().parse().expect("a number");
    // Less than one may have, and more than two could have together.
    let each = (limit * 2 / 3).min(400);
    for name in ["one", "two"] {
        world.mkwpar(&image, name);
        world.ok(&format!("startwpar {name}"));
        world.inside(
            name,
            &format!(
                "touch /dev/shm/x; i=0; while [ $i -lt {each} ]; do i=$((i+1)); \
                tail -f /dev/shm/x >/dev/null 2>&1 & done"
            ),
        );
    }
    for name in ["one", "two"] {
        let count = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c inotify || true";
        eventually("all of them watch", PATIENCE, || {
            world.inside(name, count) == each.to_string()
        });
    }
    world.remove_all();
}
