//! What the administrator of the host says about private filesets: files of `etc/wpars/private.d`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::policy::system_copy::ListFile;
use crate::registry::Layout;

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Reads the files `*.list`, in the order of their names; none if there is no such directory.
///
/// # Errors
/// The path that cannot be read, and why.
pub fn read(layout: &Layout) -> Result<Vec<ListFile>, (PathBuf, io::Error)> {
    let directory = layout.private_lists();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err((directory, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| (directory.clone(), error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "list")
        {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| match contents(&path) {
            Ok(contents) => Ok(ListFile {
                path: path.display().to_string(),
                contents,
            }),
            Err(error) => Err((path, error)),
        })
        .collect()
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    let file = fs::File::open(path)?;
    file.take(FILE_MAX + 1).read_to_end(&mut contents)?;
    match contents.len() as u64 > FILE_MAX {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(contents),
    }
}
