//! A copy of a running system that is on several file systems: the root volume group.
//!
//! The host is this one in a mount namespace of its own, with more mounted.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::run::{Running, eventually};
use crate::common::skip::need;
use crate::common::world::{BOOT, World};
use crate::common::{Output, Run};

/// Below the directory `$1`, which a copy has: a file system of the type `$3` at `part`, another one in
/// it, and one that is served by the kernel from memory. At `$2`, which is no part of the system, one
/// more.
const MOUNTS: &str = r#"
    set -e
    cd "$1"
    mkdir part memory
    for image in part inner data; do truncate -s 400M "$image.img"; done
    case $3 in ext4) force=-F;; *) force=-f;; esac
    "mkfs.$3" -q "$force" part.img
    mkfs.ext4 -qF inner.img
    mkfs.ext4 -qF data.img
    echo under >part/under
    mount -o loop part.img part
    mkdir part/dir part/inner part/empty
    mount -o loop inner.img part/inner
    mount -t tmpfs none memory
    mount -o loop data.img "$2"
    echo contents >part/dir/file
    ln part/dir/file part/dir/link
    setfattr -n user.colour -v blue part/dir/file 2>/dev/null || true
    chown 7:8 part/empty; chmod 711 part/empty
    head -c 3000000 /dev/urandom >part/big
    echo inner >part/inner/file
    echo memory >memory/file
    echo data >"$2/file"
    : >ready
    exec sleep 1000
"#;

/// This host with more file systems.
struct Host<'a> {
    world: &'a World,
    /// Held by this process.
    holder: Running,
    /// Where a file system is mounted that no copy has.
    data: TempDir,
}

impl<'a> Host<'a> {
    fn new(world: &'a World, fs_type: &str) -> Result<Self, String> {
        for program in [
            &format!("mkfs.{fs_type}"),
            "mkfs.ext4",
            "unshare",
            "nsenter",
        ] {
            let found = std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|dir| dir.join(program).exists())
            });
            if !found {
                return Err(format!("needs {program}"));
            }
        }
        let data = tempfile::Builder::new()
            .prefix("wpar-test-")
            .tempdir_in("/srv")
            .map_err(|error| format!("needs a directory in /srv: {error}"))?;
        let words = ["-m", "--propagation", "private", "sh", "-c", MOUNTS, "sh"];
        let mut holder = Some(
            Run::new("unshare", words)
                .arg(world.scratch())
                .arg(data.path())
                .arg(fs_type)
                .timeout(Duration::from_secs(900))
                .start(),
        );
        let pid = holder.as_ref().map(Running::pid).expect("just started");
        eventually("it is all mounted", Duration::from_secs(60), || {
            if !Path::new(&format!("/proc/{}/exe", pid.as_raw_nonzero())).exists() {
                holder.take().expect("there until now").wait().succeeded();
            }
            world.scratch().join("ready").exists()
        });
        Ok(Self {
            world,
            holder: holder.expect("it lives"),
            data,
        })
    }

    /// A command there.
    fn run<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Run {
        let pid = self.holder.pid().as_raw_nonzero().to_string();
        Run::new("nsenter", ["-m", "-t", &pid, "--"])
            .args(words)
            .env("WPAR_ROOT", self.world.root())
    }

    fn wpar(&self, line: &str) -> Run {
        let words = line.split_whitespace();
        self.run(std::iter::once(env!("CARGO_BIN_EXE_wpar")).chain(words))
    }

    #[track_caller]
    fn ok(&self, line: &str) -> Output {
        self.wpar(line).ok()
    }

    /// Runs a shell there.
    #[track_caller]
    fn sh(&self, script: &str) {
        self.run(["sh", "-c", script, "sh"])
            .arg(self.world.scratch())
            .arg(self.data.path())
            .ok();
    }

    /// A path below the scratch directory in the WPAR, for this process.
    fn in_wpar(&self, name: &str, path: &str) -> PathBuf {
        let pid = self.holder.pid().as_raw_nonzero();
        let scratch = self.world.scratch();
        let base = self.world.base(name);
        Path::new(&format!("/proc/{pid}/root"))
            .join(base.strip_prefix("/").expect("absolute"))
            .join(scratch.strip_prefix("/").expect("absolute"))
            .join(path)
    }

    /// A path below the scratch directory on the host.
    fn on_host(&self, path: &str) -> PathBuf {
        let pid = self.holder.pid().as_raw_nonzero();
        let scratch = self.world.scratch();
        Path::new(&format!("/proc/{pid}/root"))
            .join(scratch.strip_prefix("/").expect("absolute"))
            .join(path)
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        // What still runs of a test that failed is in the way of the next.
        self.wpar("rmwpar -F one").output();
        let _ = kill_process(self.holder.pid(), Signal::KILL);
    }
}

