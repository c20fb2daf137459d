//! Bytes from an image as text that is safe on a terminal and can be told back into bytes.
//!
//! A backslash is doubled; `\n`, `\t` and `\r` stand for these; a byte that is not UTF-8 is `\xNN`; a
//! character that is not printed, or changes how others are (controls, directions, unassigned), is
//! `\u{N}`.

/// A name or value.
pub fn bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            push(&mut shown, letter);
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// A string.
pub fn text(text: &str) -> String {
    bytes(text.as_bytes())
}

/// A line of a text: tabs and backslashes stay.
pub(super) fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '\t' => shown.push(letter),
            letter => push(&mut shown, letter),
        }
    }
    shown
}

fn push(shown: &mut String, letter: char) {
    match letter {
        '"' | '\'' => shown.push(letter),
        // Escapes what Unicode does not count as printable.
        letter => shown.extend(letter.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_gets_through() {
        for (raw, shown) in [
            (&b"plain name's \"x\""[..], "plain name's \"x\""),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            (b"\x1b[31mred", "\\u{1b}[31mred"),
            (b"a\nb\tc\rd\\e", "a\\nb\\tc\\rd\\\\e"),
            (b"\xff\xc3", "\\xff\\xc3"),
            ("\u{9b}2J".as_bytes(), "\\u{9b}2J"),
            ("a\u{202e}b\u{2066}".as_bytes(), "a\\u{202e}b\\u{2066}"),
            (b"\0\x07\x7f", "\\0\\u{7}\\u{7f}"),
        ] {
            assert_eq!(bytes(raw), shown);
        }
        assert_eq!(line("\ta\\b\x1b"), "\ta\\b\\u{1b}");
    }
}
