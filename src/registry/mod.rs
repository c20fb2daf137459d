//! What is kept about WPARs on disk, and who may change it when.
//!
//! Invariants:
//! * A WPAR exists if and only if `registry/NAME.json` exists. That file appears and disappears by
//!   one `rename` or `unlink`; everything else that belongs to the WPAR is made before and removed
//!   after, and a *pending* note (see [`pending`]) names it in between. So a command may be killed
//!   at any point: the next one finds the note of a dead process and removes what it names.
//! * Nothing is ever removed because it merely looks unused.
//! * What is written under [`Layout::run_dir`] is true only in the boot of the host that wrote it.
//! * Lock order: the WPAR's lock, then the registry's. The registry's is held briefly.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::model::generation::{Generation, GenerationNotes};
use crate::model::record::RECORD_VERSION;
use crate::model::view::VIEW_VERSION;
use crate::model::{IdRange, View, WparName, WparRecord};
use crate::snapshots::SnapshotError;

pub mod atomic;
pub mod images;
pub mod layout;
pub mod lock;
pub mod pending;
pub mod process;
pub mod remove;
mod rename;

pub use layout::Layout;
pub use lock::{Lock, LockError};
pub use pending::{Pending, PendingOperation};

/// How long a command waits for another one that holds the WPAR.
const WPAR_LOCK_WAIT: Duration = Duration::from_secs(2);

/// How long it waits for the registry, which nobody holds for long.
const REGISTRY_LOCK_WAIT: Duration = Duration::from_secs(10);

/// Why the registry could not be read or changed.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another command holds the lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A record cannot be understood.
    #[error("the record {} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A record of a later version of the tool.
    #[error(
        "the record {} is of format {found}; this wpar knows formats up to {RECORD_VERSION}",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A snapshot could not be removed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Every range of user numbers is taken.
    #[error("no free range of user and group numbers is left")]
    NoIds,
}

impl RegistryError {
    /// The system's error underneath, if it was one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } | Self::Lock(LockError::Io { source, .. }) => Some(source),
            _ => None,
        }
    }
}

/// Result of an operation on the registry.
pub type RegistryResult<T> = Result<T, RegistryError>;

/// Turns an error of a file operation into one that says what was tried on what.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Io {
        action,
        path,
        source,
    }
}

/// The registry below one root.
#[derive(Clone, Debug)]
pub struct Registry {
    layout: Layout,
}

