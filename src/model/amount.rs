//! Numbers and sizes, as commands are told them: digits alone, and the suffixes K, M, G and T.

const SUFFIXES: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];

/// Digits alone: no sign.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The bytes of a number with a suffix, in either case.
pub(super) fn with_suffix(text: &str) -> Option<u64> {
    let suffix = text.chars().next_back()?.to_ascii_uppercase();
    let (_, shift) = SUFFIXES.iter().find(|(letter, _)| *letter == suffix)?;
    number(text.get(..text.len() - 1)?)?.checked_mul(1 << shift)
}

/// A size as the number and the largest suffix that say it without a rest.
pub(super) fn in_suffix(size: u64) -> Option<(u64, char)> {
    let whole = SUFFIXES
        .iter()
        .rev()
        .find(|(_, shift)| size > 0 && size.is_multiple_of(1 << shift));
    whole.map(|(letter, shift)| (size >> shift, *letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_go_there_and_back() {
        for (text, bytes) in [("4096K", 4 << 20), ("512m", 512 << 20), ("3T", 3 << 40)] {
            assert_eq!(with_suffix(text), Some(bytes), "{text}");
        }
        for text in ["", "M", "1", "-1M", "1.5G", "\u{e9}", "16777216T"] {
            assert_eq!(with_suffix(text), None, "{text}");
        }
        assert_eq!(in_suffix(10 << 30), Some((10, 'G')));
        assert_eq!(in_suffix((1 << 20) + 1), None);
        assert_eq!(in_suffix(0), None);
        assert_eq!((number("+1"), number("7")), (None, Some(7)));
    }
}
