//! Shell patterns for names of packages: `*`, `?` and `[...]`.

use thiserror::Error;

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
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|&byte| byte == b'[') {
            rest = rest.get(at..).unwrap_or_default();
            rest = class(rest, 0).ok_or(PatternError::Class)?.1;
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
        matches(&self.text, name)
    }
}

/// Whether `pattern` matches the whole of `name`, which is no longer than any is. Takes time in
/// proportion to the product of both lengths at worst.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    if name.len() > LENGTH_MAX {
        return false;
    }
    let (mut pattern, mut name) = (pattern.as_bytes(), name.as_bytes());
    // Where to go on if the rest does not match: behind the last star, with one byte more in it.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, name));
            pattern = rest;
            continue;
        }
        if let [byte, after @ ..] = name {
            let matched = match pattern {
                [b'?', rest @ ..] => Some(rest),
                [b'[', ..] => class(pattern, *byte).and_then(|(is_in, rest)| is_in.then_some(rest)),
                [wanted, rest @ ..] if wanted == byte => Some(rest),
                _ => None,
            };
            if let Some(rest) = matched {
                (pattern, name) = (rest, after);
                continue;
            }
        } else if pattern.is_empty() {
            return true;
        }
        match star {
            Some((rest, [_, taken @ ..])) => {
                star = Some((rest, taken));
                (pattern, name) = (rest, taken);
            }
            _ => return false,
        }
    }
}

/// Whether `byte` is in the class that `pattern` begins with, and what is behind it; `None` if it has
/// no end.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let inside = pattern.get(1..)?;
    let negated = matches!(inside.first(), Some(b'!' | b'^'));
    let inside = inside.get(usize::from(negated)..)?;
    // A ']' that comes first stands for itself.
    let end = 1 + inside.get(1..)?.iter().position(|&byte| byte == b']')?;
    let mut members = inside.get(..end)?;
    let mut is_in = false;
    while let [first, rest @ ..] = members {
        members = rest;
        let mut last = first;
        if let [b'-', upper, rest @ ..] = members {
            last = upper;
            members = rest;
        }
        is_in |= (first..=last).contains(&&byte);
    }
    Some((is_in != negated, inside.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (pattern, name, expected) in [
            ("lvm2", "lvm2", true),
            ("lvm2", "lvm2-dbusd", false),
            ("linux-image-*", "linux-image-6.1.0-40-amd64", true),
            ("linux-image-*", "linux-image", false),
            ("*-dkms", "zfs-dkms", true),
            ("*-dkms", "zfs-dkms-x", false),
            ("*-kmp-*", "nvidia-open-kmp-default", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*", "", true),
            ("?", "", false),
            ("linux-[!l]*", "linux-libc-dev", false),
            ("linux-[!l]*", "linux-image", true),
            ("gcc-[0-9]*", "gcc-12", true),
            ("gcc-[0-9]*", "gcc-doc", false),
            ("x[]a]y", "x]y", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

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

    #[test]
    fn names_that_are_none_match_nothing() {
        assert!(matches("*", &"a".repeat(LENGTH_MAX)));
        assert!(!matches("*", &"a".repeat(LENGTH_MAX + 1)));
    }
}
