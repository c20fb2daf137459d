//! Create, start and first command of images of several sizes: by us and by a full copy, in turns;
//! for the smaller ones also by rivals.
//!
//! The promise is that a size costs nothing, so all sizes of ours take turns with each other, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::SystemOptions;
use super::rivals::{self, Rival};
use super::world::World;
use crate::cases::record;
use crate::copy::Copy;
use crate::machine::Machine;
use crate::ours::{Life, Tool, run as run_command};
use crate::report::{Report, Row};
use crate::stats::milliseconds;
use crate::{Fallible, bytes, pad};

/// The row that sizes are compared by.
const TOTAL: &str = "create, start, first command";
const NAME: &str = "bench";

#[derive(Debug, Args)]
pub(crate) struct SizesOptions {
    #[command(flatten)]
    common: SystemOptions,
    /// System image, a plain tar archive; files of data behind its own make it as large as is wanted
    #[arg(long)]
    image: PathBuf,
    /// Sizes in GB; one that is less than the image is the image
    #[arg(long, value_delimiter = ',', default_value = "0.25,1,4,16")]
    sizes: Vec<f64>,
    /// Runs of full copies, which take long
    #[arg(long, default_value_t = 3)]
    copy_runs: usize,
    /// Size in GB up to which rivals, which copy as well, take part
    #[arg(long, default_value_t = 1.0)]
    rivals_to: f64,
}

/// Rivals, and their times.
type Competitors = Vec<(Box<dyn Rival>, Vec<Duration>)>;

/// One size: its image, and what was measured.
struct Size {
    gigabytes: f64,
    image: PathBuf,
    ours: Vec<Life>,
    copies: Vec<Life>,
    rivals: Competitors,
}

/// Runs the case.
pub(crate) fn run(options: &SizesOptions) -> Fallible<()> {
    let world = World::new(&options.common)?;
    let mut report = Report::new("sizes", Machine::here(&options.common.work), &options.image);
    let mut sizes = images(options, &world, &mut report)?;
    let tool = Tool::new(world.program(), &world.root());
    let copy = Copy::new(world.program(), &world.dir().join("copy"));
    for size in &mut sizes {
        // Not counted: the first run makes the index and fills the page cache.
        tool.live(&size.image, NAME, false)?;
        if size.gigabytes <= options.rivals_to {
            size.rivals = competitors(&world, size, &mut report)?;
        }
    }
    let runs = options.common.runs_or(9);
    for run in 0..runs {
        for size in &mut sizes {
            world.check()?;
            eprint!("\rrun {run} of {runs}, {} \x1b[K", size.name());
            size.ours.push(tool.live(&size.image, NAME, true)?);
            if run >= options.copy_runs {
                continue;
            }
            size.copies.push(copy.live(&size.image, true)?);
            for (rival, times) in &mut size.rivals {
                world.check()?;
                times.push(rival.live()?);
            }
        }
    }
    eprintln!("\rdone \x1b[K");
    for size in &sizes {
        size.add_to(&mut report);
    }
    promises(&sizes, &mut report);
    record(options.common.record.as_deref(), &report)
}

/// The images, all of them there at once; those that there is no room for are noted.
fn images(options: &SizesOptions, world: &World, report: &mut Report) -> Fallible<Vec<Size>> {
    if !options.image.is_file() {
        let image = options.image.display();
        return Err(
            format!("{image}: no such image; tests/fixtures/make-image.sh makes some").into(),
        );
    }
    let small = fs::metadata(&options.image)?.len();
    let mut sizes = Vec::new();
    for &gigabytes in &options.sizes {
        let bytes = (gigabytes * 1e9) as u64;
        let mut image = options.image.clone();
        if bytes > small + small / 10 {
            // The image and a copy of it, and a tenth of the disk for everybody else.
            if world.room()? < bytes * 2 + bytes / 2 {
                report.note(format!("{gigabytes} GB: no room on this disk"));
                continue;
            }
            image = world.dir().join(format!("{gigabytes}-gb.tar"));
            eprintln!("making an image of {gigabytes} GB");
            pad::pad_to(&options.image, &image, bytes)?;
        }
        world.check()?;
        sizes.push(Size {
            gigabytes,
            image,
            ours: Vec::new(),
            copies: Vec::new(),
            rivals: Vec::new(),
        });
    }
    Ok(sizes)
}

