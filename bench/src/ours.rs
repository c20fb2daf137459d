//! Our side: the commands, as a user types them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Fallible, bytes};

/// Times of one life, from creation to the first command's end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Life {
    /// Making it: `mkwpar`, or `tar -x`.
    pub(crate) create: Duration,
    /// Starting it, until its init is executed.
    pub(crate) start: Duration,
    /// A first command inside, from the call to its end.
    pub(crate) command: Duration,
    /// From the begin of the start until its init says READY=1.
    pub(crate) ready: Option<Duration>,
    /// Space on the disk when the first command has ended, in bytes.
    pub(crate) disk: u64,
    /// Bytes written until then.
    pub(crate) written: u64,
}

impl Life {
    /// What a user waits for.
    pub(crate) fn total(&self) -> Duration {
        self.create + self.start + self.command
    }
}

/// The tool, with a root of its own.
#[derive(Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    root: PathBuf,
}

impl Tool {
    /// `program`, keeping everything below `root`.
    pub(crate) fn new(program: &Path, root: &Path) -> Self {
        Self {
            program: program.to_owned(),
            root: root.to_owned(),
        }
    }

    /// Runs a command of the tool to its end.
    pub(crate) fn run(&self, words: &[&OsStr]) -> Fallible<()> {
        run(Command::new(&self.program)
            .args(words)
            .env("WPAR_ROOT", &self.root))
    }

    /// `mkwpar -t -B IMAGE -n NAME`, and how long it took.
    pub(crate) fn create(&self, image: &Path, name: &str) -> Fallible<Duration> {
        let begin = Instant::now();
        let (options, n) = (
            ["mkwpar", "-t", "-C", "-B"].map(OsStr::new),
            OsStr::new("-n"),
        );
        self.run(&[&options[..], &[image.as_os_str(), n, OsStr::new(name)]].concat())?;
        Ok(begin.elapsed())
    }

    /// One life of a WPAR of `image`. If `wait`, it also waits for its READY=1.
    pub(crate) fn live(&self, image: &Path, name: &str, wait: bool) -> Fallible<Life> {
        let written = bytes::written_by("self");
        let create = self.create(image, name)?;
        let begin = Instant::now();
        let result = self.start(name, begin, wait, create, written);
        self.run(&["rmwpar", "-F", name].map(OsStr::new))?;
        result
    }

    fn start(
        &self,
        name: &str,
        begin: Instant,
        wait: bool,
        create: Duration,
        written: u64,
    ) -> Fallible<Life> {
        self.run(&["startwpar", name].map(OsStr::new))?;
        let start = begin.elapsed();
        self.run(&["clogin", name, "/bin/true"].map(OsStr::new))?;
        let command = begin.elapsed() - start;
        let run_dir = self.root.join("run/wpar").join(name);
        let ready = if wait {
            Some(crate::launcher::ready(&run_dir, begin)?)
        } else {
            None
        };
        let daemon = crate::launcher::daemon(&run_dir).unwrap_or_default();
        // The kernel allocates late; what is on the disk is known when it is there.
        rustix::fs::syncfs(std::fs::File::open(&self.root)?)?;
        Ok(Life {
            create,
            start,
            command,
            ready,
            disk: bytes::disk_usage(&self.root.join("var/lib/wpar/stores")),
            written: (bytes::written_by("self") - written) + bytes::written_by(&daemon),
        })
    }
}

/// Runs `command` to its end; its complaint is the error's.
pub(crate) fn run(command: &mut Command) -> Fallible<()> {
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {}", output.status, complaint.trim()).into())
}
