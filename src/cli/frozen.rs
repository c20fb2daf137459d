//! Making a copy of the running system exact: of snapshots, if they can be taken.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{CliError, CliResult};
use crate::model::copy_controls::{Selection, SnapshotWish};
use crate::model::{Frozen, View, WparKind, WparRecord};
use crate::policy::exclusions;
use crate::policy::mount_spec::own_places;
use crate::registry::Registry;
use crate::snapshots::{self, Planned, RealGround, SnapshotError, Wanted};
use crate::source::host::HostFacts;

/// Lets `view`, a new one of the running system, show snapshots, if the administrator wants that and
/// they can be taken. They are noted before they are taken.
pub(super) fn freeze(
    registry: &Registry,
    record: &WparRecord,
    host: &dyn HostFacts,
    selection: &Selection,
    view: &mut View,
) -> CliResult<()> {
    let layout = registry.layout();
    let wish = selection.snapshot.unwrap_or(match record.kind {
        WparKind::System => SnapshotWish::Auto,
        // It is gone before the host has changed much, and is to cost nothing.
        WparKind::Application => SnapshotWish::No,
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_secs());
    let frozen = match (&selection.source, wish) {
        (Some(_), SnapshotWish::Require) => {
            return Err(
                CliError::usage("source= names a snapshot, so none is taken")
                    .hint("leave snapshot= away"),
            );
        }
        (Some(path), _) => {
            let (parts, frozen) = snapshots::given(&RealGround, host, Path::new(path), now)
                .map_err(|why| {
                    CliError::new(format!("{path} cannot be the source: {why}"))
                        .hint("mount a snapshot of / there, and of its other file systems in it")
                })?;
            view.parts = parts;
            view.left_out = Vec::new();
            frozen
        }
        (None, SnapshotWish::No) => return Ok(()),
        (None, wish) => {
            let wanted = Wanted {
                name: record.name.as_str(),
                parts: &view.parts,
                place: &layout.snapshots_dir(),
                now,
            };
            match snapshots::plan(&RealGround, host, &wanted) {
                Planned::All(frozen) => frozen,
                Planned::Impossible(why) if wish == SnapshotWish::Auto => {
                    if selection.snapshot.is_some() {
                        view.notes.push(format!(
                            "the copy is live: no snapshot can be taken of {why}"
                        ));
                    }
                    return Ok(());
                }
                Planned::Impossible(why) => {
                    return Err(CliError::new(format!("no snapshot can be taken of {why}"))
                        .hint("use -T hydrate=yes, or -T source=DIR with a snapshot of your own"));
                }
            }
        }
    };
    let hidden = exclusions::host(host, record.copy_controls, &own_places(layout), view).hidden;
    let mut planned = view.clone().with(View {
        hidden,
        frozen: Some(frozen),
        ..View::default()
    });
    registry.store_view(&record.name, &planned)?;
    let taken = match &mut planned.frozen {
        Some(frozen) => take(frozen),
        None => Ok(()),
    };
    match taken {
        Ok(()) => {
            registry.store_view(&record.name, &planned)?;
            *view = planned;
            Ok(())
        }
        Err(error) if wish == SnapshotWish::Auto && selection.source.is_none() => {
            registry.store_view(&record.name, view)?;
            view.notes.push(format!("{error}; the copy is live"));
            Ok(())
        }
        Err(error) => Err(CliError::from(error)),
    }
}

fn take(frozen: &mut Frozen) -> Result<(), SnapshotError> {
    snapshots::take(&RealGround, frozen)
}

impl From<SnapshotError> for CliError {
    fn from(error: SnapshotError) -> Self {
        Self::new(error.to_string())
    }
}
