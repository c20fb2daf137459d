//! The copy controls of a system copy: `-T name=value ...`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What of the source goes into a copy although it normally does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CopyControls {
    /// Keep the filesets that are not meant to be seen in a WPAR.
    pub preserve_private: bool,
    /// Keep the file systems of other partitions (stores of container engines) of a running
    /// source. A backup image shows what it contains either way.
    pub preserve_wpars: bool,
}

/// What else is to be in a copy, or not: `-T include=/data -T exclude=/srv/cache,/var/cache`. What
/// follows from it is decided once, when the copy is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Mount points of file systems of the running system that are part of the copy although the rules
    /// leave them out. Absolute, in the order in which they were given.
    pub include: Vec<String>,
    /// Files and directories of the source that are not in the copy. As `include`.
    pub exclude: Vec<String>,
    /// Whether the copy is made of snapshots.
    pub snapshot: Option<SnapshotWish>,
    /// Whether everything is copied into the WPAR's store in the background.
    pub hydrate: bool,
    /// A snapshot of the running system that the administrator has mounted: its path.
    pub source: Option<String>,
}

/// Whether a copy of the running system is made of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotWish {
    /// If they can be taken of all that is in it.
    Auto,
    /// If not, it is not made.
    Require,
    /// It is not.
    No,
}

/// Why a copy control is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CopyControlError {
    /// Not of the form `name=value`.
    #[error("'{0}' is not of the form name=value")]
    NotAPair(String),
    /// No such control.
    #[error(
        "unknown copy control '{0}'; there are preserve_private, preserve_wpars, include, exclude, \
         snapshot, hydrate and source"
    )]
    Unknown(String),
    /// Not a path below the root.
    #[error(
        "'{path}' of {name} is not the path of something below the root: it begins with / and has \
         neither . nor .. in it"
    )]
    BadPath {
        /// The control.
        name: String,
        /// What was said.
        path: String,
    },
    /// None of the words for snapshots.
    #[error("snapshot is 'auto', 'require' or 'no', not '{0}'")]
    BadSnapshot(String),
    /// Neither `yes` nor `no`.
    #[error("{name} is 'yes' or 'no', not '{value}'")]
    BadValue {
        /// The control.
        name: String,
        /// What was said.
        value: String,
    },
}

impl CopyControls {
    /// The controls that `pairs` (`name=value` each) set; later ones win, the rest is `no`.
    ///
    /// # Errors
    /// The first pair that is not understood, or that is one of a [`Selection`].
    pub fn parse<T: AsRef<str>>(pairs: &[T]) -> Result<Self, CopyControlError> {
        match Self::parse_with_selection(pairs)? {
            (controls, selection) if selection == Selection::default() => Ok(controls),
            _ => Err(CopyControlError::Unknown("include or exclude".to_owned())),
        }
    }

    /// The same, with what else `pairs` take in or leave out. Several paths are divided by commas.
    ///
    /// # Errors
    /// The first pair that is not understood.
    pub fn parse_with_selection<T: AsRef<str>>(
        pairs: &[T],
    ) -> Result<(Self, Selection), CopyControlError> {
        let mut controls = Self::default();
        let mut selection = Selection::default();
        for pair in pairs {
            let pair = pair.as_ref();
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| CopyControlError::NotAPair(pair.to_owned()))?;
            let target = match name {
                "preserve_private" => &mut controls.preserve_private,
                "preserve_wpars" => &mut controls.preserve_wpars,
                "include" => {
                    add_paths(&mut selection.include, name, value)?;
                    continue;
                }
                "exclude" => {
                    add_paths(&mut selection.exclude, name, value)?;
                    continue;
                }
                "snapshot" => {
                    selection.snapshot = Some(match value {
                        "auto" => SnapshotWish::Auto,
                        "require" => SnapshotWish::Require,
                        "no" => SnapshotWish::No,
                        _ => return Err(CopyControlError::BadSnapshot(value.to_owned())),
                    });
                    continue;
                }
                "source" => {
                    let mut paths = Vec::new();
                    add_paths(&mut paths, name, value)?;
                    selection.source = paths.pop();
                    continue;
                }
                "hydrate" => &mut selection.hydrate,
                _ => return Err(CopyControlError::Unknown(name.to_owned())),
            };
            *target = match value {
                "yes" => true,
                "no" => false,
                _ => {
                    return Err(CopyControlError::BadValue {
                        name: name.to_owned(),
                        value: value.to_owned(),
                    });
                }
            };
        }
        Ok((controls, selection))
    }
}

