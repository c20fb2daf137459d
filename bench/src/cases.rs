//! What is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::backup::Backup;
use crate::copy::Copy;
use crate::machine::Machine;
use crate::ours::{Life, Tool};
use crate::report::{Report, Row};
use crate::stats::milliseconds;
use crate::{Fallible, Options, chart, pad, readme};

/// Name of the WPARs of the benchmark.
const NAME: &str = "bench";

/// Create, start and first command; by us and by a full copy, in turns.
pub(crate) fn start(options: &Options) -> Fallible<()> {
    let setting = Setting::new(options)?;
    let machine = Machine::here(&options.work);
    let tool = setting.tool("ours");
    let copy = Copy::new(&setting.program, &setting.dir.path().join("copy"));
    // Not counted: the first run of ours makes the index, that of both warms the page cache.
    tool.live(&options.image, NAME, false)?;
    copy.live(&options.image, false)?;
    let (mut ours, mut copies) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        progress(run, options.runs);
        ours.push(tool.live(&options.image, NAME, !options.no_ready)?);
        copies.push(copy.live(&options.image, !options.no_ready)?);
    }
    let mut report = Report::new("start", machine, &options.image);
    rows(&mut report, &[("wpar", &ours), ("full copy", &copies)]);
    report.compare("create, start, first command", "full copy", "wpar");
    report.compare("READY=1", "wpar", "full copy");
    report.compare("disk used", "full copy", "wpar");
    finish(options, &report)
}

/// Ours alone, for the image and for one ten times as long, in turns.
pub(crate) fn grow(options: &Options) -> Fallible<()> {
    let setting = Setting::new(options)?;
    let machine = Machine::here(&options.work);
    let tool = setting.tool("ours");
    let padded = setting.dir.path().join("padded.tar");
    eprintln!("padding {} to ten times its size", options.image.display());
    pad::pad(&options.image, &padded, 10)?;
    tool.live(&options.image, NAME, false)?;
    tool.live(&padded, NAME, false)?;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        progress(run, options.runs);
        small.push(tool.live(&options.image, NAME, !options.no_ready)?);
        large.push(tool.live(&padded, NAME, !options.no_ready)?);
    }
    let mut report = Report::new("grow", machine, &options.image);
    rows(
        &mut report,
        &[("image", &small), ("ten times the image", &large)],
    );
    for what in ["create", "start", "create, start, first command"] {
        report.compare(what, "ten times the image", "image");
    }
    finish(options, &report)
}

/// The first indexing of an archive, warm: what `mkwpar` takes longer the first time.
pub(crate) fn index(options: &Options) -> Fallible<()> {
    let setting = Setting::new(options)?;
    let machine = Machine::here(&options.work);
    let entries = entries(&options.image)?;
    let (mut seconds, mut rates) = (Vec::new(), Vec::new());
    let tool = setting.tool("ours");
    // An index is kept beside its image: a copy in a directory of its own has none.
    let image = setting.dir.path().join("image").join("image.tar");
    for run in 0..=options.runs {
        progress(run, options.runs);
        let dir = setting.dir.path().join("image");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        fs::copy(&options.image, &image)?;
        let remove = || tool.run(&["rmwpar", "-F", NAME].map(std::ffi::OsStr::new));
        let first = tool.create(&image, NAME)?;
        remove()?;
        let second = tool.create(&image, NAME)?;
        remove()?;
        // The very first one is not counted: program and disk are cold.
        if run > 0 {
            let time = first.saturating_sub(second).max(Duration::from_micros(1));
            seconds.push(milliseconds(time));
            rates.push(entries as f64 / time.as_secs_f64());
        }
    }
    let mut report = Report::new("index", machine, &options.image);
    report.add(Row::new("index", "wpar", "ms", &seconds));
    report.add(Row::new("entries each second", "wpar", "1/s", &rates));
    report.note(format!("{entries} entries in the archive"));
    finish(options, &report)
}

/// Number of entries of an archive, by GNU tar.
fn entries(image: &Path) -> Fallible<usize> {
    let output = Command::new("tar").arg("-tf").arg(image).output()?;
    if !output.status.success() {
        return Err(format!("tar cannot list {}", image.display()).into());
    }
    Ok(output.stdout.iter().filter(|&&byte| byte == b'\n').count())
}

