//! A mount whose daemon is another process, and a watchdog for whoever uses it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;
use wpar_mountd::fuse::session;
use wpar_mountd::source;
use wpar_mountd::spec::{LowerSpec, MountSpec, SpaceLimits};

/// What nothing here may take; a hang takes for ever.
const PATIENCE: Duration = Duration::from_secs(120);

const SPEC: &str = "WPAR_TEST_SPEC";
const PLACE: &str = "WPAR_TEST_PLACE";

/// The daemon of the other tests, which start this very program again; nothing when it is run as a
/// test.
#[test]
fn daemon() {
    let (Some(spec), Some(place)) = (std::env::var_os(SPEC), std::env::var_os(PLACE)) else {
        return;
    };
    let spec: MountSpec = serde_json::from_slice(&fs::read(spec).unwrap()).unwrap();
    let mounted = session::mount(source::open(&spec).unwrap(), Path::new(&place)).unwrap();
    while !mounted.is_finished() {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether mounts can be made; tells why not.
pub(crate) fn possible() -> bool {
    let why = if !rustix::process::geteuid().is_root() {
        "mounting needs root"
    } else if !Path::new("/dev/fuse").exists() {
        "this machine has no /dev/fuse"
    } else {
        return true;
    };
    eprintln!("SKIPPED: {why}");
    false
}

/// A directory in memory, if there is one.
pub(crate) fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

pub(crate) fn directory_spec(lower: &Path, store: Option<&Path>) -> MountSpec {
    MountSpec {
        lower: LowerSpec::Directory { path: lower.into() },
        store: store.map(Path::to_path_buf),
        hidden: Vec::new(),
        limits: SpaceLimits::default(),
        access: Default::default(),
    }
}

/// A mount, taken away when dropped.
pub(crate) struct Mount {
    place: PathBuf,
    child: Child,
    _spec: TempDir,
}

impl Mount {
    /// Mounts `spec` at the directory `place`.
    pub(crate) fn new(spec: &MountSpec, place: &Path) -> Self {
        Self::try_new(spec, place).expect("the daemon ended at once")
    }

    /// The same; `None` with what the daemon said on standard error if it ended.
    pub(crate) fn try_new(spec: &MountSpec, place: &Path) -> Result<Self, String> {
        let files = scratch();
        let path = files.path().join("spec.json");
        fs::write(&path, serde_json::to_vec(spec).unwrap()).unwrap();
        let said = files.path().join("said");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "mount::daemon", "--nocapture"])
            .envs([(SPEC, path.as_os_str()), (PLACE, place.as_os_str())])
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut mount = Self {
            place: place.to_path_buf(),
            child,
            _spec: files,
        };
        let begun = Instant::now();
        while !is_mounted(place) {
            if mount.child.try_wait().unwrap().is_some() {
                return Err(fs::read_to_string(said).unwrap());
            }
            assert!(begun.elapsed() < PATIENCE, "no mount came");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(mount)
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.place.join(name)
    }

    /// A number of kilobytes from the daemon's `/proc/PID/status`.
    pub(crate) fn kilobytes(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let number = line.split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    /// Time of processors that the daemon has used, in the kernel's ticks.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum()
    }

    /// How many descriptors the daemon has open.
    pub(crate) fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        open.count()
    }

    /// Does what a program in the WPAR might; fails if that never ends.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let (tell, told) = mpsc::channel();
        let worker = thread::spawn(move || drop(tell.send(work())));
        match told.recv_timeout(PATIENCE) {
            Ok(done) => done,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.abort();
                panic!("{what} hangs");
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                worker.join().unwrap();
                unreachable!("what was not sent was a panic");
            }
        }
    }

    /// Unmounts, and waits for the daemon to end well.
    pub(crate) fn end(mut self) {
        let begun = Instant::now();
        // A process that another test is just making may have what is open here, for a moment.
        while let Err(error) = unmount(&self.place, UnmountFlags::empty()) {
            assert_eq!(error, Errno::BUSY);
            assert!(begun.elapsed() < PATIENCE, "something is open in the mount");
            thread::sleep(Duration::from_millis(10));
        }
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "the daemon ended with {status}");
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "the daemon does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends everything that waits for an answer.
    fn abort(&self) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::KILL,
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = unmount(&self.place, UnmountFlags::DETACH);
            self.abort();
            let _ = self.child.wait();
        }
    }
}

fn is_mounted(place: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4).map(OsStr::new) == Some(place.as_os_str()))
}

/// Walks all of a tree; how many names there are.
pub(crate) fn walk(directory: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        count += 1;
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            count += walk(&path);
        }
    }
    count
}
