//! A root of its own for each test, and a builder that runs the program and compares.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use tempfile::TempDir;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_wpar");

/// A root for the program: everything that it keeps is below it.
pub struct Root {
    dir: TempDir,
}

impl Root {
    /// An empty root. Not below `/tmp`, which a copy of the running system does not show.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("wpar-cli-")
            .tempdir_in("/var/tmp")
            .unwrap();
        Self { dir }
    }

    /// As [`Self::new`] if this process is root, which making WPARs needs.
    pub fn privileged() -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            return Some(Self::new());
        }
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!("SKIPPED: {test}: making WPARs needs root");
        None
    }

    /// The directory that `--root` names. It does not exist at first.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// A path of the test's own beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path below the program's state directory.
    pub fn state(&self, name: &str) -> PathBuf {
        self.path().join("var/lib/wpar").join(name)
    }

    /// `wpar` with these arguments.
    pub fn wpar<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Test {
        Test::new(PROGRAM, self).args(args)
    }

    /// `wpar` with the words of `line`.
    pub fn run(&self, line: &str) -> Test {
        self.wpar(line.split_whitespace())
    }

    /// What a supervisor of `name` has written down that is gone and had failed: in the words of
    /// the first version.
    pub fn failed_run(&self, name: &str) {
        let state = serde_json::json!({
            "name": name, "mount_point": "/nonexistent", "cgroup": "wpar/no-such-group.w1",
            "ids": {"first": 1_000_000, "count": 65_536}, "supervisor": {"pid": 1, "start": 0},
            "daemon": null, "init": null, "init_kind": null, "executed": true, "ready": false,
            "stopping": false, "started_at": 0, "restarts": 0, "status": null,
            "failure": "cannot be removed: the mount on /nonexistent",
        });
        let path = self.path().join("run/wpar").join(name).join("run.json");
        fs::write(path, state.to_string()).unwrap();
    }

    /// Writes a record, as version 1 of the format has it, with these changes (`"key": value`).
    pub fn record(&self, name: &str, changes: serde_json::Value) {
        let mut record = serde_json::json!({
            "version": 1,
            "name": name,
            "uuid": "6f2c1c0e-8a51-4a5e-9d4e-2f3c5a7b9e01",
            "hostname": name,
            "kind": "system",
            "directory": format!("/wpars/{name}"),
            "directory_created": false,
            "source": {"kind": "host"},
            "ids": {"first": 1_073_741_824u32, "count": 65_536},
            "created": 1_700_000_000u64,
        });
        for (key, value) in changes.as_object().unwrap() {
            record[key] = value.clone();
        }
        fs::create_dir_all(self.state("registry")).unwrap();
        fs::create_dir_all(self.state("locks")).unwrap();
        fs::write(
            self.state(&format!("registry/{name}.json")),
            record.to_string(),
        )
        .unwrap();
    }

    /// A small archive of a system.
    pub fn image(&self, name: &str) -> PathBuf {
        let path = self.beside(name);
        write_archive(
            &path,
            &[
                ("etc/hostname", "source\n"),
                ("etc/machine-id", "00000000000000000000000000000000\n"),
                ("etc/hosts", "127.0.0.1 localhost\n"),
                ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ],
        );
        path
    }

    /// What of WPARs there is below the root: every name but those of directories and files that
    /// the program makes for itself, locks among them.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let own = ["registry", "kept", "stores", "images", "logs"];
        let mut found = Vec::new();
        let mut visit = vec![self.path().join("wpars"), self.path().join("run/wpar")];
        visit.extend(own.iter().map(|dir| self.state(dir)));
        for dir in visit {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.file_name() != Some(OsStr::new(".boot")) {
                    found.push(path);
                }
            }
        }
        found
    }
}

