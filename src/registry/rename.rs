//! Giving a WPAR another name.
//!
//! Everything that is kept under its name moves: store, view, logs, base directory, record. A note under
//! the new name says so meanwhile. The record under the new name, written after everything has
//! moved, decides: if the command dies before it, the sweep moves all back; if after, it takes the
//! old record away. Nothing is ever removed but that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::pending::{Pending, PendingOperation};
use super::{Lock, Registry, RegistryError, RegistryResult, atomic, failed};
use crate::model::{WparName, WparRecord};

impl Registry {
    /// Gives the WPAR of this record, which does not run, the name `to`, which is free. The locks of
    /// both names are held.
    ///
    /// # Errors
    /// Those of the file system; it then has its old name, and all that belongs to it.
    pub fn rename(
        &self,
        record: &WparRecord,
        to: &WparName,
        verb: &str,
    ) -> RegistryResult<WparRecord> {
        let guard = self.lock(verb)?;
        let from = &record.name;
        let mut renamed = record.clone();
        renamed.name = to.clone();
        let directory = self.moved_directory(record, to);
        if let Some((_, new)) = &directory {
            renamed.directory.clone_from(new);
        }
        // What is in the way is somebody else's: to undo must never take it for the WPAR's.
        for (_, new) in self.places(from, to, directory.as_ref()) {
            if new.symlink_metadata().is_ok() {
                let error = io::Error::from(io::ErrorKind::AlreadyExists);
                return Err(failed("move something to", &new)(error));
            }
        }
        let own = Path::new("/proc/self");
        let pending = Pending {
            store: false,
            from: Some(from.clone()),
            directory: directory.as_ref().map(|(_, new)| new.clone()),
            ids: Some(record.ids),
            ..Pending::new(PendingOperation::Rename).map_err(failed("read", own))?
        };
        self.note(to, &pending, &guard)?;
        let moved = self
            .move_all(from, to, directory.as_ref())
            .and_then(|()| self.store(&renamed));
        if let Err(error) = moved {
            // The first error is the one to tell; the sweep of the next command tries again.
            let _ = self.finish_rename(to, &pending, &guard);
            return Err(error);
        }
        self.erase(from)?;
        self.withdraw(to)?;
        Ok(renamed)
    }

    /// The old and new base directory, if it goes with the name.
    fn moved_directory(&self, record: &WparRecord, to: &WparName) -> Option<(PathBuf, PathBuf)> {
        let usual = self.layout().base_dir(&record.name);
        (record.directory == usual && record.directory_created)
            .then(|| (usual, self.layout().base_dir(to)))
    }

    /// Where things are and where they go.
    fn places(
        &self,
        from: &WparName,
        to: &WparName,
        directory: Option<&(PathBuf, PathBuf)>,
    ) -> Vec<(PathBuf, PathBuf)> {
        let layout = self.layout();
        let mut moves = vec![
            (layout.store(from), layout.store(to)),
            (layout.view(from), layout.view(to)),
            (layout.logs(from), layout.logs(to)),
        ];
        moves.extend(directory.cloned());
        moves
    }

    fn move_all(
        &self,
        from: &WparName,
        to: &WparName,
        directory: Option<&(PathBuf, PathBuf)>,
    ) -> RegistryResult<()> {
        for (old, new) in self.places(from, to, directory) {
            move_if_there(&old, &new)?;
        }
        Ok(())
    }

    /// Finishes what a dead command began: forward if the record has its new name already, else back.
    pub(super) fn finish_rename(
        &self,
        to: &WparName,
        pending: &Pending,
        _registry: &Lock,
    ) -> RegistryResult<()> {
        let Some(from) = &pending.from else {
            return Err(RegistryError::Damaged {
                path: self.layout().pending(to),
                reason: "it does not say which name was changed".to_owned(),
            });
        };
        if self.layout().record(to).exists() {
            self.erase(from)?;
        } else {
            let directory = pending.directory.clone();
            let back = directory.map(|new| (new, self.layout().base_dir(from)));
            self.move_all(to, from, back.as_ref())?;
        }
        self.withdraw(to)
    }
}

