//! The form of a specification file: stanzas, lines, quotes. Knows no key.
//!
//! A line is `key = "value"`, or without quotes; the operators `+=` and `-=` are a part of some keys.
//! In quotes, `\"` and `\\` stand for `"` and `\`. Lines that begin with `#` or `*` are comments.

use super::SpecError;
use crate::model::image_data::stanza_name;

/// A stanza.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stanza<'a> {
    pub(super) name: &'a str,
    /// Number of its line.
    pub(super) number: usize,
    pub(super) lines: Vec<Line<'a>>,
}

/// A line of a stanza.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) key: &'a str,
    /// `+=` or `-=`, or empty for `=`.
    pub(super) operator: &'a str,
    pub(super) value: String,
}

/// The stanzas of a file, in order.
pub(super) fn stanzas(text: &str) -> Result<Vec<Stanza<'_>>, SpecError> {
    let mut found: Vec<Stanza<'_>> = Vec::new();
    for (number, whole) in text.lines().enumerate() {
        let number = number + 1;
        let error = |what: &str| SpecError {
            line: number,
            what: what.to_owned(),
        };
        let line = whole.trim();
        if line.is_empty() || line.starts_with(['#', '*']) {
            continue;
        }
        if line
            .chars()
            .any(|letter| letter.is_control() && letter != '\t')
        {
            return Err(error("there is a control character in it"));
        }
        if let Some(name) = stanza_name(line) {
            found.push(Stanza {
                name,
                number,
                lines: Vec::new(),
            });
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| error("it is neither 'stanza:' nor 'key = \"value\"'"))?;
        let (key, operator) = split_operator(key.trim());
        let value = unquote(value.trim()).map_err(error)?;
        let stanza = found
            .last_mut()
            .ok_or_else(|| error("it stands before the first stanza"))?;
        if stanza
            .lines
            .iter()
            .any(|known| (known.key, known.operator) == (key, operator))
        {
            let what = format!("{key} is in the stanza {} already", stanza.name);
            return Err(SpecError { line: number, what });
        }
        stanza.lines.push(Line {
            number,
            key,
            operator,
            value,
        });
    }
    Ok(found)
}

fn split_operator(key: &str) -> (&str, &str) {
    for (sign, operator) in [('+', "+="), ('-', "-=")] {
        if let Some(key) = key.strip_suffix(sign) {
            return (key.trim_end(), operator);
        }
    }
    (key, "")
}

fn unquote(value: &str) -> Result<String, &'static str> {
    let Some(rest) = value.strip_prefix('"') else {
        return match value.contains('"') {
            true => Err("there is a quote inside the value"),
            false => Ok(value.to_owned()),
        };
    };
    let mut plain = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next() {
            None => return Err("the quote is not closed"),
            Some('"') => break,
            Some('\\') => match letters.next() {
                Some(letter @ ('"' | '\\')) => plain.push(letter),
                _ => return Err("a '\\' in quotes stands before '\"' or '\\'"),
            },
            Some(letter) => plain.push(letter),
        }
    }
    match letters.as_str().trim() {
        "" => Ok(plain),
        rest if rest.starts_with('#') => Ok(plain),
        _ => Err("there is something behind the closing quote"),
    }
}

/// A line as [`stanzas`] reads it; `None` if the value cannot be written.
pub(super) fn line(key: &str, value: &str) -> Option<String> {
    if value.chars().any(char::is_control) {
        return None;
    }
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    Some(format!("\t{key} = \"{quoted}\"\n"))
}
