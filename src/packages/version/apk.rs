//! The order of apk: apk-package(5), "Package version":
//! `NUMBER{.NUMBER}[LETTER]{_SUFFIX[NUMBER]}[-rNUMBER]`.

use std::cmp::Ordering;

use super::{compare_digits, take};

/// Suffixes in their order; no suffix is between `rc` and `cvs`.
const SUFFIXES: [(&[u8], i8); 9] = [
    (b"alpha", -4),
    (b"beta", -3),
    (b"pre", -2),
    (b"rc", -1),
    (b"cvs", 1),
    (b"svn", 2),
    (b"git", 3),
    (b"hg", 4),
    (b"p", 5),
];

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    Version::parse(a.as_bytes()).compare(&Version::parse(b.as_bytes()))
}

#[derive(Default)]
struct Version<'a> {
    numbers: Vec<&'a [u8]>,
    letter: Option<u8>,
    suffixes: Vec<(i8, &'a [u8])>,
    revision: Option<&'a [u8]>,
    /// What fits the rule no more.
    rest: &'a [u8],
}

impl<'a> Version<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let mut version = Self::default();
        let mut rest = version.take_numbers(text);
        if let [first, after @ ..] = rest
            && first.is_ascii_lowercase()
        {
            version.letter = Some(*first);
            rest = after;
        }
        rest = version.take_suffixes(rest);
        if let [b'-', b'r', after @ ..] = rest {
            let (number, after) = take(after, u8::is_ascii_digit);
            version.revision = Some(number);
            rest = after;
        }
        version.rest = rest;
        version
    }

    fn take_numbers(&mut self, text: &'a [u8]) -> &'a [u8] {
        let mut rest = text;
        loop {
            let (number, after) = take(rest, u8::is_ascii_digit);
            self.numbers.push(number);
            match after {
                [b'.', next @ ..] if next.first().is_some_and(u8::is_ascii_digit) => rest = next,
                _ => return after,
            }
        }
    }

    fn take_suffixes(&mut self, text: &'a [u8]) -> &'a [u8] {
        let mut rest = text;
        while let [b'_', after @ ..] = rest {
            let (word, after) = take(after, u8::is_ascii_lowercase);
            let Some((_, rank)) = SUFFIXES.iter().find(|(suffix, _)| *suffix == word) else {
                break;
            };
            let (number, after) = take(after, u8::is_ascii_digit);
            self.suffixes.push((*rank, number));
            rest = after;
        }
        rest
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.compare_numbers(other)
            .then(self.letter.cmp(&other.letter))
            .then_with(|| self.compare_suffixes(other))
            .then_with(|| match (self.revision, other.revision) {
                (Some(a), Some(b)) => compare_digits(a, b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            })
            .then(self.rest.cmp(other.rest))
    }

    fn compare_numbers(&self, other: &Self) -> Ordering {
        for (index, (a, b)) in self.numbers.iter().zip(&other.numbers).enumerate() {
            let is_fraction = index > 0 && (a.starts_with(b"0") || b.starts_with(b"0"));
            let order = if is_fraction {
                a.cmp(b)
            } else {
                compare_digits(a, b)
            };
            if order.is_ne() {
                return order;
            }
        }
        self.numbers.len().cmp(&other.numbers.len())
    }

    fn compare_suffixes(&self, other: &Self) -> Ordering {
        let none: (i8, &[u8]) = (0, b"");
        let length = self.suffixes.len().max(other.suffixes.len());
        for index in 0..length {
            let a = self.suffixes.get(index).copied().unwrap_or(none);
            let b = other.suffixes.get(index).copied().unwrap_or(none);
            let order = a.0.cmp(&b.0).then_with(|| compare_digits(a.1, b.1));
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}
