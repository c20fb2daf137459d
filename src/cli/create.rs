//! Making a WPAR: for `mkwpar` and `wparexec`.
//!
//! Order: everything is checked and the source is made ready first; then the name is reserved by
//! a pending note, the directories and the store are made, and the record is written last. Until
//! then the [`Creation`] undoes everything when it is dropped; if the process is killed, the next
//! command does, by the note.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use wpar_mountd::spec::{HiddenExtent, HiddenName};
use wpar_mountd::types::FileKind;

use super::context::Context;
use super::decisions::{self, Copied};
use super::error::{CliError, CliResult};
use crate::model::copy_controls::Selection;
use crate::model::{
    CopyControls, DeviceName, Hostname, Owner, Privileges, Source, SpaceLimits, View, WparKind,
    WparName, WparRecord,
};
use crate::policy::mount_spec::{mount_spec, own_places};
use crate::policy::root_group;
use crate::policy::system_copy::Decisions;
use crate::registry::pending::{Pending, PendingOperation};
use crate::registry::{Registry, process};
use crate::source::files::Files;
use crate::source::host::{HostFacts, RunningHost};
use crate::source::identity::{self, Identity};
use crate::source::tree::OfflineTree;
use crate::source::{edits, level};

/// What is to be made.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: WparName,
    pub(super) hostname: Hostname,
    pub(super) kind: WparKind,
    /// Base directory, if it is not the usual one.
    pub(super) directory: Option<PathBuf>,
    pub(super) source: Source,
    pub(super) copy_controls: CopyControls,
    /// What else is in it, or not.
    pub(super) selection: Selection,
    pub(super) limits: SpaceLimits,
    /// Its identity, if it is not to be a new one.
    pub(super) uuid: Option<String>,
    /// Whether it may run at a level of its own.
    pub(super) versioned: bool,
    /// Whether it is to start with the host.
    pub(super) auto: bool,
    /// Devices of the host that it gets.
    pub(super) devices: Vec<DeviceName>,
    /// What its programs may do.
    pub(super) privileges: Privileges,
    /// The command that the WPAR lives and dies with.
    pub(super) owner: Option<Owner>,
    /// The record of a store that `rmwpar -p` kept and that is to be used again.
    pub(super) kept: Option<WparRecord>,
}

/// The host name for a WPAR: as asked for, else its name.
pub(super) fn hostname(asked: Option<&str>, name: &WparName) -> CliResult<Hostname> {
    match asked {
        Some(text) => Hostname::new(text)
            .map_err(|error| CliError::usage(format!("'{}': {error}", text.escape_debug()))),
        None => Hostname::new(name.as_str()).map_err(|error| {
            CliError::usage(format!(
                "the name {name} cannot be a host name too: {error}"
            ))
            .hint("give one with -h HOST")
        }),
    }
}

/// The facts about the running system.
pub(super) fn running_host() -> CliResult<RunningHost> {
    RunningHost::read().map_err(|error| CliError::io("cannot read /proc/self/mountinfo", &error))
}

/// Makes the WPAR, whose name is free and whose lock is held, and returns its record.
pub(super) fn create(context: &Context, registry: &Registry, plan: Plan) -> CliResult<WparRecord> {
    let host = running_host()?;
    if plan.source != Source::Host && !plan.selection.include.is_empty() {
        return Err(
            CliError::usage("include= is for copies of the running system")
                .hint("a backup shows all that is in it"),
        );
    }
    let (directory, directory_exists) =
        base_directory(registry, &plan.name, plan.directory.as_deref())?;
    context.interrupts.check()?;
    let selection = plan.selection.clone();
    let mut creation = Creation::reserve(context, registry, plan, directory, directory_exists)?;
    let notes = creation.populate(context, &host, &selection)?;
    context.interrupts.check()?;
    let record = creation.finish()?;
    for note in notes {
        context.note(note);
    }
    Ok(record)
}

/// The name must be nobody's, also not that of a kept store unless that is to be used.
pub(super) fn require_free(registry: &Registry, name: &WparName, use_kept: bool) -> CliResult<()> {
    if registry.load(name)?.is_some() {
        return Err(CliError::new(format!(
            "there is a workload partition called {name} already"
        ))
        .hint(format!(
            "choose another name, or remove it with 'rmwpar {name}'"
        )));
    }
    if !use_kept && registry.load_kept(name)?.is_some() {
        return Err(
            CliError::new(format!("'rmwpar -p' kept the store of an earlier {name}")).hint(
                format!("use it again with 'mkwpar -p -n {name}', or drop it with 'rmwpar {name}'"),
            ),
        );
    }
    Ok(())
}

/// An identity is of one WPAR.
pub(super) fn require_unique(registry: &Registry, uuid: Option<&str>) -> CliResult<()> {
    let Some(uuid) = uuid else {
        return Ok(());
    };
    for name in registry.names()? {
        if registry
            .load(&name)?
            .is_some_and(|record| record.uuid == uuid)
        {
            return Err(CliError::new(format!("the UUID {uuid} is that of {name}"))
                .hint("leave it out of the specification file: a new one is made"));
        }
    }
    Ok(())
}

