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

use super::connection;
use super::context::Context;
use super::decisions::{self, Copied};
use super::error::{CliError, CliResult};
use super::lender::Lender;
use super::shared_copy;
use super::{frozen, hydrate};
use crate::model::copy_controls::Selection;
use crate::model::{
    Base, CopyControls, DeviceName, Edit, Hostname, Network, Owner, Privileges, Resources, Source,
    SpaceLimits, View, WparKind, WparName, WparRecord,
};
use crate::policy::mount_spec::{mount_spec, own_places};
use crate::policy::network::is_needed;
use crate::policy::system_copy;
use crate::policy::system_copy::{Decisions, hot_files};
use crate::policy::{base, root_group};
use crate::registry::pending::{Pending, PendingOperation};
use crate::registry::{Registry, process};
use crate::source::files::Files;
use crate::source::host::{HostFacts, RunningHost, open_for_writing};
use crate::source::identity::{self, Identity};
use crate::source::tree::OfflineTree;
use crate::source::{edits, level, resolver, root_part};

/// What is to be made.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: WparName,
    pub(super) hostname: Hostname,
    pub(super) kind: WparKind,
    /// Base directory, if it is not the usual one.
    pub(super) directory: Option<PathBuf>,
    pub(super) source: Source,
    /// The system whose /usr and /opt it has, if it has not its source's.
    pub(super) base: Option<Base>,
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
    /// The host's script that is run when it starts and stops.
    pub(super) script: Option<PathBuf>,
    /// Devices of the host that it gets.
    pub(super) devices: Vec<DeviceName>,
    /// How it is connected.
    pub(super) network: Network,
    /// Whether it gets the host's files about names.
    pub(super) copy_resolver: bool,
    /// Whether addresses that another has are left out.
    pub(super) leave_clashes_out: bool,
    /// What it may use of the host.
    pub(super) resources: Resources,
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
    if plan.source != Source::Host {
        require_plain(&plan.selection)?;
    }
    let (directory, directory_exists) =
        base_directory(registry, &plan.name, plan.directory.as_deref())?;
    context.interrupts.check()?;
    let selection = plan.selection.clone();
    let mut creation = Creation::reserve(context, registry, plan, directory, directory_exists)?;
    let notes = creation.populate(context, &host, &selection)?;
    context.interrupts.check()?;
    let record = creation.finish()?;
    connection::report_resolver(context, &record.network);
    for note in notes {
        context.note(note);
    }
    Ok(record)
}

