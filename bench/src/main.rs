//! Benchmarks of `wpar` against what one would do without it.
//!
//! All sides take turns (A B A B ...), so that whatever else the machine does falls on all. Only
//! medians and spreads are reported, never a best run, and nothing is left out where we lose.
//!
//! | read | for |
//! |---|---|
//! | [`suite`], [`subject`], [`workload`] | the same work through every file system: ours and those of others |
//! | [`cases`], [`ours`], [`copy`] | a system from an image, against a full copy of it |
//! | [`system`] | systems of all sizes, many at once, their boot, and the way in |
//! | [`image`], [`mounts`] | archives, against `ratarmount` |

mod archive;
mod backup;
mod bytes;
mod cases;
mod chart;
mod copy;
mod image;
mod launcher;
mod machine;
mod mounts;
mod ours;
mod pad;
mod process;
mod readme;
mod report;
mod stats;
mod subject;
mod suite;
mod svg;
mod sys;
mod system;
mod workload;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Result of a step of a benchmark. The message says what failed; there is nobody to match on it.
type Fallible<T> = Result<T, Box<dyn Error>>;

#[derive(Debug, Parser)]
#[command(about = "Benchmarks of wpar against what one would do without it")]
struct Cli {
    #[command(subcommand)]
    case: Case,
}

#[derive(Debug, Subcommand)]
enum Case {
    /// Create, start and run a first command: by wpar, and by unpacking the image
    Start(Options),
    /// The same by wpar alone, for the image and for one ten times its size
    Grow(Options),
    /// Index an archive for the first time
    Index(Options),
    /// Index, mount and read archives: by wpar, and by ratarmount
    Image(image::ImageOptions),
    /// Back the image's tree up: by wpar, and by tar and zstd
    Backup(Options),
    /// Whole systems of several sizes: by wpar, by full copies, and by podman, systemd-nspawn and LXC
    Sizes(system::sizes::SizesOptions),
    /// Until systems are up: by wpar, and by the same launcher over the kernel's overlay
    Boot(system::boot::BootOptions),
    /// Many systems started at once: by wpar, and by runc over the kernel's overlay
    Crowd(system::crowd::CrowdOptions),
    /// Many systems started one after the other: what each more takes
    Density(system::crowd::CrowdOptions),
    /// Until a command has run inside: clogin and wparexec, and bubblewrap
    Enter(system::enter::EnterOptions),
    /// File systems and real work: every workload on every subject, in turns
    Run(suite::SuiteOptions),
    /// The same with small trees, to see that all works: `run --short`
    Quick(suite::SuiteOptions),
}

#[derive(Debug, Args)]
struct Options {
    /// System image, a plain tar archive
    #[arg(long)]
    image: PathBuf,
    /// Runs of each side
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// Where to work: must be a disk, not a memory file system
    #[arg(long, default_value = "/var/tmp")]
    work: PathBuf,
    /// The wpar to measure; by default the one built beside this program
    #[arg(long)]
    wpar: Option<PathBuf>,
    /// Directory to record the results in, as in bench/runs/2026-01-31-laptop
    #[arg(long)]
    record: Option<PathBuf>,
    /// Put the medians into this README, which has a place for them; needs --record
    #[arg(long, requires = "record")]
    readme: Option<PathBuf>,
    /// Do not wait for the systems to say that they are up
    #[arg(long)]
    no_ready: bool,
}

fn main() -> ExitCode {
    let result = match Cli::parse().case {
        Case::Start(options) => cases::start(&options),
        Case::Grow(options) => cases::grow(&options),
        Case::Index(options) => cases::index(&options),
        Case::Image(options) => image::run(&options),
        Case::Backup(options) => cases::backup(&options),
        Case::Sizes(options) => system::sizes::run(&options),
        Case::Boot(options) => system::boot::run(&options),
        Case::Crowd(options) => system::crowd::together(&options),
        Case::Density(options) => system::crowd::one_by_one(&options),
        Case::Enter(options) => system::enter::run(&options),
        Case::Run(options) => suite::run(&options),
        Case::Quick(mut options) => {
            options.short = true;
            suite::run(&options)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wpar-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
