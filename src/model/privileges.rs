//! Privileges of a WPAR: `-S privs=`, `privs+=` and `privs-=`, in AIX's spirit and with its names
//! where Linux has something like it.
//!
//! One table says what each stands for: capabilities that the programs of the WPAR may have, or
//! system calls that the filter lets through. They hold within the WPAR's own namespaces: no
//! privilege gives anything outside of it, and one that would is refused with the reason. Taking one
//! away is for root of the WPAR, too. What is kept is the difference from the default set.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Calls that the filter lets through or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Mounting and unmounting.
    Mount,
    /// Keyrings of the kernel.
    Keys,
    /// `io_uring`.
    Uring,
}

/// What a privilege is.
#[derive(Clone, Copy, Debug)]
enum Means {
    /// Capabilities by their numbers (linux/capability.h). Every WPAR has them by default.
    Capabilities(&'static [u8]),
    /// Calls, and whether they are let through by default.
    Calls(Calls, bool),
    /// It would be one over the host, and why.
    Refused(&'static str),
}

use Means::{Capabilities, Refused};

/// Every privilege, in the order of names.
static TABLE: &[(&str, Means, &str)] = &[
    ("PV_AU_ADMIN", Refused(AUDIT), ""),
    ("PV_AU_READ", Refused(AUDIT), ""),
    ("PV_AU_WRITE", Capabilities(&[29]), "AUDIT_WRITE"),
    ("PV_DAC_GID", Capabilities(&[6]), "SETGID"),
    ("PV_DAC_O", Capabilities(&[1]), "DAC_OVERRIDE"),
    ("PV_DAC_R", Capabilities(&[2]), "DAC_READ_SEARCH"),
    (
        "PV_DAC_UID",
        Capabilities(&[3, 4]),
        "FOWNER, FSETID: files of others",
    ),
    ("PV_DEV_CONFIG", Refused(DEVICES), ""),
    ("PV_DEV_LOAD", Refused(EXTENSIONS), ""),
    ("PV_FS_CHOWN", Capabilities(&[0]), "CHOWN"),
    ("PV_FS_CHROOT", Capabilities(&[18]), "SYS_CHROOT"),
    (
        "PV_FS_CNTL",
        Capabilities(&[9, 28]),
        "LINUX_IMMUTABLE, LEASE",
    ),
    ("PV_FS_MKNOD", Capabilities(&[27]), "MKNOD"),
    (
        "PV_FS_MOUNT",
        Means::Calls(Calls::Mount, true),
        "mount and unmount; systemd needs it",
    ),
    (
        "PV_KER_ACCT",
        Refused("process accounting is the host's"),
        "",
    ),
    (
        "PV_KER_AIO",
        Means::Calls(Calls::Uring, false),
        "io_uring; off by default",
    ),
    ("PV_KER_EXTCONF", Refused(EXTENSIONS), ""),
    ("PV_KER_IPC", Capabilities(&[15]), "IPC_OWNER"),
    (
        "PV_KER_KEY",
        Means::Calls(Calls::Keys, false),
        "keyrings of the kernel; off by default",
    ),
    ("PV_KER_LOCK", Capabilities(&[14]), "IPC_LOCK"),
    (
        "PV_KER_RAS",
        Refused("the log and the tracing of the kernel are the host's"),
        "",
    ),
    (
        "PV_KER_REBOOT",
        Capabilities(&[22]),
        "SYS_BOOT: its own halt and reboot",
    ),
    ("PV_KER_TIME", Refused("the clock is the host's"), ""),
    (
        "PV_KER_VARS",
        Refused("the settings of the kernel are the host's"),
        "",
    ),
    (
        "PV_KER_WLM",
        Refused("a workload partition does not raise its own limits"),
        "",
    ),
    (
        "PV_NET_CNTL",
        Capabilities(&[11, 12]),
        "NET_BROADCAST, NET_ADMIN: its own network",
    ),
    (
        "PV_NET_PORT",
        Capabilities(&[10]),
        "NET_BIND_SERVICE: ports below 1024",
    ),
    (
        "PV_NET_RAWSOCK",
        Capabilities(&[13]),
        "NET_RAW: ping, tcpdump",
    ),
    ("PV_PROC_CKPT", Capabilities(&[40]), "CHECKPOINT_RESTORE"),
    ("PV_PROC_DEBUG", Capabilities(&[19]), "SYS_PTRACE"),
    ("PV_PROC_PRIO", Capabilities(&[23]), "SYS_NICE"),
    ("PV_PROC_PRIV", Capabilities(&[8, 31]), "SETPCAP, SETFCAP"),
    ("PV_PROC_SIG", Capabilities(&[5]), "KILL"),
    (
        "PV_ROOT",
        Refused("it would be SYS_ADMIN outside of the user namespace: root of the host"),
        "",
    ),
    ("PV_SU_UID", Capabilities(&[7]), "SETUID: su, login"),
];

const AUDIT: &str = "the audit system is the host's";
const DEVICES: &str = "devices are the host's; -D gives single ones away";
const EXTENSIONS: &str = "kernel extensions are the host's";

/// Privileges that differ from the default set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Privileges {
    added: BTreeSet<&'static str>,
    removed: BTreeSet<&'static str>,
}

/// As they stand in a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    added: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
}

