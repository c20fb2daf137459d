//! A set of processors, in the form of the kernel: `0-3,6`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::amount::number;

/// Highest number of a processor.
const LAST: u32 = 8191;

/// Most ranges of a list.
const RANGES_MAX: usize = 256;

/// A list of processors that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuList(Vec<(u32, u32)>);

impl CpuList {
    /// The list that `text` says, with AIX's `sys/cpu.00003` for a single processor; `None` if it says
    /// nothing.
    ///
    /// # Errors
    /// What it should be.
    pub fn parse_or_none(text: &str) -> Result<Option<Self>, &'static str> {
        const WHY: &str = "it is a list of processors, as in 0-3,6";
        if text.is_empty() {
            return Ok(None);
        }
        let one = |text: &str| {
            let text = text.strip_prefix("sys/cpu.").unwrap_or(text);
            let cpu = u32::try_from(number(text)?).ok()?;
            (cpu <= LAST).then_some(cpu)
        };
        let range = |text: &str| match text.split_once('-') {
            None => one(text).map(|cpu| (cpu, cpu)),
            Some((first, last)) => one(first)
                .zip(one(last))
                .filter(|(first, last)| first <= last),
        };
        let ranges: Option<Vec<_>> = text.split(',').map(str::trim).map(range).collect();
        match ranges {
            Some(ranges) if ranges.len() <= RANGES_MAX => Ok(Some(Self(ranges))),
            _ => Err(WHY),
        }
    }

    /// How many processors it names, of which each counts once.
    pub fn count(&self) -> u32 {
        let all: std::collections::BTreeSet<u32> = self
            .0
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .collect();
        u32::try_from(all.len()).unwrap_or(u32::MAX)
    }

    /// The highest processor of the list.
    pub fn last(&self) -> u32 {
        self.0.iter().map(|(_, last)| *last).max().unwrap_or(0)
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for CpuList {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse_or_none(&text)?.ok_or("a list of processors is not empty")
    }
}

impl From<CpuList> for String {
    fn from(list: CpuList) -> Self {
        list.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_those_of_the_kernel_and_names_of_aix() {
        let list = |text| CpuList::parse_or_none(text).unwrap().unwrap();
        assert_eq!(list("0-3,6").to_string(), "0-3,6");
        assert_eq!(list("sys/cpu.00003").to_string(), "3");
        assert_eq!(list("0-3,2,6").count(), 5);
        assert_eq!((list("0-3,6").last(), list("7,1").last()), (6, 7));
        assert_eq!(CpuList::parse_or_none(""), Ok(None));
        for bad in ["-", "1-", "3-1", "0-8192", "a", "0,,1", "-1", "sys/node.0"] {
            assert!(CpuList::parse_or_none(bad).is_err(), "{bad}");
        }
    }
}
