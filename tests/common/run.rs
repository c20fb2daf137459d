//! Runs one command under a watchdog and keeps all that it said.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Longest time that any command of a test may take, unless the test says otherwise.
///
/// Far above what is ever needed: it turns a hang into a failure, it does not measure.
pub const WATCHDOG: Duration = Duration::from_secs(120);

/// How long a pipe may stay open after the command itself has ended.
const PIPE_GRACE: Duration = Duration::from_secs(5);

/// A command to run.
#[derive(Debug)]
pub struct Run {
    command: Command,
    stdin: Vec<u8>,
    timeout: Duration,
}

impl Run {
    /// `program` with `args`, an empty standard input and the environment of the test.
    pub fn new<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        Self {
            command,
            stdin: Vec::new(),
            timeout: WATCHDOG,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Sets its working directory.
    pub fn current_dir(mut self, dir: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// The same in the network namespace of the process `pid`.
    pub fn in_network_of(self, pid: u32) -> Self {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{pid}/ns/net"))
            .arg(self.command.get_program())
            .args(self.command.get_args());
        for (key, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(dir) = self.command.get_current_dir() {
            command.current_dir(dir);
        }
        Self { command, ..self }
    }

    /// Gives it `bytes` to read.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Changes the watchdog's time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The command as one would type it.
    pub fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words
            .map(OsStr::to_string_lossy)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Starts it, in a process group of its own, and does not wait.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let line = self.line();
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: cannot be started: {error}"));
        let mut input = child.stdin.take().expect("stdin is piped");
        let bytes = self.stdin;
        // A command that does not read its input to the end is no error of the test.
        thread::spawn(move || drop(input.write_all(&bytes)));
        let stdout = drain(child.stdout.take().expect("stdout is piped"));
        let stderr = drain(child.stderr.take().expect("stderr is piped"));
        Running {
            line,
            child,
            stdout,
            stderr,
            deadline: Instant::now() + self.timeout,
        }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it does not end before the watchdog, or leaves the caller's pipes open behind it.
    #[track_caller]
    pub fn output(self) -> Output {
        self.start().wait()
    }

    /// Runs it and asserts that it succeeds.
    #[track_caller]
    pub fn ok(self) -> Output {
        self.output().succeeded()
    }

    /// Runs it and asserts that it fails like a good command: see [`Output::refused`].
    #[track_caller]
    pub fn refused(self, says: &[&str]) -> Output {
        self.output().refused(says)
    }
}

/// Reads `source` to its end in a thread; the bytes come when it is closed.
fn drain(mut source: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = source.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// A command that runs; killed with its process group when dropped before its end.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    stdout: mpsc::Receiver<Vec<u8>>,
    stderr: mpsc::Receiver<Vec<u8>>,
    deadline: Instant,
}

impl Running {
    /// Its process id, which is also its process group.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal to its process group, as a terminal does. Nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.pid(), signal);
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("looking at a child").is_some()
    }

    /// Waits for its end. See [`Run::output`].
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waiting for a child") {
                break status;
            }
            if Instant::now() > self.deadline {
                let stack = std::fs::read_to_string(format!("/proc/{}/stack", self.child.id()));
                self.signal(Signal::KILL);
                let _ = self.child.wait();
                let (stdout, stderr) = (self.rest_of(&self.stdout), self.rest_of(&self.stderr));
                panic!(
                    "{}: did not end before the watchdog; in the kernel: {:?}\nstdout: {}\nstderr: {}",
                    self.line,
                    stack.unwrap_or_default(),
                    String::from_utf8_lossy(&stdout.unwrap_or_default()),
                    String::from_utf8_lossy(&stderr.unwrap_or_default()),
                );
            }
            thread::sleep(Duration::from_millis(1));
        };
        let stdout = self.rest_of(&self.stdout);
        let stderr = self.rest_of(&self.stderr);
        assert!(
            stdout.is_some() && stderr.is_some(),
            "{}: ended ({status}) but something that it started keeps {} open: a script that \
             reads from it would hang",
            self.line,
            if stdout.is_none() { "stdout" } else { "stderr" },
        );
        Output {
            line: std::mem::take(&mut self.line),
            status,
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        }
    }

    fn rest_of(&self, pipe: &mpsc::Receiver<Vec<u8>>) -> Option<Vec<u8>> {
        pipe.recv_timeout(PIPE_GRACE).ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// What a command did. Its `Display` is the whole story, for messages.
#[derive(Debug)]
pub struct Output {
    /// The command.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, without the last newline.
    #[track_caller]
    pub fn text(&self) -> &str {
        let text = std::str::from_utf8(&self.stdout);
        text.unwrap_or_else(|_| panic!("stdout is not text\n{self}"))
            .trim_end_matches('\n')
    }

    /// Standard error as text.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Its exit status; a signal counts as 128 and its number, as in a shell.
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Asserts that it succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.status.success(), "should have succeeded\n{self}");
        self
    }

    /// Asserts that it ended with this exit status.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "exit status\n{self}");
        self
    }

    /// Asserts that it failed as every command of the tool has to: with a status of its own (not
    /// by a signal, not by a panic), nothing on stdout, and one line on stderr that holds at
    /// least one of the words `says` (any case) and shows no programmer's text.
    #[track_caller]
    pub fn refused(self, says: &[&str]) -> Self {
        let complaint = self.complaint();
        let code = self.status.code();
        assert!(
            code.is_some_and(|code| code != 0 && code != 101),
            "should have been refused\n{self}"
        );
        assert!(
            self.stdout.is_empty(),
            "a refusal belongs to stderr\n{self}"
        );
        let lines = complaint.lines().filter(|line| !line.trim().is_empty());
        assert_eq!(
            lines.count(),
            1,
            "one line says what and what to do\n{self}"
        );
        for debris in ["panicked", "RUST_BACKTRACE", "Os {", "unwrap", "Error("] {
            assert!(
                !complaint.contains(debris),
                "{debris:?} is not for users\n{self}"
            );
        }
        let lower = complaint.to_lowercase();
        assert!(
            says.is_empty() || says.iter().any(|word| lower.contains(&word.to_lowercase())),
            "should say one of {says:?}\n{self}"
        );
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "command: {}", self.line)?;
        writeln!(f, "status:  {}", self.status)?;
        for (name, bytes) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let shown = &bytes[..bytes.len().min(8192)];
            writeln!(f, "{name}:  {}", String::from_utf8_lossy(shown))?;
        }
        Ok(())
    }
}

