//! Whether what a synchronized WPAR has from the host is still what it was: looked at before a start.
//!
//! Its records say which version of a package it has, and the files are the host's. When the host is
//! upgraded the two differ, until `syncwpar -D` is called again.

use std::collections::BTreeSet;

use super::error::{CliError, CliResult};
use super::levels::Insist;
use super::syncwpar::host_files;
use crate::model::generation::HostPackage;
use crate::model::{View, WparName};
use crate::packages::{self, Detail, Status};
use crate::registry::Registry;

/// Packages that a message names.
const MOST: usize = 5;

/// What a WPAR has from the host.
pub(super) fn borrowed(
    registry: &Registry,
    name: &WparName,
    view: &View,
) -> CliResult<Vec<HostPackage>> {
    let mut all = Vec::new();
    for generation in &view.generations {
        let notes = registry.generation_notes(name, generation.number)?;
        let notes = notes.ok_or_else(|| {
            CliError::new(format!(
                "what {name} has from the host is not known: {} is gone",
                registry
                    .layout()
                    .generation_notes(name, generation.number)
                    .display()
            ))
        })?;
        // Of one package the last one counts.
        let is_new = |known: &HostPackage| {
            let mut packages = notes.packages.iter();
            packages.all(|package| {
                (&package.name, &package.architecture) != (&known.name, &known.architecture)
            })
        };
        all.retain(is_new);
        all.extend(notes.packages.iter().cloned());
    }
    Ok(all)
}

/// Refuses the start of a WPAR with packages that the host has in other versions by now.
pub(super) fn require_current(
    registry: &Registry,
    name: &WparName,
    insist: Insist,
) -> CliResult<()> {
    let view = registry.view(name)?;
    if view.generations.is_empty() || insist == Insist::Yes {
        return Ok(());
    }
    let borrowed = borrowed(registry, name, &view)?;
    let host = packages::read(&host_files()?, Detail::Packages)
        .map_err(|error| CliError::new(format!("of the host, {error}")))?;
    let there: BTreeSet<(&str, &str, &str)> = host
        .iter()
        .flat_map(|database| &database.packages)
        .filter(|package| package.status != Status::Removed)
        .map(|package| (&*package.name, &*package.architecture, &*package.version))
        .collect();
    let behind: Vec<&str> = borrowed
        .iter()
        .filter(|one| !there.contains(&(&*one.name, &*one.architecture, &*one.version)))
        .map(|one| &*one.name)
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    let mut shown = behind
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if behind.len() > MOST {
        shown += " and others";
    }
    Err(CliError::new(format!(
        "{name} has {} packages of the host that the host has in other versions by now: {shown}",
        behind.len()
    ))
    .hint(format!(
        "bring it to the level of the host again with 'syncwpar -D {name}', or try it with \
         'startwpar -F {name}'"
    )))
}
