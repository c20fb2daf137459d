//! Many systems of one image: all started at once, and one after the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use wpar::launch;

use super::SystemOptions;
use super::bundle::{Bundle, Bundles};
use super::memory::{self, Share};
use super::world::World;
use crate::Fallible;
use crate::cases::record;
use crate::copy::unpacking;
use crate::launcher;
use crate::machine::Machine;
use crate::ours::run as run_command;
use crate::report::{Report, Row};
use crate::stats::milliseconds;
use crate::workload::real::missing;

/// The other side.
const RUNC: &str = "overlayfs, runc";
const ALL_UP: &str = "all up";

#[derive(Debug, Args)]
pub(crate) struct CrowdOptions {
    #[command(flatten)]
    common: SystemOptions,
    /// System images
    #[arg(long, required = true, num_args = 1..)]
    image: Vec<PathBuf>,
    /// How many of each
    #[arg(long, default_value_t = 64)]
    count: usize,
}

/// One side of one run.
struct Crowd {
    create: Duration,
    up: Duration,
    available: u64,
    cached: u64,
    daemons: u64,
    supervisors: u64,
}

/// All of an image started at once; ours, and by `runc` over the kernel's overlay, in turns.
pub(crate) fn together(options: &CrowdOptions) -> Fallible<()> {
    let world = World::new(&options.common)?;
    let runs = options.common.runs_or(3);
    let first = options.image.first().ok_or("no image")?;
    let mut report = Report::new("crowd", Machine::here(&options.common.work), first);
    for image in &options.image {
        let name = image
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let tree = world.dir().join("tree").join(&name);
        fs::create_dir_all(&tree)?;
        run_command(&mut unpacking(image, &tree))?;
        let announces = ["lib/systemd/systemd", "usr/lib/systemd/systemd"];
        let announces = announces.iter().any(|file| tree.join(file).exists());
        let mut other = missing(&["runc"]).or_else(|| without_init(&tree));
        let bundles = Bundles::new(&world.dir().join("runc"), &tree, announces);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // One of each, not counted, makes the index and fills the page cache.
        gather(&world, image, 1)?;
        if other.is_none() {
            other = gather_other(&world, &bundles, 1)
                .err()
                .map(|error| error.to_string());
        }
        for run in 0..runs {
            eprint!("\r{name}: run {run} of {runs} \x1b[K");
            ours.push(gather(&world, image, options.count)?);
            if other.is_none() {
                theirs.push(gather_other(&world, &bundles, options.count)?);
            }
        }
        if let Some(why) = other {
            report.note(format!("{name}: {RUNC} does not take part: {why}"));
        }
        add(
            &mut report,
            &format!("{} of {name}", options.count),
            &ours,
            &theirs,
        );
        fs::remove_dir_all(&tree)?;
    }
    eprintln!("\rdone \x1b[K");
    record(options.common.record.as_deref(), &report)
}

fn without_init(tree: &Path) -> Option<String> {
    let init = fs::symlink_metadata(tree.join("sbin/init"));
    init.is_err().then(|| "the image has no init".to_owned())
}

fn add(report: &mut Report, title: &str, ours: &[Crowd], theirs: &[Crowd]) {
    for (side, crowds) in [("wpar", ours), (RUNC, theirs)] {
        if crowds.is_empty() {
            continue;
        }
        let mut add = |what: &str, unit, value: fn(&Crowd) -> f64| {
            let values: Vec<_> = crowds.iter().map(value).collect();
            report.add(Row::new(&format!("{title}: {what}"), side, unit, &values));
        };
        add("made", "ms", |crowd| milliseconds(crowd.create));
        add(ALL_UP, "ms", |crowd| milliseconds(crowd.up));
        add("less memory available", "bytes", |crowd| {
            crowd.available as f64
        });
        add("of it page cache", "bytes", |crowd| crowd.cached as f64);
        if side == "wpar" {
            add("PSS of all daemons", "bytes", |crowd| crowd.daemons as f64);
            add("PSS of all supervisors", "bytes", |crowd| {
                crowd.supervisors as f64
            });
        }
    }
    for what in [ALL_UP, "less memory available"] {
        report.compare(&format!("{title}: {what}"), "wpar", RUNC);
    }
}

/// Ours: made one by one, started all at once.
fn gather(world: &World, image: &Path, count: usize) -> Fallible<Crowd> {
    let names: Vec<_> = (0..count).map(|number| format!("bench{number}")).collect();
    let begin = Instant::now();
    for name in &names {
        world.create(image, name)?;
    }
    let create = begin.elapsed();
    let before = memory::machine();
    let begin = Instant::now();
    let started = at_once(&names, |name| {
        world.wpar(&["startwpar", name])?;
        launcher::ready(&world.run_dir(name), begin).map(drop)
    });
    let up = begin.elapsed();
    let mut shares = (0, 0);
    for name in &names {
        let seen = launch::observe(&world.run_dir(name));
        let share = |pid: Option<u32>| pid.map_or(0, |pid| memory::of(pid).proportional);
        shares.0 += share(seen.daemon);
        shares.1 += share(seen.supervisor);
    }
    let after = memory::machine();
    for name in &names {
        world.wpar(&["rmwpar", "-F", name])?;
    }
    started?;
    Ok(Crowd {
        create,
        up,
        available: before.available.saturating_sub(after.available),
        cached: after.cached.saturating_sub(before.cached),
        daemons: shares.0,
        supervisors: shares.1,
    })
}