/// What can be asked of a copy of a backup.
fn require_plain(selection: &Selection) -> CliResult<()> {
    let asked = [
        (!selection.include.is_empty(), "include"),
        (selection.snapshot.is_some(), "snapshot"),
        (selection.source.is_some(), "source"),
        (selection.hydrate, "hydrate"),
    ];
    match asked.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(CliError::usage(format!(
            "{what}= is for copies of the running system"
        ))
        .hint("a backup shows all that is in it, and does not change")),
        None => Ok(()),
    }
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
    if registry.has_leftovers(name) {
        let note = registry.layout().pending(name);
        return Err(CliError::new(format!(
            "what an interrupted command left of an earlier {name} is still there"
        ))
        .hint(format!(
            "choose another name, or remove what {} names and then that file",
            note.display()
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

/// Whether something that is hidden covers a path of the source.
fn is_hidden(path: &Path, hidden: &[HiddenName]) -> bool {
    let path = path.strip_prefix("/").unwrap_or(path);
    hidden.iter().any(|name| path.starts_with(&name.path))
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
    copy_resolver: bool,
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
        let network = connection::settled(
            context,
            registry,
            &plan.name,
            plan.network,
            plan.leave_clashes_out,
        )?;
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
            base: plan.base,
            copy_controls: plan.copy_controls,
            limits: plan.limits,
            devices: plan.devices,
            network,
            resources: plan.resources,
            privileges: plan.privileges,
            ids,
            auto: plan.auto,
            script: plan.script,
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
            copy_resolver: plan.copy_resolver,
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
            (OfflineTree::open(&spec)?.kept(), Vec::new())
        };
        if self.record.kind == WparKind::System {
            // What is damaged in a source is not known; whether it can start is seen then.
            let level = level::read(tree.overlay()).unwrap_or_default();
            self.record = self.record.with_level(level);
        }
        if self.copy_resolver {
            let failed = |error: edits::EditError| CliError::new(error.to_string());
            edits::make(tree.overlay(), resolver::files_about_names()).map_err(failed)?;
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
        let lender = self.lender(host)?;
        let mut view = match (&self.record.source, &lender, &self.record.base) {
            (_, Some(lender), Some(base)) => View {
                parts: base::parts(base, lender.view.parts.clone()),
                ..View::default()
            },
            (Source::Host, ..) => {
                root_group::new_view(host, controls, &own_places(layout), selection)?
            }
            _ => View::default(),
        };
        if self.record.source == Source::Host {
            frozen::freeze(self.registry, &self.record, host, selection, &mut view)?;
        }
        let mut spec = mount_spec(&self.record, &view, layout, host)?;
        context.interrupts.check()?;
        let mut tree = OfflineTree::open(&spec)?;
        if let Some(lender) = &lender
            && self.record.source == Source::Fresh
        {
            let part = lender.root_part(layout, &self.record)?;
            context.interrupts.check()?;
            root_part::make(lender.tree.overlay(), tree.overlay(), &part.items)
                .map_err(|error| CliError::new(error.to_string()))?;
            view.notes = part.notes;
            view.synced = part.synced;
        }
        let excluded = excluded(&tree, selection)?;
        if !excluded.is_empty() {
            spec.hidden.extend(excluded.iter().cloned());
            drop(tree);
            tree = OfflineTree::open(&spec)?;
        }
        view = view.with(View {
            hidden: excluded,
            ..View::default()
        });
        if self.record.kind == WparKind::System {
            let decisions = self.decide(&tree)?;
            context.interrupts.check()?;
            if !decisions.view.hidden.is_empty() {
                spec.hidden.extend(decisions.view.hidden.iter().cloned());
                drop(tree);
                tree = OfflineTree::open(&spec)?;
            }
            view = view.with(decisions.view);
            let mut edits = decisions.edits;
            if let Some(lender) = &lender {
                self.lend(lender, &mut view, &mut edits)?;
            }
            view.written = edits::make(tree.overlay(), edits)
                .map_err(|error| CliError::new(error.to_string()))?;
        }
        if self.record.source == Source::Host
            && self.record.kind == WparKind::System
            && view.frozen.is_none()
        {
            let mut open = open_for_writing();
            open.retain(|file| !is_hidden(&file.path, &spec.hidden));
            view.notes.extend(hot_files::warnings(&open));
        }
        if selection.hydrate && view.frozen.is_none() {
            hydrate::ask(&layout.store(&self.record.name), true)?;
        }
        // The servers of the source are those of another network.
        if is_needed(&self.record.network)
            && let Some(edit) = connection::resolver()
        {
            let written = edits::make(tree.overlay(), vec![edit])
                .map_err(|error| CliError::new(error.to_string()))?;
            view.written
                .retain(|old| written.iter().all(|new| new.path != old.path));
            view.written.extend(written);
            view.written.sort_by(|a, b| a.path.cmp(&b.path));
        }
        if !view.is_plain() {
            self.registry.store_view(&self.record.name, &view)?;
        }
        Ok((tree, view.notes))
    }

    /// Puts on record what the system that lends `/usr` has.
    fn lend(&mut self, lender: &Lender, view: &mut View, edits: &mut Vec<Edit>) -> CliResult<()> {
        let layout = self.registry.layout();
        let Some(mut base) = self.record.base.clone() else {
            return Ok(());
        };
        let pins = base::pins(&base, lender.tree.overlay(), edits);
        edits.extend(pins.map_err(decisions::unreadable)?);
        if self.record.source != Source::Fresh {
            view.synced = lender.root_part(layout, &self.record)?.synced;
            let local = shared_copy::local_records(layout, &self.record, &base, lender, edits)?;
            edits.extend(local);
        }
        base.packages = lender.fingerprint(&system_copy::hidden_filesets(view));
        self.record.base = Some(base);
        Ok(())
    }

    /// The system that lends `/usr`, if one does, looked at for what it lends.
    fn lender(&mut self, host: &dyn HostFacts) -> CliResult<Option<Lender>> {
        let Some(base) = &self.record.base else {
            return Ok(None);
        };
        let lender = Lender::open(
            self.registry.layout(),
            host,
            self.record.copy_controls,
            base,
        )?;
        let points = base::points(lender.tree.overlay()).map_err(decisions::unreadable)?;
        if let Some(base) = &mut self.record.base {
            base.points = points;
        }
        Ok(Some(lender))
    }

    /// What the rules of a system copy say about the source.
    fn decide(&self, tree: &OfflineTree) -> CliResult<Decisions> {
        let copied = Copied {
            files: tree.overlay(),
            is_running: matches!(self.record.source, Source::Host | Source::Fresh),
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
