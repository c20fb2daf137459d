//! Commands that may name several WPARs.

use super::context::{Context, parse_name};
use super::error::CliResult;
use super::exit::Exit;
use crate::model::WparName;

/// Does something to each of the WPARs that were named, in their order. One that fails keeps no other
/// from its turn; the names are looked at before anything is done.
///
/// # Errors
/// A word that is no name; an interrupt; what went wrong if there is one only.
pub(super) fn each(
    context: &Context,
    names: &[String],
    mut act: impl FnMut(&WparName) -> CliResult<()>,
) -> CliResult<Exit> {
    let names = names.iter().map(|name| parse_name(name));
    let names = names.collect::<CliResult<Vec<_>>>()?;
    if let [name] = names.as_slice() {
        return act(name).map(|()| Exit::Success);
    }
    let mut exit = Exit::Success;
    for name in &names {
        if let Err(error) = act(name) {
            context.interrupts.check()?;
            context.note(error);
            exit = Exit::Failure;
        }
    }
    Ok(exit)
}