/// Why privileges cannot be as asked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PrivilegeError {
    /// Not in the form of `privs+=NAME,NAME`.
    #[error("'{0}' is no security setting; there are privs=, privs+= and privs-= with names")]
    NoSetting(String),
    /// No such privilege.
    #[error("there is no privilege '{0}'; 'man mkwpar' has the list")]
    Unknown(String),
    /// It cannot be given to a WPAR.
    #[error("a workload partition cannot have {0}: {1}")]
    Refused(&'static str, &'static str),
}

impl Privileges {
    /// Whether they are the default ones.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// These, changed by settings in the form of `-S`, one after the other.
    ///
    /// # Errors
    /// A setting that is none, or a privilege that is unknown or cannot be given.
    pub fn with(mut self, settings: &[String]) -> Result<Self, PrivilegeError> {
        for setting in settings {
            let no_setting = || PrivilegeError::NoSetting(setting.escape_debug().to_string());
            let rest = setting
                .trim()
                .strip_prefix("privs")
                .ok_or_else(no_setting)?;
            let (operator, names) = rest.split_once('=').ok_or_else(no_setting)?;
            let names = names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            let found = names.map(find).collect::<Result<Vec<_>, _>>()?;
            match operator.trim() {
                "" => {
                    let wanted: BTreeSet<_> = found.iter().map(|(name, _)| *name).collect();
                    for (name, means) in &found {
                        self.add(name, *means)?;
                    }
                    for (name, means, _) in TABLE {
                        if !wanted.contains(name) {
                            self.remove(name, *means);
                        }
                    }
                }
                "+" => {
                    for (name, means) in found {
                        self.add(name, means)?;
                    }
                }
                "-" => {
                    for (name, means) in found {
                        self.remove(name, means);
                    }
                }
                _ => return Err(no_setting()),
            }
        }
        Ok(self)
    }

    fn add(&mut self, name: &'static str, means: Means) -> Result<(), PrivilegeError> {
        if let Refused(why) = means {
            return Err(PrivilegeError::Refused(name, why));
        }
        self.removed.remove(name);
        if !means.is_default() {
            self.added.insert(name);
        }
        Ok(())
    }

    fn remove(&mut self, name: &'static str, means: Means) {
        self.added.remove(name);
        if means.is_default() {
            self.removed.insert(name);
        }
    }

    fn has(&self, name: &str, means: Means) -> bool {
        match means.is_default() {
            true => !self.removed.contains(name),
            false => self.added.contains(name),
        }
    }

