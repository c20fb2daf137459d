//! Writing into a WPAR's store what the rules of a system copy put in place of the source's files.
//!
//! In a store that is being made, step by step: it goes if that is interrupted. In one that is kept, each
//! file is replaced whole.

use thiserror::Error;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::Overlay;

use super::files::split;
use crate::model::view::WrittenName;
use crate::model::{Edit, Put};

/// An edit that failed.
#[derive(Debug, Error)]
#[error("cannot write /{path} into the store: {source}")]
pub struct EditError {
    path: String,
    source: FsError,
}

/// Makes the edits, in order, and says what was written, sorted by path.
///
/// # Errors
/// The first that failed; those before it were made.
pub fn make(overlay: &Overlay, edits: Vec<Edit>) -> Result<Vec<WrittenName>, EditError> {
    make_by(Overlay::write_path, overlay, edits)
}

/// The same in a store that has what the WPAR wrote: whatever happens, each file is as it was or as it is
/// to be.
///
/// # Errors
/// The first that failed; those before it were made.
pub fn remake(overlay: &Overlay, edits: Vec<Edit>) -> Result<Vec<WrittenName>, EditError> {
    make_by(Overlay::replace_path, overlay, edits)
}

/// How a file is written.
type Write = fn(&Overlay, &[u8], &[u8], u16) -> FsResult<()>;

fn make_by(
    write: Write,
    overlay: &Overlay,
    edits: Vec<Edit>,
) -> Result<Vec<WrittenName>, EditError> {
    let mut written: Vec<WrittenName> = Vec::with_capacity(edits.len());
    for edit in edits {
        let Edit { path, what, reason } = edit;
        if let Err(source) = put(write, overlay, path.as_bytes(), &what) {
            return Err(EditError { path, source });
        }
        written.push(WrittenName { path, reason });
    }
    written.sort_by(|a, b| a.path.cmp(&b.path));
    written.dedup_by(|a, b| a.path == b.path);
    Ok(written)
}

fn put(write: Write, overlay: &Overlay, path: &[u8], what: &Put) -> FsResult<()> {
    overlay.make_directories(split(path).0)?;
    match what {
        Put::File {
            contents,
            permissions,
        } => write(overlay, path, contents, *permissions),
        Put::Link(target) => overlay.link_path(path, target.as_bytes()),
    }
}
