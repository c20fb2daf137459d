//! Workloads: what is done to the root that a subject shows, and what of it is measured.
//!
//! A workload makes its tree once, always the same one; then it is run on each subject in turns, each
//! time on a mount just made, over an empty store, the lower in the page cache. It measures by
//! [`Turn::note`], and may ask for another fresh mount ([`Turn::fresh`]) or for cold caches
//! ([`Turn::cold`]) in between. Where it can, it works in this process: a child program would cost
//! more than what is measured. It writes nothing outside of the root, and leaves no process behind.
//!
//! One file for each family; [`all`] names them, in the order of the reports.

mod copy_up;
mod create;
mod exec;
mod growth;
mod listing;
mod lookups;
mod open;
mod read;
mod ready;
pub(crate) mod real;
mod walk;
mod write;

use crate::Fallible;
use crate::suite::stage;
use crate::suite::target::Target;
pub(crate) use crate::suite::turn::Turn;

use std::path::Path;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// As in recorded runs.
    Full,
    /// Small trees, to see that all works: the figures mean nothing.
    Short,
}

impl Scale {
    /// The one or the other.
    pub(crate) fn of<T>(self, full: T, short: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

/// What is counted, and so which direction is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds, mostly for each operation. Less is better.
    Microseconds,
    /// Milliseconds. Less is better.
    Milliseconds,
    /// Gigabytes (10^9) each second. More is better.
    GigabytesPerSecond,
    /// Operations, as transactions, each second. More is better.
    PerSecond,
    /// Bytes. Less is better.
    Bytes,
}

impl Unit {
    /// Whether a larger value is the better one.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::GigabytesPerSecond | Self::PerSecond)
    }
}

/// One quantity that a workload measures.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    /// Its name within the workload, as in `first`.
    pub(crate) what: &'static str,
    /// What is counted.
    pub(crate) unit: Unit,
    /// What we promise of it.
    pub(crate) targets: Vec<Target>,
}

impl Measure {
    /// A quantity that nothing is promised of but to be better than `fuse-overlayfs`.
    pub(crate) fn new(what: &'static str, unit: Unit) -> Self {
        Self {
            what,
            unit,
            targets: Vec::new(),
        }
    }

    /// The same with one more target.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }
}

/// What a workload asks of those who run it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// It changes what is below the root.
    pub(crate) writes: bool,
    /// It also makes sense over an archive of its tree.
    pub(crate) archives: bool,
    /// It makes sense only over an archive, which it makes itself ([`Workload::pack`]).
    pub(crate) only_archives: bool,
    /// It drops the caches ([`Turn::cold`]) or what subjects keep ([`Turn::anew`]): before each turn the
    /// lower is read into the page cache.
    pub(crate) cools: bool,
    /// The most runs that it is worth, if that is few.
    pub(crate) most_runs: Option<usize>,
    /// It is left out unless `--only` names it.
    pub(crate) on_request: bool,
}

/// Something that is done to a root.
pub(crate) trait Workload {
    /// Its name in reports and for `--only`: one word, always the same.
    fn name(&self) -> &'static str;

    /// The group that `--only` may name as well, a section of the report: `metadata`, `data` …
    fn group(&self) -> &'static str;

    /// What is done, in a line or two, with the numbers of this scale.
    fn about(&self) -> String;

    /// What it asks for.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// How much there is of what grows, if this is one point of a curve: other workloads of the same
    /// name are the others.
    fn at(&self) -> Option<u64> {
        None
    }

    /// Why it cannot be run here: a program that is not installed, too little room.
    fn missing(&self) -> Option<String> {
        None
    }

    /// What it measures, in the order of the report.
    fn measures(&self) -> Vec<Measure>;

    /// Name of the tree that it works on. Workloads with the same tree that follow each other share
    /// it, and then the first of them makes it.
    fn tree(&self) -> String;

    /// Makes the tree in an existing, empty directory: the same one each time.
    ///
    /// # Errors
    /// In words.
    fn set_up(&self, tree: &Path) -> Fallible<()>;

    /// Makes an archive of the tree, uncompressed.
    ///
    /// # Errors
    /// In words.
    fn pack(&self, tree: &Path, archive: &Path) -> Fallible<()> {
        stage::pack(tree, archive)
    }

    /// Does it once, and notes what it measured.
    ///
    /// # Errors
    /// In words: what failed. The report says that this subject failed, and the rest goes on.
    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()>;
}

/// All workloads.
pub(crate) fn all(scale: Scale) -> Vec<Box<dyn Workload>> {
    let mut all: Vec<Box<dyn Workload>> = vec![
        Box::new(ready::Ready::new(scale)),
        Box::new(walk::Walk::inodes(scale)),
        Box::new(walk::Walk::names(scale)),
        Box::new(lookups::Lookups::new(scale)),
        Box::new(open::Open::new(scale)),
        Box::new(growth::Threads::new(scale)),
        Box::new(listing::Listing::new(scale)),
        Box::new(exec::Exec::new(scale)),
        Box::new(read::ReadLarge::sequential(scale)),
        Box::new(read::ReadLarge::random(scale)),
        Box::new(read::ReadLarge::mapped(scale)),
        Box::new(write::WriteNew::new(scale)),
        Box::new(create::Create::new(scale)),
        Box::new(copy_up::CopyUp::new(scale)),
        Box::new(copy_up::CopyUpSparse::new(scale)),
        Box::new(growth::Names::new(scale)),
    ];
    all.extend(growth::Files::all(scale).map(|files| Box::new(files) as Box<dyn Workload>));
    all.extend(real::all(scale));
    all
}