    /// All that the WPAR has, in the order of names.
    pub fn names(&self) -> Vec<&'static str> {
        let held = TABLE
            .iter()
            .filter(|(name, means, _)| self.has(name, *means));
        held.map(|(name, ..)| *name).collect()
    }

    /// The settings that make these of the default ones.
    pub fn settings(&self) -> Vec<String> {
        let pairs = [("privs+=", &self.added), ("privs-=", &self.removed)];
        let said = pairs.into_iter().filter(|(_, names)| !names.is_empty());
        said.map(|(key, names)| {
            let names: Vec<_> = names.iter().copied().collect();
            format!("{key}{}", names.join(","))
        })
        .collect()
    }

    /// Capabilities that no program of the WPAR has, as a bit for each number.
    pub fn withheld_capabilities(&self) -> u64 {
        let removed = TABLE
            .iter()
            .filter(|(name, ..)| self.removed.contains(name));
        let numbers = removed.filter_map(|(_, means, _)| match means {
            Capabilities(numbers) => Some(*numbers),
            _ => None,
        });
        numbers.flatten().fold(0, |set, number| set | 1 << number)
    }

    /// Whether these calls are let through.
    pub fn allows(&self, calls: Calls) -> bool {
        TABLE.iter().any(|(name, means, _)| {
            matches!(means, Means::Calls(found, _) if *found == calls) && self.has(name, *means)
        })
    }
}

impl Means {
    fn is_default(self) -> bool {
        matches!(self, Capabilities(_) | Self::Calls(_, true))
    }
}

/// Every name, and what it stands for or why no WPAR can have it.
pub fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|(name, means, says)| match means {
        Refused(why) => (*name, *why),
        _ => (*name, *says),
    })
}

fn find(name: &str) -> Result<(&'static str, Means), PrivilegeError> {
    let found = TABLE.iter().find(|(known, ..)| *known == name);
    found
        .map(|(name, means, _)| (*name, *means))
        .ok_or_else(|| PrivilegeError::Unknown(name.escape_debug().to_string()))
}

impl TryFrom<Stored> for Privileges {
    type Error = PrivilegeError;

    fn try_from(stored: Stored) -> Result<Self, PrivilegeError> {
        let settings = [("privs+=", stored.added), ("privs-=", stored.removed)];
        let settings = settings.map(|(key, names)| format!("{key}{}", names.join(",")));
        Self::default().with(&settings)
    }
}

