//! Removing WPARs and kept stores, and finishing what dead commands left.
//!
//! The record goes first: from then on the rest is finished by the next command, should this one
//! be killed (see [`crate::registry::pending`]).

use super::context::Context;
use super::error::{CliError, CliResult};
use super::lifecycle;
use crate::model::{WparName, WparRecord};
use crate::registry::pending::{Pending, PendingOperation};
use crate::registry::{Lock, Registry, process};

/// What to do with the store of a WPAR that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFate {
    /// It goes.
    Removed,
    /// It stays, for `mkwpar -p`.
    Kept,
}

/// Removes a WPAR that does not run, with its lock. The record goes first: from then on the rest
/// is finished by the next command, should this one be killed.
pub(super) fn remove(
    context: &Context,
    registry: &Registry,
    record: &WparRecord,
    fate: StoreFate,
    lock: Lock,
) -> CliResult<()> {
    let name = &record.name;
    let mut pending = Pending::new(PendingOperation::Remove)
        .map_err(|error| CliError::io("cannot read /proc", &error))?;
    pending.directory = record.directory_created.then(|| record.directory.clone());
    pending.store = fate == StoreFate::Removed;
    {
        let guard = registry.lock(context.verb)?;
        registry.note(name, &pending, &guard)?;
        match fate {
            StoreFate::Removed => registry.erase(name)?,
            StoreFate::Kept => registry.keep(name)?,
        }
    }
    registry.discard(name, &pending)?;
    if fate == StoreFate::Removed {
        registry.drop_stale_index(&record.source)?;
    }
    lock.remove();
    Ok(())
}

/// Removes the store of a WPAR that `rmwpar -p` kept, with the lock of its name.
pub(super) fn remove_kept(
    context: &Context,
    registry: &Registry,
    kept: &WparRecord,
    lock: Lock,
) -> CliResult<()> {
    let pending = Pending::new(PendingOperation::Remove)
        .map_err(|error| CliError::io("cannot read /proc", &error))?;
    {
        let guard = registry.lock(context.verb)?;
        registry.note(&kept.name, &pending, &guard)?;
        registry.forget_kept(&kept.name)?;
    }
    registry.discard(&kept.name, &pending)?;
    registry.drop_stale_index(&kept.source)?;
    lock.remove();
    Ok(())
}

/// Removes a WPAR whose record cannot be read: all that is where its name says.
pub(super) fn remove_unreadable(
    context: &Context,
    registry: &Registry,
    name: &WparName,
    lock: Lock,
) -> CliResult<()> {
    let layout = registry.layout();
    let directory = layout.base_dir(name);
    lifecycle::clean_up_at(registry, name, &directory)?;
    let mut pending = Pending::new(PendingOperation::Remove)
        .map_err(|error| CliError::io("cannot read /proc", &error))?;
    pending.directory = Some(directory);
    {
        let guard = registry.lock(context.verb)?;
        registry.note(name, &pending, &guard)?;
        registry.erase(name)?;
    }
    registry.discard(name, &pending)?;
    lock.remove();
    Ok(())
}

/// Finishes what dead commands left: half-made and half-removed WPARs, and throw-away ones whose
/// `wparexec` is gone.
pub(super) fn sweep(context: &Context, registry: &Registry) -> CliResult<()> {
    {
        let guard = registry.lock(context.verb)?;
        let swept = registry.sweep(&guard)?;
        for name in swept.cleaned {
            context.note(format_args!(
                "cleaned up {name}, which an interrupted command left"
            ));
        }
        for (name, error) in swept.failed {
            let error = CliError::from(error);
            context.note(format_args!(
                "warning: what an interrupted command left of {name} is still there: {error}"
            ));
        }
    }
    for name in registry.names()? {
        // What cannot be read is for lswpar and rmwpar -F to deal with.
        let Ok(Some(record)) = registry.load(&name) else {
            continue;
        };
        if record
            .owner
            .as_ref()
            .is_some_and(|owner| !process::is_alive(owner))
        {
            remove_orphan(context, registry, &record)?;
        }
    }
    Ok(())
}

fn remove_orphan(context: &Context, registry: &Registry, record: &WparRecord) -> CliResult<()> {
    // If somebody else has it, somebody else removes it.
    let Ok(lock) = registry.try_lock_wpar(&record.name, context.verb) else {
        return Ok(());
    };
    if registry.load(&record.name)?.as_ref() != Some(record) {
        return Ok(());
    }
    match lifecycle::end(registry, record)
        .and_then(|()| remove(context, registry, record, StoreFate::Removed, lock))
    {
        Ok(()) => context.note(format_args!(
            "removed {}, whose wparexec is gone",
            record.name
        )),
        // The command that was asked for has nothing to do with it.
        Err(error) => context.note(format_args!("{error}")),
    }
    Ok(())
}