/// Those rivals that can do it here, with the tree unpacked for them, each tried once.
fn competitors(world: &World, size: &Size, report: &mut Report) -> Fallible<Competitors> {
    let dir = world.dir().join(format!("rivals-{}", size.gigabytes));
    let tree = rivals::tree_in(&dir);
    fs::create_dir_all(&tree)?;
    run_command(&mut crate::copy::unpacking(&size.image, &tree))?;
    let mut able = Vec::new();
    for rival in rivals::all(&dir) {
        eprint!("\rtrying {} \x1b[K", rival.name());
        match rival
            .missing()
            .map_or_else(|| rival.live().map(drop), |why| Err(why.into()))
        {
            Ok(()) => able.push((rival, Vec::new())),
            Err(error) => report.note(format!(
                "{} of {}: not taken: {}",
                rival.name(),
                size.name(),
                hide(&error.to_string(), world.dir())
            )),
        }
    }
    Ok(able)
}

/// Where it was is nobody's affair.
fn hide(text: &str, dir: &Path) -> String {
    text.replace(&*dir.to_string_lossy(), "DIR")
}

impl Size {
    fn name(&self) -> String {
        format!("{} GB", self.gigabytes)
    }

    fn add_to(&self, report: &mut Report) {
        let name = self.name();
        for (side, lives) in [("wpar", &self.ours), ("full copy", &self.copies)] {
            let mut add = |what: &str, unit, value: fn(&Life) -> Option<f64>| {
                let values: Vec<_> = lives.iter().filter_map(value).collect();
                if !values.is_empty() {
                    report.add(Row::new(&format!("{name}: {what}"), side, unit, &values));
                }
            };
            add("create", "ms", |life| Some(milliseconds(life.create)));
            add(TOTAL, "ms", |life| Some(milliseconds(life.total())));
            add("READY=1", "ms", |life| life.ready.map(milliseconds));
            add("disk used", "bytes", |life| Some(life.disk as f64));
            add("bytes written", "bytes", |life| Some(life.written as f64));
        }
        for (rival, times) in &self.rivals {
            let times: Vec<_> = times.iter().copied().map(milliseconds).collect();
            report.add(Row::new(
                &format!("{name}: {TOTAL}"),
                rival.name(),
                "ms",
                &times,
            ));
        }
    }
}

/// Times that a full copy must take longer, by size; and flatness over sizes.
fn promises(sizes: &[Size], report: &mut Report) {
    let total = |size: &Size| format!("{}: {TOTAL}", size.name());
    for size in sizes {
        let what = total(size);
        let least = match size.gigabytes {
            g if g >= 16.0 => Some(1000.0),
            g if g >= 1.0 => Some(100.0),
            _ => None,
        };
        match least {
            Some(least) => report.at_least(least, (&what, "full copy"), (&what, "wpar")),
            None => report.compare(&what, "full copy", "wpar"),
        }
        for (rival, _) in &size.rivals {
            report.at_least(1.0, (&what, rival.name()), (&what, "wpar"));
        }
    }
    if let (Some(small), Some(large)) = (sizes.first(), sizes.last()) {
        report.at_most(1.2, (&total(large), "wpar"), (&total(small), "wpar"));
    }
    let mut said = Vec::new();
    for (rival, _) in sizes.iter().flat_map(|size| &size.rivals) {
        if !said.contains(&rival.name()) {
            report.note(format!(
                "{}: {}; the tree is unpacked before",
                rival.name(),
                rival.about()
            ));
            said.push(rival.name());
        }
    }
    let size = |size: &Size| fs::metadata(&size.image).map_or(0, |meta| meta.len());
    let lengths: Vec<_> = sizes
        .iter()
        .map(|one| format!("{} is {}", one.name(), bytes::human(size(one) as f64)))
        .collect();
    report.note(format!("lengths of the images: {}", lengths.join(", ")));
}
