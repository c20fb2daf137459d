//! The order of rpm (rpm-version(7)) and that of pacman (vercmp(8)), which comes from an older rpm.

use std::cmp::Ordering;

use super::{compare_digits, split_epoch, split_revision, take};

/// `[EPOCH:]VERSION[-RELEASE]`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    compare_whole(a, b, compare_part)
}

pub(super) fn compare_pacman(a: &str, b: &str) -> Ordering {
    compare_whole(a, b, compare_part_of_pacman)
}

fn compare_whole(a: &str, b: &str, part: fn(&[u8], &[u8]) -> Ordering) -> Ordering {
    let (a_epoch, a) = split_epoch(a.as_bytes());
    let (b_epoch, b) = split_epoch(b.as_bytes());
    let (a, a_release) = split_revision(a);
    let (b, b_release) = split_revision(b);
    compare_digits(a_epoch, b_epoch)
        .then_with(|| part(a, b))
        .then_with(|| match (a_release, b_release) {
            (Some(a), Some(b)) => part(a, b),
            // A version alone stands for all its releases.
            _ => Ordering::Equal,
        })
}

/// Turns of digits and of letters; `~` comes before everything, `^` after the end only.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let separator = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'~' && *byte != b'^';
    loop {
        a = take(a, separator).1;
        b = take(b, separator).1;
        match (a.split_first(), b.split_first()) {
            (Some((b'~', a_rest)), Some((b'~', b_rest)))
            | (Some((b'^', a_rest)), Some((b'^', b_rest))) => {
                (a, b) = (a_rest, b_rest);
                continue;
            }
            (Some((b'~', _)), _) => return Ordering::Less,
            (_, Some((b'~', _))) => return Ordering::Greater,
            (Some((b'^', _)), None) => return Ordering::Greater,
            (None, Some((b'^', _))) => return Ordering::Less,
            (Some((b'^', _)), Some(_)) => return Ordering::Less,
            (Some(_), Some((b'^', _))) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(_), Some(_)) => {}
        }
        let (order, a_rest, b_rest) = compare_turn(a, b);
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
}

/// Compares the first turn of each, as the first of `a` is, and says what follows.
fn compare_turn<'a, 'b>(a: &'a [u8], b: &'b [u8]) -> (Ordering, &'a [u8], &'b [u8]) {
    let is_number = a.first().is_some_and(u8::is_ascii_digit);
    let wanted = if is_number {
        u8::is_ascii_digit
    } else {
        u8::is_ascii_alphabetic
    };
    let (a_turn, a_rest) = take(a, wanted);
    let (b_turn, b_rest) = take(b, wanted);
    let order = match (b_turn.is_empty(), is_number) {
        // A number is later than letters.
        (true, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, true) => compare_digits(a_turn, b_turn),
        (false, false) => a_turn.cmp(b_turn),
    };
    (order, a_rest, b_rest)
}

/// As [`compare_part`], but: no `~` and `^`; more separators are later; and letters at the end
/// (`1.0rc`) come before nothing, where a number comes after it.
fn compare_part_of_pacman(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let separator = |byte: &u8| !byte.is_ascii_alphanumeric();
    while !a.is_empty() && !b.is_empty() {
        let (a_gap, a_rest) = take(a, separator);
        let (b_gap, b_rest) = take(b, separator);
        (a, b) = (a_rest, b_rest);
        if a.is_empty() || b.is_empty() {
            break;
        }
        if a_gap.len() != b_gap.len() {
            return a_gap.len().cmp(&b_gap.len());
        }
        let (order, a_rest, b_rest) = compare_turn(a, b);
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
    }
    let is_letter = |text: &[u8]| text.first().is_some_and(u8::is_ascii_alphabetic);
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) if is_letter(b) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, _) if is_letter(a) => Ordering::Less,
        (false, _) => Ordering::Greater,
    }
}
