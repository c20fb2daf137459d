//! Real programs at their work, with a fresh mount and once more: what people wait for.
//!
//! Each is a plain function over a root, in a file of its own kind; this file names them and says
//! what is promised. They are child programs, so that a time has that of starting them in it. Each
//! makes sure that the work was done: a figure of a program that failed is none.

mod build;
mod database;
mod files;
mod git;
mod packages;
mod program;
mod python;
mod sources;

pub(crate) use program::missing;

use std::path::Path;
use std::time::Duration;

use super::{Measure, Needs, Scale, Turn, Unit, Workload};
use crate::Fallible;
use crate::suite::target::Target;

/// Bounds of the first and of the second time against the kernel's overlay.
type Bounds = (f64, f64);
/// Work on what is there.
const LOOKS: Bounds = (1.5, 1.05);
/// Work that is mostly making and removing files.
const CREATES: Bounds = (3.0, 3.0);

/// Something done to a root.
type Act<T> = Box<dyn Fn(&Path) -> Fallible<T>>;

/// Transactions each second, of all the time that the second time took.
const RATE: &str = "rate";

/// A program's work.
struct Work {
    name: &'static str,
    scale: Scale,
    about: String,
    bounds: Bounds,
    /// Most runs that it is worth: programs take long.
    runs: usize,
    /// Whether it is left out of a short run, unless it is named: its tree is large.
    large: bool,
    /// Transactions that are done, where there are some.
    transactions: Option<u32>,
    missing: Box<dyn Fn() -> Option<String>>,
    tree: String,
    set_up: Act<()>,
    work: Act<Duration>,
}

impl Workload for Work {
    fn name(&self) -> &'static str {
        self.name
    }

    fn group(&self) -> &'static str {
        "programs"
    }

    fn about(&self) -> String {
        self.about.clone()
    }

    fn needs(&self) -> Needs {
        Needs {
            writes: true,
            most_runs: Some(self.runs),
            on_request: self.large && self.scale == Scale::Short,
            ..Needs::default()
        }
    }

    fn missing(&self) -> Option<String> {
        (self.missing)()
    }

    fn measures(&self) -> Vec<Measure> {
        let (first, again) = self.bounds;
        let times = [("first", first), ("again", again)].map(|(what, bound)| {
            Measure::new(what, Unit::Milliseconds).target(Target::at_most(bound, "overlayfs"))
        });
        let rate = self
            .transactions
            .map(|_| Measure::new(RATE, Unit::PerSecond));
        times.into_iter().chain(rate).collect()
    }

    fn tree(&self) -> String {
        self.tree.clone()
    }

    fn set_up(&self, tree: &Path) -> Fallible<()> {
        (self.set_up)(tree)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Fallible<()> {
        for what in ["first", "again"] {
            let (time, _) = turn.time(&self.work)?;
            turn.note(what, time.as_secs_f64() * 1000.0);
            if let Some(transactions) = self.transactions.filter(|_| what == "again") {
                turn.note(RATE, f64::from(transactions) / time.as_secs_f64());
            }
        }
        Ok(())
    }
}

/// All of them.
pub(super) fn all(scale: Scale) -> Vec<Box<dyn Workload>> {
    let mut all = Vec::new();
    all.extend(of_git(scale));
    all.extend(of_files(scale));
    all.extend(of_builds(scale));
    all.push(of_packages(scale));
    all.extend(of_databases(scale));
    all.push(Work {
        name: "python",
        scale,
        about: "start of Python and import of 30 modules of its library".to_owned(),
        bounds: LOOKS,
        runs: 7,
        large: true,
        transactions: None,
        missing: Box::new(|| program::missing(python::NEEDS)),
        tree: "python".to_owned(),
        set_up: Box::new(python::set_up),
        work: Box::new(python::import),
    });
    all.into_iter()
        .map(|work| Box::new(work) as Box<dyn Workload>)
        .collect()
}

fn of_git(scale: Scale) -> [Work; 2] {
    let files = scale.of(20_000, 300);
    let work = |name, about: &str, bounds, work: fn(&Path) -> Fallible<Duration>| Work {
        name,
        scale,
        about: format!("{about} in a repository of {files} files"),
        bounds,
        runs: 5,
        large: false,
        transactions: None,
        missing: Box::new(|| program::missing(git::NEEDS)),
        tree: format!("git-{files}"),
        set_up: Box::new(move |lower| git::set_up(lower, files)),
        work: Box::new(work),
    };
    [
        work("git-status", "git status", LOOKS, git::status),
        work(
            "git-checkout",
            "git checkout of another commit, with every tenth file changed and every hundredth renamed,",
            LOOKS,
            git::checkout,
        ),
    ]
}

