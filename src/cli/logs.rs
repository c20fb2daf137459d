//! `wpar logs` and `wparerr`: what a WPAR wrote to its console, and what went wrong with it.
//!
//! What comes from inside is shown to a terminal without what could command the terminal.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::verbs::{Arguments, Verb, Words};
use super::{lifecycle, output};
use crate::launch;
use crate::registry::Registry;

pub(super) const LOGS: Verb = Verb::own::<LogArguments>(Words {
    name: "logs",
    about: "Show what a workload partition wrote to its console",
    description: "Shows the console log of a WPAR: what its kernel-side start, its init and \
        programs wrote to /dev/console, of this run and those before. It is kept as two files of \
        at most about 4 MiB, console.log and console.log.1 in /var/lib/wpar/logs/NAME. On a \
        terminal, control characters are left out.",
    examples: &[
        ("Show the last lines", "wpar logs -n 20 wpar1"),
        ("Watch a WPAR boot", "wpar logs -f wpar1"),
    ],
    compatibility: "AIX keeps the console log in /var/adm/wpars.",
});

pub(super) const ERRORS: Verb = Verb::aix::<ErrorArguments>(Words {
    name: "wparerr",
    about: "Show what went wrong with a workload partition",
    description: "Shows the errors that were noted about a WPAR, each with its time, the last one \
        at the end: a start that failed, a process of the tool that died and was followed by \
        another one, an end that nobody asked for. About the last 1 KB is shown; with -v all that \
        is kept, 4 KB.",
    examples: &[("Why is it broken?", "wparerr wpar1")],
    compatibility: "As in AIX, up to 1 KB. -w is taken and not needed; -v is an addition.",
});

/// Bytes of errors that are shown, as in AIX.
const ERRORS_SHOWN: usize = 1024;

/// Between two looks at a log that is followed.
const PAUSE: Duration = Duration::from_millis(200);

/// Arguments of `wpar logs`.
#[derive(Debug, clap::Args)]
pub(super) struct LogArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    /// Go on with what is written later, until interrupted
    #[arg(short = 'f', long = "follow")]
    follow: bool,

    /// Only so many lines of what is there
    #[arg(short = 'n', long = "lines", value_name = "NUMBER")]
    lines: Option<usize>,
}

/// Arguments of `wparerr`.
#[derive(Debug, clap::Args)]
pub(super) struct ErrorArguments {
    /// Name of the WPAR
    #[arg(value_name = "NAME")]
    name: String,

    /// From the host, as everything here is
    #[arg(short = 'w', hide = true)]
    _from_host: bool,

    /// All that is kept
    #[arg(short = 'v', long = "verbose")]
    verbose: bool,
}

impl Arguments for LogArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let (registry, name) = known(context, &self.name)?;
        let log = registry.layout().console_log(&name);
        let mut shown = read(&predecessor(&log))?.unwrap_or_default();
        let mut follower = Follower::new(log.clone());
        shown.extend(follower.read_on()?);
        show(last_lines(&shown, self.lines))?;
        if self.follow {
            context
                .interrupts
                .install()
                .map_err(|error| CliError::io("cannot take over the signals", &error))?;
        }
        while self.follow && !context.interrupts.pending() {
            sleep(PAUSE);
            if !show(&follower.read_on()?)? {
                break;
            }
        }
        Ok(Exit::Success)
    }
}

impl Arguments for ErrorArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        let (registry, name) = known(context, &self.name)?;
        let path = launch::error_log(&registry.layout().console_log(&name));
        let text = read(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let shown = if self.verbose {
            &text
        } else {
            launch::last_errors(&text, ERRORS_SHOWN)
        };
        output::print(shown)?;
        Ok(Exit::Success)
    }
}

fn known(context: &Context, name: &str) -> CliResult<(Registry, crate::model::WparName)> {
    let name = parse_name(name)?;
    context.require_root()?;
    let registry = context.registry_to_read();
    lifecycle::record(&registry, &name)?;
    Ok((registry, name))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CliError {
    move |error| CliError::io(format!("cannot read {}", path.display()), &error)
}

/// All of a file that the tool keeps bounded; `None` if it is not there.
fn read(path: &Path) -> CliResult<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(failed(path)),
    }
}

