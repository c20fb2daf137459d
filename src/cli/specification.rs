//! Reading and writing specification files for `mkwpar`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use crate::model::SpecFile;
use crate::model::spec_file::LONGEST;
use crate::registry::atomic;

/// The settings in a file.
pub(super) fn read(path: &Path) -> CliResult<SpecFile> {
    let shown = path.display();
    let failed = |error| {
        CliError::io(
            format!("cannot read the specification file {shown}"),
            &error,
        )
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(CliError::usage(format!(
            "{shown} is too long for a specification file"
        )));
    }
    SpecFile::parse(&text).map_err(|error| {
        CliError::usage(format!("{shown}:{}: {}", error.line, error.what))
            .hint("nothing was made; correct that line")
    })
}

/// The settings of an existing WPAR but for its identity.
pub(super) fn template(context: &Context, name: &str) -> CliResult<SpecFile> {
    let name = parse_name(name)?;
    context.require_root()?;
    let record = context.registry_to_read().load(&name)?;
    let record = record.ok_or_else(|| CliError::no_such_wpar(&name))?;
    Ok(SpecFile::template(&record))
}

/// Writes settings; what was in the file before is replaced, or kept if this fails.
pub(super) fn write(path: &Path, settings: &SpecFile) -> CliResult<()> {
    let text = settings
        .text()
        .map_err(|error| CliError::usage(error.to_string()))?;
    let path = std::path::absolute(path)
        .map_err(|error| CliError::io(format!("cannot write {}", path.display()), &error))?;
    Ok(atomic::write(&path, text.as_bytes())?)
}
