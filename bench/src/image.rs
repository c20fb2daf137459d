//! The case `image`: archives indexed, mounted and looked into, by us and by `ratarmount`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Args;

use crate::Fallible;
use crate::archive::{self, FORMATS, Numbers};
use crate::bytes::human;
use crate::cases::record;
use crate::machine::Machine;
use crate::mounts::Side;
use crate::report::{Report, Row};
use crate::stats::milliseconds;

/// Files that are read with nothing in any cache.
const COLD: usize = 12;
/// Files that are read one after the other, and then again.
const RANDOM: usize = 300;

#[derive(Debug, Args)]
pub(crate) struct ImageOptions {
    /// Entries of the archive
    #[arg(long, default_value_t = 100_000)]
    entries: u64,
    /// Average length of a file of the archive in bytes, roughly
    #[arg(long, default_value_t = 2048)]
    bytes: u64,
    /// Runs of each side
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only these formats, as in tar,tar.gz
    #[arg(long, value_delimiter = ',')]
    formats: Vec<String>,
    /// Where to work: must be a disk, not a memory file system
    #[arg(long, default_value = "/var/tmp")]
    work: PathBuf,
    /// The wpar to measure; by default the one built beside this program
    #[arg(long)]
    wpar: Option<PathBuf>,
    /// The ratarmount to compare with
    #[arg(long, default_value = "ratarmount")]
    ratarmount: PathBuf,
    /// Directory to record the results in
    #[arg(long)]
    record: Option<PathBuf>,
}

/// What is measured of a side and a format, each in the order of the runs.
#[derive(Default)]
struct Figures(Vec<(&'static str, &'static str, Vec<f64>)>);

impl Figures {
    fn add(&mut self, what: &'static str, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|(known, ..)| *known == what) {
            Some((.., values)) => values.push(value),
            None => self.0.push((what, unit, vec![value])),
        }
    }
}

/// Runs the case.
pub(crate) fn run(options: &ImageOptions) -> Fallible<()> {
    if !rustix::process::geteuid().is_root() {
        return Err("mounting needs root".into());
    }
    let work = tempfile::Builder::new()
        .prefix("wpar-bench-")
        .tempdir_in(&options.work)?;
    let machine = Machine::here(&options.work);
    let program = match &options.wpar {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("wpar"),
    };
    let sides = [
        Side::wpar(&program, work.path()),
        Side::ratarmount(&options.ratarmount, work.path()),
    ];
    let plain = work.path().join("archive.tar");
    eprintln!("writing an archive of {} entries", options.entries);
    archive::write(&plain, options.entries, options.bytes)?;
    let mut report = Report::new("image", machine, &plain);
    report.note(format!(
        "{} entries; ratarmount {}",
        options.entries,
        version(&options.ratarmount)
    ));
    let wanted = |ending: &str| {
        options.formats.is_empty() || options.formats.iter().any(|format| format == ending)
    };
    for (ending, command) in FORMATS.iter().filter(|(ending, _)| wanted(ending)) {
        let image = work.path().join(format!("archive.{ending}"));
        archive::pack(command, &plain, &image)?;
        let mut figures = [Figures::default(), Figures::default()];
        for run in 0..options.runs {
            for (side, figures) in sides.iter().zip(&mut figures) {
                eprint!(
                    "\r{ending}, run {run} of {}, {}          ",
                    options.runs, side.name
                );
                one(side, &image, options.entries, figures)?;
            }
        }
        add(&mut report, ending, &sides, &figures);
        let size = fs::metadata(&image)?.len();
        let kept = sides
            .each_ref()
            .map(|side| human(side.index_bytes(&image) as f64));
        let [ours, theirs] = kept;
        report.note(format!(
            "{ending}: {} large; kept beside it by wpar {ours}, by ratarmount {theirs}",
            human(size as f64)
        ));
        if image != plain {
            fs::remove_file(&image)?;
        }
    }
    eprintln!("\rdone                                ");
    record(options.record.as_deref(), &report)
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("ratarmount "));
    line.and_then(|line| line.split(' ').nth(1))
        .unwrap_or("")
        .to_owned()
}

