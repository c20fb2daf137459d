//! Notes of creations and removals in progress, and the sweep that finishes those of the dead.
//!
//! One rule: while `registry/NAME.pending.json` exists and `registry/NAME.json` does not, all that
//! the note names is to be removed as soon as the process that wrote it is gone. If both exist,
//! nothing was lost, and the note only goes. The exception is a change of name: see [`super::rename`].

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Lock, Registry, RegistryError, RegistryResult, atomic, failed, names_in, process,
    read_optional, remove, write_json,
};
use crate::model::{IdRange, Owner, WparName};
use crate::snapshots::{self, RealGround};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PendingOperation {
    /// The WPAR is being made.
    Create,
    /// It is being removed.
    Remove,
    /// It is being given another name; the note is under the new one.
    Rename,
}

/// What a creation or removal in progress owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// What is being done.
    pub operation: PendingOperation,
    /// Who does it.
    pub owner: Owner,
    /// The base directory, if it goes with the WPAR.
    pub directory: Option<PathBuf>,
    /// Whether the store goes with the WPAR (one that was kept by `rmwpar -p` does not, until
    /// there is a record again).
    pub store: bool,
    /// The old name of one that is being given another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<WparName>,
    /// User numbers that nobody else may get meanwhile.
    pub ids: Option<IdRange>,
}

impl Pending {
    /// A note of this process.
    ///
    /// # Errors
    /// Those of reading `/proc`.
    pub fn new(operation: PendingOperation) -> io::Result<Self> {
        let owner = process::current()?;
        Ok(Self {
            operation,
            owner,
            directory: None,
            store: true,
            from: None,
            ids: None,
        })
    }
}

