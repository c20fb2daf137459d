//! `oslevel`: at which level the host, an image or a WPAR is.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::prepared::Prepared;
use super::verbs::{Arguments, Verb, Words};
use super::{levels, lifecycle, output};
use crate::model::{Level, WparState};
use crate::packages::{self, Detail, fingerprint};
use crate::policy::mount_spec::lower_spec;
use crate::source::below::Below;
use crate::source::files::Files;
use crate::source::image::Purpose;
use crate::source::level;
use crate::source::tree::OfflineTree;
use wpar_mountd::spec::{Access, MountSpec, SpaceLimits};

mod compare;

use compare::{compare, table};

pub(super) const VERB: Verb = Verb::aix::<LevelArguments>(Words {
    name: "oslevel",
    about: "Show the level of the host, of an image or of a workload partition",
    description: "Shows the level of the host, or of the image of -B or the WPAR of -n, in the form \
        of AIX: version, release, modification and fix (12.11.0.0 is Debian 12, point level 11); \
        with -r, four digits of the release and the point level (1200-11); with -s also the year \
        and week in which the release was built (1200-11-00-2519). What is in the files is shown; \
        nothing is started.\n\n\
        A copy of an image can be started if it is at the level of the host: the same distribution, \
        release and architecture. Point level and week decide nothing. Other levels can be started \
        as versioned WPARs ('mkwpar -C').",
    examples: &[
        ("The level of this host, for a script", "oslevel -s"),
        (
            "The level of a backup",
            "oslevel -s -B /backup/web1.tar.zst",
        ),
        (
            "What a WPAR has in older versions than the host",
            "oslevel -l -n wpar1",
        ),
        ("The levels of the host and of all WPARs", "oslevel -q -s"),
    ],
    compatibility: "-B, -n, --json are additions. -l and -g compare with the packages of the host, so they \
        go with -B or -n; they take no level. -q lists the levels of the host and of the WPARs on \
        record. -f does not exist.",
});

/// Arguments of `oslevel`.
#[derive(Debug, clap::Args)]
pub(super) struct LevelArguments {
    /// The release and its point level (technology level)
    #[arg(short = 'r', long = "technology-level")]
    technology_level: bool,

    /// The release, its point level and the week of its build (service pack)
    #[arg(
        short = 's',
        long = "service-pack",
        conflicts_with = "technology_level"
    )]
    service_pack: bool,

    /// Packages in versions older than the host's
    #[arg(short = 'l', long = "older", conflicts_with_all = ["technology_level", "service_pack"])]
    older: bool,

    /// Packages in versions newer than the host's
    #[arg(short = 'g', long = "newer", conflicts_with_all = ["technology_level", "service_pack", "older"])]
    newer: bool,

    /// All levels that are known: of the host and of all WPARs
    #[arg(short = 'q', long = "known", conflicts_with_all = ["older", "newer", "image", "name"])]
    known: bool,

    /// Of this backup
    #[arg(short = 'B', long = "backup", value_name = "IMAGE")]
    image: Option<PathBuf>,

    /// Of this WPAR
    #[arg(
        short = 'n',
        long = "name",
        value_name = "NAME",
        conflicts_with = "image"
    )]
    name: Option<String>,

    /// Everything that is known, as JSON
    #[arg(long = "json", conflicts_with_all = ["technology_level", "service_pack", "older", "newer", "known"])]
    json: bool,
}

/// A system to look at.
struct Subject {
    files: Box<dyn Files>,
}

impl Arguments for LevelArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        if self.known {
            return self.list_known(context);
        }
        let compares = self.older || self.newer;
        if compares && self.image.is_none() && self.name.is_none() {
            return Err(CliError::usage("the host cannot be compared with itself")
                .hint("name a WPAR with -n NAME or a backup with -B IMAGE"));
        }
        let subject = self.subject(context)?;
        let files = subject.files.as_ref();
        let text = if compares {
            self.differences(files)?
        } else if self.json {
            as_json(files)?
        } else {
            format!("{}\n", self.form(&read(files)?))
        };
        output::print(&text)?;
        Ok(Exit::Success)
    }
}

fn read(files: &dyn Files) -> CliResult<Level> {
    level::read(files).map_err(|error| {
        let error = std::io::Error::from(error.errno());
        CliError::io("cannot read the level", &error)
    })
}

fn host_files() -> CliResult<Below> {
    Below::open(Path::new("/")).map_err(|error| {
        let error = std::io::Error::from(error.errno());
        CliError::io("cannot open /", &error)
    })
}

