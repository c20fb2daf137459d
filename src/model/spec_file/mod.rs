//! The specification file of a WPAR: what `mkwpar -o` writes and `mkwpar -f` reads.
//!
//! Stanzas in the form of AIX: a name with a colon, then lines `key = "value"`. [`lines`] reads that
//! form, [`keys`] knows what each key means here. Nothing is passed over in silence: a key that is
//! not known, or that asks for what a WPAR does not have, is an error that names the line. What is
//! written reads back as the same settings.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::network::Mode;
use super::resources::KEYS as RESOURCES;
use super::space_limits::Size;
use super::{BaseSystem, CopyControls, Privileges, Source, SpaceLimits, WparRecord};

mod keys;
mod lines;
#[cfg(test)]
mod tests;

/// Longest specification file, in bytes.
pub const LONGEST: u64 = 1 << 20;

/// Settings of a WPAR that is to be made; what is not said is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecFile {
    /// Its name.
    pub name: Option<String>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Its base directory.
    pub directory: Option<PathBuf>,
    /// Whether it starts with the host.
    pub auto: Option<bool>,
    /// The host's script that is run when it starts and stops.
    pub script: Option<PathBuf>,
    /// Its identity.
    pub uuid: Option<String>,
    /// Whether it is a system copy.
    pub system_copy: Option<bool>,
    /// The backup that it is a copy of.
    pub backup: Option<PathBuf>,
    /// Whether its `/usr` and `/opt` are its own to change; if not said, as the kind of WPAR has it.
    pub private_usr: Option<bool>,
    /// The system whose `/usr` and `/opt` it has, if that is not the running one.
    pub usr_from: Option<PathBuf>,
    /// Whether it may run at a level of its own.
    pub versioned: Option<bool>,
    /// Copy controls, as `-T` takes them; later ones win.
    pub controls: Vec<String>,
    /// Attributes of its file system, as `-M` takes them; later ones win.
    pub file_system: Vec<String>,
    /// Its network, as each `-N` takes it.
    pub network: Vec<Vec<String>>,
    /// Whether it has routes of its own.
    pub routing: Option<bool>,
    /// Those routes, as each `-I` takes them.
    pub routes: Vec<Vec<String>>,
    /// Resource controls, as `-R` takes them; later ones win.
    pub resources: Vec<String>,
    /// Privileges, as `-S` takes them; later ones win.
    pub security: Vec<String>,
}

/// Why a specification file cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {what}")]
pub struct SpecError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// A setting that a specification file cannot hold.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key} cannot be written to a specification file: {value} is not plain text")]
pub struct NotPlain {
    key: &'static str,
    value: String,
}

