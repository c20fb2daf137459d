//! Names of WPARs, by AIX's rules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name, in bytes.
pub const NAME_LENGTH_MAX: usize = 25;

/// What AIX does not allow in a name, besides blanks. (Its list also has the digit 0, which real
/// names contain: only a leading one is refused.)
const FORBIDDEN: &str = "=:/!;`'\"<>~&()*+[],.^{}|\\";

/// The name of a WPAR: 1 to 25 ASCII bytes without blanks, control characters and the characters
/// of the shell and of paths, not starting with `-` or `0`.
///
/// It is safe as one component of a path, and never `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WparName(String);

/// Why a name is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// There is nothing.
    #[error("the name is empty")]
    Empty,
    /// More than [`NAME_LENGTH_MAX`] bytes.
    #[error("the name has {0} bytes; {NAME_LENGTH_MAX} are allowed")]
    TooLong(usize),
    /// Starts with `-` or `0`.
    #[error("the name starts with '{0}'; names start with neither '-' nor '0'")]
    BadStart(char),
    /// Contains a character that is not allowed.
    #[error(
        "the name contains {0}; blanks, control characters, characters outside ASCII and any of {FORBIDDEN} are not allowed"
    )]
    BadCharacter(String),
}

impl WparName {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let Some(first) = text.chars().next() else {
            return Err(NameError::Empty);
        };
        if text.len() > NAME_LENGTH_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if first == '-' || first == '0' {
            return Err(NameError::BadStart(first));
        }
        match text
            .chars()
            .find(|&c| !c.is_ascii_graphic() || FORBIDDEN.contains(c))
        {
            Some(' ') => Err(NameError::BadCharacter("a blank".to_owned())),
            Some(bad) => Err(NameError::BadCharacter(format!(
                "'{}'",
                bad.escape_default()
            ))),
            None => Ok(Self(text)),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WparName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for WparName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for WparName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<WparName> for String {
    fn from(name: WparName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_wpars_are_accepted() {
        for good in [
            "wpar1",
            "applejack-541ba3",
            "w",
            "db_01",
            "a100",
            "A$b?%#@",
            &"x".repeat(25),
        ] {
            assert_eq!(WparName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn each_forbidden_character_is_refused_at_any_place() {
        for bad in FORBIDDEN
            .chars()
            .chain([' ', '\t', '\n', '\0', '\x7f', '\u{e4}'])
        {
            for text in [format!("a{bad}"), format!("a{bad}b")] {
                assert!(
                    matches!(
                        WparName::new(text.as_str()),
                        Err(NameError::BadCharacter(_))
                    ),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn length_and_start_are_checked() {
        assert_eq!(WparName::new(""), Err(NameError::Empty));
        assert_eq!(WparName::new("x".repeat(26)), Err(NameError::TooLong(26)));
        assert_eq!(WparName::new("0a"), Err(NameError::BadStart('0')));
        assert_eq!(WparName::new("-a"), Err(NameError::BadStart('-')));
        assert!(WparName::new("..").is_err());
    }

    #[test]
    fn a_bad_name_in_a_file_is_refused_when_it_is_read() {
        assert!(serde_json::from_str::<WparName>("\"../x\"").is_err());
        assert_eq!(
            serde_json::from_str::<WparName>("\"w1\"").unwrap().as_str(),
            "w1"
        );
    }
}
