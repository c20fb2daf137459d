//! `wpar index`: makes the index of an image, before it is needed or while the image is made.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use wpar_mountd::lower::tar::{
    ArchiveKind, Codec, IndexFault, IndexReport, TarIndex, index_stream,
};

use super::context::Context;
use super::create::{Prepared, index_notes};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::output;
use super::progress::IndexProgress;
use super::verbs::{Arguments, Verb, Words};
use crate::source::image::Purpose;

pub(super) const VERB: Verb = Verb::own::<IndexArguments>(Words {
    name: "index",
    about: "Make or check the index of a backup image",
    description: "Makes the index of each image, if it has none that is right, and tells what is in it: \
        so that the first mkwpar or 'wpar mount' of it needs no time. It lies beside the image \
        (IMAGE.wparidx), or in the tool's cache if that directory cannot be written. With -c all of an \
        index is checked, and one that is damaged is made again.\n\n\
        With '-' for the image, a tar stream is read from standard input, written to the file \
        of -o, and indexed on its way: when the backup ends, it can be started. If the \
        name of that file ends in .zst, it is packed into zstd frames with a seek table, which every \
        zstd reads. It is for its owner only (mode 0600), and appears under its name only when it \
        is complete.",
    examples: &[
        (
            "Make the index of a backup",
            "wpar index /backup/web1.tar.zst",
        ),
        (
            "Make a backup and its index in one pass",
            "tar --one-file-system --numeric-owner --xattrs --xattrs-include='*' --acls -cpf - -C / . | \
             wpar index - -o /backup/web1.tar.zst",
        ),
        (
            "Check the indexes of all backups",
            "wpar index -c /backup/*.tar",
        ),
    ],
    compatibility: "An addition. A mksysb of AIX has no index.",
});

/// Arguments of `wpar index`.
#[derive(Debug, clap::Args)]
pub(super) struct IndexArguments {
    /// The images; '-' is a tar stream on standard input
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// Where to write the stream of '-'
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write over a file that exists
    #[arg(short = 'f', long = "force", requires = "output")]
    force: bool,

    /// Check all of each index
    #[arg(short = 'c', long = "check", conflicts_with = "output")]
    check: bool,

    /// Print it in JSON
    #[arg(short = 'j', long = "json")]
    json: bool,
}

/// What is told about an index.
#[derive(Debug, Serialize)]
struct Told {
    image: String,
    index: String,
    kind: String,
    compression: String,
    entries: u64,
    archive_bytes: u64,
    stream_bytes: u64,
    index_bytes: u64,
    seekable_copy_bytes: Option<u64>,
    extended_attributes: bool,
    device_nodes: bool,
    built: bool,
    checked: bool,
    milliseconds: u128,
    notes: Vec<String>,
    warnings: Vec<String>,
    warning_count: u64,
}

impl Arguments for IndexArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        context
            .interrupts
            .install()
            .map_err(|error| CliError::io("cannot take over the signals", &error))?;
        let told = match (self.images.as_slice(), &self.output) {
            ([image], Some(output)) if image == Path::new("-") => {
                vec![self.make(context, output)?]
            }
            (_, Some(_)) => {
                return Err(CliError::usage("-o is for the stream of '-' alone")
                    .hint("use 'tar ... | wpar index - -o FILE'"));
            }
            (images, None) if images.iter().any(|image| image == Path::new("-")) => {
                return Err(CliError::usage("'-' needs a file to write to")
                    .hint("use 'tar ... | wpar index - -o FILE'"));
            }
            (images, None) => return self.all(context, images),
        };
        self.tell(&told)?;
        Ok(Exit::Success)
    }
}

impl IndexArguments {
    /// Each image, also if another one fails.
    fn all(&self, context: &Context, images: &[PathBuf]) -> CliResult<Exit> {
        let mut told = Vec::new();
        let mut exit = Exit::Success;
        for image in images {
            match self.one(context, image) {
                Ok(one) => told.extend(one),
                Err(error) if matches!(error.exit, Exit::Signal(_)) => return Err(error),
                Err(error) => {
                    output::complain(context.verb, &error);
                    exit = error.exit;
                }
            }
        }
        self.tell(&told)?;
        Ok(exit)
    }

    fn one(&self, context: &Context, image: &Path) -> CliResult<Option<Told>> {
        let begun = Instant::now();
        let prepare = || Prepared::for_purpose(context, image, Purpose::Look);
        let mut report = prepare()?.into_report();
        if let (true, Some(first)) = (self.check, &report)
            && let Err(fault) = verify(&first.path)?
        {
            context.note(format_args!(
                "{}: the index {fault}; it is made again",
                first.path.display()
            ));
            std::fs::remove_file(&first.path).map_err(|error| {
                CliError::io(format!("cannot remove {}", first.path.display()), &error)
            })?;
            report = prepare()?.into_report();
        }
        match report {
            Some(report) => Ok(Some(told(image, report, self.check, begun.elapsed()))),
            None => {
                context.note(format_args!("{} needs no index", image.display()));
                Ok(None)
            }
        }
    }

