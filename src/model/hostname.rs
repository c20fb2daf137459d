//! The host name of a WPAR.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest host name that Linux keeps (`__NEW_UTS_LEN`).
pub const HOSTNAME_LENGTH_MAX: usize = 64;

/// A host name: 1 to 64 letters, digits, `-`, `_` and `.`, where no label between dots is empty
/// or starts or ends with `-`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

/// Why a host name is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HostnameError {
    /// Empty, or over [`HOSTNAME_LENGTH_MAX`] bytes.
    #[error("a host name has 1 to {HOSTNAME_LENGTH_MAX} characters, not {0}")]
    Length(usize),
    /// Contains something else.
    #[error("a host name has letters, digits, '-', '_' and '.' only, not '{}'", .0.escape_default())]
    BadCharacter(char),
    /// A label is empty or starts or ends with `-`.
    #[error("no part of a host name may be empty or start or end with '-'")]
    BadLabel,
}

impl Hostname {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, HostnameError> {
        let text = text.into();
        if text.is_empty() || text.len() > HOSTNAME_LENGTH_MAX {
            return Err(HostnameError::Length(text.len()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
            return Err(HostnameError::BadCharacter(bad));
        }
        let good =
            |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        if text.split('.').all(good) {
            Ok(Self(text))
        } else {
            Err(HostnameError::BadLabel)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;

    fn try_from(text: String) -> Result<Self, HostnameError> {
        Self::new(text)
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_follow_the_table() {
        for good in [
            "a",
            "wpar1",
            "db_1",
            "www.example.org",
            "x-1",
            &"h".repeat(64),
        ] {
            assert!(Hostname::new(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("", HostnameError::Length(0)),
            (&*"h".repeat(65), HostnameError::Length(65)),
            ("a b", HostnameError::BadCharacter(' ')),
            ("a\n", HostnameError::BadCharacter('\n')),
            ("a..b", HostnameError::BadLabel),
            (".a", HostnameError::BadLabel),
            ("-a", HostnameError::BadLabel),
            ("a-", HostnameError::BadLabel),
        ] {
            assert_eq!(Hostname::new(bad), Err(error), "{bad:?}");
        }
    }
}
