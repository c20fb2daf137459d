//! Resource controls: `-R key=value ...`, as AIX names them.
//!
//! What is said is kept as it was said, in AIX's terms, and shown again; what it means for a kernel is
//! [`crate::policy::resources`]'. What no kernel here can do is refused with the reason, never kept
//! without effect.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod amount;
mod cpu_list;
#[cfg(test)]
mod tests;

pub use amount::{Bytes, MemoryLimit, Percentages, Rate};

pub use cpu_list::CpuList;

/// Fewest processes or threads that a WPAR can be limited to: its own few at the start.
pub const TASKS_MIN: u64 = 8;

/// Least memory: less is a wrong unit.
pub const MEMORY_MIN: u64 = 4 << 20;

/// Least rate of a disk: less is a wrong unit, and too little for a start.
pub const RATE_MIN: u64 = 64 << 10;

/// What has no limit, or no share.
pub const UNLIMITED: &str = "unlimited";

/// Every key, in the order of `lswpar -R`.
pub const KEYS: [&str; 19] = [
    "active",
    "rset",
    "shares_CPU",
    "CPU",
    "shares_memory",
    "memory",
    "procVirtMem",
    "totalVirtMem",
    "totalProcesses",
    "totalThreads",
    "totalPTYs",
    "totalLargePages",
    "pct_msgIDs",
    "pct_semIDs",
    "pct_shmIDs",
    "pct_pinMem",
    "ioRead",
    "ioWrite",
    "ioWeight",
];

/// The resource controls of a WPAR; what is not said is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Whether the others are in force.
    pub active: bool,
    /// Processors that it may run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rset: Option<CpuList>,
    /// Its share of the processors against others; 100 is that of one without shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares_cpu: Option<u32>,
    /// Its part of all processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percentages>,
    /// Its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryLimit>,
    /// Address space of each process, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_memory: Option<u64>,
    /// Memory and swap space together, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_memory: Option<u64>,
    /// Processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Maximum>,
    /// Threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Pseudo terminals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminals: Option<u64>,
    /// Bytes in a second that it reads from each disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_read: Option<u64>,
    /// Bytes in a second that it writes to each disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_write: Option<u64>,
    /// Its weight at the disks against others; 100 is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<u32>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            active: true,
            rset: None,
            shares_cpu: None,
            cpu: None,
            memory: None,
            process_memory: None,
            total_memory: None,
            processes: None,
            threads: None,
            terminals: None,
            io_read: None,
            io_write: None,
            io_weight: None,
        }
    }
}

/// A limit that can be taken away, too, where there is one without being said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Maximum {
    /// None.
    Unlimited,
    /// This many.
    At(u64),
}

/// Why a resource control cannot be set.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResourceError {
    /// Not of the form `name=value`.
    #[error("'{0}' is not of the form name=value")]
    NotAPair(String),
    /// No such control.
    #[error("there is no resource control '{0}'; there are {list}", list = KEYS.join(", "))]
    Unknown(String),
    /// A value that the control cannot have.
    #[error("{key} cannot be '{}': {why}", .value.escape_debug())]
    Value {
        /// The control.
        key: &'static str,
        /// The value.
        value: String,
        /// What it could be.
        why: &'static str,
    },
    /// A control that nothing here can do.
    #[error("{key} can only be '{only}': {why}")]
    Unsupported {
        /// The control.
        key: &'static str,
        /// The value that is so anyway.
        only: &'static str,
        /// Why.
        why: &'static str,
    },
}

/// Controls that have no effect here: the only value, and why.
const UNSUPPORTED: [(&str, &str, &str); 6] = [
    (
        "shares_memory",
        UNLIMITED,
        "Linux has no shares of memory; use memory=MIN%-SOFT%,HARD%",
    ),
    (
        "totalLargePages",
        UNLIMITED,
        "large pages are reserved for the whole host; transparent ones count as memory",
    ),
    ("pct_msgIDs", "100%", OWN_IDS),
    ("pct_semIDs", "100%", OWN_IDS),
    ("pct_shmIDs", "100%", OWN_IDS),
    (
        "pct_pinMem",
        "100%",
        "pinned memory counts as memory, and is limited by memory=",
    ),
];
const OWN_IDS: &str =
    "every workload partition has its own IPC identifiers, and takes none of others";