fn add_paths(paths: &mut Vec<String>, name: &str, value: &str) -> Result<(), CopyControlError> {
    for path in value.split(',') {
        let bad = || CopyControlError::BadPath {
            name: name.to_owned(),
            path: path.to_owned(),
        };
        let below = path.strip_prefix('/').ok_or_else(bad)?.trim_matches('/');
        let is_bad = |part: &str| part == "." || part == ".." || part.contains('\0');
        if below.is_empty() || below.split('/').any(is_bad) {
            return Err(bad());
        }
        let parts: Vec<_> = below.split('/').filter(|part| !part.is_empty()).collect();
        let path = format!("/{}", parts.join("/"));
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_set_controls_and_later_ones_win() {
        assert_eq!(
            CopyControls::parse::<&str>(&[]).unwrap(),
            CopyControls::default()
        );
        let both = CopyControls::parse(&["preserve_private=yes", "preserve_wpars=yes"]).unwrap();
        assert!(both.preserve_private && both.preserve_wpars);
        let last = CopyControls::parse(&["preserve_wpars=yes", "preserve_wpars=no"]).unwrap();
        assert!(!last.preserve_wpars);
    }

    #[test]
    fn paths_are_taken_in_and_left_out() {
        let pairs = [
            "include=/data/,/srv//www",
            "preserve_wpars=yes",
            "exclude=/var/cache",
            "include=/data,/opt/x",
        ];
        let (controls, selection) = CopyControls::parse_with_selection(&pairs).unwrap();
        assert!(controls.preserve_wpars);
        assert_eq!(selection.include, ["/data", "/srv/www", "/opt/x"]);
        assert_eq!(selection.exclude, ["/var/cache"]);
        for bad in ["", "/", "//", "data", "/a,", "/a/../b", "/./a", "/a,b"] {
            let error = CopyControls::parse_with_selection(&[format!("include={bad}")]);
            assert!(
                matches!(error, Err(CopyControlError::BadPath { .. })),
                "{bad}"
            );
        }
        assert!(CopyControls::parse(&pairs).is_err());
    }

    #[test]
    fn snapshots_and_hydration_are_asked_for() {
        let parse = |pair: &str| CopyControls::parse_with_selection(&[pair]);
        for (word, wish) in [
            ("auto", SnapshotWish::Auto),
            ("require", SnapshotWish::Require),
            ("no", SnapshotWish::No),
        ] {
            let (_, selection) = parse(&format!("snapshot={word}")).unwrap();
            assert_eq!(selection.snapshot, Some(wish));
        }
        assert!(parse("hydrate=yes").unwrap().1.hydrate);
        assert!(!parse("hydrate=no").unwrap().1.hydrate);
        let (_, selection) = parse("source=/mnt/snap/").unwrap();
        assert_eq!(selection.source.as_deref(), Some("/mnt/snap"));
        for bad in ["snapshot=yes", "hydrate=auto", "source=snap"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_control_is_refused() {
        assert_eq!(
            CopyControls::parse(&["preserve_wpars"]),
            Err(CopyControlError::NotAPair("preserve_wpars".to_owned()))
        );
        assert_eq!(
            CopyControls::parse(&["keep=yes"]),
            Err(CopyControlError::Unknown("keep".to_owned()))
        );
        for value in ["", "Yes", "true", "yes "] {
            assert!(matches!(
                CopyControls::parse(&[format!("preserve_wpars={value}")]),
                Err(CopyControlError::BadValue { .. })
            ));
        }
    }
}