impl SpecFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that is not understood or asks for what there is not.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let mut spec = Self::default();
        let stanzas = lines::stanzas(text)?;
        keys::require_single(&stanzas)?;
        for stanza in &stanzas {
            keys::apply(&mut spec, stanza)?;
        }
        Ok(spec)
    }

    /// The settings of a WPAR that another one is to be like: all but its identity, which is name,
    /// host name, directory and UUID.
    pub fn template(record: &WparRecord) -> Self {
        Self {
            auto: Some(record.auto),
            script: record.script.clone(),
            system_copy: Some(record.source != Source::Fresh),
            private_usr: Some(record.has_private_usr()),
            usr_from: match record.base.as_ref().map(|base| &base.system) {
                Some(BaseSystem::Tree { path, .. }) => Some(path.clone()),
                _ => None,
            },
            backup: match &record.source {
                Source::Host | Source::Fresh => None,
                source => source.path().map(Path::to_owned),
            },
            versioned: record.versioned.then_some(true),
            controls: control_pairs(&record.copy_controls),
            file_system: limit_pairs(record.limits),
            // Addresses and ports are of one WPAR.
            network: match record.network.mode {
                Some(mode @ (Mode::Nat | Mode::Shared | Mode::None)) => {
                    vec![vec![format!("mode={mode}")]]
                }
                _ => Vec::new(),
            },
            resources: record.resources.pairs(),
            security: record.privileges.settings(),
            ..Self::default()
        }
    }

    /// These settings, and those of `below` where these say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        // A source is said as a whole: a copy of the running system has no backup.
        let says_source = self.system_copy.is_some() || self.backup.is_some();
        Self {
            name: self.name.or(below.name),
            hostname: self.hostname.or(below.hostname),
            directory: self.directory.or(below.directory),
            auto: self.auto.or(below.auto),
            script: self.script.or(below.script),
            uuid: self.uuid.or(below.uuid),
            backup: if says_source {
                self.backup
            } else {
                below.backup
            },
            system_copy: self.system_copy.or(below.system_copy),
            private_usr: self.private_usr.or(below.private_usr),
            usr_from: self.usr_from.or(below.usr_from),
            versioned: self.versioned.or(below.versioned),
            controls: [below.controls, self.controls].concat(),
            file_system: [below.file_system, self.file_system].concat(),
            // A network is said as a whole, too.
            network: first_said(self.network, below.network),
            routing: self.routing.or(below.routing),
            routes: first_said(self.routes, below.routes),
            resources: [below.resources, self.resources].concat(),
            security: [below.security, self.security].concat(),
        }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// A path with control characters or that is no UTF-8.
    pub fn text(&self) -> Result<String, NotPlain> {
        let mut text = String::new();
        let yes_no = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let path = |key, path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => match path.to_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(NotPlain {
                    key,
                    value: format!("{path:?}"),
                }),
            },
        };
        let mut put = |stanza: &str, pairs: Vec<(&'static str, Option<String>)>| {
            let mut body = String::new();
            for (key, value) in pairs {
                if let Some(value) = value {
                    body.push_str(&lines::line(key, &value).ok_or(NotPlain {
                        key,
                        value: format!("{value:?}"),
                    })?);
                }
            }
            if !body.is_empty() {
                let gap = if text.is_empty() { "" } else { "\n" };
                text.push_str(&format!("{gap}{stanza}:\n{body}"));
            }
            Ok::<(), NotPlain>(())
        };
        put(
            "general",
            vec![
                ("name", self.name.clone()),
                ("hostname", self.hostname.clone()),
                ("directory", path("directory", &self.directory)?),
                ("auto", self.auto.map(yes_no)),
                ("routing", self.routing.map(yes_no)),
                ("script", path("script", &self.script)?),
                ("uuid", self.uuid.clone()),
                ("privateusr", self.private_usr.map(yes_no)),
            ],
        )?;
        put(
            "options",
            vec![
                ("systemcopy", self.system_copy.map(yes_no)),
                ("backup", path("backup", &self.backup)?),
                ("usrfrom", path("usrfrom", &self.usr_from)?),
                ("versioned", self.versioned.map(yes_no)),
            ],
        )?;
        let mount = pairs(keys::ATTRIBUTES, &self.file_system);
        if !mount.is_empty() {
            let root = ("directory", Some("/".to_owned()));
            put("mount", [vec![root], mount].concat())?;
        }
        for group in &self.network {
            put("network", pairs(keys::NETWORK, group))?;
        }
        for group in &self.routes {
            put("route", pairs(keys::ROUTE, group))?;
        }
        put("resources", pairs(&RESOURCES, &self.resources))?;
        put("copy_controls", pairs(keys::CONTROLS, &self.controls))?;
        put("security", security(&self.security))?;
        Ok(text)
    }
}

/// The first of the two that says anything.
fn first_said(first: Vec<Vec<String>>, second: Vec<Vec<String>>) -> Vec<Vec<String>> {
    if first.is_empty() { second } else { first }
}

/// The last value of each of these names among pairs `name=value`.
fn pairs(names: &[&'static str], said: &[String]) -> Vec<(&'static str, Option<String>)> {
    let value = |name: &str| {
        let mut values = said.iter().rev().filter_map(|pair| pair.split_once('='));
        values
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    let found = names.iter().map(|name| (*name, value(name)));
    found.filter(|(_, value)| value.is_some()).collect()
}

/// What a list of settings comes to. One that cannot be is refused before it is written.
fn security(said: &[String]) -> Vec<(&'static str, Option<String>)> {
    let privileges = Privileges::default().with(said).unwrap_or_default();
    let settings = privileges.settings();
    let value = |key: &str| {
        let said = settings
            .iter()
            .find_map(|setting| setting.strip_prefix(key));
        said.and_then(|rest| rest.strip_prefix('='))
            .map(str::to_owned)
    };
    vec![("privs+", value("privs+")), ("privs-", value("privs-"))]
}

/// Copy controls as `-T` takes them.
pub fn control_pairs(controls: &CopyControls) -> Vec<String> {
    let word = |value: bool| if value { "yes" } else { "no" };
    vec![
        format!("preserve_private={}", word(controls.preserve_private)),
        format!("preserve_wpars={}", word(controls.preserve_wpars)),
    ]
}

/// Limits as `-M` takes them.
pub fn limit_pairs(limits: SpaceLimits) -> Vec<String> {
    let size = limits.size.map(|size| format!("size={}", Size(size)));
    let inodes = limits.inodes.map(|inodes| format!("inodes={inodes}"));
    size.into_iter().chain(inodes).collect()
}
