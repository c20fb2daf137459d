//! What a store may still hold when nobody has anything open: only what can be reached.

use std::fs;
use std::path::Path;

use wpar_mountd::types::Ino;

use crate::world::{Verdict, World};

impl World {
    /// Looks for what was left behind: inodes without a name, block maps without a file, counts of
    /// names that nobody has.
    pub(crate) fn audit(&self) -> Verdict {
        let store = self.store.path().join("store");
        for part in ["orphans", "work"] {
            let left = names(&store.join(part));
            if !left.is_empty() {
                return Err(format!("{left:?} are left in {part}"));
            }
        }
        for part in ["links", "maps"] {
            for name in names(&store.join(part)) {
                self.audit_number(&name)
                    .map_err(|error| format!("{part}/{name}: {error}"))?;
            }
        }
        Ok(())
    }

    fn audit_number(&self, name: &str) -> Verdict {
        let number: u64 = name.parse().map_err(|_| "is no number")?;
        // One that the model never met is a lower inode all of whose names are hidden.
        let Some(&id) = self.ids.get(&Ino(number)) else {
            return Err("belongs to no inode".into());
        };
        match self.model.inodes[id].nlink() {
            0 => Err(format!("inode {id} has no names any more")),
            _ => Ok(()),
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}
