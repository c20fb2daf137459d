//! What `mksysb` and `savewpar` have in common: arguments, the bar, the last words.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use wpar_mountd::lower::tar::ImageError;
use wpar_mountd::lower::tar::save::{DEFAULT_LEVEL, ImageWriter, SaveError, SaveOptions, verify};
use wpar_mountd::types::Timestamp;

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::output;
use super::progress::IndexProgress;
use crate::backup::exclude::{Excludes, parse_directories};
use crate::backup::save::{Outcome, Saver, Selection, Watcher};

/// A backup that takes less time needs no bar.
const BAR_AFTER: Duration = Duration::from_millis(500);
/// How many files of a kind are named without `-v`.
const NAMES_SHOWN: usize = 10;

/// How an image is written: shared by `mksysb` and `savewpar`.
#[derive(Debug, clap::Args)]
pub(super) struct ImageArguments {
    /// Save neither extended attributes nor ACLs
    #[arg(short = 'a', long = "no-attributes")]
    no_attributes: bool,

    /// Do not compress: a plain tar archive, whose index is made when it is first used
    #[arg(short = 'p', long = "no-packing")]
    no_packing: bool,

    /// Level of the compression, 1 to 19
    #[arg(
        short = 'C',
        long = "level",
        value_name = "LEVEL",
        conflicts_with = "no_packing"
    )]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=19), default_value_t = DEFAULT_LEVEL)]
    level: i32,

    /// Only say what would be saved
    #[arg(short = 'P', long = "preview")]
    pub(super) preview: bool,

    /// Name each file that is saved
    #[arg(short = 'v', long = "verbose")]
    pub(super) verbose: bool,

    /// Read the image back when it is written, and compare its checksums
    #[arg(short = 'V', long = "verify", conflicts_with_all = ["no_packing", "preview"])]
    verify: bool,

    /// Let /tmp grow if need be: accepted for AIX's sake, nothing is put there
    #[arg(short = 'X', long = "expand")]
    _expand: bool,
}

impl ImageArguments {
    /// Whether extended attributes are wanted.
    pub(super) fn attributes(&self) -> bool {
        !self.no_attributes
    }

    /// Saves what `walk` shows to the image at `target`, after the files that describe it.
    pub(super) fn save(
        &self,
        context: &Context,
        target: &Path,
        job: Job<'_>,
        walk: &mut dyn FnMut(&mut Saver<'_>) -> Result<(), SaveError>,
    ) -> CliResult<Exit> {
        let begun = Instant::now();
        let time = Timestamp {
            seconds: i64::try_from(job.seconds).unwrap_or(0),
            nanoseconds: 0,
        };
        let writer = match self.preview {
            true => None,
            false => Some(self.writer(target, time)?),
        };
        let mut progress = SaveProgress::new(context, job.total, self.verbose);
        let mut saver = Saver::new(writer, target.to_owned(), job.selection, &mut progress);
        let saved = saver
            .describe(&job.descriptions, time)
            .and_then(|()| walk(&mut saver))
            .and_then(|()| saver.finish());
        progress.end();
        context.interrupts.check()?;
        let outcome = saved.map_err(|error| CliError::new(error.to_string()))?;
        self.report(context, target, &outcome, begun.elapsed());
        if self.verify {
            check(context, target)?;
        }
        Ok(verdict(context, &outcome))
    }

    fn writer(&self, target: &Path, time: Timestamp) -> CliResult<ImageWriter> {
        let options = SaveOptions {
            level: (!self.no_packing).then_some(self.level),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            permissions: 0o600,
            time,
        };
        ImageWriter::create(target, options).map_err(|error| CliError::new(error.to_string()))
    }

    fn report(&self, context: &Context, target: &Path, outcome: &Outcome, took: Duration) {
        let names = |what: &str, list: &[String]| {
            let shown = if self.verbose {
                list.len()
            } else {
                NAMES_SHOWN
            };
            for name in list.iter().take(shown) {
                context.note(format_args!("{what}: {name}"));
            }
            if list.len() > shown {
                context.note(format_args!(
                    "{what}: and {} more (-v names all)",
                    list.len() - shown
                ));
            }
        };
        names("changed while it was read", &outcome.torn);
        names("could not be read", &outcome.unreadable);
        for remark in &outcome.remarks {
            context.note(format_args!("warning: {remark}"));
        }
        if outcome.sockets > 0 && self.verbose {
            context.note(format_args!("{} sockets were left out", outcome.sockets));
        }
        if outcome.vanished > 0 && self.verbose {
            context.note(format_args!(
                "{} names were gone when they were to be read",
                outcome.vanished
            ));
        }
        let (entries, bytes) = (HumanCount(outcome.entries), HumanBytes(outcome.bytes));
        match &outcome.written {
            Some(report) => output::say(format_args!(
                "{}: {entries} entries, {bytes} in {}, in {}",
                target.display(),
                HumanBytes(report.file_bytes),
                output::duration(took)
            )),
            None => output::say(format_args!("{entries} entries, {bytes} would be saved")),
        }
    }
}

/// What is to be saved.
#[derive(Debug)]
pub(super) struct Job<'j> {
    /// Time of the backup, in seconds since 1970.
    pub(super) seconds: u64,
    /// Names and contents of the files at the beginning.
    pub(super) descriptions: Vec<(&'j str, String)>,
    pub(super) selection: Selection,
    /// About how many bytes it will be, if that is known.
    pub(super) total: Option<u64>,
}

/// The status, with AIX's last words.
fn verdict(context: &Context, outcome: &Outcome) -> Exit {
    if outcome.written.is_none() {
        return Exit::Success;
    }
    if outcome.is_whole() {
        output::say(format_args!(
            "0512-038 {}: Backup Completed Successfully.",
            context.verb
        ));
        return Exit::Success;
    }
    context.note(
        "0512-003 the backup was written, but files in it may not be as they were: see above",
    );
    Exit::Failure
}

/// Reads an image through.
pub(super) fn check(context: &Context, image: &Path) -> CliResult<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut progress = IndexProgress::new(context);
    let report = verify(image, threads, &mut progress);
    context.interrupts.check_saying("interrupted")?;
    match report.map_err(|error: ImageError| CliError::new(error.to_string()))? {
        Some(report) => {
            output::say(format_args!(
                "{}: all {} frames are as they were written ({})",
                image.display(),
                HumanCount(report.frames),
                HumanBytes(report.bytes)
            ));
            Ok(())
        }
        None => Err(CliError::new(format!(
            "{} has no seek table and index at its end: it is incomplete, or mksysb did not make it",
            image.display()
        ))
        .hint("'zstd -t', 'gzip -t' or 'tar -t' can read other archives through")),
    }
}