fn add(report: &mut Report, ending: &str, sides: &[Side; 2], figures: &[Figures; 2]) {
    let [ours, theirs] = figures;
    for (what, unit, values) in &ours.0 {
        let title = format!("{ending}: {what}");
        report.add(Row::new(&title, sides[0].name, unit, values));
        if let Some((.., values)) = theirs.0.iter().find(|(known, ..)| known == what) {
            report.add(Row::new(&title, sides[1].name, unit, values));
            report.compare(&title, sides[1].name, sides[0].name);
        }
    }
}

/// One run of one side.
fn one(side: &Side, image: &Path, entries: u64, figures: &mut Figures) -> Fallible<()> {
    // Both sides read the archive from the page cache.
    std::io::copy(&mut File::open(image)?, &mut std::io::sink())?;
    let (time, peak) = side.index(image)?;
    figures.add("index", "ms", milliseconds(time));
    figures.add("peak memory of indexing", "bytes", peak as f64);

    let directory = image.with_file_name("mnt");
    let (mounted, time) = side.mount(image, &directory)?;
    figures.add("mount with its index", "ms", milliseconds(time));
    let begin = Instant::now();
    find(mounted.directory(), entries)?;
    figures.add(
        "find, each inode looked at",
        "ms",
        milliseconds(begin.elapsed()),
    );
    let (resident, anonymous) = mounted.memory();
    figures.add("resident after find", "bytes", resident as f64);
    figures.add("of it not a file", "bytes", anonymous as f64);
    drop(mounted);

    let (mounted, _) = side.mount(image, &directory)?;
    let names = names(entries, COLD + RANDOM);
    let (cold, random) = names.split_at(COLD);
    let mut times = Vec::new();
    for name in cold {
        forget(side, image)?;
        times.push(read(&mounted.directory().join(name))?);
    }
    figures.add("a file, the archive not cached", "ms", middle(&mut times));
    let read_all = || -> Fallible<f64> {
        let mut times = Vec::new();
        for name in random {
            times.push(read(&mounted.directory().join(name))?);
        }
        Ok(times.iter().sum::<f64>() / times.len() as f64)
    };
    figures.add("a file, read for the first time", "ms", read_all()?);
    figures.add("a file, read again", "ms", read_all()?);
    Ok(())
}

/// Looks at every inode, as `find -printf` does; there must be as many as in the archive.
fn find(directory: &Path, entries: u64) -> Fallible<()> {
    let output = Command::new("find")
        .arg(directory)
        .args(["-mindepth", "4", "-printf", "%s\n"])
        .stderr(Stdio::null())
        .output()?;
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64;
    match lines == entries {
        true => Ok(()),
        false => Err(format!("find sees {lines} of {entries} entries").into()),
    }
}

/// Names of files here and there.
fn names(entries: u64, count: usize) -> Vec<String> {
    let mut numbers = Numbers(99);
    let numbers = std::iter::repeat_with(|| numbers.below(entries));
    let files = numbers.filter(|number| !archive::is_directory(*number));
    files.take(count).map(archive::name).collect()
}

/// Milliseconds that it takes to read a file.
fn read(path: &Path) -> Fallible<f64> {
    let mut contents = Vec::new();
    let begin = Instant::now();
    File::open(path)?.read_to_end(&mut contents)?;
    Ok(milliseconds(begin.elapsed()))
}

fn middle(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

/// Lets the kernel forget the archive and what is kept beside it, and nothing else of the machine.
fn forget(side: &Side, image: &Path) -> Fallible<()> {
    for file in side.beside(image).chain([image.to_owned()]) {
        if let Ok(file) = File::open(file) {
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
