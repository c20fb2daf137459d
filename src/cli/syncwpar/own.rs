//! Copies of a backup, with a `/usr` of their own: rebased onto the host, and back.
//!
//! Order: everything is read and decided first. Then a new generation is made beside all that is there:
//! its list of names, its store with records and configuration files. It is none until the view names
//! it, in one step, which is the last; whatever was made before that is removed, by this command or the
//! next. What the WPAR was before is not touched at all.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use wpar_mountd::error::FsError;
use wpar_mountd::lower::rebased::list;
use wpar_mountd::lower::rebased::{Fate, ListError};

use super::{CliError, CliResult, SyncArguments, lifecycle, told, undo};
use crate::cli::context::Context;
use crate::cli::create::running_host;
use crate::cli::{generations, levels, output};
use crate::model::copy_controls::Selection;
use crate::model::generation::{GENERATIONS_MAX, Generation, GenerationNotes, HostPackage};
use crate::model::view::{FilesetFate, Part};
use crate::model::{CopyControls, Level, Source, View, WparKind, WparName, WparRecord, WparState};
use crate::packages::{self, Detail, PackageDatabase};
use crate::policy::mount_spec::{mount_spec, own_places};
use crate::policy::root_group;
use crate::policy::synchronize::own::dpkg::Records;
use crate::policy::synchronize::own::names::Names;
use crate::policy::synchronize::own::{Class, Plan, Situation, dpkg, names, plan};
use crate::registry::Registry;
use crate::source::accounts::Translation;
use crate::source::below::Below;
use crate::source::files::Files;
use crate::source::tree::OfflineTree;
use crate::source::{generation, level};

/// Whether this can be asked of the WPAR.
pub(super) fn is_one(registry: &Registry, record: &WparRecord, undo: bool) -> CliResult<bool> {
    if record.source == Source::Host || record.base.is_some() || record.versioned {
        return Ok(false);
    }
    Ok(!undo || !registry.view(&record.name)?.generations.is_empty())
}

/// Brings one to the level of the host, or back.
pub(super) fn run(
    context: &Context,
    registry: &Registry,
    name: &WparName,
    arguments: &SyncArguments,
) -> CliResult<()> {
    lifecycle::record(registry, name)?;
    let _lock = context.lock(registry, name)?;
    let record = lifecycle::record(registry, name)?;
    require(registry, &record)?;
    if arguments.undo {
        return undo::undo(context, registry, &record);
    }
    let view = registry.view(name)?;
    // What a command that died has left is in the way of nothing, but takes space.
    registry.drop_generations(name, &view)?;
    let source = levels::ready_source(context, registry, &record)?;
    let record = WparRecord { source, ..record };
    let decided = Decided::new(context, registry, &record, &view, arguments)?;
    context.interrupts.check()?;
    told::tell(context, &record, &decided, arguments)?;
    if arguments.preview {
        return Ok(());
    }
    if decided.is_nothing() {
        if !arguments.json {
            output::say(format_args!("{name} has nothing that is newer on the host"));
        }
        return Ok(());
    }
    let level = make(context, registry, &record, &view, &decided)?;
    if !arguments.json {
        output::say(format_args!(
            "{name} is at the level of the host ({}); what is new is set up when it starts",
            level.service_pack()
        ));
    }
    Ok(())
}

fn require(registry: &Registry, record: &WparRecord) -> CliResult<()> {
    let name = &record.name;
    if record.kind != WparKind::System || record.owner.is_some() {
        return Err(
            CliError::new(format!("{name} is a throw-away workload partition"))
                .hint("it goes with the command that it runs"),
        );
    }
    if record.source == Source::Host {
        return Err(
            CliError::new(format!("{name} is a copy of the running system"))
                .hint("it is at the level of the host, always"),
        );
    }
    if let Some(base) = &record.base {
        let error = CliError::new(format!("{name} has the /usr of {}", base.system));
        return Err(match base.private {
            false => error.hint(format!(
                "bring its other files to the level of that with 'syncwpar {name}'"
            )),
            true => error.hint(
                "what is upgraded there is seen in it; make a new one to have a root part that goes \
                 with it",
            ),
        });
    }
    if record.versioned {
        return Err(
            CliError::new(format!("{name} is versioned: it has a level of its own")).hint(format!(
                "make it an ordinary workload partition first, with 'chwpar -K -C {name}'"
            )),
        );
    }
    match lifecycle::look(registry, record, true).state {
        WparState::Defined => Ok(()),
        state => Err(CliError::wrong_state(
            name,
            state,
            format!("stop it with 'stopwpar {name}' first"),
        )),
    }
}