impl From<Privileges> for Stored {
    fn from(privileges: Privileges) -> Self {
        let owned = |names: BTreeSet<&'static str>| names.into_iter().map(str::to_owned).collect();
        Self {
            added: owned(privileges.added),
            removed: owned(privileges.removed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &[&str]) -> Result<Privileges, PrivilegeError> {
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        Privileges::default().with(&settings)
    }

    #[test]
    fn the_table_is_in_order_and_names_no_capability_twice() {
        assert!(TABLE.is_sorted_by(|(one, ..), (other, ..)| one < other));
        let mut seen = BTreeSet::new();
        for (name, means, says) in TABLE {
            assert_eq!(says.is_empty(), matches!(means, Refused(_)), "{name}");
            if let Capabilities(numbers) = means {
                assert!(numbers.iter().all(|number| seen.insert(number)), "{name}");
            }
        }
    }

    #[test]
    fn what_every_wpar_lacks_is_nobodys_privilege() {
        // SYS_MODULE, SYS_RAWIO, SYS_PACCT, SYS_ADMIN, SYS_RESOURCE, SYS_TIME, AUDIT_CONTROL,
        // MAC_OVERRIDE, MAC_ADMIN, SYSLOG, WAKE_ALARM, BLOCK_SUSPEND, AUDIT_READ, PERFMON, BPF
        let never = [16, 17, 20, 21, 24, 25, 30, 32, 33, 34, 35, 36, 37, 38, 39];
        for (name, means, _) in TABLE {
            if let Capabilities(numbers) = means {
                assert!(
                    !numbers.iter().any(|number| never.contains(number)),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn the_default_has_all_but_what_is_off() {
        let default = Privileges::default();
        let names = default.names();
        assert!(names.contains(&"PV_NET_PORT") && names.contains(&"PV_FS_MOUNT"));
        assert!(!names.contains(&"PV_KER_AIO") && !names.contains(&"PV_ROOT"));
        assert_eq!(default.withheld_capabilities(), 0);
        assert!(default.allows(Calls::Mount));
        assert!(!default.allows(Calls::Keys) && !default.allows(Calls::Uring));
        assert!(default.settings().is_empty());
    }

    #[test]
    fn privileges_are_given_and_taken() {
        let some = with(&[
            "privs-=PV_NET_PORT, PV_NET_RAWSOCK,PV_FS_MOUNT",
            "privs+=PV_KER_AIO",
        ]);
        let some = some.unwrap();
        assert_eq!(some.withheld_capabilities(), 1 << 10 | 1 << 13);
        assert!(!some.allows(Calls::Mount) && some.allows(Calls::Uring));
        assert!(!some.names().contains(&"PV_NET_PORT"));
        let settings = [
            "privs+=PV_KER_AIO",
            "privs-=PV_FS_MOUNT,PV_NET_PORT,PV_NET_RAWSOCK",
        ];
        assert_eq!(some.settings(), settings);
        assert_eq!(with(&settings).unwrap(), some);
        let back = [
            "privs+=PV_NET_PORT,PV_NET_RAWSOCK,PV_FS_MOUNT".to_owned(),
            "privs-=PV_KER_AIO".to_owned(),
        ];
        assert!(some.with(&back).unwrap().is_default());
    }

    #[test]
    fn a_whole_list_is_that_and_no_more() {
        let few = with(&["privs=PV_SU_UID,PV_KER_KEY"]).unwrap();
        assert_eq!(few.names(), ["PV_KER_KEY", "PV_SU_UID"]);
        assert!(with(&["privs="]).unwrap().names().is_empty());
    }

    #[test]
    fn what_would_reach_the_host_is_refused_with_the_reason() {
        for (setting, says) in [
            ("privs+=PV_ROOT", "SYS_ADMIN outside of the user namespace"),
            ("privs=PV_KER_EXTCONF", "kernel extensions are the host's"),
            ("privs+=PV_KER_TIME", "the clock is the host's"),
            ("privs+=PV_SU_UID,PV_DEV_CONFIG", "-D"),
            ("privs+=PV_NOTHING", "no privilege 'PV_NOTHING'"),
            ("privs+=pv_root", "no privilege"),
            ("privs*=PV_ROOT", "no security setting"),
            ("secfile=/x", "no security setting"),
            ("privs", "no security setting"),
        ] {
            let error = with(&[setting]).expect_err(setting).to_string();
            assert!(error.contains(says), "{setting}: {error}");
        }
        // That nobody has it is what is wanted.
        assert!(with(&["privs-=PV_ROOT"]).unwrap().is_default());
    }

    #[test]
    fn they_are_read_and_written_back_and_a_record_cannot_give_more() {
        let some = with(&["privs-=PV_NET_PORT", "privs+=PV_KER_KEY"]).unwrap();
        let text = serde_json::to_string(&some).unwrap();
        assert_eq!(
            text,
            r#"{"added":["PV_KER_KEY"],"removed":["PV_NET_PORT"]}"#
        );
        assert_eq!(serde_json::from_str::<Privileges>(&text).unwrap(), some);
        for bad in [
            r#"{"added":["PV_ROOT"]}"#,
            r#"{"removed":["PV_NEW"]}"#,
            r#"{"more":[]}"#,
        ] {
            assert!(serde_json::from_str::<Privileges>(bad).is_err(), "{bad}");
        }
    }
}