fn rows(report: &mut Report, sides: &[(&str, &Vec<Life>)]) {
    type Time = fn(&Life) -> Option<Duration>;
    type Count = fn(&Life) -> u64;
    let times: [(&str, Time); 5] = [
        ("create", |life| Some(life.create)),
        ("start", |life| Some(life.start)),
        ("first command", |life| Some(life.command)),
        ("create, start, first command", |life| Some(life.total())),
        ("READY=1", |life| life.ready),
    ];
    for (what, time) in times {
        for (side, lives) in sides {
            let values: Vec<f64> = lives.iter().filter_map(time).map(milliseconds).collect();
            if !values.is_empty() {
                report.add(Row::new(what, side, "ms", &values));
            }
        }
    }
    let counts: [(&str, Count); 2] = [
        ("disk used", |life| life.disk),
        ("bytes written", |life| life.written),
    ];
    for (what, count) in counts {
        for (side, lives) in sides {
            let values: Vec<f64> = lives.iter().map(|life| count(life) as f64).collect();
            report.add(Row::new(what, side, "bytes", &values));
        }
    }
}

/// A backup of the tree that the image holds; ours and by `tar | zstd`, in turns.
pub(crate) fn backup(options: &Options) -> Fallible<()> {
    let setting = Setting::new(options)?;
    let machine = Machine::here(&options.work);
    let backup = Backup::new(&options.image, setting.dir.path())?;
    // Not counted: warms the page cache for both.
    backup.tar()?;
    let (mut ours, mut tar, mut open, mut first) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..options.runs {
        progress(run, options.runs);
        let (made, image) = backup.ours()?;
        ours.push(made);
        tar.push(backup.tar()?);
        let answers = backup.answers(&image)?;
        open.push(milliseconds(answers.open));
        first.extend(answers.first_bytes.into_iter().map(milliseconds));
    }
    let mut report = Report::new("backup", machine, &options.image);
    for (side, made) in [("wpar", &ours), ("tar, zstd -T0 -3", &tar)] {
        let times: Vec<_> = made.iter().map(|made| milliseconds(made.time)).collect();
        report.add(Row::new("backup", side, "ms", &times));
        let bytes: Vec<_> = made.iter().map(|made| made.bytes as f64).collect();
        report.add(Row::new("size", side, "bytes", &bytes));
    }
    report.add(Row::new("first opening", "wpar", "ms", &open));
    report.add(Row::new("first byte of a file", "wpar", "ms", &first));
    report.compare("backup", "tar, zstd -T0 -3", "wpar");
    report.compare("size", "wpar", "tar, zstd -T0 -3");
    finish(options, &report)
}

fn progress(run: usize, runs: usize) {
    eprint!("\rrun {run} of {runs} ");
}

/// Prints the report, and keeps it where the user wants it.
fn finish(options: &Options, report: &Report) -> Fallible<()> {
    eprintln!("\rdone          ");
    record(options.record.as_deref(), report)?;
    if let (Some(readme), Some(dir)) = (&options.readme, &options.record) {
        readme::update(readme, dir, report)?;
    }
    Ok(())
}

/// Prints the report, and keeps it in a directory, if there is one.
pub(crate) fn record(dir: Option<&Path>, report: &Report) -> Fallible<()> {
    print!("{}", report.markdown());
    let Some(dir) = dir else {
        return Ok(());
    };
    fs::create_dir_all(dir)?;
    let file = |ending: &str| dir.join(format!("{}.{ending}", report.case()));
    fs::write(file("md"), report.markdown())?;
    fs::write(file("json"), report.json()?)?;
    if let Some(svg) = chart::draw(report) {
        fs::write(file("svg"), svg)?;
    }
    eprintln!("recorded in {}", dir.display());
    Ok(())
}

/// Where and with what a benchmark works.
struct Setting {
    dir: tempfile::TempDir,
    program: PathBuf,
    begin: Instant,
}

impl Setting {
    fn new(options: &Options) -> Fallible<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err("starting WPARs needs root".into());
        }
        if !options.image.is_file() {
            return Err(format!(
                "{}: no such image; tests/fixtures/make-image.sh makes some",
                options.image.display()
            )
            .into());
        }
        let program = match &options.wpar {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("wpar"),
        };
        if !program.is_file() {
            return Err(format!(
                "{}: not built; 'cargo build --release' builds it, --wpar names another",
                program.display()
            )
            .into());
        }
        let dir = tempfile::Builder::new()
            .prefix("wpar-bench-")
            .tempdir_in(&options.work)?;
        Ok(Self {
            dir,
            program,
            begin: Instant::now(),
        })
    }

    fn tool(&self, root: &str) -> Tool {
        Tool::new(&self.program, &self.dir.path().join(root))
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        eprintln!("{:.0} s in all", self.begin.elapsed().as_secs_f64());
    }
}
