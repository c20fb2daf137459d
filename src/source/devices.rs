//! The devices that the host has, and the file that says which of them may be given away.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::model::device_export::{DeviceExports, DeviceName};

/// How deep device nodes lie below `/dev` (`/dev/snd/by-path/x`).
const DEPTH: usize = 4;

/// What a devexports file says; nothing may be exported if there is none.
///
/// # Errors
/// Those of reading it, and `InvalidData` with the line that is not understood.
pub fn exports(file: &Path) -> io::Result<DeviceExports> {
    match fs::read_to_string(file) {
        Ok(text) => DeviceExports::parse(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(DeviceExports::default()),
        Err(error) => Err(error),
    }
}

/// The device nodes below `/dev`, by all their names.
pub fn present() -> Vec<DeviceName> {
    let mut found = Vec::new();
    walk(Path::new("/dev"), DEPTH, &mut found);
    found
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<DeviceName>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        // Links lead to devices, never to directories to be walked.
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, depth - 1, found);
            continue;
        }
        let is_device = fs::metadata(&path).is_ok_and(|metadata| {
            let kind = metadata.file_type();
            kind.is_char_device() || kind.is_block_device()
        });
        if is_device && let Some(name) = path.to_str().and_then(|path| DeviceName::new(path).ok()) {
            found.push(name);
        }
    }
}
