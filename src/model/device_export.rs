//! Devices of the host that a WPAR has, too: `-D devname=... export=yes|no`, and the file that says
//! which may be given away at all.
//!
//! That file, `/etc/wpars/devexports`, has AIX's form: the line `name:` begins an entry, in which
//! `value` is a path with shell wildcards and `auto` says whether every new system WPAR gets it. What
//! is not in it cannot be exported.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::pattern::matches;

/// Names in `/dev` that every WPAR has of its own.
const STANDARD: [&str; 14] = [
    "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue",
    "fd", "stdin", "stdout",
];

/// Path of a device node below `/dev`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceName(String);

impl DeviceName {
    /// A name with or without `/dev/`.
    ///
    /// # Errors
    /// If it leads out of `/dev`, or is none.
    pub fn new(text: &str) -> Result<Self, DeviceError> {
        let name = text.strip_prefix("/dev/").unwrap_or(text);
        let good = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.len() <= 255
                && part.chars().all(|c| c.is_ascii_graphic())
        };
        let first = name.split('/').next().unwrap_or_default();
        if name.len() > 1024 || !name.split('/').all(good) {
            return Err(DeviceError::BadName(text.to_owned()));
        }
        if STANDARD.contains(&first) || name == "stderr" {
            return Err(DeviceError::Standard(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name below `/dev`.
    pub fn below_dev(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/{}", self.0)
    }
}

impl TryFrom<String> for DeviceName {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        Self::new(&text)
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

/// What one `-D` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The device.
    pub name: DeviceName,
    /// Whether the WPAR is to have it.
    pub export: bool,
}

impl DeviceRequest {
    /// The requests that `pairs` (`name=value` each) make; each begins with `devname`.
    ///
    /// # Errors
    /// The first pair that is not understood.
    pub fn parse<T: AsRef<str>>(pairs: &[T]) -> Result<Vec<Self>, DeviceError> {
        let mut requests: Vec<Self> = Vec::new();
        for pair in pairs {
            let pair = pair.as_ref();
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| DeviceError::NotAPair(pair.to_owned()))?;
            if key == "devname" {
                requests.push(Self {
                    name: DeviceName::new(value)?,
                    export: true,
                });
                continue;
            }
            let request = requests
                .last_mut()
                .ok_or_else(|| DeviceError::Nameless(pair.to_owned()))?;
            match (key, value) {
                ("export", "yes") => request.export = true,
                ("export", "no") => request.export = false,
                // AIX's kinds of nodes; here the node itself tells.
                ("devtype", "pseudo" | "clone" | "disk" | "tape" | "cdrom") | ("rootvg", "no") => {}
                ("export", _) => return Err(DeviceError::NotYesOrNo(value.to_owned())),
                ("rootvg", _) => return Err(DeviceError::RootVg),
                _ => return Err(DeviceError::Unknown(pair.to_owned())),
            }
        }
        Ok(requests)
    }
}

/// Why devices cannot be exported as asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DeviceError {
    /// Not of the form `name=value`.
    #[error("'{0}' is not of the form name=value")]
    NotAPair(String),
    /// No such attribute, or no such value.
    #[error("'{0}' says nothing of a device; there are devname, devtype and export")]
    Unknown(String),
    /// Neither `yes` nor `no`.
    #[error("export is 'yes' or 'no', not '{0}'")]
    NotYesOrNo(String),
    /// An attribute of no device.
    #[error("'{0}' belongs to no device: devname comes first")]
    Nameless(String),
    /// The root file system on a device of its own.
    #[error("rootvg=yes: WPARs with a root volume group of their own are not made")]
    RootVg,
    /// No path below `/dev`.
    #[error("'{}' is no device below /dev", .0.escape_debug())]
    BadName(String),
    /// One that every WPAR has.
    #[error("/dev/{0} is in every WPAR, its own")]
    Standard(String),
    /// Not in the file.
    #[error("{0} may not be exported: {1} does not name it")]
    NotExportable(DeviceName, String),
    /// Not there.
    #[error("there is no device {0}")]
    Missing(DeviceName),
    /// The file is not in its form.
    #[error("line {0} of the list of devices is not understood")]
    BadLine(usize),
}

/// One entry of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: String,
    auto: bool,
}

/// What may be exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceExports {
    rules: Vec<Rule>,
}

