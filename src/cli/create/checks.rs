//! What has to be so before a WPAR can be made.

use crate::cli::error::{CliError, CliResult};
use crate::model::WparName;
use crate::model::copy_controls::Selection;
use crate::registry::Registry;

/// What can be asked of a copy of a backup.
pub(super) fn require_plain(selection: &Selection) -> CliResult<()> {
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
pub(in crate::cli) fn require_free(
    registry: &Registry,
    name: &WparName,
    use_kept: bool,
) -> CliResult<()> {
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
pub(in crate::cli) fn require_unique(registry: &Registry, uuid: Option<&str>) -> CliResult<()> {
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
