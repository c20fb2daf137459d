//! Starting, stopping, restarting, crashing.

use std::fs;
use std::time::Duration;

use wpar::launch::{
    ExitStatus, InitKind, LaunchError, Leftover, StartEvent, StopMode, clean_up, observe, reboot,
    stop,
};

use crate::fixture::{role_command, wait_for_end, wait_until, wpar};
use crate::role::launcher;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn a_command_runs_in_its_own_system_and_its_status_comes_back() {
    let Some(mut wpar) = wpar() else { return };
    let script = "{ id -u; echo $GREETING; pwd; cat /proc/sys/kernel/hostname; echo $container
        echo $container_uuid; cat /proc/1/comm; cat /proc/self/cgroup; ls /sys/class/net
        ls /tmp | cat; } > /out; exit 7";
    assert_eq!(wpar.run(script).unwrap(), ExitStatus::Exited(7));
    let out = wpar.read("out");
    let (start, groups) = out.split_once("wpar-init\n").unwrap();
    let name = &wpar.spec.name;
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(start, format!("0\nhello\n/etc\n{name}\nlxc\n{uuid}\n"));
    // A member of its group in every hierarchy, of which it sees only that group.
    let groups = groups.strip_suffix("lo\n").unwrap();
    assert!(groups.lines().all(|line| line.ends_with(":/")), "{groups}");
    // Root inside is the tree's root.
    let metadata = fs::metadata(wpar.tree("out")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), 0);
    wpar.assert_gone();
}

#[test]
fn every_end_of_a_command_is_told_apart() {
    let Some(mut wpar) = wpar() else { return };
    assert_eq!(wpar.run("kill -9 $$").unwrap(), ExitStatus::Signaled(9));
    // Orphans end with it.
    assert_eq!(
        wpar.run("sleep 1000 & exit 0").unwrap(),
        ExitStatus::Exited(0)
    );
    for (program, code) in [("/no/such", 127), ("nosuch", 127), ("/etc/passwd", 126)] {
        let error = wpar.run_command(&[program]).unwrap_err();
        assert_eq!(error.exit_code(), code, "{program}: {error}");
    }
    wpar.assert_gone();
}

#[test]
fn directories_that_are_missing_are_made_and_links_are_refused() {
    let Some(mut wpar) = wpar() else { return };
    assert!(!wpar.tree("proc").exists() && !wpar.tree("dev").exists());
    assert_eq!(
        wpar.run("test -c /dev/null && test -d /run/host")
            .unwrap()
            .code(),
        0
    );
    assert!(wpar.tree("proc").is_dir() && wpar.tree("dev").is_dir());
    fs::remove_dir(wpar.tree("dev")).unwrap();
    std::os::unix::fs::symlink("/etc", wpar.tree("dev")).unwrap();
    let error = wpar.run("exit 0").unwrap_err().to_string();
    assert!(error.contains("/dev of the root file system"), "{error}");
    assert_eq!(fs::read_dir(wpar.tree("etc")).unwrap().count(), 2);
    wpar.assert_gone();
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    let Some(mut wpar) = wpar() else { return };
    wpar.spec.mount_point.push("missing");
    let error = wpar.start().unwrap_err().to_string();
    assert!(error.contains("missing: no such file"), "{error}");
    wpar.spec.mount_point.pop();
    wpar.spec.ids.first = 0;
    assert!(wpar.start().is_err());
    wpar.spec.ids.first = 1_400_000_000;
    wpar.assert_gone();
}

#[test]
fn without_an_init_the_built_in_one_keeps_it_up() {
    let Some(wpar) = wpar() else { return };
    let started = wpar.start().unwrap();
    assert_eq!(started.kind(), InitKind::Builtin);
    let seen = observe(&wpar.spec.run_dir);
    assert!(
        seen.ready && seen.mounted && seen.populated && seen.leftovers.is_empty(),
        "{seen:?}"
    );
    assert_eq!(seen.init, Some(started.pid()));
    assert!(wpar.spec.mount_point.join("role").exists());
    assert!(matches!(
        wpar.start().unwrap_err(),
        LaunchError::AlreadyActive(_)
    ));
    let busy = clean_up(
        &wpar.spec.run_dir,
        &wpar.spec.mount_point,
        &wpar.spec.cgroup,
    );
    assert!(matches!(busy.unwrap_err(), LaunchError::AlreadyActive(_)));
    stop(&wpar.spec.run_dir, StopMode::Soft, PATIENCE).unwrap();
    wpar.assert_gone();
    assert!(!observe(&wpar.spec.run_dir).recorded);
    let again = stop(&wpar.spec.run_dir, StopMode::Soft, PATIENCE);
    assert!(matches!(again.unwrap_err(), LaunchError::NotActive));
}

#[test]
fn an_init_announces_itself_writes_to_its_console_and_is_stopped_softly() {
    let Some(wpar) = wpar() else { return };
    wpar.install_init("echo on the console > /dev/console");
    let events = wpar.start_ready();
    assert_eq!(events[0], StartEvent::Mounted);
    assert!(matches!(
        events[1],
        StartEvent::Executed {
            kind: InitKind::Systemd,
            ..
        }
    ));
    assert_eq!(
        events[2..],
        [StartEvent::Status("up".to_owned()), StartEvent::Ready]
    );
    wait_until("the console is logged", || {
        fs::read_to_string(&wpar.spec.console_log).is_ok_and(|log| log.contains("on the console"))
    });
    stop(&wpar.spec.run_dir, StopMode::Soft, PATIENCE).unwrap();
    wpar.assert_gone();
}

