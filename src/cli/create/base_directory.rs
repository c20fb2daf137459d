//! The directory in which the host sees a WPAR: where it may be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::error::{CliError, CliResult};
use crate::model::WparName;
use crate::registry::Registry;

/// The base directory for `own`, the usual one if none is asked for, and whether it exists. It must
/// be an empty directory or not exist.
pub(in crate::cli) fn base_directory(
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