/// Theirs.
fn gather_other(world: &World, bundles: &Bundles, count: usize) -> Fallible<Crowd> {
    let begin = Instant::now();
    let made: Fallible<Vec<_>> = (0..count)
        .map(|number| {
            world.check()?;
            bundles.make(number)
        })
        .collect();
    let made = made?;
    let create = begin.elapsed();
    let before = memory::machine();
    let begin = Instant::now();
    let containers: Vec<_> = made.iter().map(Bundle::container).collect();
    at_once(&containers, |container| container.start())?;
    let up = begin.elapsed();
    let after = memory::machine();
    Ok(Crowd {
        create,
        up,
        available: before.available.saturating_sub(after.available),
        cached: after.cached.saturating_sub(before.cached),
        daemons: 0,
        supervisors: 0,
    })
}

/// Does something to all of them at the same time; the first error of any.
fn at_once<T: Sync>(all: &[T], what: impl Fn(&T) -> Fallible<()> + Sync) -> Fallible<()> {
    let failed: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = all
            .iter()
            .map(|one| scope.spawn(|| what(one).map_err(|error| error.to_string())))
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended
            .filter_map(|result| match result {
                Ok(result) => result.err(),
                Err(_) => Some("a thread of the benchmark died".to_owned()),
            })
            .collect()
    });
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} of {}: {first}", failed.len(), all.len()).into()),
    }
}

/// One after the other, up to `count`: what each more takes of time and memory.
pub(crate) fn one_by_one(options: &CrowdOptions) -> Fallible<()> {
    const POINTS: &[usize] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
    let world = World::new(&options.common)?;
    let first = options.image.first().ok_or("no image")?;
    let mut report = Report::new("density", Machine::here(&options.common.work), first);
    for image in &options.image {
        let title = image
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        gather(&world, image, 1)?;
        let before = memory::machine();
        let (mut starts, mut daemons, mut supervisors) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        for number in 1..=options.count {
            eprint!("\r{title}: {number} of {} \x1b[K", options.count);
            let name = format!("bench{number}");
            world.create(image, &name)?;
            let begin = Instant::now();
            world.wpar(&["startwpar", &name])?;
            launcher::ready(&world.run_dir(&name), begin)?;
            starts.push(milliseconds(begin.elapsed()));
            world.wpar(&["clogin", &name, "/bin/true"])?;
            let seen = launch::observe(&world.run_dir(&name));
            let share = |pid: Option<u32>| pid.map_or(Share::default(), memory::of);
            daemons.push(share(seen.daemon).private as f64);
            supervisors.push(share(seen.supervisor).private as f64);
            if POINTS.contains(&number) || number == options.count {
                let what = |what: &str| format!("{title}, {number} up: {what}");
                // Those since the last point.
                let new = last.map_or(0, |last: usize| last)..;
                let slice = |values: &[f64]| values.get(new.clone()).unwrap_or_default().to_vec();
                report.add(Row::new(
                    &what("start of one more"),
                    "wpar",
                    "ms",
                    &slice(&starts),
                ));
                report.add(Row::new(
                    &what("private to its daemon"),
                    "wpar",
                    "bytes",
                    &slice(&daemons),
                ));
                report.add(Row::new(
                    &what("private to its supervisor"),
                    "wpar",
                    "bytes",
                    &slice(&supervisors),
                ));
                let taken = before.available.saturating_sub(memory::machine().available);
                let each = taken as f64 / number as f64;
                report.add(Row::new(
                    &what("less memory available, each"),
                    "wpar",
                    "bytes",
                    &[each],
                ));
                last = Some(number);
            }
        }
        for number in 1..=options.count {
            world.wpar(&["rmwpar", "-F", &format!("bench{number}")])?;
        }
        // The pages of the program count as the first one's own as long as it is alone.
        let most = daemons.iter().copied().skip(1).fold(0.0, f64::max);
        report.note(format!(
            "{title}: of all daemons but the first, the one with most had {} of its own; promised is at most 4 MiB: {}",
            crate::bytes::human(most),
            if most <= f64::from(4 << 20) {
                "met"
            } else {
                "**not met**"
            }
        ));
    }
    eprintln!("\rdone \x1b[K");
    record(options.common.record.as_deref(), &report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_failures_is_told() {
        assert!(at_once(&[1, 2, 3], |_| Ok(())).is_ok());
        let error = at_once(&[1, 2, 3], |number| match number {
            2 => Err("no room".into()),
            _ => Ok(()),
        });
        assert_eq!(error.unwrap_err().to_string(), "1 of 3: no room");
    }
}
