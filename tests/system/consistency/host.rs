//! Another host: a small system on a file system of its own, in a mount namespace of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::common::fixtures::fixture;
use crate::common::program::copy_program;
use crate::common::run::{Running, eventually};
use crate::common::world::World;
use crate::common::{Output, Run};

/// The system of `$3` on a new file system of the type `$2` in `$1`, which becomes the root.
const HOST: &str = r#"
    set -e
    cd "$1"
    mkdir root
    truncate -s 2G disk.img
    case $2 in btrfs) mkfs.btrfs -qf disk.img;; *) mkfs.ext4 -qF disk.img;; esac
    mount -o loop disk.img root
    tar --numeric-owner -xpf "$3" -C root
    if [ $2 = btrfs ]; then
        for subvolume in srv/data var/lib/one var/lib/docker; do
            btrfs subvolume create "root/$subvolume" >/dev/null
        done
        btrfs subvolume create root/var/lib/docker/inner >/dev/null
        btrfs subvolume create root/var/lib/docker/other >/dev/null
    fi
    mkdir -p root/old root/srv/data root/work
    for dir in proc sys dev run; do mkdir -p root/$dir; mount --rbind /$dir root/$dir; done
    cp "$4" root/usr/local/bin/wpar
    cd root
    pivot_root . old
    cd /
    umount -l /old
    rmdir /old
    : >/ready
    exec /bin/sleep 2000
"#;

/// Where the tool keeps everything there.
const ROOT: &str = "/var/lib/wpar-test";

/// The host. See the module.
pub(super) struct Host {
    holder: Running,
    directory: PathBuf,
}

impl Host {
    /// One whose root is of the type `fs_type`.
    ///
    /// # Errors
    /// Why there cannot be one here, for a skip.
    pub(super) fn new(world: &World, fs_type: &str) -> Result<Self, String> {
        let make = format!("mkfs.{fs_type}");
        let mut programs = vec![make.as_str(), "unshare", "nsenter", "pivot_root"];
        if fs_type == "btrfs" {
            programs.push("btrfs");
        }
        let kernel = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !kernel.contains(&format!("\t{fs_type}\n")) {
            return Err(format!("needs a kernel with {fs_type}"));
        }
        for program in programs {
            let found = std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|dir| dir.join(program).exists())
            });
            if !found {
                return Err(format!("needs {program}"));
            }
        }
        let image = fixture("debian12-minbase")?;
        let directory = world.scratch();
        let program = directory.join("wpar");
        copy_program(env!("CARGO_BIN_EXE_wpar"), &program);
        let words = ["-m", "--propagation", "private", "sh", "-c", HOST, "sh"];
        let mut holder = Some(
            Run::new("unshare", words)
                .arg(&directory)
                .arg(fs_type)
                .arg(image)
                .arg(program)
                .timeout(Duration::from_secs(1800))
                .start(),
        );
        let pid = holder.as_ref().map(Running::pid).expect("just started");
        let ready = format!("/proc/{}/root/ready", pid.as_raw_nonzero());
        eventually("the other host is there", Duration::from_secs(300), || {
            if !Path::new(&format!("/proc/{}/exe", pid.as_raw_nonzero())).exists() {
                holder.take().expect("there until now").wait().succeeded();
            }
            Path::new(&ready).exists()
        });
        let host = Self {
            holder: holder.expect("it lives"),
            directory,
        };
        host.sh(&format!("mkdir -p {ROOT}"));
        Ok(host)
    }

    /// A command there.
    pub(super) fn run<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Run {
        let pid = self.holder.pid().as_raw_nonzero().to_string();
        Run::new("nsenter", ["-m", "-t", &pid, "--"])
            .args(words)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("WPAR_ROOT", ROOT)
            .current_dir("/")
    }

    pub(super) fn wpar(&self, line: &str) -> Run {
        let words = line.split_whitespace();
        self.run(std::iter::once("/usr/local/bin/wpar").chain(words))
    }

    #[track_caller]
    pub(super) fn ok(&self, line: &str) -> Output {
        self.wpar(line).ok()
    }

    /// Runs a shell there; what it printed.
    #[track_caller]
    pub(super) fn sh(&self, script: &str) -> String {
        self.run(["sh", "-c", script]).ok().text().to_owned()
    }

    /// Runs a shell in a WPAR there; what it printed.
    #[track_caller]
    pub(super) fn inside(&self, name: &str, script: &str) -> String {
        let words = [
            "/usr/local/bin/wpar",
            "clogin",
            name,
            "/bin/sh",
            "-c",
            script,
        ];
        self.run(words).ok().text().to_owned()
    }

    /// A path there, for this process.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        let pid = self.holder.pid().as_raw_nonzero();
        PathBuf::from(format!("/proc/{pid}/root{path}"))
    }

    /// The store of a WPAR, for this process.
    pub(super) fn store(&self, name: &str) -> PathBuf {
        self.path(&format!("{ROOT}/var/lib/wpar/stores/{name}"))
    }

    #[track_caller]
    pub(super) fn json(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(self.ok(line).text()).expect("JSON")
    }

    /// The word for the only WPAR.
    #[track_caller]
    pub(super) fn consistency(&self) -> String {
        let listed = self.json("lswpar --json");
        listed[0]["consistency"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    }

    /// Snapshots that there are.
    pub(super) fn snapshots(&self) -> String {
        let listed = Run::new("btrfs", ["subvolume", "list"])
            .arg(self.path("/"))
            .ok();
        let lines = listed.text().lines();
        lines
            .filter(|line| line.contains("wpar-one-"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Where snapshots are kept.
    pub(super) fn place(&self) -> String {
        format!("{ROOT}/var/lib/wpar/snapshots")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What still runs of a test that failed is in the way of the next.
        for name in ["one", "two"] {
            self.wpar(&format!("rmwpar -F {name}")).output();
        }
        let _ = kill_process(self.holder.pid(), Signal::KILL);
        let _ = fs::remove_file(self.directory.join("disk.img"));
    }
}