fn predecessor(log: &Path) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(".1");
    PathBuf::from(path)
}

/// Writes to standard output; false once nobody reads it.
fn show(text: &[u8]) -> CliResult<bool> {
    let mut out = io::stdout().lock();
    let written = if io::stdout().is_terminal() {
        out.write_all(&harmless(text))
    } else {
        out.write_all(text)
    };
    match written.and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::io("cannot write to standard output", &error)),
    }
}

/// Without control characters but line ends and tabs, and without escape sequences.
fn harmless(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut result = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' | '\t' => result.push(letter),
            // ECMA-48: parameters and intermediates, up to a final letter.
            '\u{1b}' if letters.next_if_eq(&'[').is_some() => {
                while letters.next_if(|next| matches!(next, ' '..='?')).is_some() {}
                letters.next_if(|next| matches!(next, '@'..='~'));
            }
            letter if letter.is_control() => {}
            letter => result.push(letter),
        }
    }
    result.into_bytes()
}

/// The last so many lines of `text`; all without a number.
fn last_lines(text: &[u8], lines: Option<usize>) -> &[u8] {
    let Some(lines) = lines else {
        return text;
    };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = body.iter().enumerate().rev();
    let mut ends = ends
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(at, _)| at + 1);
    let start = match lines {
        0 => text.len(),
        lines => ends.nth(lines - 1).unwrap_or(0),
    };
    text.get(start..).unwrap_or_default()
}

/// Reads a log as it grows, over its replacement by a new one.
struct Follower {
    path: PathBuf,
    open: Option<File>,
}

impl Follower {
    fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// What has come since the last time.
    fn read_on(&mut self) -> CliResult<Vec<u8>> {
        let mut text = Vec::new();
        // Of the old one to its end first.
        self.read_rest(&mut text)?;
        let there = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(text),
            result => result.map_err(failed(&self.path))?,
        };
        let known = self.open.as_ref().and_then(|file| file.metadata().ok());
        if known.is_none_or(|known| known.ino() != there.ino() || known.dev() != there.dev()) {
            self.open = Some(File::open(&self.path).map_err(failed(&self.path))?);
            self.read_rest(&mut text)?;
        }
        Ok(text)
    }

    fn read_rest(&mut self, text: &mut Vec<u8>) -> CliResult<()> {
        let Some(file) = &mut self.open else {
            return Ok(());
        };
        let position = file.stream_position().map_err(failed(&self.path))?;
        let length = file.metadata().map_err(failed(&self.path))?.len();
        if length < position {
            // Somebody emptied it.
            file.seek(SeekFrom::Start(0)).map_err(failed(&self.path))?;
        }
        file.read_to_end(text).map_err(failed(&self.path))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", Some(2), "b\nc\n"),
            ("a\nb\nc", Some(2), "b\nc"),
            ("a\nb\n", Some(5), "a\nb\n"),
            ("a\nb\n", Some(0), ""),
            ("", Some(3), ""),
            ("a\nb\n", None, "a\nb\n"),
        ] {
            assert_eq!(
                last_lines(text.as_bytes(), lines),
                expected.as_bytes(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_terminal_is_not_commanded_from_inside() {
        let text = b"\x1b[1;32m[  OK  ]\x1b[0m a\tb\r\n\x1b]0;title\x07\x9b\xc2\x9b31m\n";
        let shown = String::from_utf8(harmless(text)).unwrap();
        assert!(shown.starts_with("[  OK  ] a\tb\n"), "{shown:?}");
        assert!(
            !shown
                .chars()
                .any(|letter| letter.is_control() && !"\n\t".contains(letter))
        );
    }

    #[test]
    fn a_log_is_followed_over_its_replacement() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console.log");
        let mut follower = Follower::new(path.clone());
        assert!(follower.read_on().unwrap().is_empty());
        let mut log = File::create(&path).unwrap();
        log.write_all(b"one\n").unwrap();
        assert_eq!(follower.read_on().unwrap(), b"one\n");
        log.write_all(b"two\n").unwrap();
        std::fs::rename(&path, predecessor(&path)).unwrap();
        std::fs::write(&path, "three\n").unwrap();
        assert_eq!(follower.read_on().unwrap(), b"two\nthree\n");
        assert!(follower.read_on().unwrap().is_empty());
    }
}