fn number(path: &Path) -> u64 {
    fs::symlink_metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .ino()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The whole promise, with a part of one type.
fn copy_with(fs_type: &str) {
    let world = need!(World::in_view_of_the_host());
    let host = need!(Host::new(&world, fs_type));
    let made = host.ok("mkwpar -t -n one -v").complaint();
    let scratch = world.scratch();
    for (path, why) in [
        (scratch.join("part"), "part of the system"),
        (scratch.join("part/inner"), "part of the system"),
        (host.data.path().to_owned(), "not in the root volume group"),
    ] {
        let line = made
            .lines()
            .find(|line| line.contains(&format!("{}", path.display())) && line.contains(why));
        assert!(line.is_some(), "{} in {made}", path.display());
    }
    let listed = host.ok("lswpar --json one");
    let listed: serde_json::Value = serde_json::from_str(listed.text()).expect("JSON");
    let names = |key: &str| -> Vec<String> {
        let all = listed[0][key].as_array().expect("a list").iter();
        all.map(|one| one["directory"].as_str().expect("a path").to_owned())
            .collect()
    };
    let path = |path: &str| scratch.join(path).display().to_string();
    assert_eq!(names("included"), [path("part"), path("part/inner")]);
    assert!(names("left_out").contains(&host.data.path().display().to_string()));
    let inner = host.ok(&format!("explain --json one {}", path("part/inner/file")));
    let inner: serde_json::Value = serde_json::from_str(inner.text()).expect("JSON");
    let of = inner[0]["source"]["of"].as_str().expect("words");
    assert!(
        of.contains("ext4 on") && of.ends_with(&path("part/inner")),
        "{of}"
    );
    let data = host.ok(&format!("explain one {}/file", host.data.path().display()));
    assert!(
        data.text()
            .contains("not in the root volume group (decided"),
        "{data}"
    );
    host.ok("startwpar one");
    let at = |path: &str| host.in_wpar("one", path);
    assert_eq!(read(&at("part/dir/file")), "contents\n");
    assert_eq!(read(&at("part/inner/file")), "inner\n");
    assert!(!at("part/under").exists() && !at("memory/file").exists());
    assert_eq!(
        fs::read(at("part/big")).unwrap(),
        fs::read(host.on_host("part/big")).unwrap()
    );
    let empty = fs::metadata(at("part/empty")).unwrap();
    assert_eq!((empty.uid() % 65536, empty.mode() & 0o7777), (7, 0o711));
    assert_eq!(number(&at("part/dir/file")), number(&at("part/dir/link")));
    let paths = [
        "part",
        "part/dir",
        "part/dir/file",
        "part/inner",
        "part/inner/file",
    ];
    let before = paths.map(|path| number(&at(path)));
    let distinct: std::collections::BTreeSet<_> = before.iter().collect();
    assert_eq!(distinct.len(), before.len());
    let device = |path: &str| fs::metadata(at(path)).unwrap().dev();
    assert_eq!(device("part/inner"), device("."), "one file system");

    // From one to the other in all ways, and into what is only in the store.
    fs::rename(at("part/dir"), at("moved")).unwrap();
    fs::rename(at("part/inner/file"), at("part/file")).unwrap();
    fs::hard_link(at("moved/file"), at("part/inner/third")).unwrap();
    fs::write(at("moved/link"), "changed\n").unwrap();
    fs::write(at("part/big"), "small").unwrap();
    fs::remove_dir(at("part/empty")).unwrap();
    host.ok("stopwpar -F one");
    host.ok("startwpar one");
    let paths = ["part", "moved", "moved/file", "part/inner", "part/file"];
    assert_eq!(paths.map(|path| number(&at(path))), before);
    for path in ["moved/file", "moved/link", "part/inner/third"] {
        assert_eq!(read(&at(path)), "changed\n");
    }
    assert_eq!(read(&at("part/file")), "inner\n");
    assert_eq!(read(&at("part/big")), "small");
    assert!(!at("part/empty").exists() && !at("part/dir").exists());
    assert_eq!(read(&host.on_host("part/dir/file")), "contents\n");
    assert!(host.on_host("part/empty").exists());
    host.ok("stopwpar -F one");
    host.ok("rmwpar one");
    drop(host);
    world.assert_empty();
}

#[test]
fn a_part_on_ext4_is_in_the_copy() {
    copy_with("ext4");
}

#[test]
fn a_part_on_xfs_is_in_the_copy() {
    copy_with("xfs");
}

#[test]
fn a_part_on_btrfs_is_in_the_copy() {
    copy_with("btrfs");
}

#[test]
fn what_is_open_in_a_part_stays_open_when_the_daemon_is_killed() {
    let world = need!(World::in_view_of_the_host());
    let host = need!(Host::new(&world, "ext4"));
    host.ok("mkwpar -t -s -n one");
    let at = |path: &str| host.in_wpar("one", path);
    let mut file = File::open(at("part/big")).unwrap();
    let mut half = vec![0; 1_000_000];
    file.read_exact(&mut half).unwrap();
    let deep = File::open(at("part/inner")).unwrap();
    let before = (
        file.metadata().unwrap().ino(),
        deep.metadata().unwrap().ino(),
    );
    fs::rename(at("part/dir"), at("part/inner/moved")).unwrap();
    for _ in 0..3 {
        let daemon = || {
            let keepers = world.keepers();
            let found = keepers
                .iter()
                .find(|process| process.command.starts_with("wpar-mountd"));
            found.map(|process| process.pid)
        };
        let pid = daemon().expect("a daemon");
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        eventually("another daemon", BOOT, || {
            daemon().is_some_and(|other| other != pid)
        });
        file.rewind().unwrap();
        let mut all = Vec::new();
        file.read_to_end(&mut all).unwrap();
        assert_eq!(all, fs::read(host.on_host("part/big")).unwrap());
        assert_eq!(
            (
                file.metadata().unwrap().ino(),
                deep.metadata().unwrap().ino()
            ),
            before
        );
        assert_eq!(read(&at("part/inner/moved/file")), "contents\n");
        assert_eq!(read(&at("part/inner/file")), "inner\n");
    }
    drop((file, deep));
    host.ok("stopwpar -F one");
    host.ok("rmwpar one");
}

#[test]
fn what_was_decided_holds_at_the_next_start() {
    let world = need!(World::in_view_of_the_host());
    let host = need!(Host::new(&world, "ext4"));
    host.ok("mkwpar -t -n one");
    let at = |path: &str| host.in_wpar("one", path);
    // Mounted since: not seen, and neither is what is below it.
    host.sh("mkdir \"$1\"/part/later && cp -a \"$1\"/part/dir \"$1\"/part/later/ && mount -t tmpfs none \"$1\"/part/later && echo x >\"$1\"/part/later/new");
    host.ok("startwpar one");
    assert_eq!(fs::read_dir(at("part/later")).unwrap().count(), 0);
    host.ok("stopwpar -F one");
    // Not there any more.
    host.sh("umount \"$1\"/part/inner");
    let point = world.scratch().join("part/inner");
    let missing = host.wpar("startwpar one").refused(&["is not mounted"]);
    assert!(
        missing.complaint().contains(&*point.to_string_lossy()),
        "{missing}"
    );
    // Another one in its place.
    host.sh("mount -o loop \"$1\"/data.img \"$1\"/part/inner 2>/dev/null || mount --bind \"$2\" \"$1\"/part/inner");
    host.wpar("startwpar one").refused(&["another file system"]);
    host.sh("umount \"$1\"/part/inner; mount -o loop \"$1\"/inner.img \"$1\"/part/inner");
    host.ok("startwpar one");
    assert_eq!(read(&at("part/inner/file")), "inner\n");
    host.ok("stopwpar -F one");
    host.ok("rmwpar one");
}

#[test]
fn the_administrator_takes_in_and_leaves_out() {
    let world = need!(World::in_view_of_the_host());
    let host = need!(Host::new(&world, "ext4"));
    let (data, scratch) = (host.data.path().display(), world.scratch());
    let scratch = scratch.display();
    host.wpar("mkwpar -t -n one -T include=/no/such")
        .refused(&["no file system is mounted"]);
    host.wpar("mkwpar -t -n one -T exclude=/no/such")
        .refused(&["there is no"]);
    host.wpar("mkwpar -t -n one -T include=/proc")
        .refused(&["cannot be taken in"]);
    host.ok(&format!(
        "mkwpar -t -s -n one -T include={data},{scratch}/memory exclude={scratch}/part/inner \
         exclude={scratch}/part/dir/link"
    ));
    let at = |path: &str| host.in_wpar("one", path);
    let inside = |script: &str| {
        host.run([
            env!("CARGO_BIN_EXE_wpar"),
            "clogin",
            "one",
            "sh",
            "-c",
            script,
        ])
        .ok()
        .text()
        .to_owned()
    };
    assert_eq!(inside(&format!("cat {data}/file")), "data");
    assert_eq!(read(&at("memory/file")), "memory\n");
    assert_eq!(fs::read_dir(at("part/inner")).unwrap().count(), 0);
    assert!(!at("part/dir/link").exists() && at("part/dir/file").exists());
    fs::write(at("part/inner/own"), "own").unwrap();
    host.ok("stopwpar -F one");
    host.ok("startwpar one");
    assert_eq!(read(&at("part/inner/own")), "own");
    assert!(!at("part/inner/file").exists());
    host.ok("stopwpar -F one");
    host.ok("rmwpar one");
}
