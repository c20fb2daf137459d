//! What is in a store after a loss of power, with a real file system of the host between.
//!
//! The store lies on ext4, that on a loop device, that on a file which a small FUSE file system of
//! our own serves: so each write and each flush that reaches the "disk" is written down, in order.
//! A random program runs over the merged tree and syncs now and then. Afterwards disks are made as
//! they may be when the power fails: all writes up to a flush, and of those behind it, up to any
//! other moment, a random part. On each the store is opened under another boot id and must show the
//! tree as it was at one moment, not before what was synced, and of each file bytes that it had.
//!
//! `WPAR_POWER_CUT_SEED=7 WPAR_POWER_CUT_DISKS=2000 cargo test -p wpar-mountd --test power_cut`
//! looks longer, with another program. Needs root, `/dev/fuse`, loop devices, `mkfs.ext4`,
//! `mount`, `umount` and `unshare`; says so when it is skipped.
//!
//! Three processes take part. This one waits, and ends the others when they take too long. The
//! *program* runs in a mount namespace of its own, which takes all mounts and loop devices with it.
//! The *disk* ends by itself: if the program hangs on it, that lets the program go.

#![allow(clippy::unwrap_used, clippy::panic)]

mod chance;
mod check;
mod disk;
mod program;
mod replay;
mod tree;

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Tells a process which part it plays.
const ROLE: &str = "WPAR_POWER_CUT_ROLE";
/// Where everything is.
const PLACE: &str = "WPAR_POWER_CUT_PLACE";

fn setting(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |text| text.parse().unwrap())
}

fn seed() -> u64 {
    setting("WPAR_POWER_CUT_SEED", 1)
}

/// How many disks are looked at.
fn disks() -> u64 {
    setting("WPAR_POWER_CUT_DISKS", 40)
}

/// How long all may take.
fn patience() -> Duration {
    Duration::from_secs(120 + disks() * 2)
}

/// The command that starts this program in another role.
fn again(command: &mut Command, role: &str, place: &Path) {
    let arguments = [
        "--exact",
        "what_was_synced_survives_a_loss_of_power",
        "--nocapture",
    ];
    command.args(arguments).env(ROLE, role).env(PLACE, place);
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root".into());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if !Path::new(device).exists() {
            return Some(format!("this machine has no {device}"));
        }
    }
    for tool in ["mkfs.ext4", "mount", "umount", "unshare"] {
        let version = if tool == "mkfs.ext4" {
            "-V"
        } else {
            "--version"
        };
        if Command::new(tool).arg(version).output().is_err() {
            return Some(format!("there is no {tool}"));
        }
    }
    None
}

#[test]
fn what_was_synced_survives_a_loss_of_power() {
    if let Ok(role) = std::env::var(ROLE) {
        let place = std::env::var_os(PLACE).unwrap();
        match role.as_str() {
            "disk" => disk::serve(Path::new(&place)),
            _ => program::run(Path::new(&place)),
        }
        return;
    }
    if let Some(missing) = missing() {
        eprintln!("SKIPPED: {missing}");
        return;
    }
    let place = match Path::new("/dev/shm") {
        memory if memory.is_dir() => tempfile::TempDir::new_in(memory).unwrap(),
        _ => tempfile::TempDir::new().unwrap(),
    };
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    command.arg(std::env::current_exe().unwrap());
    again(&mut command, "program", place.path());
    let ended = wait(command);
    assert!(ended.success(), "the program {ended}, seed {}", seed());
}

fn wait(mut command: Command) -> ExitStatus {
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return ended;
        }
        if begun.elapsed() > patience() {
            child.kill().unwrap();
            return child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