#[test]
fn reboot_and_halt_mean_what_they_say_from_inside_and_outside() {
    let Some(wpar) = wpar() else { return };
    wpar.install_init("[ -e /restarted ] || { touch /restarted; kill -s RTMIN+5 $$; }");
    wpar.start_ready();
    let run_dir = &wpar.spec.run_dir;
    let is_up = |restarts| {
        let seen = observe(run_dir);
        seen.restarts == restarts && seen.ready
    };
    wait_until("it restarts by itself", || is_up(1));
    reboot(run_dir, StopMode::Soft, PATIENCE).unwrap();
    wait_until("it restarts from outside", || is_up(2));
    reboot(run_dir, StopMode::Force, PATIENCE).unwrap();
    wait_until("it restarts by force", || is_up(3));
    let script = format!("kill -s RTMIN+3 1; WPAR_TEST_ROLE=x; : {}", role_command());
    let session = wpar::launch::Session {
        argv: ["/bin/sh", "-c", &script].map(Into::into).to_vec(),
        ..Default::default()
    };
    let _ = launcher().enter(run_dir, &session);
    wait_for_end(&wpar);
    wait_until("it is gone", || !run_dir.exists());
    wpar.assert_gone();
}

#[test]
fn a_signal_right_after_the_exec_is_not_lost() {
    let Some(wpar) = wpar() else { return };
    // Long before the init has a handler for it.
    wpar.install_init("sleep 0.3");
    wpar.start().unwrap();
    stop(&wpar.spec.run_dir, StopMode::Soft, PATIENCE).unwrap();
    wpar.assert_gone();
}

#[test]
fn a_stop_that_takes_too_long_goes_on_and_force_ends_it() {
    let Some(wpar) = wpar() else { return };
    wpar.install_init("trap '' RTMIN+3; trap '' TERM");
    wpar.start_ready();
    let run_dir = &wpar.spec.run_dir;
    let slow = stop(run_dir, StopMode::Soft, Some(Duration::from_millis(50)));
    assert!(matches!(slow.unwrap_err(), LaunchError::Timeout(_)));
    let seen = observe(run_dir);
    assert!(seen.stopping && seen.init.is_some(), "{seen:?}");
    stop(run_dir, StopMode::Force, None).unwrap();
    wpar.assert_gone();
}

#[test]
fn after_the_death_of_the_supervisor_the_truth_is_told_and_all_is_cleaned_up() {
    let Some(wpar) = wpar() else { return };
    wpar.install_init("");
    wpar.start_ready();
    let run_dir = &wpar.spec.run_dir;
    kill(observe(run_dir).supervisor.unwrap());
    wait_for_end(&wpar);
    let seen = observe(run_dir);
    assert!(
        seen.recorded && seen.init.is_some() && seen.mounted,
        "{seen:?}"
    );
    assert!(seen.leftovers.contains(&Leftover::Processes));
    assert!(
        seen.leftovers
            .contains(&Leftover::Mount(wpar.spec.mount_point.clone()))
    );
    assert!(matches!(
        wpar.start().unwrap_err(),
        LaunchError::LeftOver(_)
    ));
    let removed = clean_up(run_dir, &wpar.spec.mount_point, &wpar.spec.cgroup).unwrap();
    assert!(removed.len() >= 4, "{removed:?}");
    assert!(
        seen.init
            .is_some_and(|pid| !fs::exists(format!("/proc/{pid}/root")).unwrap_or(false))
    );
    wpar.assert_gone();
}

#[test]
fn a_start_whose_starter_dies_is_undone() {
    let Some(wpar) = wpar() else { return };
    let spec = wpar.spec.run_dir.parent().unwrap().with_extension("json");
    fs::write(&spec, serde_json::to_vec(&wpar.spec).unwrap()).unwrap();
    // Who joins the group stops there: the start cannot come to its end.
    let Some(group) = frozen_parent(&wpar.spec.cgroup) else {
        return;
    };
    let mut starter = wpar
        .role("start")
        .env("WPAR_TEST_SPEC", &spec)
        .spawn()
        .unwrap();
    wait_until("the mount is there", || {
        wpar.spec.mount_point.join("role").exists()
    });
    assert!(!observe(&wpar.spec.run_dir).executed);
    starter.kill().unwrap();
    starter.wait().unwrap();
    wait_until("everything is undone", || !wpar.spec.run_dir.exists());
    fs::remove_dir(group).unwrap_or_default();
    wpar.assert_gone();
}

/// Makes the control group of a WPAR to be, frozen.
fn frozen_parent(cgroup: &str) -> Option<std::path::PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut roots = mounts.lines().filter(|line| line.starts_with("cgroup2 "));
    let Some(root) = roots.find_map(|line| line.split(' ').nth(1)) else {
        eprintln!("SKIPPED: no cgroup2 is mounted");
        return None;
    };
    let group = std::path::Path::new(root).join(cgroup);
    fs::create_dir_all(&group).unwrap();
    fs::write(group.join("cgroup.freeze"), "1").unwrap();
    Some(group)
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
