//! Until a system is up: ours, and the same launcher over the kernel's overlay of the same files.
//!
//! systemd says when it is up (READY=1). Others do not: of them it is when something asks for a
//! login, which their inits start when all else was.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use wpar::launch;

use super::SystemOptions;
use super::tree;
use super::world::World;
use crate::Fallible;
use crate::cases::record;
use crate::launcher::Directory;
use crate::machine::Machine;
use crate::report::{Report, Row};
use crate::stats::milliseconds;
use crate::subject::{OVERLAYFS, Place, Subject};

/// How long a boot may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What inits start when all else was.
const LOGINS: &[&str] = &["getty", "agetty", "login", "sulogin"];

/// What is measured.
const UP: &str = "until it is up";
const NAME: &str = "bench";
const OTHER: &str = "overlayfs, same launcher";

#[derive(Debug, Args)]
pub(crate) struct BootOptions {
    #[command(flatten)]
    common: SystemOptions,
    /// System images
    #[arg(long, required = true, num_args = 1..)]
    image: Vec<PathBuf>,
}

/// Runs the case.
pub(crate) fn run(options: &BootOptions) -> Fallible<()> {
    let world = World::new(&options.common)?;
    let first = options.image.first().ok_or("no image")?;
    let mut report = Report::new("boot", Machine::here(&options.common.work), first);
    let runs = options.common.runs_or(9);
    for image in &options.image {
        let name = image
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        eprint!("\r{name}: unpacking \x1b[K");
        let dir = world.dir().join(&name);
        let place = Place {
            lower: dir.join("lower"),
            archive: image.clone(),
            own: dir.join("own"),
            writes: true,
        };
        tree::unpack(&world, image, &place.lower)?;
        tree::shift(&place.lower)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for run in 0..=runs {
            eprint!("\r{name}: run {run} of {runs} \x1b[K");
            let (one, other) = (start(&world, image)?, start_over(&world, &place)?);
            // The first one warms.
            if run > 0 {
                ours.push(milliseconds(one));
                theirs.push(milliseconds(other));
            }
        }
        let what = format!("{name}: {UP}");
        report.add(Row::new(&what, "wpar", "ms", &ours));
        report.add(Row::new(&what, OTHER, "ms", &theirs));
        report.at_most(1.15, (&what, "wpar"), (&what, OTHER));
        fs::remove_dir_all(&dir)?;
    }
    eprintln!("\rdone \x1b[K");
    record(options.common.record.as_deref(), &report)
}

/// Ours, as `startwpar` does it; what was made for it before is not counted.
fn start(world: &World, image: &Path) -> Fallible<Duration> {
    world.create(image, NAME)?;
    let begin = Instant::now();
    let up = world
        .wpar(&["startwpar", NAME])
        .and_then(|_| up(world, &world.run_dir(NAME), begin));
    world.wpar(&["rmwpar", "-F", NAME])?;
    up
}

/// The same launcher over an overlay made just before.
fn start_over(world: &World, place: &Place) -> Fallible<Duration> {
    world.check()?;
    let own = &place.own;
    fs::create_dir_all(own.join("upper"))?;
    tree::shift(&own.join("upper"))?;
    let raised = OVERLAYFS.raise(place)?;
    let mut system = Directory::shifted(world.program(), raised.root(), own);
    let begin = Instant::now();
    let up = system
        .start()
        .and_then(|()| up(world, &system.run_dir(), begin));
    let stopped = system.stop();
    drop(raised);
    OVERLAYFS.clear(place)?;
    stopped?;
    up
}

/// Waits until it is up; how long after `begin` that was, to a few milliseconds.
fn up(world: &World, run_dir: &Path, begin: Instant) -> Fallible<Duration> {
    while begin.elapsed() < PATIENCE {
        world.check()?;
        let seen = launch::observe(run_dir);
        let announces = seen
            .init_kind
            .is_some_and(launch::InitKind::announces_ready);
        let up = match (seen.init_kind, seen.init) {
            (Some(launch::InitKind::Builtin), _) => seen.ready,
            (Some(_), Some(init)) if !announces => asks_for_login(init),
            _ => seen.ready,
        };
        if up {
            return Ok(begin.elapsed());
        }
        // Looking more often would slow down what is looked at.
        std::thread::sleep(Duration::from_millis(4));
    }
    Err(format!("not up within {} s", PATIENCE.as_secs()).into())
}

/// Whether a child of this init asks for a login.
fn asks_for_login(init: u32) -> bool {
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children"));
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .any(|pid| LOGINS.contains(&name(pid).trim()))
}