/// The base directory for `own`, the usual one if none is asked for, and whether it exists. It must
/// be an empty directory or not exist.
pub(super) fn base_directory(
    registry: &Registry,
    own: &WparName,
    asked: Option<&Path>,
) -> CliResult<(PathBuf, bool)> {
    let layout = registry.layout();
    let path = match asked {
        None => layout.base_dir(own),
        Some(asked) => real_directory(asked)?,
    };
    let shown = path.display();
    for place in [layout.state_dir(), layout.run_parent()] {
        if path.starts_with(&place) || place.starts_with(&path) {
            return Err(CliError::usage(format!(
                "the base directory {shown} is in use by wpar itself"
            ))
            .hint("name another one with -d DIR"));
        }
    }
    for name in registry.names()?.into_iter().filter(|name| name != own) {
        let Some(other) = registry.load(&name)? else {
            continue;
        };
        if path.starts_with(&other.directory) || other.directory.starts_with(&path) {
            return Err(CliError::new(format!(
                "the base directory {shown} is, contains or lies in that of {name} ({})",
                other.directory.display()
            ))
            .hint("name another one with -d DIR"));
        }
    }
    let unusable = |why: &str| {
        Err(CliError::new(format!("the base directory {shown} {why}"))
            .hint("empty it, or name another one with -d DIR"))
    };
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, false)),
        Err(error) => Err(CliError::io(
            format!("cannot look at the base directory {shown}"),
            &error,
        )),
        Ok(metadata) if !metadata.is_dir() => unusable("is not a directory"),
        Ok(_) => match fs::read_dir(&path).map(|mut entries| entries.next().is_some()) {
            Ok(false) => Ok((path, true)),
            Ok(true) => unusable("is not empty"),
            Err(error) => Err(CliError::io(
                format!("cannot read the base directory {shown}"),
                &error,
            )),
        },
    }
}

/// A directory that `-d` names, absolute and without links. Its parent must exist.
fn real_directory(asked: &Path) -> CliResult<PathBuf> {
    let shown = asked.display();
    if let Ok(real) = fs::canonicalize(asked) {
        return Ok(real);
    }
    let absolute = std::path::absolute(asked)
        .map_err(|error| CliError::io(format!("cannot use the base directory {shown}"), &error))?;
    let (Some(parent), Some(last)) = (absolute.parent(), absolute.file_name()) else {
        return Err(CliError::usage(format!(
            "{shown} cannot be a base directory"
        )));
    };
    let parent = fs::canonicalize(parent).map_err(|error| {
        CliError::io(
            format!("cannot use the parent of the base directory {shown}"),
            &error,
        )
        .hint(format!(
            "make it with 'mkdir -p -m 700 {}'",
            parent.display()
        ))
    })?;
    Ok(parent.join(last))
}

/// What the administrator leaves out: of a directory, what is in it.
fn excluded(tree: &OfflineTree, selection: &Selection) -> CliResult<Vec<HiddenName>> {
    let mut hidden = Vec::new();
    for path in &selection.exclude {
        let found = tree.overlay().real(path.as_bytes()).map_err(|error| {
            let error = io::Error::from(error.errno());
            CliError::io(format!("cannot look at {path} of the source"), &error)
        })?;
        let Some((real, kind)) = found else {
            return Err(CliError::new(format!("there is no {path} to be left out"))
                .hint("look at exclude=, or leave it away"));
        };
        let unusable = || CliError::usage(format!("{path} cannot be left out"));
        let real = String::from_utf8(real).map_err(|_| unusable())?;
        if real.is_empty() {
            return Err(unusable());
        }
        hidden.push(HiddenName {
            path: real,
            extent: match kind {
                FileKind::Directory => HiddenExtent::Contents,
                _ => HiddenExtent::Name,
            },
            reason: "left out by the administrator".to_owned(),
        });
    }
    Ok(hidden)
}

/// A WPAR that is being made; undone when it is dropped before it is finished.
struct Creation<'a> {
    context: &'a Context,
    registry: &'a Registry,
    record: WparRecord,
    pending: Pending,
    finished: bool,
}

impl<'a> Creation<'a> {
    /// Reserves name and user numbers.
    fn reserve(
        context: &'a Context,
        registry: &'a Registry,
        plan: Plan,
        directory: PathBuf,
        directory_exists: bool,
    ) -> CliResult<Self> {
        let proc_error = |error: io::Error| CliError::io("cannot read /proc", &error);
        let guard = registry.lock(context.verb)?;
        let (ids, uuid) = match (&plan.kept, &plan.uuid) {
            (Some(kept), _) => (kept.ids, kept.uuid.clone()),
            (None, Some(uuid)) => (registry.allocate_ids(&guard)?, uuid.clone()),
            (None, None) => (
                registry.allocate_ids(&guard)?,
                process::new_uuid().map_err(proc_error)?,
            ),
        };
        let pending = Pending {
            directory: (!directory_exists).then(|| directory.clone()),
            store: plan.kept.is_none(),
            ids: Some(ids),
            ..Pending::new(PendingOperation::Create).map_err(proc_error)?
        };
        registry.note(&plan.name, &pending, &guard)?;
        let mut record = WparRecord {
            version: plan.source.record_version(),
            name: plan.name,
            uuid,
            hostname: plan.hostname,
            kind: plan.kind,
            directory,
            directory_created: !directory_exists,
            source: plan.source,
            copy_controls: plan.copy_controls,
            limits: plan.limits,
            devices: plan.devices,
            privileges: plan.privileges,
            ids,
            auto: plan.auto,
            versioned: plan.versioned,
            level: None,
            created: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
            owner: plan.owner,
        };
        record.version = record.needed_version();
        Ok(Self {
            context,
            registry,
            record,
            pending,
            finished: false,
        })
    }

