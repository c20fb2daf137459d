//! What the file system daemon, which runs outside of the WPAR, has left of its rights.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cell::{Cell, NAME};
use crate::common::run::{WATCHDOG, eventually};
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

/// The daemon of the WPAR.
fn daemon(cell: &Cell) -> String {
    let state = cell
        .world
        .root()
        .join("run/wpar")
        .join(NAME)
        .join("run.json");
    let state = fs::read_to_string(&state).unwrap_or_else(|e| panic!("{}: {e}", state.display()));
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    state["daemon"]["pid"].to_string()
}

/// What code that an image slipped into the daemon could open: looked at through the kernel's own links,
/// which lead where the process itself would get.
#[test]
fn the_daemon_reaches_nothing_of_the_host_but_its_lower_and_its_store() {
    let cell = need!(Cell::new());
    // Beside both.
    fs::write(cell.world.scratch().join("file-of-the-host"), "host").unwrap();
    let process = Path::new("/proc").join(daemon(&cell));
    let up = |levels: usize, to: &str| PathBuf::from("../".repeat(levels)).join(to);
    let mut places = vec![process.join("root"), process.join("cwd")];
    let descriptors = fs::read_dir(process.join("fd")).unwrap().flatten();
    let directories: Vec<PathBuf> = descriptors
        .map(|entry| entry.path())
        .filter(|path| fs::metadata(path).is_ok_and(|file| file.is_dir()))
        .collect();
    assert!(directories.len() > 2, "lower and store: {directories:?}");
    places.extend(directories.iter().cloned());
    let shadow = fs::metadata("/etc/shadow").unwrap();
    for place in &places {
        for levels in 0..16 {
            let host = place.join(up(levels, "file-of-the-host"));
            assert!(!host.exists(), "{}", host.display());
            let other = fs::metadata(place.join(up(levels, "etc/shadow")));
            let is_it =
                other.is_ok_and(|other| (other.dev(), other.ino()) == (shadow.dev(), shadow.ino()));
            assert!(!is_it, "/etc/shadow from {}", place.display());
        }
    }
    // And what it reads of the lower it cannot write.
    let lower = directories.iter().find(|path| path.join("node").exists());
    let lower = lower.expect("the tree of the image");
    let error = fs::write(lower.join("new"), "x").unwrap_err();
    assert_eq!(
        error.raw_os_error(),
        Some(rustix::io::Errno::ROFS.raw_os_error()),
        "{error}"
    );

    // One that follows a dead one is no less confined.
    let pid = rustix::process::Pid::from_raw(daemon(&cell).parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    eventually("another daemon", WATCHDOG, || {
        Path::new("/proc").join(daemon(&cell)) != process
    });
    assert_eq!(cell.world.inside(NAME, "ls -d /node"), "/node");
    let next = Path::new("/proc").join(daemon(&cell));
    let root = fs::read_dir(next.join("root")).unwrap().flatten();
    for entry in root {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        assert!(name.parse::<u32>().is_ok(), "{name} in the daemon's root");
    }
    cell.end();
}

/// What a daemon's descriptor leads to where nobody has taken care.
#[test]
fn an_ordinary_descriptor_leads_up_to_everything() {
    let cell = need!(Cell::without_wpar());
    fs::write(cell.world.scratch().join("file-of-the-host"), "host").unwrap();
    fs::create_dir(cell.world.scratch().join("store")).unwrap();
    let store = fs::File::open(cell.world.scratch().join("store")).unwrap();
    let path = format!("/proc/self/fd/{}/../file-of-the-host", store.as_raw_fd());
    assert!(Path::new(&path).exists());
}

#[test]
fn the_daemon_has_no_rights_that_it_does_not_use() {
    let cell = need!(Cell::new());
    let threads = threads(&daemon(&cell));
    assert!(!threads.is_empty());
    // SETUID, SETPCAP, NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_CHROOT, SYS_PTRACE, SYS_BOOT, SYS_TIME,
    // MKNOD
    let unused = [7, 8, 12, 16, 17, 18, 19, 22, 25, 27];
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
