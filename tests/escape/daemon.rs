//! What the file system daemon, which runs outside of the WPAR, has left of its rights.

use std::fs;

use crate::cell::{Cell, NAME};
use crate::common::skip::need;

/// Lines of `/proc/PID/task/TID/status` of all threads of a process.
fn threads(pid: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon's threads");
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    tasks.flatten().filter_map(status).collect()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {status}"))
        .trim()
}

#[test]
fn the_daemon_has_no_rights_that_it_does_not_use() {
    let cell = need!(Cell::new());
    let state = cell
        .world
        .root()
        .join("run/wpar")
        .join(NAME)
        .join("run.json");
    let state = fs::read_to_string(&state).unwrap_or_else(|e| panic!("{}: {e}", state.display()));
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let pid = state["daemon"]["pid"].to_string();
    let threads = threads(&pid);
    assert!(!threads.is_empty());
    // SETUID, SETPCAP, NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_BOOT, SYS_TIME, MKNOD
    let unused = [7, 8, 12, 16, 17, 19, 22, 25, 27];
    for status in &threads {
        assert_eq!(field(status, "NoNewPrivs:"), "1", "{status}");
        assert_eq!(field(status, "Seccomp:"), "2", "{status}");
        let held = u64::from_str_radix(field(status, "CapPrm:"), 16).unwrap();
        for capability in unused {
            assert_eq!(held >> capability & 1, 0, "{capability} of {status}");
        }
    }
    cell.end();
}