    /// Makes directories and store, and gives the WPAR its identity. Returns what the
    /// administrator should know.
    fn populate(
        &mut self,
        context: &Context,
        host: &dyn HostFacts,
        selection: &Selection,
    ) -> CliResult<Vec<String>> {
        let layout = self.registry.layout();
        let failed = |what: &'static str, path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| CliError::io(format!("cannot make the {what} {path}"), &error)
        };
        if self.record.directory_created {
            let path = &self.record.directory;
            DirBuilder::new()
                .mode(0o755)
                .create(path)
                .map_err(failed("base directory", path))?;
        }
        let logs = layout.logs(&self.record.name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&logs)
            .map_err(failed("log directory", &logs))?;
        let store = layout.store(&self.record.name);
        let (mut tree, notes) = if self.pending.store {
            self.populate_new(context, host, selection)?
        } else {
            let view = self.registry.view(&self.record.name)?;
            let spec = mount_spec(&self.record, &view, layout, host)?;
            (OfflineTree::open(&spec)?, Vec::new())
        };
        if self.record.kind == WparKind::System {
            // What is damaged in a source is not known; whether it can start is seen then.
            let level = level::read(tree.overlay()).unwrap_or_default();
            self.record = self.record.with_level(level);
        }
        let identity = Identity {
            hostname: self.record.hostname.clone(),
            machine_id: self.record.machine_id(),
        };
        identity::apply(&mut tree, &identity).map_err(|error| {
            let error = io::Error::from(error.errno());
            CliError::io(
                format!("cannot write to the store {}", store.display()),
                &error,
            )
        })?;
        Ok(notes)
    }

    /// Decides what a new store shows, writes what belongs into it, and notes both. Returns what the
    /// administrator should know, too.
    fn populate_new(
        &mut self,
        context: &Context,
        host: &dyn HostFacts,
        selection: &Selection,
    ) -> CliResult<(OfflineTree, Vec<String>)> {
        let layout = self.registry.layout();
        let controls = self.record.copy_controls;
        let mut view = match self.record.source {
            Source::Host => root_group::new_view(host, controls, &own_places(layout), selection)?,
            _ => View::default(),
        };
        let mut spec = mount_spec(&self.record, &view, layout, host)?;
        context.interrupts.check()?;
        let mut tree = OfflineTree::open(&spec)?;
        view.hidden = excluded(&tree, selection)?;
        if !view.hidden.is_empty() {
            spec.hidden.extend(view.hidden.iter().cloned());
            drop(tree);
            tree = OfflineTree::open(&spec)?;
        }
        if self.record.kind == WparKind::System {
            let decisions = self.decide(&tree)?;
            context.interrupts.check()?;
            if !decisions.view.hidden.is_empty() {
                spec.hidden.extend(decisions.view.hidden.iter().cloned());
                drop(tree);
                tree = OfflineTree::open(&spec)?;
            }
            view = view.with(decisions.view);
            view.written = edits::make(tree.overlay(), decisions.edits)
                .map_err(|error| CliError::new(error.to_string()))?;
        }
        if !view.is_plain() {
            self.registry.store_view(&self.record.name, &view)?;
        }
        Ok((tree, view.notes))
    }

    /// What the rules of a system copy say about the source.
    fn decide(&self, tree: &OfflineTree) -> CliResult<Decisions> {
        let copied = Copied {
            files: tree.overlay(),
            is_running: self.record.source == Source::Host,
            controls: self.record.copy_controls,
            hostname: &self.record.hostname,
        };
        decisions::decide(self.registry.layout(), &copied)
    }

    /// Puts the WPAR on record.
    fn finish(mut self) -> CliResult<WparRecord> {
        self.registry.store(&self.record)?;
        self.finished = true;
        // Both are tidiness: a note beside a record, and a kept record, are dropped by the sweep.
        self.registry.withdraw(&self.record.name)?;
        if !self.pending.store {
            self.registry.forget_kept(&self.record.name)?;
        }
        Ok(self.record.clone())
    }
}

impl Drop for Creation<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = self.registry.discard(&self.record.name, &self.pending) {
            let error = CliError::from(error);
            self.context
                .note(format_args!("{error}; the next command tries again"));
        }
    }
}