/// What was found out and decided.
pub(super) struct Decided {
    pub(super) copy: PackageDatabase,
    pub(super) host: PackageDatabase,
    pub(super) copy_level: Level,
    pub(super) host_level: Level,
    pub(super) plan: Plan,
    pub(super) names: Names,
    pub(super) records: Records,
    /// What is in the way; then there is no plan.
    pub(super) obstacles: Vec<String>,
    /// File systems of the host that names come from.
    parts: Vec<Part>,
    /// The host's users in the numbers of the copy.
    translation: Translation,
}

impl Decided {
    fn new(
        context: &Context,
        registry: &Registry,
        record: &WparRecord,
        view: &View,
        arguments: &SyncArguments,
    ) -> CliResult<Self> {
        let facts = running_host()?;
        let spec = mount_spec(record, view, registry.layout(), &facts)?;
        let tree = OfflineTree::open(&spec)?;
        let files = tree.overlay();
        let host_files = host_files()?;
        let (copy, host) = (read(files, "copy")?, read(&host_files, "host")?);
        context.interrupts.check()?;
        let essential = dpkg::essential(&host_files).map_err(unreadable)?;
        let libraries = dpkg::libraries(files).map_err(unreadable)?;
        let borrowed = generations::borrowed(registry, &record.name, view)?;
        let borrowed: BTreeSet<_> = borrowed
            .into_iter()
            .map(|package| (package.name, package.architecture))
            .collect();
        let ghosts: BTreeSet<_> = view
            .filesets
            .iter()
            .filter(|fileset| fileset.fate == FilesetFate::Ghost)
            .map(|fileset| (fileset.name.clone(), fileset.architecture.clone()))
            .collect();
        let mut this = Self {
            copy_level: level::read(files).map_err(unreadable)?,
            host_level: levels::host_level()?,
            plan: Plan::default(),
            names: Names::default(),
            records: Records::default(),
            obstacles: Vec::new(),
            parts: Vec::new(),
            translation: Translation::new(&host_files, files).map_err(unreadable)?,
            copy,
            host,
        };
        let situation = Situation {
            copy: &this.copy,
            host: &this.host,
            copy_level: &this.copy_level,
            host_level: &this.host_level,
            essential: &essential,
            ghosts: &ghosts,
            libraries: &libraries,
            borrowed: &borrowed,
            force: arguments.force,
        };
        if view.generations.len() >= GENERATIONS_MAX {
            this.obstacles.push(format!(
                "it was brought to the level of the host {GENERATIONS_MAX} times already; back it up \
                 with savewpar, and restore it with restwpar"
            ));
            return Ok(this);
        }
        match plan(&situation) {
            Ok(found) => this.plan = found,
            Err(obstacles) => {
                this.obstacles = obstacles;
                return Ok(this);
            }
        }
        context.interrupts.check()?;
        let found = names::names(&situation, &this.plan, files, &host_files).map_err(unreadable)?;
        let records = dpkg::records(&situation, &this.plan, &found.listed, files, &host_files)
            .map_err(unreadable)?;
        this.obstacles.clone_from(&found.obstacles);
        this.names = found;
        this.records = records;
        let controls = CopyControls::default();
        let places = own_places(registry.layout());
        let parts = root_group::new_view(&facts, controls, &places, &Selection::default())?.parts;
        this.parts = parts
            .into_iter()
            .filter(|part| this.takes_from(part))
            .collect();
        Ok(this)
    }

    fn takes_from(&self, part: &Part) -> bool {
        let below = format!("{}/", part.point).into_bytes();
        let mut from = self.names.listed.range(below.clone()..);
        from.next()
            .is_some_and(|(path, _)| path.starts_with(&below))
    }

    /// Whether the copy has all that it would get.
    fn is_nothing(&self) -> bool {
        self.plan.packages.iter().all(|planned| {
            let (Some(theirs), own) = (planned.host, planned.copy) else {
                return planned.class != Class::Dropped;
            };
            let version = |database: &PackageDatabase, at: usize| {
                database
                    .packages
                    .get(at)
                    .map(|package| package.version.clone())
            };
            own.is_some_and(|own| version(&self.copy, own) == version(&self.host, theirs))
        })
    }

