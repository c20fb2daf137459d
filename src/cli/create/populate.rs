//! The directories and the store of a WPAR that is being made: what it shows, and what is written
//! into it before its first start.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use wpar_mountd::spec::{HiddenExtent, HiddenName};
use wpar_mountd::types::FileKind;

use super::creation::Creation;
use crate::cli::context::Context;
use crate::cli::decisions::{self, Copied};
use crate::cli::error::{CliError, CliResult};
use crate::cli::lender::Lender;
use crate::cli::{connection, frozen, hydrate, shared_copy};
use crate::model::copy_controls::Selection;
use crate::model::{Edit, Source, View, WparKind};
use crate::policy::mount_spec::{mount_spec, own_places};
use crate::policy::network::is_needed;
use crate::policy::system_copy::{self, Decisions, hot_files};
use crate::policy::{base, root_group};
use crate::source::files::Files;
use crate::source::host::{HostFacts, open_for_writing};
use crate::source::identity::{self, Identity};
use crate::source::tree::OfflineTree;
use crate::source::{edits, level, resolver, root_part};

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

impl Creation<'_> {
    /// Makes directories and store, and gives the WPAR its identity. Returns what the
    /// administrator should know.
    pub(super) fn populate(
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
}
