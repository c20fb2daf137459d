//! Amounts of processor, memory and disk: percentages, bytes, and bytes in a second.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MEMORY_MIN, RATE_MIN};
use crate::model::amount::{in_suffix, number, with_suffix};

/// A size in bytes, written `512MB` or `512M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Bytes {
    /// The bytes that `text` says.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse(text: &str) -> Result<u64, &'static str> {
        const WHY: &str = "it is a number with the suffix M, G or T (or MB, GB, TB), at least 4M";
        let size = with_suffix(text.strip_suffix(['b', 'B']).unwrap_or(text));
        size.filter(|size| *size >= MEMORY_MIN).ok_or(WHY)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match in_suffix(self.0) {
            Some((number, letter)) => write!(f, "{number}{letter}B"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A rate in bytes in each second, written `50MB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl Rate {
    /// The bytes in a second that `text` says.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse(text: &str) -> Result<u64, &'static str> {
        const WHY: &str = "it is as in 50MB/s (K, M or G), at least 64K/s, or 'unlimited'";
        let size = text.strip_suffix("/s").unwrap_or(text);
        let size = with_suffix(size.strip_suffix(['b', 'B']).unwrap_or(size));
        size.filter(|size| *size >= RATE_MIN).ok_or(WHY)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Bytes(self.0))
    }
}

/// AIX's `MIN%-SOFT%,HARD%`: what is kept for a WPAR, what it is held to if others want more, and what
/// it never exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentages {
    /// Kept for it.
    pub min: u8,
    /// Exceeded only while others do not want it.
    pub soft: u8,
    /// Never exceeded.
    pub hard: u8,
}

impl Default for Percentages {
    fn default() -> Self {
        Self {
            min: 0,
            soft: 100,
            hard: 100,
        }
    }
}

impl Percentages {
    /// The percentages that `text` says; a single one is the hard limit.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WHY: &str = "it is MIN%-SOFT%,HARD% or HARD%, from 0 to 100";
        let percent = |text: &str| {
            let value = number(text.trim().strip_suffix('%')?)?;
            u8::try_from(value).ok().filter(|value| *value <= 100)
        };
        let range = match text.split_once('-') {
            None => percent(text).map(|hard| Self {
                min: 0,
                soft: hard,
                hard,
            }),
            Some((min, rest)) => {
                let (soft, hard) = rest.split_once(',').unwrap_or((rest, "100%"));
                let parts = percent(min).zip(percent(soft)).zip(percent(hard));
                parts.map(|((min, soft), hard)| Self { min, soft, hard })
            }
        };
        let range = range.ok_or(WHY)?;
        if range.min > range.soft || range.soft > range.hard {
            return Err("the percentages must not fall from the first to the last");
        }
        match range.hard {
            0 => Err("the last must be more than 0%"),
            _ => Ok(range),
        }
    }

    /// Whether it limits nothing.
    pub fn is_all(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Percentages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%-{}%,{}%", self.min, self.soft, self.hard)
    }
}

/// How much of the host's memory a WPAR may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryLimit {
    /// Parts of it.
    Part(Percentages),
    /// So many bytes at the most. AIX has only parts.
    Bytes(u64),
}

impl Default for MemoryLimit {
    fn default() -> Self {
        Self::Part(Percentages::default())
    }
}

impl MemoryLimit {
    /// The limit that `text` says; `None` for `unlimited`.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        if text == super::UNLIMITED {
            return Ok(None);
        }
        if text.contains('%') {
            return Percentages::parse(text).map(|part| Some(Self::Part(part)));
        }
        let size = Bytes::parse(text).map(|size| Some(Self::Bytes(size)));
        size.map_err(|_| "it is MIN%-SOFT%,HARD%, or a size from 4M up, as in 512M")
    }

    /// Whether it limits nothing.
    pub fn is_all(self) -> bool {
        matches!(self, Self::Part(part) if part.is_all())
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => part.fmt(f),
            Self::Bytes(size) => Bytes(*size).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_suffixes_of_aix_and_of_everybody() {
        for (text, bytes) in [
            ("4096K", 4 << 20),
            ("512MB", 512 << 20),
            ("512m", 512 << 20),
            ("3GB", 3 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(Bytes::parse(text), Ok(bytes), "{text}");
            assert_eq!(Bytes::parse(&Bytes(bytes).to_string()), Ok(bytes));
        }
        for text in [
            "",
            "B",
            "M",
            "MB",
            "1",
            "\u{e9}",
            "1.5G",
            "3M",
            "16777216TB",
        ] {
            assert!(Bytes::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_sizes_in_a_second() {
        for (text, bytes) in [
            ("50MB/s", 50 << 20),
            ("50M", 50 << 20),
            ("64K/s", 64 << 10),
            ("1g/s", 1 << 30),
        ] {
            assert_eq!(Rate::parse(text), Ok(bytes), "{text}");
            assert_eq!(Rate::parse(&Rate(bytes).to_string()), Ok(bytes));
        }
        assert_eq!(Rate(50 << 20).to_string(), "50MB/s");
        for text in ["", "50", "50/s", "63K/s", "-1M/s", "50M/min", "/s"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_may_be_said_in_part() {
        let parse = |text| Percentages::parse(text).unwrap().to_string();
        assert_eq!(parse("0%-50%,60%"), "0%-50%,60%");
        assert_eq!(parse("10%-50%"), "10%-50%,100%");
        assert_eq!(parse("50%"), "0%-50%,50%");
        for text in ["", "%", "50", "-50%", "1%-2%,3", "1%-2%,3%,4%"] {
            assert!(Percentages::parse(text).is_err(), "{text}");
        }
    }
}