impl Registry {
    /// Writes the note. The registry's lock must be held.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn note(&self, name: &WparName, pending: &Pending, _registry: &Lock) -> RegistryResult<()> {
        write_json(&self.layout().pending(name), pending)
    }

    /// Withdraws the note: what it names belongs to a record now, or is gone.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn withdraw(&self, name: &WparName) -> RegistryResult<()> {
        atomic::remove(&self.layout().pending(name))
    }

    /// Removes what the note of `name` names, then the note. There must be no record.
    ///
    /// # Errors
    /// The first thing that could not be removed; the note then stays, for the next sweep.
    pub fn discard(&self, name: &WparName, pending: &Pending) -> RegistryResult<()> {
        let layout = self.layout();
        if pending.store
            && let Ok(Some(frozen)) = self.view(name).map(|view| view.frozen)
        {
            // As long as they are there, the view says where.
            snapshots::remove(&RealGround, &frozen)?;
        }
        let mut trees = vec![layout.run_dir(name), layout.logs(name)];
        if pending.store {
            trees.push(layout.store(name));
        }
        for tree in trees {
            remove::remove_tree(&tree).map_err(failed("remove", &tree))?;
        }
        if pending.store {
            atomic::remove(&layout.view(name))?;
        }
        if let Some(directory) = &pending.directory {
            // Only ever an empty one: what others put there is theirs.
            match fs::remove_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                other => other.map_err(failed("remove", directory))?,
            }
        }
        self.withdraw(name)
    }

    /// Names that have a note. The names of records cannot be among them: they have no dot.
    pub(super) fn pending(&self) -> RegistryResult<Vec<(WparName, Pending)>> {
        let mut found = Vec::new();
        for name in names_in(&self.layout().records_dir(), ".pending.json")? {
            found.extend(self.load_pending(&name)?.map(|pending| (name, pending)));
        }
        Ok(found)
    }

    fn load_pending(&self, name: &WparName) -> RegistryResult<Option<Pending>> {
        let path = self.layout().pending(name);
        let Some(bytes) = read_optional(&path)? else {
            return Ok(None);
        };
        let pending = serde_json::from_slice(&bytes).map_err(|error| RegistryError::Damaged {
            path,
            reason: error.to_string(),
        })?;
        Ok(Some(pending))
    }

    /// Whether something that a dead command left of a WPAR of this name is still there.
    pub fn has_leftovers(&self, name: &WparName) -> bool {
        match self.load_pending(name) {
            Ok(pending) => pending.is_some_and(|pending| !process::is_alive(&pending.owner)),
            // Who reads no note cannot know.
            Err(_) => true,
        }
    }

    /// Finishes what dead commands left: see the module. What cannot be finished stays, and is in the
    /// way of the next WPAR of that name alone; a note that cannot be read is in that of all new ones,
    /// for nobody knows its user numbers. The registry's lock must be held.
    ///
    /// # Errors
    /// Those of listing what there is.
    pub fn sweep(&self, registry: &Lock) -> RegistryResult<Swept> {
        let mut swept = Swept::default();
        for name in names_in(&self.layout().records_dir(), ".pending.json")? {
            match self.finish(&name, registry) {
                Ok(true) => swept.cleaned.push(name),
                Ok(false) => {}
                Err(error) => swept.failed.push((name, error)),
            }
        }
        for name in self.kept_names()? {
            // The store is in use again; only the tidying was cut short.
            if self.layout().record(&name).exists()
                && let Err(error) = self.forget_kept(&name)
            {
                swept.failed.push((name, error));
            }
        }
        Ok(swept)
    }

    /// Finishes what a dead command left of one name; whether a WPAR, or a part of one, is gone by that.
    fn finish(&self, name: &WparName, registry: &Lock) -> RegistryResult<bool> {
        let Some(pending) = self.load_pending(name)? else {
            return Ok(false);
        };
        if process::is_alive(&pending.owner) {
            return Ok(false);
        }
        if pending.operation == PendingOperation::Rename {
            self.finish_rename(name, &pending, registry)?;
        } else if self.layout().record(name).exists() {
            self.withdraw(name)?;
        } else {
            self.discard(name, &pending)?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Names of which nothing is left any more.
    pub cleaned: Vec<WparName>,
    /// Names of which something is, and why.
    pub failed: Vec<(WparName, RegistryError)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Layout;

    fn dead() -> Owner {
        Owner {
            boot: "an earlier boot".to_owned(),
            ..process::current().unwrap()
        }
    }

    fn registry() -> (tempfile::TempDir, Registry, WparName) {
        let temp = tempfile::tempdir().unwrap();
        let registry = Registry::open(Layout::new(temp.path())).unwrap();
        (temp, registry, WparName::new("w1").unwrap())
    }

    /// A half-made WPAR: store with a file, logs, base directory, note.
    fn half_made(registry: &Registry, name: &WparName, owner: Owner) -> Pending {
        let layout = registry.layout();
        fs::create_dir_all(layout.store(name).join("tree")).unwrap();
        fs::write(layout.store(name).join("tree/file"), "x").unwrap();
        fs::create_dir_all(layout.logs(name)).unwrap();
        fs::create_dir_all(layout.base_dir(name)).unwrap();
        let pending = Pending {
            owner,
            directory: Some(layout.base_dir(name)),
            ..Pending::new(PendingOperation::Create).unwrap()
        };
        let lock = registry.lock("test").unwrap();
        registry.note(name, &pending, &lock).unwrap();
        pending
    }

    #[test]
    fn what_a_dead_command_left_is_swept() {
        let (_temp, registry, name) = registry();
        half_made(&registry, &name, dead());
        let lock = registry.lock("test").unwrap();
        let swept = registry.sweep(&lock).unwrap();
        assert_eq!(swept.cleaned, std::slice::from_ref(&name));
        assert!(swept.failed.is_empty());
        let layout = registry.layout();
        for path in [
            layout.store(&name),
            layout.logs(&name),
            layout.base_dir(&name),
            layout.pending(&name),
        ] {
            assert!(!path.exists(), "{}", path.display());
        }
    }

    #[test]
    fn what_cannot_be_swept_stops_nobody_else() {
        let (_temp, registry, name) = registry();
        half_made(&registry, &name, dead());
        let lock = registry.lock("test").unwrap();
        let stuck = WparName::new("a-stuck").unwrap();
        let file = registry.layout().state_dir().join("file");
        fs::write(&file, "").unwrap();
        let pending = Pending {
            owner: dead(),
            directory: Some(file),
            ..Pending::new(PendingOperation::Remove).unwrap()
        };
        registry.note(&stuck, &pending, &lock).unwrap();
        let damaged = WparName::new("b-damaged").unwrap();
        fs::write(registry.layout().pending(&damaged), "{").unwrap();
        let swept = registry.sweep(&lock).unwrap();
        assert_eq!(swept.cleaned, std::slice::from_ref(&name));
        let failed: Vec<_> = swept.failed.into_iter().map(|(name, _)| name).collect();
        assert_eq!(failed, [stuck.clone(), damaged]);
        assert!(registry.has_leftovers(&stuck) && !registry.has_leftovers(&name));
    }

    #[test]
    fn what_a_living_command_makes_is_left_alone() {
        let (_temp, registry, name) = registry();
        half_made(&registry, &name, process::current().unwrap());
        let lock = registry.lock("test").unwrap();
        assert!(registry.sweep(&lock).unwrap().cleaned.is_empty());
        assert!(registry.layout().store(&name).join("tree/file").exists());
    }

    #[test]
    fn with_a_record_only_the_note_goes() {
        let (_temp, registry, name) = registry();
        half_made(&registry, &name, dead());
        fs::write(registry.layout().record(&name), "{}").unwrap();
        let lock = registry.lock("test").unwrap();
        assert!(registry.sweep(&lock).unwrap().cleaned.is_empty());
        assert!(registry.layout().store(&name).join("tree/file").exists());
        assert!(!registry.layout().pending(&name).exists());
    }

    #[test]
    fn a_kept_store_and_a_base_directory_in_use_stay() {
        let (_temp, registry, name) = registry();
        let mut pending = half_made(&registry, &name, dead());
        pending.store = false;
        fs::write(registry.layout().base_dir(&name).join("theirs"), "").unwrap();
        registry.discard(&name, &pending).unwrap();
        assert!(registry.layout().store(&name).join("tree/file").exists());
        assert!(registry.layout().base_dir(&name).join("theirs").exists());
    }

    #[test]
    fn user_numbers_of_records_and_notes_are_not_given_twice() {
        let (_temp, registry, name) = registry();
        let lock = registry.lock("test").unwrap();
        let first = registry.allocate_ids(&lock).unwrap();
        let mut pending = Pending::new(PendingOperation::Create).unwrap();
        pending.ids = Some(first);
        registry.note(&name, &pending, &lock).unwrap();
        let second = registry.allocate_ids(&lock).unwrap();
        assert!(!first.overlaps(second));
    }

    #[test]
    fn run_files_of_an_earlier_boot_are_dropped() {
        let (temp, registry, name) = registry();
        assert!(registry.is_this_boot());
        fs::create_dir(registry.layout().run_dir(&name)).unwrap();
        fs::write(registry.layout().boot_note(), "an earlier boot\n").unwrap();
        assert!(!registry.is_this_boot());
        let again = Registry::open(Layout::new(temp.path())).unwrap();
        assert!(again.is_this_boot());
        assert!(!again.layout().run_dir(&name).exists());
    }
}