/// Writes a tar archive of these files, in directories of their own. It carries an extended attribute, so
/// that there is nothing to be said about it.
pub fn write_archive(path: &Path, files: &[(&str, &str)]) {
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    let attribute = [("SCHILY.xattr.user.origin", &b"test"[..])];
    builder.append_pax_extensions(attribute).unwrap();
    for (name, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder
            .append_data(&mut header, name, contents.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap().sync_all().unwrap();
}

/// One run of the program and what is expected of it: success and silence, unless said otherwise.
#[must_use]
pub struct Test {
    command: Command,
    root: PathBuf,
    status: i32,
    stdout: Expected,
    stderr: Expected,
}

enum Expected {
    Exactly(String),
    Containing(Vec<String>),
    Anything,
}

impl Test {
    /// `program`, with the root in its environment.
    pub fn new(program: impl AsRef<OsStr>, root: &Root) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("WPAR_ROOT", root.path());
        command.stdin(Stdio::null());
        Self {
            command,
            root: root.path(),
            status: 0,
            stdout: Expected::Exactly(String::new()),
            stderr: Expected::Exactly(String::new()),
        }
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds one argument.
    pub fn arg(self, arg: impl Into<OsString>) -> Self {
        self.args([arg.into()])
    }

    /// The command itself, for what is special.
    pub fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// Expects this exit status.
    pub fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// Expects exactly this on standard output; `[ROOT]` stands for the root.
    pub fn stdout(mut self, text: &str) -> Self {
        self.stdout = Expected::Exactly(text.replace("[ROOT]", &self.root.to_string_lossy()));
        self
    }

    /// Does not care about standard output.
    pub fn any_stdout(mut self) -> Self {
        self.stdout = Expected::Anything;
        self
    }

    /// Expects exactly this on standard error; `[ROOT]` stands for the root.
    pub fn stderr(mut self, text: &str) -> Self {
        self.stderr = Expected::Exactly(text.replace("[ROOT]", &self.root.to_string_lossy()));
        self
    }

    /// Expects one line on standard error that has all of these in it.
    pub fn complaint(mut self, parts: &[&str]) -> Self {
        let root = self.root.to_string_lossy().into_owned();
        let parts = parts
            .iter()
            .map(|part| part.replace("[ROOT]", &root))
            .collect();
        self.stderr = Expected::Containing(parts);
        self
    }

    /// Does not care about standard error.
    pub fn any_stderr(mut self) -> Self {
        self.stderr = Expected::Anything;
        self
    }

    /// Starts it with its outputs in pipes, and leaves all else to the caller.
    pub fn spawn(mut self) -> Child {
        self.command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// As [`Self::check`], with the outputs where [`Self::with`] has put them.
    #[track_caller]
    pub fn check_streaming(mut self) -> Output {
        let output = self.command.spawn().unwrap().wait_with_output().unwrap();
        self.compare_with(output)
    }

    /// Runs it and compares.
    #[track_caller]
    pub fn check(mut self) -> Output {
        let output = self.command.output().unwrap();
        self.compare_with(output)
    }

    #[track_caller]
    fn compare_with(self, output: Output) -> Output {
        let line = format!("{:?}\n{}", self.command, shown(&output));
        assert_eq!(code(output.status), self.status, "exit status of {line}");
        compare(&self.stdout, &output.stdout, "standard output", &line);
        compare(&self.stderr, &output.stderr, "standard error", &line);
        output
    }
}

#[track_caller]
fn compare(expected: &Expected, found: &[u8], what: &str, line: &str) {
    let found = String::from_utf8_lossy(found);
    match expected {
        Expected::Anything => {}
        Expected::Exactly(text) => assert_eq!(found, *text, "{what} of {line}"),
        Expected::Containing(parts) => {
            assert_eq!(
                found.lines().count(),
                1,
                "{what} should be one line: {line}"
            );
            for part in parts {
                assert!(
                    found.contains(part.as_str()),
                    "no {part:?} in {what} of {line}"
                );
            }
        }
    }
}

/// The exit status in the manner of shells.
pub fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn shown(output: &Output) -> String {
    format!(
        "--- stdout\n{}--- stderr\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
