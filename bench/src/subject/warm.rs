//! Files, read into the page cache.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::Fallible;

/// Reads a file, or each file below a directory. Of a file with holes nothing is read: nobody waits for
/// those, and there is little else.
pub(super) fn read(path: &Path) -> Fallible<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            read(&entry?.path())?;
        }
    } else if metadata.is_file() && metadata.blocks() * 512 >= metadata.len() / 2 {
        io::copy(&mut File::open(path)?, &mut io::sink())?;
    }
    Ok(())
}
