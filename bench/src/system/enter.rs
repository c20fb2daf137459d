//! Until a command has run inside: in a WPAR that runs, in one made for it, and by bubblewrap with the
//! same namespaces over an overlay of the kernel that is there already.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use wpar::launch;

use super::SystemOptions;
use super::world::{World, time};
use crate::Fallible;
use crate::cases::record;
use crate::copy::unpacking;
use crate::machine::Machine;
use crate::ours::run as run_command;
use crate::report::{Report, Row};
use crate::stats::milliseconds;
use crate::subject::{OVERLAYFS, Place, Subject};
use crate::workload::real::missing;

const NAME: &str = "bench";
const WHAT: &str = "/bin/true inside";
const BUBBLEWRAP: &str = "bubblewrap";

/// A name, a command, and how long it took.
type Side<'a> = (&'a str, Box<dyn Fn() -> Command + 'a>, Vec<f64>);

#[derive(Debug, Args)]
pub(crate) struct EnterOptions {
    #[command(flatten)]
    common: SystemOptions,
    /// System image
    #[arg(long)]
    image: PathBuf,
}

/// Runs the case.
pub(crate) fn run(options: &EnterOptions) -> Fallible<()> {
    let world = World::new(&options.common)?;
    let runs = options.common.runs_or(60);
    let mut report = Report::new("enter", Machine::here(&options.common.work), &options.image);
    let place = Place {
        lower: world.dir().join("lower"),
        archive: options.image.clone(),
        own: world.dir().join("own"),
        writes: true,
    };
    fs::create_dir_all(&place.lower)?;
    run_command(&mut unpacking(&options.image, &place.lower))?;
    let raised = OVERLAYFS.raise(&place)?;
    world.create(&options.image, NAME)?;
    world.wpar(&["startwpar", NAME])?;
    let init = launch::observe(&world.run_dir(NAME))
        .init
        .ok_or("no init runs")?;

    let wparexec = || {
        let mut command = world.command(&["wparexec", "-t", "-B"]);
        command.arg(&options.image).args(["--", "/bin/true"]);
        command
    };
    let bubblewrap = || {
        let mut command = Command::new("bwrap");
        command
            .args(["--unshare-all", "--bind"])
            .arg(raised.root())
            .arg("/");
        command.args(["--proc", "/proc", "--dev", "/dev"]);
        command.args(["--tmpfs", "/run", "--tmpfs", "/tmp", "/bin/true"]);
        command
    };
    let nsenter = || {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &init.to_string(), "/bin/true"]);
        command
    };
    let mut sides: Vec<Side<'_>> = vec![
        (
            "clogin",
            Box::new(|| world.command(&["clogin", NAME, "/bin/true"])),
            Vec::new(),
        ),
        ("wparexec", Box::new(wparexec), Vec::new()),
    ];
    match missing(&["bwrap"]) {
        None => sides.push((BUBBLEWRAP, Box::new(bubblewrap), Vec::new())),
        Some(why) => report.note(why),
    }
    match missing(&["nsenter"]) {
        None => sides.push(("nsenter", Box::new(nsenter), Vec::new())),
        Some(why) => report.note(why),
    }
    for run in 0..=runs {
        eprint!("\rrun {run} of {runs} \x1b[K");
        for (_, command, times) in &mut sides {
            world.check()?;
            let took = time(&mut command())?;
            // The first one warms.
            if run > 0 {
                times.push(milliseconds(took));
            }
        }
        sides.rotate_left(1);
    }
    eprintln!("\rdone \x1b[K");
    for (side, _, times) in &sides {
        report.add(Row::new(WHAT, side, "ms", times));
    }
    drop(sides);
    for ours in ["clogin", "wparexec"] {
        report.at_most(2.0, (WHAT, ours), (WHAT, BUBBLEWRAP));
    }
    report.note("clogin enters a WPAR that runs; wparexec makes one and removes it".to_owned());
    report.note(
        "bubblewrap makes all namespaces, over an overlay that is there; nsenter enters those of the WPAR"
            .to_owned(),
    );
    drop(raised);
    record(options.common.record.as_deref(), &report)
}