impl Registry {
    /// Opens the registry to change it: makes its directories if they are missing, and drops what
    /// an earlier boot of the host left in the run directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(layout: Layout) -> RegistryResult<Self> {
        layout.create()?;
        let registry = Self { layout };
        if !registry.is_this_boot() {
            let _guard = registry.lock("wpar")?;
            registry.begin_boot()?;
        }
        let layout = &registry.layout;
        for dir in [layout.records_dir(), layout.views_dir(), layout.kept_dir()] {
            atomic::remove_abandoned(&dir);
        }
        Ok(registry)
    }

    /// Opens the registry to read it. Nothing is made.
    pub fn read_only(layout: Layout) -> Self {
        Self { layout }
    }

    /// Where everything is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Takes the registry's lock.
    ///
    /// # Errors
    /// [`LockError::Held`] with the process that has it.
    pub fn lock(&self, verb: &str) -> RegistryResult<Lock> {
        Ok(Lock::acquire(
            &self.layout.registry_lock(),
            verb,
            REGISTRY_LOCK_WAIT,
        )?)
    }

    /// Takes the lock of one WPAR, or of a name that is going to be one.
    ///
    /// # Errors
    /// [`LockError::Held`] with the process that has it.
    pub fn lock_wpar(&self, name: &WparName, verb: &str) -> RegistryResult<Lock> {
        Ok(Lock::acquire(
            &self.layout.wpar_lock(name),
            verb,
            WPAR_LOCK_WAIT,
        )?)
    }

    /// As [`Self::lock_wpar`], without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] with the process that has it.
    pub fn try_lock_wpar(&self, name: &WparName, verb: &str) -> RegistryResult<Lock> {
        Ok(Lock::acquire(
            &self.layout.wpar_lock(name),
            verb,
            Duration::ZERO,
        )?)
    }

    /// Whether a command works on the WPAR now.
    pub fn is_locked(&self, name: &WparName) -> bool {
        Lock::is_held(&self.layout.wpar_lock(name))
    }

    /// The process and verb of the command that works on the WPAR now.
    pub fn operation(&self, name: &WparName) -> Option<(u32, String)> {
        Lock::holder(&self.layout.wpar_lock(name))
    }

    /// Whether the run directory is of this boot of the host. If not, nothing in it is true.
    pub fn is_this_boot(&self) -> bool {
        match (
            fs::read_to_string(self.layout.boot_note()),
            process::boot_id(),
        ) {
            (Ok(noted), Ok(current)) => noted.trim_end() == current,
            _ => false,
        }
    }

    fn begin_boot(&self) -> RegistryResult<()> {
        // Another command may have done it while this one waited for the lock.
        if self.is_this_boot() {
            return Ok(());
        }
        let run = self.layout.run_parent();
        for entry in fs::read_dir(&run).map_err(failed("read", &run))? {
            let path = entry.map_err(failed("read", &run))?.path();
            remove::remove_tree(&path).map_err(failed("remove", &path))?;
        }
        let boot = process::boot_id().map_err(failed("read", Path::new(process::BOOT_ID)))?;
        atomic::write(&self.layout.boot_note(), boot.as_bytes())
    }

    /// The names on record, sorted.
    ///
    /// # Errors
    /// Those of reading the directory; a registry that does not exist has no names.
    pub fn names(&self) -> RegistryResult<Vec<WparName>> {
        names_in(&self.layout.records_dir(), ".json")
    }

    /// The names whose stores `rmwpar -p` kept, sorted.
    ///
    /// # Errors
    /// As [`Self::names`].
    pub fn kept_names(&self) -> RegistryResult<Vec<WparName>> {
        names_in(&self.layout.kept_dir(), ".json")
    }

    /// The record of a WPAR; `None` if there is no such WPAR.
    ///
    /// # Errors
    /// [`RegistryError::Damaged`] and [`RegistryError::TooNew`] for a record that is there but
    /// cannot be used.
    pub fn load(&self, name: &WparName) -> RegistryResult<Option<WparRecord>> {
        load_record(&self.layout.record(name), name)
    }

    /// The record under which `rmwpar -p` kept a store.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_kept(&self, name: &WparName) -> RegistryResult<Option<WparRecord>> {
        load_record(&self.layout.kept(name), name)
    }

    /// Writes the record: from now on the WPAR exists.
    ///
    /// # Errors
    /// Those of the file system; the record is then unchanged.
    pub fn store(&self, record: &WparRecord) -> RegistryResult<()> {
        write_json(&self.layout.record(&record.name), record)
    }

    /// Removes the record: from now on the WPAR does not exist.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn erase(&self, name: &WparName) -> RegistryResult<()> {
        atomic::remove(&self.layout.record(name))
    }

    /// Makes the WPAR one that does not exist, but whose store is kept.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep(&self, name: &WparName) -> RegistryResult<()> {
        atomic::rename(&self.layout.record(name), &self.layout.kept(name))
    }

    /// Removes the record of a kept store.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget_kept(&self, name: &WparName) -> RegistryResult<()> {
        atomic::remove(&self.layout.kept(name))
    }

    /// What the rules of a system copy decided about the WPAR; the plain view if there was nothing
    /// to decide.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn view(&self, name: &WparName) -> RegistryResult<View> {
        let path = self.layout.view(name);
        Ok(load_versioned(&path, VIEW_VERSION)?.unwrap_or_default())
    }

    /// What is noted of a generation; `None` if nothing is.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn generation_notes(
        &self,
        name: &WparName,
        number: u32,
    ) -> RegistryResult<Option<GenerationNotes>> {
        let path = self.layout.generation_notes(name, number);
        load_versioned(&path, GenerationNotes::VERSION)
    }

    /// Begins a generation that is none yet: its place, its list of names and what is noted of it.
    /// What dead commands have left in the places of generations is removed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin_generation(
        &self,
        name: &WparName,
        number: u32,
        names: &[u8],
        notes: &GenerationNotes,
    ) -> RegistryResult<()> {
        self.drop_generations(name, &notes.before)?;
        let directory = self.layout.generation(name, number);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(failed("make", &directory))?;
        atomic::write(&self.layout.generation_names(name, number), names)?;
        write_json(&self.layout.generation_notes(name, number), notes)
    }

    /// Removes what is in the places of generations and in no view.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn drop_generations(&self, name: &WparName, view: &View) -> RegistryResult<()> {
        let parent = self.layout.generations(name);
        let entries = match fs::read_dir(&parent) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("read", &parent)(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed("read", &parent))?.path();
            let is_one =
                |generation: &Generation| path == self.layout.generation(name, generation.number);
            if !view.generations.iter().any(is_one) {
                remove::remove_tree(&path).map_err(failed("remove", &path))?;
            }
        }
        if view.generations.is_empty() {
            // It is in no way of anybody if it stays.
            let _ = fs::remove_dir(&parent);
        }
        Ok(())
    }

    /// Writes what they decided.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn store_view(&self, name: &WparName, view: &View) -> RegistryResult<()> {
        let view = View {
            version: view.needed_version(),
            ..view.clone()
        };
        write_json(&self.layout.view(name), &view)
    }

    /// All user numbers that a new WPAR must not get.
    ///
    /// # Errors
    /// A record that cannot be read: its numbers are unknown, so none can be given.
    fn taken_ids(&self) -> RegistryResult<Vec<IdRange>> {
        let mut taken = Vec::new();
        // Notes before records: a command writes its record first and takes its note away after,
        // so what is in neither place while we look does not exist.
        taken.extend(
            self.pending()?
                .into_iter()
                .filter_map(|(_, pending)| pending.ids),
        );
        for name in self.names()? {
            taken.extend(self.load(&name)?.map(|record| record.ids));
        }
        for name in self.kept_names()? {
            taken.extend(self.load_kept(&name)?.map(|record| record.ids));
        }
        for file in ["/etc/subuid", "/etc/subgid"] {
            taken.extend(IdRange::parse_subids(&read_lossy(file)));
        }
        for file in ["/etc/passwd", "/etc/group"] {
            taken.extend(IdRange::parse_accounts(&read_lossy(file)));
        }
        Ok(taken)
    }

    /// A range of user numbers that nobody has. The registry's lock must be held until the range
    /// is written down in a pending note.
    ///
    /// # Errors
    /// [`RegistryError::NoIds`], and those of reading records.
    pub fn allocate_ids(&self, _registry: &Lock) -> RegistryResult<IdRange> {
        IdRange::allocate(&self.taken_ids()?, self.layout.first_id_slot())
            .ok_or(RegistryError::NoIds)
    }
}