/// Waits until `what` holds.
///
/// # Panics
/// When it does not within `timeout`; the message names `goal`.
#[track_caller]
pub fn eventually(goal: &str, timeout: Duration, mut what: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !what() {
        assert!(Instant::now() < deadline, "{goal}: not within {timeout:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The arguments of a command as owned words, for building lists of them.
pub fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_status_and_input_are_kept() {
        let output = Run::new("sh", ["-c", "cat; echo err >&2; exit 3"])
            .stdin("in")
            .output();
        assert_eq!(
            (output.code(), output.text(), output.complaint().as_str()),
            (3, "in", "err\n")
        );
    }

    #[test]
    #[should_panic(expected = "did not end before the watchdog")]
    fn a_hang_is_a_failure() {
        Run::new("sleep", ["1000"])
            .timeout(Duration::from_millis(50))
            .output();
    }

    #[test]
    #[should_panic(expected = "keeps stdout open")]
    fn a_pipe_that_stays_open_is_a_failure() {
        Run::new("sh", ["-c", "sleep 8 2>&- &"]).output();
    }

    #[test]
    #[should_panic(expected = "one line says what")]
    fn a_refusal_of_many_lines_is_a_failure() {
        Run::new("sh", ["-c", "echo one >&2; echo two >&2; exit 1"]).refused(&[]);
    }
}
