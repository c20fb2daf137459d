//! What an administrator leaves out of a backup: `/etc/exclude.rootvg` and lists of directories.
//!
//! A line of an exclude file is a pattern of `grep`, compared with names as `./etc/passwd`. A
//! pattern that is not anchored with `^./` matches anywhere in a name: `/tmp/` also leaves out
//! `./var/tmp/x`. That is what AIX does, so it is done here too, and said.

use std::collections::BTreeSet;

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use super::bre::{self, BreError};

/// How many places of an unanchored pattern are remembered.
const PLACES: usize = 4;

/// A line of an exclude file that cannot be used.
#[derive(Debug, Error)]
#[error("line {line}, '{pattern}': {why}")]
pub struct PatternError {
    line: usize,
    pattern: String,
    why: String,
}

/// The patterns of one exclude file.
#[derive(Debug, Default)]
pub struct Excludes {
    patterns: Vec<Pattern>,
    blank_lines: usize,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    regex: Regex,
    matches: u64,
    /// Directories in which an unanchored pattern matched.
    places: BTreeSet<Vec<u8>>,
}

impl Excludes {
    /// Reads an exclude file: one pattern to a line. Blank lines, which would leave out everything,
    /// count for nothing; lines that begin with `#` match no name and may be comments.
    ///
    /// # Errors
    /// The first line that is no pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut excludes = Self::default();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                excludes.blank_lines += 1;
            } else if !line.starts_with('#') {
                let pattern = Pattern::new(line).map_err(|why| PatternError {
                    line: number + 1,
                    pattern: line.escape_debug().to_string(),
                    why,
                })?;
                excludes.patterns.push(pattern);
            }
        }
        Ok(excludes)
    }

    /// Whether `path`, as `./tmp/x`, is left out.
    pub fn matches(&mut self, path: &[u8]) -> bool {
        // The first one decides; which other ones would have matched too is of no interest.
        self.patterns
            .iter_mut()
            .any(|pattern| pattern.matches(path))
    }

    /// What the administrator should know after all names were asked for.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.blank_lines > 0 {
            remarks.push(format!(
                "{} blank lines in the exclude file were passed over (to grep, they match every name)",
                self.blank_lines
            ));
        }
        for pattern in &self.patterns {
            remarks.extend(pattern.remark());
        }
        remarks
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let translated = bre::translate(text).map_err(|error: BreError| error.to_string())?;
        let regex = RegexBuilder::new(&translated)
            .unicode(false)
            .dot_matches_new_line(true)
            .build()
            .map_err(|_| "it is no basic regular expression".to_owned())?;
        Ok(Self {
            text: text.to_owned(),
            regex,
            matches: 0,
            places: BTreeSet::new(),
        })
    }

    fn matches(&mut self, path: &[u8]) -> bool {
        let Some(found) = self.regex.find(path) else {
            return false;
        };
        self.matches += 1;
        if !self.text.starts_with('^') && self.places.len() < PLACES {
            // Up to where the match begins: two of these mean that it matched in two places.
            self.places.insert(path[..found.start()].to_vec());
        }
        true
    }

    fn remark(&self) -> Option<String> {
        let text = self.text.escape_debug();
        if self.places.len() > 1 {
            let places: Vec<_> = self
                .places
                .iter()
                .map(|place| place.escape_ascii())
                .collect();
            let places: Vec<_> = places.iter().map(|place| format!("'{place}'")).collect();
            return Some(format!(
                "pattern '{text}' is not anchored and left out names behind {}; begin it with '^./' \
                 to mean one place",
                places.join(", ")
            ));
        }
        (self.matches == 0).then(|| format!("pattern '{text}' matched no name"))
    }
}

/// Directories from a list, one to a line, as paths from the root without the leading `/`.
pub fn parse_directories(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let line = line.strip_prefix('.').unwrap_or(line);
            let parts = line.split('/').filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join("/")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchored_pattern_means_one_place() {
        let mut excludes = Excludes::parse("^./tmp/\n").unwrap();
        assert!(excludes.matches(b"./tmp/x"));
        assert!(!excludes.matches(b"./tmp"));
        assert!(!excludes.matches(b"./var/tmp/x"));
        assert!(excludes.remarks().is_empty());
    }

    #[test]
    fn an_unanchored_pattern_matches_everywhere_and_that_is_said() {
        let mut excludes = Excludes::parse("/tmp/\n\n").unwrap();
        assert!(excludes.matches(b"./tmp/x"));
        assert!(excludes.matches(b"./var/tmp/x"));
        let remarks = excludes.remarks();
        assert_eq!(remarks.len(), 2);
        assert!(remarks[0].starts_with("1 blank lines"), "{remarks:?}");
        assert!(
            remarks[1].contains("not anchored and left out names behind '.', './var'"),
            "{remarks:?}"
        );
    }

    #[test]
    fn a_pattern_that_matched_nothing_is_told() {
        let mut excludes = Excludes::parse("# comment\n^./no$").unwrap();
        assert!(!excludes.matches(b"./yes"));
        assert_eq!(excludes.remarks(), ["pattern '^./no$' matched no name"]);
    }

    #[test]
    fn names_are_bytes() {
        let mut excludes = Excludes::parse("^./a.b$").unwrap();
        assert!(excludes.matches(b"./a\xffb"));
        assert!(excludes.matches(b"./a\nb"));
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = Excludes::parse("ok\n[x\n").unwrap_err().to_string();
        assert_eq!(error, "line 2, '[x': a '[' has no ']'");
        assert!(Excludes::parse("\\(a").is_err());
    }

    #[test]
    fn lists_of_directories_are_read() {
        assert_eq!(
            parse_directories("/usr\n\n/opt/x/ \n./data\n#n\n"),
            ["usr", "opt/x", "data"]
        );
    }
}
