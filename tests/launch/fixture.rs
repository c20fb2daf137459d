//! A WPAR of a directory tree with a shell and a few programs of this host.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wpar::launch::{
    Confinement, ExitStatus, IdRange, LaunchError, LaunchSpec, Limits, Payload, RootSource,
    StartEvent, Started, StopMode, clean_up, observe, stop,
};

use crate::program::copy_program;
use crate::role::{ARGUMENTS, launcher};

/// Programs of this host that the tree has, next to a shell.
const PROGRAMS: [&str; 10] = [
    "cat", "chmod", "id", "ls", "mknod", "mount", "sleep", "stty", "touch", "umount",
];

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A WPAR to test with. Dropping it ends it and removes everything.
pub(crate) struct Wpar {
    directory: TempDir,
    pub(crate) spec: LaunchSpec,
}

/// A WPAR, or a loud word why this machine cannot run one.
pub(crate) fn wpar() -> Option<Wpar> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: starting a WPAR needs root");
        return None;
    }
    Some(Wpar::new())
}

impl Wpar {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The ids of the WPAR must be able to come through, as through /wpars.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{number}", std::process::id());
        let below = |name: &str| directory.path().join(name);
        fs::create_dir(below("mount")).unwrap();
        build_tree(&below("tree"));
        let spec = LaunchSpec {
            hostname: name.clone(),
            machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
            root: RootSource::Directory(below("tree")),
            mount_point: below("mount"),
            run_dir: below("run/wpar"),
            console_log: below("console.log"),
            cgroup: format!("wpar/{name}"),
            ids: IdRange {
                first: 1_500_000_000 + number * 65_536,
                count: 65_536,
            },
            payload: Payload::Init,
            tmpfs: vec!["/tmp".to_owned()],
            limits: Limits::default(),
            network: None,
            host_network: false,
            own_addresses: None,
            trail: None,
            devices: Vec::new(),
            confinement: Confinement::default(),
            conversion: None,
            name,
        };
        Self { directory, spec }
    }

    /// A path of the tree, as the host sees it.
    pub(crate) fn tree(&self, path: &str) -> PathBuf {
        self.directory.path().join("tree").join(path)
    }

    /// What a program of the WPAR has written to a file of the tree.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.tree(path)).unwrap()
    }

    /// Puts a program into the tree.
    pub(crate) fn write_script(&self, path: &str, text: &str) {
        let path = self.tree(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Gives the tree an init that is taken for systemd: it announces itself, halts on the
    /// signal for that, and runs `script` besides.
    pub(crate) fn install_init(&self, script: &str) {
        self.write_script(
            "usr/lib/systemd/systemd",
            &format!(
                "#!/bin/sh\nWPAR_TEST_ROLE=announce exec {}\n",
                role_command()
            ),
        );
        std::os::unix::fs::symlink("../usr/lib/systemd/systemd", self.tree("sbin/init")).unwrap();
        self.write_script(
            "init.sh",
            &format!(
                "#!/bin/sh\ntrap 'WPAR_TEST_ROLE=halt exec {0}' RTMIN+3\n\
                 trap 'WPAR_TEST_ROLE=reboot exec {0}' RTMIN+5\n{script}\n\
                 while :; do sleep 0.02; done\n",
                role_command()
            ),
        );
    }

    /// Starts it as it is specified.
    pub(crate) fn start(&self) -> Result<Started, LaunchError> {
        launcher().start(&self.spec, &mut |_| ())
    }

    /// Starts it and waits until its init says that it is up.
    pub(crate) fn start_ready(&self) -> Vec<StartEvent> {
        let mut events = Vec::new();
        let mut started = launcher()
            .start(&self.spec, &mut |event| events.push(event))
            .unwrap();
        let patience = Some(Duration::from_secs(30));
        assert!(
            started
                .wait_ready(patience, &mut |event| events.push(event))
                .unwrap()
        );
        events
    }

    /// Runs a shell script as the only command of the WPAR.
    pub(crate) fn run(&mut self, script: &str) -> Result<ExitStatus, LaunchError> {
        self.run_command(&["/bin/sh", "-c", script])
    }

    /// Runs one command.
    pub(crate) fn run_command(&mut self, argv: &[&str]) -> Result<ExitStatus, LaunchError> {
        self.spec.payload = Payload::Command {
            argv: argv.iter().map(Into::into).collect(),
            env: vec![("GREETING".into(), "hello".into())],
            cwd: "/etc".into(),
            terminal: false,
        };
        self.start()?.wait()
    }

    /// This executable in a role outside, which is to be given a standard input and output.
    pub(crate) fn role(&self, role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(ARGUMENTS)
            .env("WPAR_TEST_ROLE", role)
            .env("WPAR_TEST_RUN", &self.spec.run_dir)
            .stderr(Stdio::null());
        command
    }

    /// Asserts that nothing of it is left on the host.
    pub(crate) fn assert_gone(&self) {
        assert!(!self.spec.run_dir.exists(), "the run directory is left");
        assert_eq!(
            fs::read_dir(&self.spec.mount_point).unwrap().count(),
            0,
            "a mount is left"
        );
        let removed = clean_up(
            &self.spec.run_dir,
            &self.spec.mount_point,
            &self.spec.cgroup,
        )
        .unwrap();
        assert_eq!(removed, Vec::<String>::new());
    }
}

impl Drop for Wpar {
    fn drop(&mut self) {
        if self.spec.run_dir.exists() {
            let _ = stop(&self.spec.run_dir, StopMode::Force, None);
        }
        let _ = clean_up(
            &self.spec.run_dir,
            &self.spec.mount_point,
            &self.spec.cgroup,
        );
    }
}

/// The command line inside that plays a role.
pub(crate) fn role_command() -> String {
    format!("/role {}", ARGUMENTS.join(" "))
}

/// Waits until `condition` holds; the test fails if it does not come true.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end of the supervisor.
pub(crate) fn wait_for_end(wpar: &Wpar) {
    wait_until("the supervisor ends", || {
        observe(&wpar.spec.run_dir).supervisor.is_none()
    });
}

fn build_tree(tree: &Path) {
    for directory in ["bin", "sbin", "etc", "root", "home/ann"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    fs::write(
        tree.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
    )
    .unwrap();
    fs::write(
        tree.join("etc/group"),
        "root:x:0:\nann:x:1000:\nadm:x:4:ann\n",
    )
    .unwrap();
    let mut libraries = BTreeSet::new();
    install(Path::new("/bin/bash"), &tree.join("bin/sh"), &mut libraries);
    for name in PROGRAMS {
        let found = ["/bin", "/usr/bin", "/usr/sbin"]
            .iter()
            .map(|directory| Path::new(directory).join(name))
            .find(|path| path.exists());
        install(
            &found.expect(name),
            &tree.join("bin").join(name),
            &mut libraries,
        );
    }
    install(
        &std::env::current_exe().unwrap(),
        &tree.join("role"),
        &mut libraries,
    );
    for library in libraries {
        let place = tree.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        copy_program(&library, place);
    }
    hand_over(tree);
}

/// Copies a program and notes the libraries that it needs.
fn install(program: &Path, place: &Path, libraries: &mut BTreeSet<PathBuf>) {
    copy_program(program, place);
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    libraries.extend(words.map(PathBuf::from));
}

/// Everything belongs to root of the WPAR, whoever runs the tests.
fn hand_over(tree: &Path) {
    std::os::unix::fs::lchown(tree, Some(0), Some(0)).unwrap();
    for entry in fs::read_dir(tree).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            hand_over(&entry.path());
        }
    }
}
