//! Basic regular expressions, as `grep` reads them, in the syntax of the crate `regex`.
//!
//! In a basic expression (POSIX.1-2017, XBD 9.3, with GNU's additions) the characters `+ ? | ( ) {
//! }` stand for themselves and mean something only behind a backslash; `*` stands for itself at
//! the beginning, `^` and `$` mean the edges only at the edges. Everything is about bytes.

use thiserror::Error;

/// Why an expression cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BreError {
    /// `\1` and the like.
    #[error("it refers back to a group, which is not supported")]
    BackReference,
    /// A backslash at the end.
    #[error("it ends in a backslash")]
    TrailingBackslash,
    /// `[` without `]`.
    #[error("a '[' has no ']'")]
    OpenBracket,
}

/// Translates a basic expression.
///
/// # Errors
/// See [`BreError`]; other mistakes are found by the crate when it compiles the result.
pub fn translate(pattern: &str) -> Result<String, BreError> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut letters = pattern.chars().peekable();
    // Whether something that `*` could repeat came before, in this alternative.
    let mut at_start = true;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next().ok_or(BreError::TrailingBackslash)? {
                '1'..='9' => return Err(BreError::BackReference),
                opener @ ('(' | '|') => {
                    out.push(opener);
                    at_start = true;
                    continue;
                }
                operator @ (')' | '{' | '}' | '+' | '?') => out.push(operator),
                '<' => out.push_str(r"\b{start}"),
                '>' => out.push_str(r"\b{end}"),
                class @ ('w' | 'W' | 'b' | 'B' | 's' | 'S') => {
                    out.push('\\');
                    out.push(class);
                }
                other => literal(&mut out, other),
            },
            '[' => {
                bracket(&mut out, &mut letters)?;
            }
            '*' if at_start => literal(&mut out, '*'),
            '*' => out.push('*'),
            '.' => out.push('.'),
            '^' if at_start => {
                out.push('^');
                continue;
            }
            '$' if at_end(&letters) => out.push('$'),
            other => literal(&mut out, other),
        }
        at_start = false;
    }
    Ok(out)
}

fn at_end(rest: &std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut rest = rest.clone();
    match rest.next() {
        None => true,
        Some('\\') => matches!(rest.next(), Some(')' | '|')),
        Some(_) => false,
    }
}

fn literal(out: &mut String, letter: char) {
    if matches!(
        letter,
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' | '#'
    ) {
        out.push('\\');
    }
    out.push(letter);
}

/// Copies `...]`, in which a backslash is an ordinary character and `]` is one at the beginning.
fn bracket(
    out: &mut String,
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<(), BreError> {
    out.push('[');
    if letters.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    if letters.next_if_eq(&']').is_some() {
        out.push_str(r"\]");
    }
    loop {
        match letters.next().ok_or(BreError::OpenBracket)? {
            ']' => {
                out.push(']');
                return Ok(());
            }
            '[' if letters.peek() == Some(&':') => {
                out.push('[');
                // The name of a class, up to its own bracket.
                for letter in letters.by_ref() {
                    out.push(letter);
                    if letter == ']' {
                        break;
                    }
                }
            }
            '-' => out.push('-'),
            letter @ ('[' | '\\' | '&' | '~' | '^') => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use regex::bytes::RegexBuilder;

    use super::*;

    fn ours(pattern: &str, line: &str) -> bool {
        let regex = RegexBuilder::new(&translate(pattern).unwrap())
            .unicode(false)
            .build();
        regex.unwrap().is_match(line.as_bytes())
    }

    fn grep(pattern: &str, line: &str) -> bool {
        let mut child = Command::new("grep")
            .args(["-q", "-e", pattern])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{line}").unwrap();
        drop(input);
        child.wait().unwrap().success()
    }

    #[test]
    fn patterns_match_what_grep_matches() {
        let patterns = [
            "^./tmp/",
            "/tmp/",
            "^./a$",
            "a.b",
            "a\\.b",
            "a*",
            "*a",
            "a+b",
            "a\\+b",
            "(x)",
            "\\(x\\)*y",
            "a{2}",
            "a\\{2\\}",
            "a|b",
            "a\\|b",
            "a\\?b",
            "[[:digit:]]x",
            "[]x]",
            "[^]]z",
            "[a-c]d",
            "a^b",
            "a$b",
            "^*a",
            "\\.core$",
            "[.]core",
            "x[\\]y",
            "a&&b",
            "[a&&b]",
            "\\<tmp",
            "core\\>",
            "#x",
            "[0-9]*$",
            "\\^a",
            "\\(^a\\)",
            "~",
            "x\\{1,2\\}$",
        ];
        let lines = [
            "./tmp/x",
            "./var/tmp/x",
            "./tmp",
            "./a",
            "./ab",
            "a.b",
            "aXb",
            "aab",
            "*a",
            "a+b",
            "(x)",
            "xxy",
            "a{2}",
            "aa",
            "a|b",
            "b",
            "ab",
            "5x",
            "]",
            "z",
            "x]z",
            "cd",
            "a^b",
            "a$b",
            "./x.core",
            "./xcore",
            "x\\y",
            "a&&b",
            "&",
            "core dump",
            "#x",
            "",
            "^a",
            "~",
            "xx",
            "xxx",
        ];
        for pattern in patterns {
            for line in lines {
                let expected = grep(pattern, line);
                assert_eq!(ours(pattern, line), expected, "{pattern:?} on {line:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_translated_is_said() {
        assert_eq!(translate(r"\(a\)\1"), Err(BreError::BackReference));
        assert_eq!(translate("a\\"), Err(BreError::TrailingBackslash));
        assert_eq!(translate("[a"), Err(BreError::OpenBracket));
    }
}
