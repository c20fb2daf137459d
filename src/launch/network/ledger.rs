//! What was changed in the host's network for whom, so that it can be changed back: after the end of a
//! WPAR, and after the death of its supervisor.
//!
//! One file for each network namespace, as what it tells of is. Several WPARs, of several roots, may
//! need the same setting: the last one gives back what was there before the first. What belongs to a
//! run directory that is gone is nobody's, and is undone by the next that looks.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::super::error::{Doing, LaunchError};
use super::super::state;
use super::plan::{Proxy, Table};

/// Where the files are: not below a root of the tool, because the network is the machine's.
const PLACE: &str = "/run/wpar-network";

/// A setting that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changed {
    /// Path below `/proc/sys/net`.
    pub(super) path: String,
    /// What was in it before anybody of us.
    pub(super) before: String,
    /// What was written.
    pub(super) value: String,
}

/// What was made for one WPAR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The host's end of its wire; empty if it has none.
    pub(super) link: String,
    #[serde(default)]
    pub(super) addresses: Vec<IpAddr>,
    pub(super) proxies: Vec<Proxy>,
    /// Addresses that links of the host were given.
    #[serde(default)]
    pub(super) aliases: Vec<Proxy>,
    pub(super) settings: Vec<Changed>,
    pub(super) table: Option<Table>,
    /// Families that have a rule.
    pub(super) rules_v6: Vec<bool>,
    pub(super) is_translated: bool,
}

/// The entries by their run directories; locked while it lives.
#[derive(Debug)]
pub(super) struct Ledger {
    file: PathBuf,
    pub(super) entries: BTreeMap<PathBuf, Entry>,
    _lock: File,
}

impl Ledger {
    /// That of this process's network namespace.
    pub(super) fn open() -> Result<Self, LaunchError> {
        match DirBuilder::new().mode(0o700).create(PLACE) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).doing(format!("make {PLACE}"));
            }
            _ => {}
        }
        let lock = Path::new(PLACE).join("lock");
        let lock = File::create(&lock).doing(format!("open {}", lock.display()))?;
        flock(&lock, FlockOperation::LockExclusive).doing("lock the record of networks")?;
        let namespace = fs::metadata("/proc/self/ns/net").doing("tell network namespaces apart")?;
        let file = Path::new(PLACE).join(format!("{}.json", namespace.ino()));
        let entries = match fs::read(&file) {
            // One that is damaged is as good as none: what it told of goes with the machine.
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).doing(format!("read {}", file.display())),
        };
        Ok(Self {
            file,
            entries,
            _lock: lock,
        })
    }

    /// Whether there may be anything in it, at no cost.
    pub(super) fn may_exist() -> bool {
        Path::new(PLACE).exists()
    }

    /// Writes it down.
    pub(super) fn save(&self) -> Result<(), LaunchError> {
        let saved = if self.entries.is_empty() {
            match fs::remove_file(&self.file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        } else {
            serde_json::to_vec_pretty(&self.entries)
                .map_err(io::Error::from)
                .and_then(|bytes| state::replace(&self.file, &bytes))
        };
        saved.doing(format!("write {}", self.file.display()))
    }

    /// Takes out what belongs to run directories that are gone.
    pub(super) fn take_stale(&mut self) -> Vec<Entry> {
        let stale: Vec<_> = self
            .entries
            .keys()
            .filter(|owner| !owner.exists())
            .cloned()
            .collect();
        stale
            .iter()
            .filter_map(|owner| self.entries.remove(owner))
            .collect()
    }

    /// An address of these that another run directory has, and that: of another root, too, whose
    /// records are not known.
    pub(super) fn taken(&self, own: &Path, addresses: &[IpAddr]) -> Option<(IpAddr, &Path)> {
        let others = self.entries.iter().filter(|(owner, _)| *owner != own);
        let mut taken = others.filter_map(|(owner, entry)| {
            let both = entry.addresses.iter().find(|one| addresses.contains(one));
            both.map(|address| (*address, owner.as_path()))
        });
        taken.next()
    }

    /// What was in a setting before anybody of us changed it.
    pub(super) fn before(&self, path: &str) -> Option<&str> {
        let changed = self.entries.values().flat_map(|entry| &entry.settings);
        let mut same = changed.filter(|changed| changed.path == path);
        same.next().map(|changed| changed.before.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str, before: &str) -> Entry {
        Entry {
            addresses: vec![address.parse().unwrap()],
            settings: vec![Changed {
                path: "ipv4/conf/eth0/forwarding".to_owned(),
                before: before.to_owned(),
                value: "1".to_owned(),
            }],
            ..Entry::default()
        }
    }

    #[test]
    fn an_address_has_one_owner_and_a_setting_its_first_value() {
        let (one, two) = (PathBuf::from("/a/run/one"), PathBuf::from("/b/run/two"));
        let ledger = Ledger {
            file: PathBuf::new(),
            entries: [(one.clone(), entry("192.0.2.1", "0"))].into(),
            _lock: File::open("/dev/null").unwrap(),
        };
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(
            ledger.taken(&two, &[address]),
            Some((address, one.as_path()))
        );
        assert_eq!(ledger.taken(&one, &[address]), None);
        assert_eq!(ledger.taken(&two, &["192.0.2.2".parse().unwrap()]), None);
        assert_eq!(ledger.before("ipv4/conf/eth0/forwarding"), Some("0"));
        assert_eq!(ledger.before("ipv4/conf/eth1/forwarding"), None);
    }

    #[test]
    fn an_entry_of_the_first_version_is_read() {
        let text = r#"{"link": "wpar1", "proxies": [], "settings": [], "table": null,
            "rules_v6": [], "is_translated": false}"#;
        let entry: Entry = serde_json::from_str(text).unwrap();
        assert!(entry.addresses.is_empty() && entry.aliases.is_empty());
    }
}
