//! The ways of others to a first command in a copy of a tree. All are given the tree unpacked, which
//! for us, who begin with the image, nobody does.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::groups::Groups;
use super::world::time;
use crate::Fallible;
use crate::workload::real::missing;

/// A program that makes a copy, of whatever kind, and runs a command in it.
pub(super) trait Rival {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// What it does, for the notes of the report.
    fn about(&self) -> &'static str;

    /// Why it cannot take part.
    fn missing(&self) -> Option<String>;

    /// Makes a copy, runs `/bin/true` in it; how long that took. Then the copy goes.
    fn live(&self) -> Fallible<Duration>;
}

/// All, for the tree that [`tree_in`] names; each works below `dir`.
pub(super) fn all(dir: &Path) -> Vec<Box<dyn Rival>> {
    vec![
        Box::new(Podman {
            dir: dir.to_owned(),
        }),
        Box::new(Nspawn {
            dir: dir.to_owned(),
        }),
        Box::new(Lxc {
            dir: dir.to_owned(),
        }),
    ]
}

/// Where the tree is: LXC wants it there.
pub(super) fn tree_in(dir: &Path) -> PathBuf {
    dir.join("base/rootfs")
}

/// `podman run --rootfs TREE:O`.
struct Podman {
    dir: PathBuf,
}

/// What podman keeps of containers that run: it wants a short path.
fn runroot() -> PathBuf {
    PathBuf::from(format!("/run/wpar-bench-podman-{}", std::process::id()))
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(runroot());
    }
}

impl Rival for Podman {
    fn name(&self) -> &'static str {
        "podman --rootfs :O"
    }

    fn about(&self) -> &'static str {
        "podman run --rm --network=none --rootfs TREE:O /bin/true, an overlay of the kernel"
    }

    fn missing(&self) -> Option<String> {
        missing(&["podman", "runc"])
    }

    fn live(&self) -> Fallible<Duration> {
        let mut rootfs = OsString::from(tree_in(&self.dir));
        rootfs.push(":O");
        let mut podman = Command::new("podman");
        podman.arg("--root").arg(self.dir.join("podman/root"));
        podman.arg("--runroot").arg(runroot());
        podman.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
        podman.args(["run", "--rm", "--network=none"]);
        // Its own limits are more than root has in some virtual machines.
        podman.args([
            "--ulimit",
            "nofile=1024:1024",
            "--ulimit",
            "nproc=1024:1024",
        ]);
        time(podman.arg("--rootfs").arg(rootfs).arg("/bin/true"))
    }
}

/// `systemd-nspawn --template=TREE`.
struct Nspawn {
    dir: PathBuf,
}

impl Rival for Nspawn {
    fn name(&self) -> &'static str {
        "systemd-nspawn --template"
    }

    fn about(&self) -> &'static str {
        "systemd-nspawn --template=TREE --directory=NEW /bin/true, a copy of the tree where the file system has no snapshots"
    }

    fn missing(&self) -> Option<String> {
        missing(&["systemd-nspawn"])
    }

    fn live(&self) -> Fallible<Duration> {
        let new = self.dir.join(format!("wpar-bench-{}", std::process::id()));
        let groups = Groups::of("nspawn");
        let mut nspawn = groups.command("systemd-nspawn");
        nspawn.args(["--quiet", "--register=no", "--keep-unit", "--pipe"]);
        nspawn.arg("--template").arg(tree_in(&self.dir));
        let result = time(nspawn.arg("--directory").arg(&new).arg("/bin/true"));
        let _ = fs::remove_dir_all(&new);
        result
    }
}

/// `lxc-copy` and `lxc-execute`.
struct Lxc {
    dir: PathBuf,
}

impl Rival for Lxc {
    fn name(&self) -> &'static str {
        "lxc-copy"
    }

    fn about(&self) -> &'static str {
        "lxc-copy of the tree (rsync), lxc-execute /bin/true"
    }

    fn missing(&self) -> Option<String> {
        missing(&["lxc-copy", "lxc-execute", "rsync"])
    }

    fn live(&self) -> Fallible<Duration> {
        let groups = Groups::of("lxc");
        let tree = tree_in(&self.dir);
        fs::write(
            self.dir.join("base/config"),
            format!(
                "lxc.rootfs.path = dir:{}\nlxc.uts.name = base\nlxc.net.0.type = empty\nlxc.cgroup.dir = {}\n",
                tree.display(),
                groups.name()
            ),
        )?;
        let lxc = |program| {
            let mut command = Command::new(program);
            command.arg("-P").arg(&self.dir);
            command
        };
        let copied = time(lxc("lxc-copy").args(["-n", "base", "-N", "new"]));
        let result = copied.and_then(|copied| {
            let mut execute = lxc("lxc-execute");
            Ok(copied + time(execute.args(["-n", "new", "--", "/bin/true"]))?)
        });
        if result.is_err() {
            let mut stop = lxc("lxc-stop");
            let _ = stop.args(["-k", "-q", "-n", "new"]).status();
        }
        let _ = fs::remove_dir_all(self.dir.join("new"));
        result
    }
}
