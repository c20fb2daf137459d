//! pacman: one directory for each package in `var/lib/pacman/local`. A ghost keeps its description
//! without what it needs, and a list of no files.

use wpar_mountd::error::FsError;

use super::{Record, without_lines};
use crate::model::view::FilesetFate;
use crate::source::files::join;

const LOCAL: &[u8] = b"var/lib/pacman/local";

pub(super) fn make(record: &mut Record<'_, '_>) -> Result<(), FsError> {
    for index in record.of(FilesetFate::Hidden) {
        if let Some(directory) = directory(record, index) {
            record.hide(&directory)?;
        }
    }
    for index in record.of(FilesetFate::Ghost) {
        if let Some(directory) = directory(record, index) {
            record.rewrite(&join(&directory, b"desc"), ghost)?;
            record.rewrite(&join(&directory, b"files"), |_| b"%FILES%\n".to_vec())?;
            record.hide(&join(&directory, b"mtree"))?;
            record.hide(&join(&directory, b"install"))?;
        }
    }
    Ok(())
}

fn directory(record: &Record<'_, '_>, index: usize) -> Option<Vec<u8>> {
    let package = record.database.packages.get(index)?;
    let name = format!("{}-{}", package.name, package.version);
    (!name.contains('/')).then(|| join(LOCAL, name.as_bytes()))
}

/// A description without the section of what is needed.
fn ghost(description: &[u8]) -> Vec<u8> {
    let mut is_in = false;
    without_lines(description, |line| {
        if line.starts_with(b"%") {
            is_in = matches!(line, b"%DEPENDS%" | b"%OPTDEPENDS%");
        }
        is_in
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_needs_nothing() {
        let text = b"%NAME%\nmdadm\n\n%DEPENDS%\nglibc\nbash\n\n%PROVIDES%\nx\n";
        assert_eq!(ghost(text), b"%NAME%\nmdadm\n\n%PROVIDES%\nx\n");
    }
}