    /// The stream on standard input, to the file `output`.
    fn make(&self, context: &Context, output: &Path) -> CliResult<Told> {
        let begun = Instant::now();
        if !self.force && output.symlink_metadata().is_ok() {
            return Err(
                CliError::new(format!("{} exists already", output.display())).hint(
                    "use -f to replace it; WPARs that were made from it cannot be started then",
                ),
            );
        }
        let packed = output
            .extension()
            .is_some_and(|extension| extension == "zst");
        let mut progress = IndexProgress::new(context);
        let mut input = Input { context };
        let cache = context.index_cache()?;
        let made = index_stream(&mut input, output, packed, &cache, &mut progress);
        context.interrupts.check()?;
        let report = made.map_err(|error| CliError::new(error.to_string()))?;
        Ok(told(output, report, false, begun.elapsed()))
    }

    fn tell(&self, told: &[Told]) -> CliResult<()> {
        if self.json {
            let mut text = serde_json::to_string_pretty(told)
                .map_err(|error| CliError::new(error.to_string()))?;
            text.push('\n');
            return output::print(&text);
        }
        let paragraphs: Vec<String> = told.iter().map(paragraph).collect();
        output::print(&paragraphs.join("\n"))
    }
}

fn told(image: &Path, report: IndexReport, checked: bool, took: Duration) -> Told {
    let mut notes = report.notes.clone();
    notes.extend(index_notes(&report));
    Told {
        image: image.display().to_string(),
        index: report.path.display().to_string(),
        kind: kind(report.kind),
        compression: compression(report.codec),
        entries: report.entries,
        archive_bytes: report.archive_bytes,
        stream_bytes: report.stream_bytes,
        index_bytes: report.index_bytes,
        seekable_copy_bytes: report.seekable_copy,
        extended_attributes: report.carries_xattrs,
        device_nodes: report.carries_devices,
        built: report.built,
        checked,
        milliseconds: took.as_millis(),
        notes,
        warnings: report.warnings,
        warning_count: report.warning_count,
    }
}

/// Reads all of an index.
fn verify(index: &Path) -> CliResult<Result<(), IndexFault>> {
    TarIndex::open(index)
        .map(|index| index.verify())
        .map_err(|error| CliError::new(error.to_string()))
}

fn kind(kind: ArchiveKind) -> String {
    match kind {
        ArchiveKind::Tar => "tar archive",
        ArchiveKind::AixBackup => "AIX backup by name",
        ArchiveKind::Layers => "layers of tar archives",
    }
    .to_owned()
}

/// The name of a compression is that of its program.
fn compression(codec: Codec) -> String {
    format!("{codec:?}").to_lowercase()
}

/// One image for people.
fn paragraph(told: &Told) -> String {
    let bytes = |bytes: u64| HumanBytes(bytes).to_string();
    let rate = |bytes: u64| {
        let rate = u128::from(bytes) * 1000 / told.milliseconds.max(1);
        HumanBytes(u64::try_from(rate).unwrap_or(u64::MAX)).to_string()
    };
    let done = match (told.built, told.checked) {
        (true, _) => format!(
            "made in {} ms, {}/s",
            told.milliseconds,
            rate(told.stream_bytes)
        ),
        (false, true) => "checked, whole".to_owned(),
        (false, false) => "was there".to_owned(),
    };
    let mut lines = vec![
        ("Image", told.image.clone()),
        ("Kind", format!("{}, {}", told.kind, told.compression)),
        ("Entries", HumanCount(told.entries).to_string()),
        (
            "Size",
            format!(
                "{}, {} without compression",
                bytes(told.archive_bytes),
                bytes(told.stream_bytes)
            ),
        ),
        (
            "Index",
            format!("{} ({}), {done}", told.index, bytes(told.index_bytes)),
        ),
    ];
    if let Some(copy) = told.seekable_copy_bytes {
        let why = "the compression allows to read only from the beginning";
        lines.push(("Seekable copy", format!("{}: {why}", bytes(copy))));
    }
    lines.extend(told.notes.iter().map(|note| ("Note", note.clone())));
    lines.extend(told.warnings.iter().map(|text| ("Warning", text.clone())));
    let hidden = told
        .warning_count
        .saturating_sub(told.warnings.len() as u64);
    if hidden > 0 {
        lines.push(("Warning", format!("and {hidden} more")));
    }
    lines
        .iter()
        .map(|(key, value)| format!("{:<15}{value}\n", format!("{key}:")))
        .collect()
}

/// Standard input, which ends when the command is interrupted.
struct Input<'c> {
    context: &'c Context,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const LOOK_AGAIN: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        let stdin = io::stdin();
        loop {
            if self.context.interrupts.pending() {
                return Ok(0);
            }
            let mut wanted = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
            match poll(&mut wanted, Some(&LOOK_AGAIN)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(rustix::io::read(&stdin, buffer)?),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
