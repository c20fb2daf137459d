//! What is written to a mount that can be written: a directory of the user's.
//!
//! It holds the store and, beside it, what the store is of: the numbers in a store are those of one
//! image, and over another one they would mean other files.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::Source;
use crate::registry::atomic;

/// Says of what the store is.
const SOURCE: &str = "source.json";
/// The store itself.
const STORE: &str = "store";

/// Why a directory cannot take what is written.
#[derive(Debug, Error)]
pub enum StoreProblem {
    /// It cannot be made, read or written.
    #[error("cannot use {} for what is written", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else is in it.
    #[error("the directory {} has other things in it", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// It is of another image, or of this one as it was before.
    #[error("the directory {} has what was written to {of}", path.display())]
    OfAnother {
        /// The directory.
        path: PathBuf,
        /// Of what.
        of: String,
    },
}

/// Makes the directory `upper` ready to take what is written to a mount of `source`, or finds that
/// it is; returns the store in it.
///
/// # Errors
/// See [`StoreProblem`].
pub fn prepare_store(upper: &Path, source: &Source) -> Result<PathBuf, StoreProblem> {
    let failed = |source| StoreProblem::Io {
        path: upper.to_owned(),
        source,
    };
    match DirBuilder::new().mode(0o700).create(upper) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let upper = fs::canonicalize(upper).map_err(failed)?;
    let note = upper.join(SOURCE);
    let store = upper.join(STORE);
    match fs::read(&note) {
        Ok(text) => {
            let old: Option<Source> = serde_json::from_slice(&text).ok();
            if old.as_ref().is_some_and(|old| old.is_same(source)) {
                return Ok(store);
            }
            let of = old.as_ref().and_then(Source::path);
            let of = match (of, source.path()) {
                (Some(old), Some(new)) if old == new => {
                    format!("{} as it was before", old.display())
                }
                (Some(old), _) => old.display().to_string(),
                (None, _) => "something else".to_owned(),
            };
            Err(StoreProblem::OfAnother { path: upper, of })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut names = fs::read_dir(&upper).map_err(failed)?;
            if names.next().is_some() {
                return Err(StoreProblem::Foreign { path: upper });
            }
            let text = serde_json::to_vec_pretty(source).map_err(|error| failed(error.into()))?;
            atomic::write(&note, &text).map_err(|error| {
                let number = error.io().and_then(io::Error::raw_os_error);
                failed(number.map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error))
            })?;
            Ok(store)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::TreeMark;

    fn tree(path: &str, inode: u64) -> Source {
        let root = TreeMark { inode, born: None };
        Source::Tree {
            path: path.into(),
            root,
        }
    }

    #[test]
    fn a_store_is_of_one_source_for_ever() {
        let temp = tempfile::tempdir().unwrap();
        let upper = temp.path().join("u");
        let store = prepare_store(&upper, &tree("/a", 1)).unwrap();
        assert_eq!(store, fs::canonicalize(&upper).unwrap().join("store"));
        assert_eq!(prepare_store(&upper, &tree("/a", 1)).unwrap(), store);
        for (other, of) in [(tree("/b", 1), "/a"), (tree("/a", 2), "as it was before")] {
            let error = prepare_store(&upper, &other).unwrap_err().to_string();
            assert!(error.contains(of), "{error}");
        }
        assert!(prepare_store(&upper, &Source::Host).is_err());
    }

    #[test]
    fn other_peoples_directories_are_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("letter"), "").unwrap();
        let error = prepare_store(temp.path(), &tree("/a", 1)).unwrap_err();
        assert!(matches!(error, StoreProblem::Foreign { .. }), "{error}");
        let missing = temp.path().join("no/such");
        assert!(prepare_store(&missing, &tree("/a", 1)).is_err());
        fs::write(temp.path().join(SOURCE), "nonsense").unwrap();
        assert!(prepare_store(temp.path(), &tree("/a", 1)).is_err());
    }
}
