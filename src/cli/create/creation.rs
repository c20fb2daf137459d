//! A WPAR between its first trace on disk and its record: it is there as a whole in the end, or not.

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Plan;
use crate::cli::connection;
use crate::cli::context::Context;
use crate::cli::error::{CliError, CliResult};
use crate::model::WparRecord;
use crate::registry::pending::{Pending, PendingOperation};
use crate::registry::{Registry, process};

/// A WPAR that is being made; undone when it is dropped before it is finished.
pub(super) struct Creation<'a> {
    context: &'a Context,
    pub(super) registry: &'a Registry,
    pub(super) record: WparRecord,
    pub(super) pending: Pending,
    pub(super) copy_resolver: bool,
    finished: bool,
}

impl<'a> Creation<'a> {
    /// Reserves name and user numbers.
    pub(super) fn reserve(
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

    /// Puts the WPAR on record.
    pub(super) fn finish(mut self) -> CliResult<WparRecord> {
        self.registry.store(&self.record)?;
        self.finished = true;
        // Both are tidiness: a note beside a record, and a kept record, are dropped by the sweep.
        let mut tidied = self.registry.withdraw(&self.record.name);
        if tidied.is_ok() && !self.pending.store {
            tidied = self.registry.forget_kept(&self.record.name);
        }
        if let Err(error) = tidied {
            let error = CliError::from(error);
            self.context
                .note(format_args!("{error}; the next command tries again"));
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
