//! The lower itself: what a directory costs without anything above it.

use std::path::{Path, PathBuf};

use super::{Place, Raised, Subject, copy};
use crate::Fallible;

/// The directory that is the lower of all others; where it is written to, a copy of it, which was
/// made before the clock runs.
pub(crate) struct Native;

struct Directory(PathBuf);

impl Raised for Directory {
    fn root(&self) -> &Path {
        &self.0
    }
}

impl Subject for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn about(&self) -> String {
        "the directory itself".to_owned()
    }

    fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>> {
        Ok(Box::new(Directory(match place.writes {
            false => place.lower.clone(),
            true => copy::copied(place)?,
        })))
    }
}