impl LevelArguments {
    /// The level in the form that was asked for.
    fn form(&self, level: &Level) -> String {
        if self.service_pack {
            level.service_pack()
        } else if self.technology_level {
            level.technology_level()
        } else {
            level.dotted()
        }
    }

    fn subject(&self, context: &Context) -> CliResult<Subject> {
        let files: Box<dyn Files> = if let Some(image) = &self.image {
            let prepared = Prepared::for_purpose(context, image, Purpose::Look)?;
            let spec = MountSpec {
                lower: lower_spec(&prepared.source),
                store: None,
                hidden: Vec::new(),
                limits: SpaceLimits::default(),
                access: Access::Checked,
            };
            Box::new(OfflineTree::open(&spec)?.into_overlay())
        } else if let Some(name) = &self.name {
            return wpar(context, name);
        } else {
            Box::new(host_files()?)
        };
        Ok(Subject { files })
    }

    /// Levels with what is at them, without repetition.
    fn list_known(&self, context: &Context) -> CliResult<Exit> {
        let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let host = levels::host_level()?;
        known
            .entry(self.form(&host))
            .or_default()
            .push("host".to_owned());
        let registry = context.registry_to_read();
        for name in registry.names()? {
            // A record that cannot be read has no level; lswpar complains about it.
            if let Ok(Some(record)) = registry.load(&name)
                && let Some(level) = &record.level
            {
                known
                    .entry(self.form(level))
                    .or_default()
                    .push(name.to_string());
            }
        }
        let width = known.keys().map(String::len).max().unwrap_or(0);
        let lines = known
            .iter()
            .map(|(level, who)| format!("{level:width$}  {}\n", who.join(" ")));
        output::print(&format!(
            "Known Levels\n------------\n{}",
            lines.collect::<String>()
        ))?;
        Ok(Exit::Success)
    }

    /// What is older or newer than on the host.
    fn differences(&self, files: &dyn Files) -> CliResult<String> {
        let failed = |error: packages::PackageError| CliError::new(error.to_string());
        let none = |whose: &str| {
            CliError::new(format!("{whose} has no package data base that is known"))
                .hint("dpkg, rpm, apk and pacman are")
        };
        let here = packages::read(&host_files()?, Detail::Packages).map_err(failed)?;
        let here = here.ok_or_else(|| none("the host"))?;
        let there = packages::read(files, Detail::Packages).map_err(failed)?;
        let there = there.ok_or_else(|| none("it"))?;
        if here.family != there.family {
            return Err(CliError::new(format!(
                "its packages are {}'s, those of the host are {}'s",
                there.family, here.family
            ))
            .hint("only versions of one family can be compared"));
        }
        let wanted = if self.older {
            Ordering::Less
        } else {
            Ordering::Greater
        };
        Ok(table(&compare(&there, &here, wanted)))
    }
}

/// The files of a WPAR as they are now.
fn wpar(context: &Context, name: &str) -> CliResult<Subject> {
    let name = parse_name(name)?;
    let registry = context.registry()?;
    let record = lifecycle::record(&registry, &name)?;
    let _lock = context.lock(&registry, &name)?;
    let files: Box<dyn Files> = match lifecycle::glance(&registry, &record, true).state {
        WparState::Defined => {
            Box::new(levels::offline(context, &registry, &record)?.into_overlay())
        }
        WparState::Active | WparState::Frozen | WparState::Loaded => {
            Box::new(Below::open(&record.directory).map_err(|error| {
                let error = std::io::Error::from(error.errno());
                CliError::io(format!("cannot open the base directory of {name}"), &error)
            })?)
        }
        state => {
            let hint = format!("stop it with 'stopwpar -F {name}' first");
            return Err(CliError::wrong_state(&name, state, hint));
        }
    };
    Ok(Subject { files })
}

fn as_json(files: &dyn Files) -> CliResult<String> {
    #[derive(Serialize)]
    struct Shown {
        oslevel: String,
        technology_level: String,
        service_pack: String,
        level: Level,
        /// SHA-256 of what is installed; null without a package data base.
        packages: Option<String>,
    }
    let level = read(files)?;
    let installed = packages::read(files, Detail::Packages).ok().flatten();
    let shown = Shown {
        oslevel: level.dotted(),
        technology_level: level.technology_level(),
        service_pack: level.service_pack(),
        level,
        packages: installed.as_ref().map(fingerprint::of_all),
    };
    let text = serde_json::to_string_pretty(&shown)
        .map_err(|error| CliError::new(format!("cannot write the level as JSON: {error}")))?;
    Ok(text + "\n")
}
