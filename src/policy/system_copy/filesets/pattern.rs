//! Shell patterns that are names of packages, or could be.

use thiserror::Error;

use crate::model::pattern;

/// Longest pattern, in bytes. No package has a name this long.
const LENGTH_MAX: usize = 256;

/// A pattern for whole names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum PatternError {
    /// Nothing is left of it.
    #[error("there is no pattern")]
    Empty,
    /// Longer than [`LENGTH_MAX`].
    #[error("the pattern is longer than any name of a package")]
    TooLong,
    /// Names of packages have none of these.
    #[error("names of packages have no blanks, slashes or control characters")]
    Character,
    /// A class without an end.
    #[error("a '[' has no ']'")]
    Class,
}

impl Pattern {
    /// Checks a pattern.
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > LENGTH_MAX {
            return Err(PatternError::TooLong);
        }
        if text
            .bytes()
            .any(|byte| byte <= b' ' || byte == b'/' || byte == 0x7f)
        {
            return Err(PatternError::Character);
        }
        if !pattern::is_whole(text) {
            return Err(PatternError::Class);
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// The pattern as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole of `name`.
    pub(super) fn matches(&self, name: &str) -> bool {
        pattern::matches(&self.text, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, expected) in [
            ("", PatternError::Empty),
            ("two words", PatternError::Character),
            ("a/b", PatternError::Character),
            ("a[bc", PatternError::Class),
            ("[", PatternError::Class),
            ("[]", PatternError::Class),
        ] {
            assert_eq!(Pattern::new(text), Err(expected), "{text}");
        }
        assert!(Pattern::new("a[bc]*").is_ok());
    }
}
