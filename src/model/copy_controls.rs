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

/// Why a copy control is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CopyControlError {
    /// Not of the form `name=value`.
    #[error("'{0}' is not of the form name=value")]
    NotAPair(String),
    /// No such control.
    #[error("unknown copy control '{0}'; there are preserve_private and preserve_wpars")]
    Unknown(String),
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
    /// The first pair that is not understood.
    pub fn parse<T: AsRef<str>>(pairs: &[T]) -> Result<Self, CopyControlError> {
        let mut controls = Self::default();
        for pair in pairs {
            let pair = pair.as_ref();
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| CopyControlError::NotAPair(pair.to_owned()))?;
            let target = match name {
                "preserve_private" => &mut controls.preserve_private,
                "preserve_wpars" => &mut controls.preserve_wpars,
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
        Ok(controls)
    }
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
