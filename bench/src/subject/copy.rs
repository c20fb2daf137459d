//! A full copy: what everybody does who has no copy-on-write.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Raised, Subject, remove, warm};
use crate::Fallible;
use crate::ours::run;

/// A copy by `cp -a`, which keeps holes.
pub(crate) struct Copy;

struct Directory(PathBuf);

impl Raised for Directory {
    fn root(&self) -> &Path {
        &self.0
    }
}

impl Subject for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn about(&self) -> String {
        "a full copy by cp -a".to_owned()
    }

    fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>> {
        Ok(Box::new(Directory(copied(place)?)))
    }

    fn warm(&self, place: &Place) -> Fallible<()> {
        match place.writes {
            true => warm::read(&place.lower),
            false => warm::read(&copied(place)?),
        }
    }
}

/// The copy in this place, which is made if there is none.
pub(super) fn copied(place: &Place) -> Fallible<PathBuf> {
    let root = place.own.join("copy");
    if !root.is_dir() {
        // Under another name until it is whole: what was interrupted is not taken for a copy.
        let partial = place.directory("partial")?;
        remove(&partial)?;
        run(Command::new("cp")
            .args(["-a", "--reflink=never", "--"])
            .arg(&place.lower)
            .arg(&partial))?;
        std::fs::rename(&partial, &root)?;
    }
    Ok(root)
}