/// Moves what is there; what has been moved already, or never was, is no error.
fn move_if_there(old: &Path, new: &Path) -> RegistryResult<()> {
    match fs::symlink_metadata(old) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", old)(error)),
        // rename(2) would replace an empty directory, and whatever is no directory.
        Ok(_) if new.symlink_metadata().is_ok() => {
            let error = io::Error::from(io::ErrorKind::AlreadyExists);
            Err(failed("move something to", new)(error))
        }
        Ok(_) => atomic::rename(old, new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Layout, process};

    fn name(text: &str) -> WparName {
        WparName::new(text).unwrap()
    }

    /// A WPAR `w1` with everything that one has.
    fn world() -> (tempfile::TempDir, Registry, WparRecord) {
        let temp = tempfile::tempdir().unwrap();
        let registry = Registry::open(Layout::new(temp.path())).unwrap();
        let layout = registry.layout();
        let record: WparRecord = serde_json::from_value(serde_json::json!({
            "version": 1, "name": "w1", "uuid": "6f2c1c0e-8a51-4a5e-9d4e-2f3c5a7b9e01",
            "hostname": "w1", "kind": "system", "directory": layout.base_dir(&name("w1")),
            "directory_created": true, "source": {"kind": "host"},
            "ids": {"first": 1_073_741_824u32, "count": 65_536}, "created": 1,
        }))
        .unwrap();
        fs::create_dir_all(layout.store(&record.name)).unwrap();
        fs::write(layout.store(&record.name).join("file"), "x").unwrap();
        fs::create_dir_all(layout.logs(&record.name)).unwrap();
        fs::create_dir_all(&record.directory).unwrap();
        fs::write(layout.view(&record.name), "{\"version\": 1}").unwrap();
        registry.store(&record).unwrap();
        (temp, registry, record)
    }

    #[track_caller]
    fn assert_is(registry: &Registry, there: &str, gone: &str) {
        let (there, gone, layout) = (name(there), name(gone), registry.layout());
        assert!(
            layout.store(&there).join("file").exists(),
            "the store of {there}"
        );
        assert!(layout.view(&there).exists() && layout.logs(&there).exists());
        assert!(layout.base_dir(&there).exists());
        let record = registry.load(&there).unwrap().unwrap();
        assert_eq!(record.directory, layout.base_dir(&there));
        for path in [
            layout.store(&gone),
            layout.view(&gone),
            layout.logs(&gone),
            layout.base_dir(&gone),
            layout.record(&gone),
            layout.pending(&gone),
            layout.pending(&there),
        ] {
            assert!(!path.exists(), "{}", path.display());
        }
    }

    #[test]
    fn everything_gets_the_new_name() {
        let (_temp, registry, record) = world();
        let renamed = registry.rename(&record, &name("w2"), "test").unwrap();
        assert_eq!((renamed.uuid, renamed.ids), (record.uuid, record.ids));
        assert_is(&registry, "w2", "w1");
    }

    /// A directory of the administrator's stays where it is.
    #[test]
    fn another_base_directory_is_not_moved() {
        let (temp, registry, mut record) = world();
        record.directory = temp.path().join("mine");
        let renamed = registry.rename(&record, &name("w2"), "test").unwrap();
        assert_eq!(renamed.directory, record.directory);
    }

    /// Dies after each step in turn; the sweep makes it one whole WPAR of either name.
    #[test]
    fn a_command_that_died_at_any_step_is_finished_or_undone() {
        for steps in 0..=6 {
            let (_temp, registry, record) = world();
            let (from, to) = (record.name.clone(), name("w2"));
            let layout = registry.layout().clone();
            let mut pending = Pending::new(PendingOperation::Rename).unwrap();
            pending.owner.boot = "an earlier boot".to_owned();
            assert!(!process::is_alive(&pending.owner));
            pending.store = false;
            pending.from = Some(from.clone());
            pending.directory = Some(layout.base_dir(&to));
            let lock = registry.lock("test").unwrap();
            registry.note(&to, &pending, &lock).unwrap();
            let moves = [
                (layout.store(&from), layout.store(&to)),
                (layout.view(&from), layout.view(&to)),
                (layout.logs(&from), layout.logs(&to)),
                (layout.base_dir(&from), layout.base_dir(&to)),
            ];
            for (old, new) in moves.iter().take(steps) {
                fs::rename(old, new).unwrap();
            }
            if steps >= 5 {
                let renamed = WparRecord {
                    name: to.clone(),
                    directory: layout.base_dir(&to),
                    ..record.clone()
                };
                registry.store(&renamed).unwrap();
            }
            if steps >= 6 {
                registry.erase(&from).unwrap();
            }
            registry.sweep(&lock).unwrap();
            if steps >= 5 {
                assert_is(&registry, "w2", "w1");
            } else {
                assert_is(&registry, "w1", "w2");
            }
        }
    }

    #[test]
    fn what_is_in_the_way_is_left_and_the_wpar_keeps_its_name() {
        let (_temp, registry, record) = world();
        let other = registry.layout().logs(&name("w2"));
        fs::create_dir_all(other.join("theirs")).unwrap();
        registry.rename(&record, &name("w2"), "test").unwrap_err();
        assert!(other.join("theirs").exists());
        fs::remove_dir_all(other).unwrap();
        assert_is(&registry, "w1", "w2");
    }
}
