//! Which of two versions of a package is the later one, by the rules of each family.

use std::cmp::Ordering;

use super::Family;

mod apk;
mod dpkg;
mod rpm;
#[cfg(test)]
mod tests;

impl Family {
    /// Compares two whole versions. Any text has a place in the order.
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Dpkg => dpkg::compare(a, b),
            Self::Rpm => rpm::compare(a, b),
            Self::Apk => apk::compare(a, b),
            Self::Pacman => rpm::compare_pacman(a, b),
        }
    }
}

/// Compares two rows of digits as numbers of any length.
fn compare_digits(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        digits.get(zeros..).unwrap_or_default().to_vec()
    };
    let (a, b) = (significant(a), significant(b));
    a.len().cmp(&b.len()).then(a.cmp(&b))
}

/// The longest beginning of `text` whose bytes all are `wanted`, and the rest.
fn take(text: &[u8], wanted: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !wanted(byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// `EPOCH:` before a version, or 0.
fn split_epoch(version: &[u8]) -> (&[u8], &[u8]) {
    match take(version, u8::is_ascii_digit) {
        (epoch, [b':', rest @ ..]) => (epoch, rest),
        _ => (b"", version),
    }
}

/// What is before and behind the last dash.
fn split_revision(version: &[u8]) -> (&[u8], Option<&[u8]>) {
    match version.iter().rposition(|&byte| byte == b'-') {
        Some(at) => (version.get(..at).unwrap_or_default(), version.get(at + 1..)),
        None => (version, None),
    }
}