    /// The list of names as it is kept.
    fn list(&self) -> Result<Vec<u8>, ListError> {
        let listed = self.names.listed.iter();
        let gone = self.records.gone.iter().map(|path| (path, &Fate::Gone));
        let all = listed.chain(gone);
        list::encode(all.map(|(path, fate)| (path.as_slice(), *fate)))
    }

    fn host_packages(&self) -> Vec<HostPackage> {
        let taken = self.plan.packages.iter().filter_map(|planned| planned.host);
        taken
            .filter_map(|at| self.host.packages.get(at))
            .map(|package| HostPackage {
                name: package.name.clone(),
                architecture: package.architecture.clone(),
                version: package.version.clone(),
            })
            .collect()
    }
}

/// The host's files.
pub(in crate::cli) fn host_files() -> CliResult<Below> {
    Below::open(Path::new("/")).map_err(|error| {
        let error = io::Error::from(error.errno());
        CliError::io("cannot open the root directory of the host", &error)
    })
}

fn read(files: &dyn Files, whose: &str) -> CliResult<PackageDatabase> {
    match packages::read(files, Detail::Paths) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(CliError::new(format!(
            "the {whose} has no package data base that is known"
        ))
        .hint("only systems of packages can be brought to the level of another")),
        Err(error) => Err(CliError::new(format!("of the {whose}, {error}"))),
    }
}

fn unreadable(error: FsError) -> CliError {
    let error = io::Error::from(error.errno());
    CliError::io("cannot look at the copy or the host", &error)
}

/// A generation in the making: what is there of it goes when this is dropped before it is one.
struct Making<'a> {
    context: &'a Context,
    registry: &'a Registry,
    name: &'a WparName,
    before: &'a View,
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.registry.drop_generations(self.name, self.before) {
            let error = CliError::from(error);
            self.context
                .note(format_args!("{error}; the next syncwpar tries again"));
        }
    }
}

/// Makes the generation, and returns the level that the WPAR has with it.
fn make(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    before: &View,
    decided: &Decided,
) -> CliResult<Level> {
    let name = &record.name;
    let last = before.generations.last();
    let number = last.map_or(1, |generation| generation.number + 1);
    let count = |class| decided.plan.count(class) as u64;
    let mut view = before.clone();
    view.generations.push(Generation {
        number,
        made: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs()),
        from: Some(decided.copy_level.clone()),
        replaced: count(Class::Replaced),
        added: count(Class::Added),
        kept: count(Class::Kept),
        parts: decided.parts.clone(),
    });
    view.conversion.synchronization = true;
    let notes = GenerationNotes {
        version: GenerationNotes::VERSION,
        before: before.clone(),
        hostname: record.hostname.to_string(),
        packages: decided.host_packages(),
    };
    let names = decided.list().map_err(|error| {
        CliError::new(format!("the names of the host cannot be listed: {error}"))
    })?;
    let making = Making {
        context,
        registry,
        name,
        before,
    };
    registry.begin_generation(name, number, &names, &notes)?;
    let level = fill(context, registry, record, &view, decided)?;
    context.interrupts.check()?;
    registry.store_view(name, &view)?;
    std::mem::forget(making);
    // Whoever dies here leaves a record that the next start corrects.
    registry.store(&record.with_level(level.clone()))?;
    Ok(level)
}

/// Writes what is not the host's own file into the store of the generation.
fn fill(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    view: &View,
    decided: &Decided,
) -> CliResult<Level> {
    let spec = mount_spec(record, view, registry.layout(), &running_host()?)?;
    let tree = OfflineTree::open(&spec)?;
    let overlay = tree.overlay();
    let failed = |error: generation::WriteError| CliError::new(error.to_string());
    let written = &decided.records.written;
    generation::write(overlay, &host_files()?, &decided.translation, written).map_err(failed)?;
    context.interrupts.check()?;
    let listed = decided.names.listed.iter();
    generation::translate_owners(overlay, &decided.translation, listed).map_err(failed)?;
    let level = level::read(overlay).map_err(unreadable)?;
    overlay.sync_all().map_err(unreadable)?;
    Ok(level)
}