fn read_lossy(path: &str) -> String {
    // A missing file names no numbers.
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The names that `dir` has a file `NAME` + `suffix` for, sorted.
fn names_in(dir: &Path, suffix: &str) -> RegistryResult<Vec<WparName>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file_name = entry.map_err(failed("read", dir))?.file_name();
        names.extend(name_of_file(&file_name, suffix));
    }
    names.sort();
    Ok(names)
}

fn name_of_file(file_name: &OsStr, suffix: &str) -> Option<WparName> {
    // A name has no dot, so `w1.pending.json` is never taken for a record.
    let text = std::str::from_utf8(file_name.as_bytes()).ok()?;
    WparName::new(text.strip_suffix(suffix)?).ok()
}

fn load_record(path: &Path, name: &WparName) -> RegistryResult<Option<WparRecord>> {
    let Some(record) = load_versioned::<WparRecord>(path, RECORD_VERSION)? else {
        return Ok(None);
    };
    if record.name != *name {
        return Err(RegistryError::Damaged {
            path: path.to_owned(),
            reason: format!("it is about '{}'", record.name),
        });
    }
    Ok(Some(record))
}

/// Reads a file whose format has a `version`, which must not be over `newest`.
fn load_versioned<T: DeserializeOwned>(path: &Path, newest: u32) -> RegistryResult<Option<T>> {
    #[derive(Deserialize)]
    struct Format {
        version: u32,
    }
    let Some(bytes) = read_optional(path)? else {
        return Ok(None);
    };
    let damaged = |error: serde_json::Error| RegistryError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let format: Format = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format.version > newest {
        return Err(RegistryError::TooNew {
            path: path.to_owned(),
            found: format.version,
        });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

fn read_optional(path: &Path) -> RegistryResult<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> RegistryResult<()> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| RegistryError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    bytes.push(b'\n');
    atomic::write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generations_that_the_view_names_are_kept() {
        let temp = tempfile::tempdir().unwrap();
        let registry = Registry::open(Layout::new(temp.path())).unwrap();
        let name = WparName::new("w1").unwrap();
        let notes = |before: &View| GenerationNotes {
            version: GenerationNotes::VERSION,
            before: before.clone(),
            hostname: "w1".to_owned(),
            packages: Vec::new(),
        };
        let mut view = View::default();
        registry
            .begin_generation(&name, 1, b"list", &notes(&view))
            .unwrap();
        view.generations.push(Generation {
            number: 1,
            made: 1,
            from: None,
            replaced: 0,
            added: 0,
            kept: 0,
            parts: Vec::new(),
        });
        registry.store_view(&name, &view).unwrap();
        assert_eq!(registry.view(&name).unwrap().version, 2);
        registry
            .begin_generation(&name, 2, b"list", &notes(&view))
            .unwrap();
        // The command died: the next one begins again.
        registry.drop_generations(&name, &view).unwrap();
        assert!(registry.generation_notes(&name, 1).unwrap().is_some());
        assert!(!registry.layout().generation(&name, 2).exists());
        registry.drop_generations(&name, &View::default()).unwrap();
        assert!(!registry.layout().generations(&name).exists());
    }
}