fn of_files(scale: Scale) -> [Work; 4] {
    let files = scale.of(5_000, 200);
    let work = |name, about: &str, bounds, work: Act<Duration>| Work {
        name,
        scale,
        about: format!("{about} of {files} source files"),
        bounds,
        runs: 5,
        large: false,
        transactions: None,
        missing: Box::new(|| program::missing(files::NEEDS)),
        tree: format!("sources-{files}"),
        set_up: Box::new(move |lower| files::set_up(lower, files)),
        work,
    };
    [
        work(
            "tar-x",
            "tar -x of an archive",
            CREATES,
            Box::new(files::unpack),
        ),
        work("tar-c", "tar -c into a pipe", LOOKS, Box::new(files::pack)),
        work(
            "grep",
            "grep -r through a tree",
            LOOKS,
            Box::new(move |root| files::search(root, files)),
        ),
        work(
            "cp-rm",
            "cp -a, and rm -rf of the copy,",
            CREATES,
            Box::new(files::copy_and_remove),
        ),
    ]
}

fn of_builds(scale: Scale) -> [Work; 2] {
    let files = scale.of(100, 5);
    [
        Work {
            name: "make",
            scale,
            about: format!("make -j2 of a C program of {files} files, not optimised"),
            bounds: LOOKS,
            runs: 3,
            large: false,
            transactions: None,
            missing: Box::new(|| program::missing(build::NEEDS)),
            tree: format!("project-{files}"),
            set_up: Box::new(move |lower| build::set_up(lower, files)),
            work: Box::new(build::make),
        },
        Work {
            name: "make-lua",
            scale,
            about: "make -j2 of Lua 5.4.4, not optimised".to_owned(),
            bounds: LOOKS,
            runs: 3,
            large: true,
            transactions: None,
            missing: Box::new(move || {
                program::missing(build::LUA_NEEDS).or_else(|| build::cannot_have_lua(scale))
            }),
            tree: "lua".to_owned(),
            set_up: Box::new(build::set_up_lua),
            work: Box::new(build::make_lua),
        },
    ]
}

fn of_packages(scale: Scale) -> Work {
    let count = scale.of(50, 2);
    Work {
        name: "apt-get",
        scale,
        about: format!("apt-get install of {count} packages of 20 files in a Debian system"),
        bounds: LOOKS,
        runs: 3,
        large: true,
        transactions: None,
        missing: Box::new(|| {
            program::missing(packages::NEEDS)
                .or_else(program::not_root)
                .or_else(|| packages::image().err())
        }),
        tree: format!("packages-{count}"),
        set_up: Box::new(move |lower| packages::set_up(lower, count)),
        work: Box::new(move |root| packages::install(root, count)),
    }
}

fn of_databases(scale: Scale) -> [Work; 2] {
    let (accounts, transactions) = scale.of((3, 500), (1, 10));
    let (rows, changes) = scale.of((50_000, 200), (500, 5));
    [
        Work {
            name: "pgbench",
            scale,
            about: format!(
                "start of PostgreSQL, {transactions} transactions of pgbench by each of 2 clients \
                 on {accounts}00,000 accounts, and its stop"
            ),
            bounds: LOOKS,
            runs: 5,
            large: true,
            transactions: Some(transactions * 2),
            missing: Box::new(|| {
                program::missing(database::POSTGRES_NEEDS).or_else(program::not_root)
            }),
            tree: format!("pgbench-{accounts}"),
            set_up: Box::new(move |lower| database::set_up_postgres(lower, accounts)),
            work: Box::new(move |root| database::postgres(root, transactions)),
        },
        Work {
            name: "sqlite",
            scale,
            about: format!(
                "{changes} inserts and {changes} updates by sqlite3, each a transaction, in a table of {rows} rows"
            ),
            bounds: LOOKS,
            runs: 5,
            large: false,
            transactions: Some(changes * 2),
            missing: Box::new(|| program::missing(database::SQLITE_NEEDS)),
            tree: format!("sqlite-{rows}"),
            set_up: Box::new(move |lower| database::set_up_sqlite(lower, rows)),
            work: Box::new(move |root| database::insert_and_update(root, changes)),
        },
    ]
}

/// Says on standard error that a test was skipped; where all must run, that is a failure.
#[cfg(test)]
pub(crate) fn skipped(reason: &str) {
    assert!(
        std::env::var_os("WPAR_TESTS_MUST_RUN").is_none(),
        "must run, but: {reason}"
    );
    eprintln!("SKIPPED: {reason}");
}
