//! A private world for the tool: everything that it keeps is below one temporary directory, and
//! goes away with it, whatever happened.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use wpar::model::WparName;
use wpar::registry::Layout;

use super::procfs::{Process, mounts_below, processes_of, wpar_cgroups};
use super::run::{Output, Run, eventually};

/// Only one world at a time in this process: what is left behind is looked for on the machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Time for a system to come up or go down on a busy machine.
pub const BOOT: Duration = Duration::from_secs(120);

/// A private root for `wpar`, with the means to look at it. See the module.
#[derive(Debug)]
pub struct World {
    dir: TempDir,
    /// Process in whose network namespace the commands run.
    network: Option<u32>,
    _file: File,
    _guard: MutexGuard<'static, ()>,
}

impl World {
    /// An empty world; waits until no other test has one.
    ///
    /// # Errors
    /// Why this process cannot start WPARs, for a skip.
    pub fn new() -> Result<Self, String> {
        Self::below("/var/tmp")
    }

    /// An empty world in a part of the system that a copy of the host shows, so that what a test
    /// puts beside the tool's root is in the copy, and the root itself has to be hidden.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn in_view_of_the_host() -> Result<Self, String> {
        Self::below("/var/lib")
    }

    fn below(parent: &str) -> Result<Self, String> {
        super::skip::privileged()?;
        // A test that failed has cleaned up as well as it could; the lock itself is fine.
        let guard = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let lock = std::env::temp_dir().join("wpar-system-tests.lock");
        let file = File::create(&lock).unwrap_or_else(|e| panic!("{}: {e}", lock.display()));
        flock(&file, FlockOperation::LockExclusive).expect("lock of the system tests");
        let dir = tempfile::Builder::new()
            .prefix("wpar-test-")
            .tempdir_in(parent)
            .unwrap_or_else(|error| panic!("a temporary directory in {parent}: {error}"));
        Ok(Self {
            dir,
            network: None,
            _file: file,
            _guard: guard,
        })
    }

    /// The directory that `WPAR_ROOT` names.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The same, with the host of `lan` in place of this machine as far as the network goes.
    pub fn on(mut self, lan: &super::lan::Lan) -> Self {
        self.network = Some(lan.host());
        self
    }

    /// A directory for the test's own files, outside the tool's root.
    pub fn scratch(&self) -> PathBuf {
        let dir = self.dir.path().join("scratch");
        fs::create_dir_all(&dir).expect("scratch directory");
        dir
    }

    /// The command `wpar VERB ARGUMENTS…`, not yet run. What `mkwpar` makes of an image is versioned:
    /// the images of the tests are of many systems, and whether they are at the level of this
    /// machine is a matter of the tests of levels alone.
    pub fn wpar<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Run {
        let mut words: Vec<OsString> = words.into_iter().map(|w| w.as_ref().into()).collect();
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        if words.first().is_some_and(|verb| verb == "mkwpar") && has("-B") && !has("-C") {
            words.insert(1, "-C".into());
        }
        self.wpar_as_is(words)
    }

    /// The command as it is given.
    pub fn wpar_as_is<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Run {
        let run = Run::new(env!("CARGO_BIN_EXE_wpar"), words).env("WPAR_ROOT", self.root());
        match self.network {
            Some(pid) => run.in_network_of(pid),
            None => run,
        }
    }

    /// Whether an image is at the level of this machine.
    pub fn is_at_level_of_host(&self, image: &Path) -> bool {
        let told = |run: Run| {
            let output = run.ok();
            let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let fields = ["id", "version_id", "architecture"];
            fields.map(|field| told["level"][field].clone())
        };
        told(self.wpar(["oslevel", "--json"]))
            == told(self.wpar(["oslevel", "--json", "-B"]).arg(image))
    }

    /// Runs `wpar` with the words of `line` and asserts that it succeeds.
    #[track_caller]
    pub fn ok(&self, line: &str) -> Output {
        self.wpar(line.split_whitespace()).ok()
    }

    /// Runs `wpar` with the words of `line` and asserts that it is refused, saying one of `says`,
    /// and that the refusal left everything in the world as it was.
    #[track_caller]
    pub fn refused(&self, line: &str, says: &[&str]) -> Output {
        let before = self.summary();
        let output = self.wpar(line.split_whitespace()).refused(says);
        assert_eq!(
            self.summary(),
            before,
            "a refusal left something behind\n{output}"
        );
        output
    }

    /// `mkwpar -t -B IMAGE -n NAME`, which has to succeed.
    #[track_caller]
    pub fn mkwpar(&self, image: &Path, name: &str) -> Output {
        self.wpar(["mkwpar", "-t", "-B"])
            .arg(image)
            .arg("-n")
            .arg(name)
            .ok()
    }

    /// Runs a command line of `/bin/sh` inside, which has to succeed; its standard output.
    #[track_caller]
    pub fn inside(&self, name: &str, script: &str) -> String {
        self.wpar(["clogin", name, "/bin/sh", "-c", script])
            .ok()
            .text()
            .to_owned()
    }

    /// Lines of `lswpar`'s default table, without its two lines of heading, each as its columns.
    #[track_caller]
    pub fn table(&self) -> Vec<Vec<String>> {
        let output = self.wpar(["lswpar"]).ok();
        let lines = output.text().lines().skip(2);
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    }

    /// The state letter of `name`, or `None` if there is no such WPAR.
    #[track_caller]
    pub fn state(&self, name: &str) -> Option<String> {
        let table = self.table();
        let row = table
            .into_iter()
            .find(|row| row.first().is_some_and(|first| first == name))?;
        row.into_iter().nth(1)
    }

    /// The base directory of `name`, from `lswpar`.
    #[track_caller]
    pub fn base(&self, name: &str) -> PathBuf {
        let table = self.table();
        let row = table
            .iter()
            .find(|row| row.first().is_some_and(|first| first == name));
        let row = row.unwrap_or_else(|| panic!("lswpar does not show {name}: {table:?}"));
        PathBuf::from(
            row.get(4)
                .unwrap_or_else(|| panic!("no directory in {row:?}")),
        )
    }

    /// Waits until the system inside has come up, by its own word.
    #[track_caller]
    pub fn wait_for_systemd(&self, name: &str) -> String {
        let mut word = String::new();
        eventually("systemd inside has started", BOOT, || {
            let asked = self
                .wpar(["clogin", name, "systemctl", "is-system-running"])
                .output();
            word = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
            !matches!(
                word.as_str(),
                "" | "initializing" | "starting" | "unknown" | "offline"
            )
        });
        word
    }

    /// Control groups of WPARs of this world, and those below them.
    pub fn groups(&self) -> BTreeSet<PathBuf> {
        // Other roots may be in use on this machine at the same time: theirs are not ours, above
        // all when it comes to killing. The layout tells which name a group of this root has.
        let name = WparName::new("x").expect("a name");
        let group = Layout::new(self.root()).cgroup(&name);
        let prefix = group
            .strip_suffix('x')
            .expect("it ends in the name")
            .to_owned();
        let ours = |group: &PathBuf| group.to_string_lossy().contains(&format!("/{prefix}"));
        wpar_cgroups().into_iter().filter(ours).collect()
    }

    /// Processes that belong to this world: the tool's own and those inside its WPARs.
    pub fn processes(&self) -> Vec<Process> {
        processes_of(self.dir.path(), &self.groups())
    }

    /// The tool's own long-lived processes, outside of all WPARs: supervisors and daemons.
    pub fn keepers(&self) -> Vec<Process> {
        let groups = self.groups();
        self.processes()
            .into_iter()
            .filter(|process| !process.is_in(&groups))
            .collect()
    }

    /// What is there, for comparing before and after; of what a running WPAR changes by itself,
    /// only that it is there.
    pub fn summary(&self) -> Summary {
        let live = |path: &PathBuf| {
            LIVE.iter().any(|live| {
                let inside = path.strip_prefix(self.root().join(live));
                inside.is_ok_and(|inside| inside.components().count() > 1)
            })
        };
        let groups = self.groups();
        // Groups below that of a WPAR are made and removed by what is in it.
        let outermost = |group: &PathBuf| group.parent().is_none_or(|up| !groups.contains(up));
        Summary {
            mounts: mounts_below(self.dir.path()),
            groups: groups
                .iter()
                .filter(|group| outermost(group))
                .cloned()
                .collect(),
            files: self
                .files()
                .into_iter()
                .filter(|path| !live(path))
                .collect(),
        }
    }

    /// Names below the root that belong to something: all but the directories that the tool makes
    /// for itself, lock files, the note of the host's boot, and indexes of images, which are kept
    /// on purpose.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mounts = mounts_below(self.dir.path());
        let mut found = BTreeSet::new();
        let mut todo = vec![self.root()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                let own = path.strip_prefix(self.root()).unwrap_or(&path);
                if SKELETON.iter().all(|kept| own != Path::new(kept)) {
                    found.insert(path.clone());
                }
                // Not into a mounted WPAR: its contents are its own affair.
                let enter = entry.file_type().is_ok_and(|kind| kind.is_dir())
                    && !mounts.contains(&path)
                    && !CACHES.iter().any(|cache| own == Path::new(cache));
                if enter {
                    todo.push(path);
                }
            }
        }
        found
    }

    /// Asserts that nothing of the WPAR `name` is left: no mount, process, control group, no
    /// file that has its name or mentions it (so no range of ids), and no row in `lswpar`.
    #[track_caller]
    pub fn assert_gone(&self, name: &str) {
        let mentioned: Vec<PathBuf> = self
            .files()
            .into_iter()
            .filter(|path| {
                let own = path.strip_prefix(self.root()).unwrap_or(path);
                own.iter().any(|part| part.to_string_lossy().contains(name)) || mentions(path, name)
            })
            .collect();
        assert!(
            mentioned.is_empty(),
            "files of {name} are left: {mentioned:#?}"
        );
        assert_eq!(self.state(name), None, "lswpar still shows {name}");
    }

    /// Asserts that nothing runs and nothing is mounted, and that no WPAR is defined.
    #[track_caller]
    pub fn assert_empty(&self) {
        self.assert_still();
        assert!(
            self.table().is_empty(),
            "WPARs are left: {:?}",
            self.table()
        );
    }

    /// Asserts that nothing runs and nothing is mounted, and that only `name` is defined.
    #[track_caller]
    pub fn assert_empty_but(&self, name: &str) {
        self.assert_still();
        let names: Vec<_> = self.table().into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(names, [name], "defined WPARs");
    }

    /// Asserts that there is no mount, no process and no control group of any WPAR.
    #[track_caller]
    pub fn assert_still(&self) {
        let mounts = mounts_below(self.dir.path());
        let mounts: Vec<_> = mounts
            .iter()
            .filter(|point| **point != self.root())
            .collect();
        assert!(mounts.is_empty(), "mounts are left: {mounts:#?}");
        // A process that was killed may take a moment to be reaped.
        let mut left = Vec::new();
        for _ in 0..100 {
            left = self.processes();
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(left.is_empty(), "processes are left: {left:#?}");
        let groups = self.groups();
        assert!(groups.is_empty(), "control groups are left: {groups:#?}");
    }

    /// Removes every WPAR by force, and asserts that nothing of any is left.
    #[track_caller]
    pub fn remove_all(&self) {
        for row in self.table() {
            self.wpar(["rmwpar", "-F", &row[0]]).ok();
            self.assert_gone(&row[0]);
        }
        self.assert_empty();
    }

    /// Cleans up with no help of the tool. Never fails.
    fn tear_down(&self) {
        let listed = self.wpar(["lswpar", "-q"]).timeout(Duration::from_secs(10));
        // The tool first; it may be what is broken, then by hand.
        let names = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| listed.output()))
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        for name in names
            .lines()
            .filter_map(|line| line.split_whitespace().next())
        {
            let remove = self
                .wpar(["rmwpar", "-F", name])
                .timeout(Duration::from_secs(30));
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| remove.output()));
        }
        for process in self.processes() {
            if let Some(pid) = Pid::from_raw(process.pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for point in mounts_below(self.dir.path()).iter().rev() {
            let _ = unmount(point, UnmountFlags::DETACH);
        }
        for group in self.groups().iter().rev() {
            for _ in 0..50 {
                if fs::remove_dir(group).is_ok() || !group.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tear_down();
    }
}

/// What is there besides processes.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    mounts: Vec<PathBuf>,
    groups: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

/// What the tool makes below its root for itself, and leaves.
const SKELETON: &[&str] = &[
    "var",
    "var/lib",
    "var/lib/wpar",
    "var/lib/wpar/registry",
    "var/lib/wpar/kept",
    "var/lib/wpar/stores",
    "var/lib/wpar/views",
    "var/lib/wpar/images",
    "var/lib/wpar/logs",
    "var/lib/wpar/locks",
    "var/lib/wpar/lock",
    "run",
    "run/wpar",
    "run/wpar/.boot",
    "wpars",
];

/// Directories of the skeleton that may hold anything: they are there to be used again.
const CACHES: &[&str] = &["var/lib/wpar/images", "var/lib/wpar/locks"];

/// Directories with one directory for each WPAR, which changes as long as it runs.
const LIVE: &[&str] = &["var/lib/wpar/stores", "var/lib/wpar/logs", "run/wpar"];

/// Whether a small file has `name` in it, as a word: keys of records may contain it.
fn mentions(path: &Path, name: &str) -> bool {
    let small = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() < 1 << 20);
    small
        && fs::read(path).is_ok_and(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            text.match_indices(name).any(|(at, _)| {
                let inside = |letter: Option<char>| {
                    letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
                };
                !inside(text[..at].chars().next_back())
                    && !inside(text[at + name.len()..].chars().next())
            })
        })
}
