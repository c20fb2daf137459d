//! Replacing a file as a whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{RegistryResult, failed};

/// Writes `bytes` to a new file of mode 0600 and renames it to `path`. When this returns, the new
/// contents are on disk; if it fails, or the host does, the old ones are unchanged.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, bytes: &[u8]) -> RegistryResult<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed("write", path)(io::Error::from(
            io::ErrorKind::InvalidInput,
        )));
    };
    // One name for each process: a file that a killed one left is overwritten or harmless.
    let temporary = parent.join(format!(
        ".{}.{}",
        name.to_string_lossy(),
        std::process::id()
    ));
    let result = write_new(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_directory(parent));
    result.map_err(|error| {
        // It may be the disk that is full: nothing of the attempt stays.
        let _ = fs::remove_file(&temporary);
        failed("write", path)(error)
    })
}

/// Removes a file, on disk too when this returns. That it is gone already is no error.
///
/// # Errors
/// Those of the file system.
pub fn remove(path: &Path) -> RegistryResult<()> {
    remove_temporaries(path);
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("remove", path)(error)),
        Ok(()) => {}
    }
    path.parent()
        .map_or(Ok(()), sync_directory)
        .map_err(failed("remove", path))
}

/// Removes what those who were killed while they wrote `path` have left. Nobody else may write it now.
fn remove_temporaries(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let prefix = format!(".{}.", name.to_string_lossy());
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let writer = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        if writer.is_some_and(|number| number.parse::<u32>().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes what writers have left in `dir` that were killed: their number is in the name, and no
/// process has it.
pub fn remove_abandoned(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts = name.to_str().and_then(|name| name.rsplit_once('.'));
        let writer = parts
            .filter(|(file, _)| file.starts_with('.') && file.ends_with(".json"))
            .and_then(|(_, number)| number.parse::<u32>().ok());
        if writer.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Moves a file within the registry; when this returns, on disk too.
///
/// # Errors
/// Those of the file system.
pub fn rename(from: &Path, to: &Path) -> RegistryResult<()> {
    fs::rename(from, to)
        .and_then(|()| to.parent().map_or(Ok(()), sync_directory))
        .and_then(|()| from.parent().map_or(Ok(()), sync_directory))
        .map_err(failed("move", from))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("record");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::read_dir(temp.path()).unwrap().count(),
            1,
            "no temporary file stays"
        );
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("dir");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"x").is_err());
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn regression_what_a_killed_writer_left_goes_with_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        write(&path, b"x").unwrap();
        for left in [".a.json.4711", ".b.json.4711", ".a.json.x", "a.json.1"] {
            fs::write(directory.path().join(left), b"half").unwrap();
        }
        remove(&path).unwrap();
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [".a.json.x", ".b.json.4711", "a.json.1"]);
    }

    #[test]
    fn regression_what_a_writer_left_whose_file_never_was_goes_when_it_is_dead() {
        let directory = tempfile::tempdir().unwrap();
        let own = format!(".a.json.{}", std::process::id());
        // No process has a number as large as that.
        for left in [
            ".a.json.4294967295",
            ".b.pending.json.4294967295",
            "c.json",
            &own,
        ] {
            fs::write(directory.path().join(left), b"half").unwrap();
        }
        remove_abandoned(directory.path());
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [own, "c.json".to_owned()]);
    }
}