impl DeviceExports {
    /// The contents of a devexports file.
    ///
    /// # Errors
    /// [`DeviceError::BadLine`].
    pub fn parse(text: &str) -> Result<Self, DeviceError> {
        let mut rules: Vec<Rule> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '*']) {
                continue;
            }
            if line.ends_with(':') {
                rules.push(Rule {
                    pattern: String::new(),
                    auto: true,
                });
                continue;
            }
            let bad = || DeviceError::BadLine(number);
            let (key, value) = line.split_once('=').ok_or_else(bad)?;
            let value = value.trim().trim_matches('"');
            let rule = rules.last_mut().ok_or_else(bad)?;
            match (key.trim(), value) {
                ("value", path) => {
                    let pattern = path.strip_prefix("/dev/").ok_or_else(bad)?;
                    pattern.clone_into(&mut rule.pattern);
                }
                ("auto", "yes") => rule.auto = true,
                ("auto", "no") => rule.auto = false,
                _ => return Err(bad()),
            }
        }
        Ok(Self { rules })
    }

    /// Whether some are exported without being asked for.
    pub fn has_automatic(&self) -> bool {
        self.rules.iter().any(|rule| rule.auto)
    }

    /// The devices that a new WPAR gets, sorted. `present` are those that the host has; `file` is
    /// what the rules were read from.
    ///
    /// # Errors
    /// A device that may not be exported, or is not there.
    pub fn grant(
        &self,
        requests: &[DeviceRequest],
        present: &[DeviceName],
        file: &str,
    ) -> Result<Vec<DeviceName>, DeviceError> {
        let refused = |name: &DeviceName| {
            let mut requests = requests.iter().rev();
            requests
                .find(|request| request.name == *name)
                .is_some_and(|request| !request.export)
        };
        let automatic = present
            .iter()
            .filter(|name| self.rules.iter().any(|rule| rule.auto && rule.names(name)));
        let mut granted: Vec<DeviceName> = automatic.cloned().collect();
        for request in requests.iter().filter(|request| request.export) {
            let name = &request.name;
            if !self.rules.iter().any(|rule| rule.names(name)) {
                return Err(DeviceError::NotExportable(name.clone(), file.to_owned()));
            }
            if !present.contains(name) {
                return Err(DeviceError::Missing(name.clone()));
            }
            granted.push(name.clone());
        }
        granted.retain(|name| !refused(name));
        granted.sort();
        granted.dedup();
        Ok(granted)
    }
}

impl Rule {
    /// Whether it names a device: as in a shell, a star is within one component.
    fn names(&self, name: &DeviceName) -> bool {
        let (pattern, name) = (self.pattern.split('/'), name.below_dev().split('/'));
        pattern.clone().count() == name.clone().count()
            && pattern
                .zip(name)
                .all(|(pattern, part)| matches(pattern, part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "* AIX's comments\n# and ours\n\
        name:\n\tvalue = \"/dev/fuse\"\n\tauto = \"no\"\n\
        name:\n\tvalue=\"/dev/dri/*\"\n\
        name:\n\tvalue = \"/dev/loop?\"\n\tauto = \"no\"\n";

    fn names(texts: &[&str]) -> Vec<DeviceName> {
        texts
            .iter()
            .map(|text| DeviceName::new(text).unwrap())
            .collect()
    }

    #[test]
    fn only_what_the_file_names_is_exported() {
        let exports = DeviceExports::parse(FILE).unwrap();
        assert!(exports.has_automatic());
        let present = names(&["fuse", "dri/card0", "dri/card1", "loop1", "loop11", "sda"]);
        let grant = |pairs: &[&str]| {
            let requests = DeviceRequest::parse(pairs).unwrap();
            exports.grant(&requests, &present, "/etc/wpars/devexports")
        };
        assert_eq!(grant(&[]).unwrap(), names(&["dri/card0", "dri/card1"]));
        assert_eq!(
            grant(&[
                "devname=/dev/fuse",
                "devtype=pseudo",
                "export=yes",
                "devname=dri/card1",
                "export=no"
            ]),
            Ok(names(&["dri/card0", "fuse"]))
        );
        for (pairs, says) in [
            (
                "devname=sda",
                "/dev/sda may not be exported: /etc/wpars/devexports does not name it",
            ),
            ("devname=loop11", "/dev/loop11 may not be exported"),
            ("devname=/dev/loop2", "there is no device /dev/loop2"),
            (
                "devname=dri/card0/x",
                "/dev/dri/card0/x may not be exported",
            ),
        ] {
            let error = grant(&[pairs]).unwrap_err().to_string();
            assert!(error.starts_with(says), "{pairs}: {error}");
        }
        let none = DeviceExports::default().grant(&[], &present, "x").unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn requests_that_mean_nothing_are_refused() {
        for (pairs, says) in [
            (&["fuse"][..], "'fuse' is not of the form"),
            (&["export=no"], "'export=no' belongs to no device"),
            (&["devname=../etc/passwd"], "'../etc/passwd' is no device"),
            (&["devname=/dev/"], "'/dev/' is no device"),
            (&["devname=/dev//x"], "'/dev//x' is no device"),
            (&["devname=a\u{1b}"], "'a\\u{1b}' is no device"),
            (&["devname=/dev/null"], "/dev/null is in every WPAR"),
            (&["devname=pts/3"], "/dev/pts/3 is in every WPAR"),
            (&["devname=fuse", "export=maybe"], "export is 'yes' or 'no'"),
            (&["devname=sda", "rootvg=yes"], "rootvg=yes"),
            (&["devname=sda", "colour=red"], "'colour=red' says nothing"),
        ] {
            let error = DeviceRequest::parse(pairs).unwrap_err().to_string();
            assert!(error.starts_with(says), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn a_file_in_another_form_is_refused() {
        for (text, line) in [
            ("value = \"/dev/fuse\"\n", 1),
            ("name:\n\n  fuse\n", 3),
            ("name:\n value = \"/etc/passwd\"\n", 2),
            ("name:\n value = \"/dev/fuse\"\n auto = maybe\n", 3),
        ] {
            assert_eq!(
                DeviceExports::parse(text),
                Err(DeviceError::BadLine(line)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_name_is_kept_as_a_path() {
        let name = DeviceName::new("net/tun").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"/dev/net/tun\"");
        assert_eq!(
            serde_json::from_str::<DeviceName>("\"/dev/net/tun\"").unwrap(),
            name
        );
        assert!(serde_json::from_str::<DeviceName>("\"/dev/../mem\"").is_err());
    }
}