/// The file that an image is to be: absolute, in a directory that exists, and nothing else yet.
pub(super) fn target(path: &Path) -> CliResult<PathBuf> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(CliError::new(format!("{shown} is not a regular file"))
                .hint("an image is read at random, so it must be one: name a file on a disk"));
        }
        _ => {}
    }
    let (Some(name), parent) = (path.file_name(), path.parent()) else {
        return Err(CliError::usage(format!("{shown} names no file")));
    };
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let parent = std::fs::canonicalize(parent)
        .map_err(|error| CliError::io(format!("cannot use the directory of {shown}"), &error))?;
    Ok(parent.join(name))
}

/// Reads an exclude file, which must be there: the user asked for it.
pub(super) fn excludes(path: &Path) -> CliResult<Excludes> {
    let text = read_list(path, "exclude file")?;
    Excludes::parse(&text).map_err(|error| {
        CliError::new(format!("the exclude file {}: {error}", path.display()))
            .hint("each line is a basic regular expression, as of grep")
    })
}

/// Reads a list of directories.
pub(super) fn directories(path: &Path) -> CliResult<Vec<String>> {
    Ok(parse_directories(&read_list(path, "list of file systems")?))
}

fn read_list(path: &Path, what: &str) -> CliResult<String> {
    let bytes = std::fs::read(path).map_err(|error| {
        CliError::io(format!("cannot read the {what} {}", path.display()), &error)
    })?;
    String::from_utf8(bytes).map_err(|_| {
        CliError::new(format!("the {what} {} is not UTF-8", path.display()))
            .hint("write a '.' for each byte that is not")
    })
}

/// A bar on a terminal, names with `-v`, and the ear for Ctrl-C.
struct SaveProgress<'a> {
    context: &'a Context,
    started: Instant,
    terminal: bool,
    verbose: bool,
    total: Option<u64>,
    bar: Option<ProgressBar>,
}

impl<'a> SaveProgress<'a> {
    fn new(context: &'a Context, total: Option<u64>, verbose: bool) -> Self {
        Self {
            context,
            started: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
            verbose,
            total,
            bar: None,
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Watcher for SaveProgress<'_> {
    fn entry(&mut self, path: &[u8], size: u64) {
        if self.verbose {
            output::say(format_args!("a {size:>12} {}", path.escape_ascii()));
        }
    }

    fn advance(&mut self, entries: u64, bytes: u64) {
        if !self.terminal || self.verbose || self.started.elapsed() < BAR_AFTER {
            return;
        }
        let (verb, total) = (self.context.verb, self.total);
        let bar = self.bar.get_or_insert_with(|| bar(verb, total));
        // What is used of a file system is only nearly what is read of it.
        bar.set_length(total.unwrap_or(bytes).max(bytes));
        bar.set_position(bytes);
        bar.set_message(format!("{} entries", HumanCount(entries)));
    }

    fn interrupted(&self) -> bool {
        self.context.interrupts.pending()
    }
}

fn bar(verb: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => {
            "{prefix}: saving [{bar:30}] {percent:>3}% {bytes}/{total_bytes} {binary_bytes_per_sec} {msg} {eta}"
        }
        None => "{prefix}: saving {spinner} {bytes} {binary_bytes_per_sec} {msg} {elapsed}",
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_prefix(verb.to_owned())
}
