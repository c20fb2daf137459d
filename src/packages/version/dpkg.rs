//! The order of dpkg: deb-version(7), "Sorting algorithm".

use std::cmp::Ordering;

use super::{compare_digits, split_epoch, split_revision, take};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a) = split_epoch(a.as_bytes());
    let (b_epoch, b) = split_epoch(b.as_bytes());
    let (a, a_revision) = split_revision(a);
    let (b, b_revision) = split_revision(b);
    compare_digits(a_epoch, b_epoch)
        .then_with(|| compare_part(a, b))
        .then_with(|| compare_part(a_revision.unwrap_or(b"0"), b_revision.unwrap_or(b"0")))
}

/// Turns of no digits, compared letter by letter, and digits, compared as numbers.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_text, a_rest) = take(a, |byte| !byte.is_ascii_digit());
        let (b_text, b_rest) = take(b, |byte| !byte.is_ascii_digit());
        let (a_digits, a_rest) = take(a_rest, u8::is_ascii_digit);
        let (b_digits, b_rest) = take(b_rest, u8::is_ascii_digit);
        let order = compare_text(a_text, b_text).then_with(|| compare_digits(a_digits, b_digits));
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    Ordering::Equal
}

fn compare_text(a: &[u8], b: &[u8]) -> Ordering {
    let weights = |text: &[u8], length: usize| -> Vec<i32> {
        let weights = text.iter().map(|&byte| match byte {
            b'~' => -1,
            byte if byte.is_ascii_alphabetic() => i32::from(byte),
            byte => i32::from(byte) + 256,
        });
        // Before a tilde comes nothing, not even the end; before a letter the end.
        weights.chain(std::iter::repeat(0)).take(length).collect()
    };
    let length = a.len().max(b.len());
    weights(a, length).cmp(&weights(b, length))
}