impl Resources {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Sets what `pairs` (`name=value` each) say; later ones win.
    ///
    /// # Errors
    /// The first pair that is not understood or cannot be.
    pub fn set<T: AsRef<str>>(&mut self, pairs: &[T]) -> Result<(), ResourceError> {
        for pair in pairs {
            let pair = pair.as_ref();
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| ResourceError::NotAPair(pair.to_owned()))?;
            self.set_one(key, value)?;
        }
        Ok(())
    }

    /// Takes back what is said of these controls.
    ///
    /// # Errors
    /// The first that does not exist.
    pub fn reset<T: AsRef<str>>(&mut self, keys: &[T]) -> Result<(), ResourceError> {
        let none = Self::default();
        for key in keys {
            match key.as_ref() {
                "active" => self.active = true,
                "rset" => self.rset = none.rset.clone(),
                "shares_CPU" => self.shares_cpu = None,
                "CPU" => self.cpu = None,
                "memory" => self.memory = None,
                "procVirtMem" => self.process_memory = None,
                "totalVirtMem" => self.total_memory = None,
                "totalProcesses" => self.processes = None,
                "totalThreads" => self.threads = None,
                "totalPTYs" => self.terminals = None,
                "ioRead" => self.io_read = None,
                "ioWrite" => self.io_write = None,
                "ioWeight" => self.io_weight = None,
                other if KEYS.contains(&other) => {}
                other => return Err(ResourceError::Unknown(other.to_owned())),
            }
        }
        Ok(())
    }

    fn set_one(&mut self, key: &str, value: &str) -> Result<(), ResourceError> {
        let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
            return Err(ResourceError::Unknown(key.to_owned()));
        };
        let bad = |why| ResourceError::Value {
            key,
            value: value.to_owned(),
            why,
        };
        let is_unlimited = value == UNLIMITED;
        if let Some((_, only, why)) = UNSUPPORTED.iter().find(|(known, ..)| *known == key) {
            return match value == *only {
                true => Ok(()),
                false => Err(ResourceError::Unsupported { key, only, why }),
            };
        }
        let count = |least: u64, why| {
            let number = crate::model::amount::number(value).filter(|number| *number >= least);
            number.ok_or_else(|| bad(why))
        };
        match key {
            "active" => {
                self.active = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(bad("it is 'yes' or 'no'")),
                }
            }
            "rset" => self.rset = CpuList::parse_or_none(value).map_err(bad)?,
            "shares_CPU" => {
                const WHY: &str = "it is a number from 1 to 65535, or 'unlimited'";
                self.shares_cpu = match is_unlimited {
                    true => None,
                    false => Some(
                        u32::try_from(count(1, WHY)?)
                            .ok()
                            .filter(|shares| *shares <= 65_535)
                            .ok_or_else(|| bad(WHY))?,
                    ),
                };
            }
            "CPU" => {
                let range = Percentages::parse(value).map_err(bad)?;
                self.cpu = Some(range).filter(|range| !range.is_all());
            }
            "memory" => {
                let limit = MemoryLimit::parse(value).map_err(bad)?;
                self.memory = limit.filter(|limit| !limit.is_all());
            }
            "procVirtMem" | "totalVirtMem" => {
                let limit = match is_unlimited {
                    true => None,
                    false => Some(Bytes::parse(value).map_err(bad)?),
                };
                match key {
                    "procVirtMem" => self.process_memory = limit,
                    _ => self.total_memory = limit,
                }
            }
            "ioRead" | "ioWrite" => {
                let rate = match is_unlimited {
                    true => None,
                    false => Some(Rate::parse(value).map_err(bad)?),
                };
                match key {
                    "ioRead" => self.io_read = rate,
                    _ => self.io_write = rate,
                }
            }
            "ioWeight" => {
                const WHY: &str = "it is a number from 1 to 1000, or 'unlimited'";
                self.io_weight = match is_unlimited {
                    true => None,
                    false => Some(
                        u32::try_from(count(1, WHY)?)
                            .ok()
                            .filter(|weight| *weight <= 1000)
                            .ok_or_else(|| bad(WHY))?,
                    ),
                };
            }
            "totalProcesses" => {
                self.processes = Some(match is_unlimited {
                    true => Maximum::Unlimited,
                    false => Maximum::At(count(TASKS_MIN, TASKS)?),
                });
            }
            "totalThreads" => {
                self.threads = match is_unlimited {
                    true => None,
                    false => Some(count(TASKS_MIN, TASKS)?),
                };
            }
            _ => {
                const WHY: &str = "it is a number from 1 up, or 'unlimited'";
                self.terminals = match is_unlimited {
                    true => None,
                    false => Some(count(1, WHY)?),
                };
            }
        }
        Ok(())
    }

    /// What holds of a control, as it is said and shown; empty if there is no such control.
    /// `tasks` is how many processes there may be if nothing is said.
    pub fn value(&self, key: &str, tasks: Option<u64>) -> String {
        let or_unlimited = |value: Option<String>| value.unwrap_or_else(|| UNLIMITED.to_owned());
        let number = |value: Option<u64>| or_unlimited(value.map(|number| number.to_string()));
        let bytes = |value: Option<u64>| or_unlimited(value.map(|size| Bytes(size).to_string()));
        let rate = |value: Option<u64>| or_unlimited(value.map(|rate| Rate(rate).to_string()));
        match key {
            "active" => if self.active { "yes" } else { "no" }.to_owned(),
            "rset" => self
                .rset
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            "shares_CPU" => number(self.shares_cpu.map(u64::from)),
            "CPU" => self.cpu.unwrap_or_default().to_string(),
            "memory" => self.memory.unwrap_or_default().to_string(),
            "procVirtMem" => bytes(self.process_memory),
            "totalVirtMem" => bytes(self.total_memory),
            "totalProcesses" => match self.processes {
                Some(Maximum::Unlimited) => UNLIMITED.to_owned(),
                Some(Maximum::At(count)) => count.to_string(),
                None if self.threads.is_some() => UNLIMITED.to_owned(),
                None => number(tasks),
            },
            "totalThreads" => number(self.threads),
            "totalPTYs" => number(self.terminals),
            "ioRead" => rate(self.io_read),
            "ioWrite" => rate(self.io_write),
            "ioWeight" => number(self.io_weight.map(u64::from)),
            other => UNSUPPORTED
                .iter()
                .find(|(known, ..)| *known == other)
                .map(|(_, only, _)| (*only).to_owned())
                .unwrap_or_default(),
        }
    }

    /// What is said, as `-R` takes it.
    pub fn pairs(&self) -> Vec<String> {
        let none = Self::default();
        KEYS.into_iter()
            .map(|key| (key, self.value(key, None), none.value(key, None)))
            .filter(|(key, value, default)| {
                value != default
                    || *key == "totalProcesses" && self.processes == Some(Maximum::Unlimited)
            })
            .map(|(key, value, _)| format!("{key}={value}"))
            .collect()
    }
}

const TASKS: &str = "it is a number from 8 up, or 'unlimited'";

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pairs().join(" "))
    }
}
