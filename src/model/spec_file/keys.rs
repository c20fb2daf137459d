//! Every stanza and key of AIX's specification file, and what it means here.
//!
//! One table. A key that has no meaning here yet may only say what is so anyway.

use super::lines::{Line, Stanza};
use super::{SpecError, SpecFile};
use crate::model::{CopyControls, FileSystemAttributes, Hostname, Privileges, WparName};

/// Keys of the stanza `mount` that are attributes of `-M`.
pub(super) const ATTRIBUTES: &[&str] = &["size", "inodes"];

/// Keys of the stanza `copy_controls`.
pub(super) const CONTROLS: &[&str] = &["preserve_private", "preserve_wpars"];

/// What is in the `/dev` of every WPAR.
const DEVICES: &[&str] = &[
    "/dev/full",
    "/dev/null",
    "/dev/ptmx",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

type Setter = fn(&mut SpecFile, &str) -> Result<(), String>;

enum Rule {
    /// A setting.
    Used(Setter),
    /// Has no meaning yet: these values and none are what is so anyway; why no other.
    Only(&'static [&'static str], &'static str),
}

use Rule::{Only, Used};

const NETWORK: &str = "the network of a workload partition is loopback only, for now";
const ONE_FILE_SYSTEM: &str = "a workload partition has one file system, /";
const UNLIMITED: &[&str] = &["unlimited"];
const NO_RESOURCES: &str = "resource controls are not there yet";
const NO_PRIVILEGES: &str = "sets of privileges in a file are not there yet";
const NO_EXTENSIONS: &str = "kernel extensions are the host's";

/// Stanza, key with operator, rule.
static TABLE: &[(&str, &str, Rule)] = &[
    ("general", "name", Used(name)),
    ("general", "hostname", Used(hostname)),
    ("general", "directory", Used(directory)),
    (
        "general",
        "auto",
        Used(|spec, value| yes_no(&mut spec.auto, value)),
    ),
    ("general", "uuid", Used(uuid)),
    (
        "general",
        "privateusr",
        Only(&["yes"], "a system copy has its own /usr and /opt"),
    ),
    (
        "general",
        "checkpointable",
        Only(&["no"], "checkpoints are not there yet"),
    ),
    ("general", "routing", Only(&["yes", "no"], NETWORK)),
    (
        "general",
        "xwparipc",
        Only(&["no"], "workload partitions have no IPC with each other"),
    ),
    (
        "general",
        "script",
        Only(&[], "scripts at start and stop are not there yet"),
    ),
    (
        "general",
        "architecture",
        Only(&[std::env::consts::ARCH], "it is that of the host"),
    ),
    (
        "general",
        "ostype",
        Only(&["0"], "the kernel is the host's"),
    ),
    (
        "general",
        "application",
        Only(&[], "applications run by 'wparexec'"),
    ),
    ("network", "interface", Only(&[], NETWORK)),
    ("network", "address", Only(&[], NETWORK)),
    ("network", "address6", Only(&[], NETWORK)),
    ("network", "netmask", Only(&[], NETWORK)),
    ("network", "prefixlen", Only(&[], NETWORK)),
    ("network", "broadcast", Only(&[], NETWORK)),
    ("route", "rtdest", Only(&[], NETWORK)),
    ("route", "rtgateway", Only(&[], NETWORK)),
    ("route", "rtnetmask", Only(&[], NETWORK)),
    ("route", "rtprefixlen", Only(&[], NETWORK)),
    ("route", "rttype", Only(&[], NETWORK)),
    ("route", "rtinterface", Only(&[], NETWORK)),
    ("route", "rtfamily", Only(&[], NETWORK)),
    ("mount", "directory", Only(&["/"], ONE_FILE_SYSTEM)),
    (
        "mount",
        "size",
        Used(|spec, value| attribute(spec, "size", value)),
    ),
    (
        "mount",
        "inodes",
        Used(|spec, value| attribute(spec, "inodes", value)),
    ),
    ("mount", "vfs", Only(&["wpar"], ONE_FILE_SYSTEM)),
    ("mount", "dev", Only(&[], ONE_FILE_SYSTEM)),
    ("mount", "host", Only(&[], ONE_FILE_SYSTEM)),
    ("mount", "mountopts", Only(&["rw"], ONE_FILE_SYSTEM)),
    ("mount", "vg", Only(&[], ONE_FILE_SYSTEM)),
    ("mount", "logname", Only(&[], ONE_FILE_SYSTEM)),
    ("mount", "crfsopts", Only(&[], ONE_FILE_SYSTEM)),
    ("resources", "active", Only(&["yes", "no"], NO_RESOURCES)),
    ("resources", "rset", Only(&[], NO_RESOURCES)),
    ("resources", "shares_CPU", Only(UNLIMITED, NO_RESOURCES)),
    ("resources", "CPU", Only(&["0%-100%,100%"], NO_RESOURCES)),
    ("resources", "shares_memory", Only(UNLIMITED, NO_RESOURCES)),
    ("resources", "memory", Only(&["0%-100%,100%"], NO_RESOURCES)),
    ("resources", "procVirtMem", Only(UNLIMITED, NO_RESOURCES)),
    ("resources", "totalVirtMem", Only(UNLIMITED, NO_RESOURCES)),
    ("resources", "totalProcesses", Only(UNLIMITED, NO_RESOURCES)),
    ("resources", "totalThreads", Only(UNLIMITED, NO_RESOURCES)),
    ("resources", "totalPTYs", Only(UNLIMITED, NO_RESOURCES)),
    (
        "resources",
        "totalLargePages",
        Only(UNLIMITED, NO_RESOURCES),
    ),
    ("resources", "pct_msgIDs", Only(&["100%"], NO_RESOURCES)),
    ("resources", "pct_semIDs", Only(&["100%"], NO_RESOURCES)),
    ("resources", "pct_shmIDs", Only(&["100%"], NO_RESOURCES)),
    ("resources", "pct_pinMem", Only(&["100%"], NO_RESOURCES)),
    (
        "security",
        "secfile",
        Only(&["/etc/wpars/secattrs"], NO_PRIVILEGES),
    ),
    (
        "security",
        "privs",
        Used(|spec, value| privileges(spec, "privs=", value)),
    ),
    (
        "security",
        "privs+=",
        Used(|spec, value| privileges(spec, "privs+=", value)),
    ),
    (
        "security",
        "privs-=",
        Used(|spec, value| privileges(spec, "privs-=", value)),
    ),
    (
        "device",
        "devname",
        Only(DEVICES, "other devices cannot be exported yet"),
    ),
    (
        "device",
        "devtype",
        Only(&["pseudo", "clone"], "other devices cannot be exported yet"),
    ),
    (
        "device",
        "export",
        Only(
            &["yes"],
            "what is in /dev of a workload partition cannot be taken out",
        ),
    ),
    (
        "device",
        "rootvg",
        Only(&["no"], "a workload partition has no disk of its own"),
    ),
    (
        "copy_controls",
        "preserve_private",
        Used(|spec, value| control(spec, "preserve_private", value)),
    ),
    (
        "copy_controls",
        "preserve_wpars",
        Used(|spec, value| control(spec, "preserve_wpars", value)),
    ),
    ("kext", "kext", Only(&[], NO_EXTENSIONS)),
    ("kext", "local", Only(&["no"], NO_EXTENSIONS)),
    ("kext", "major", Only(&[], NO_EXTENSIONS)),
    (
        "options",
        "image_data",
        Only(&[], "an image is taken as it is"),
    ),
    (
        "image",
        "image_data",
        Only(&[], "an image is taken as it is"),
    ),
    // These are additions: AIX keeps in the file how a WPAR is, not of what it is made.
    (
        "options",
        "systemcopy",
        Used(|spec, value| yes_no(&mut spec.system_copy, value)),
    ),
    (
        "options",
        "versioned",
        Used(|spec, value| yes_no(&mut spec.versioned, value)),
    ),
    ("options", "backup", Used(backup)),
];

/// Stanzas of which there is one.
const SINGLE: &[&str] = &[
    "general",
    "options",
    "image",
    "copy_controls",
    "resources",
    "security",
];

/// Puts a stanza into the settings.
pub(super) fn apply(spec: &mut SpecFile, stanza: &Stanza<'_>) -> Result<(), SpecError> {
    let known: Vec<_> = TABLE
        .iter()
        .filter(|(name, ..)| *name == stanza.name)
        .collect();
    if known.is_empty() {
        return Err(SpecError {
            line: stanza.number,
            what: format!("there is no stanza '{}'", stanza.name),
        });
    }
    for line in &stanza.lines {
        let error = |what: String| SpecError {
            line: line.number,
            what,
        };
        let wanted = key(line);
        let Some((.., rule)) = known.iter().find(|(_, key, _)| *key == wanted) else {
            return Err(error(format!(
                "the stanza {} has no key '{wanted}'",
                stanza.name
            )));
        };
        match rule {
            Used(set) => set(spec, &line.value).map_err(error)?,
            Only(values, _) if line.value.is_empty() || values.contains(&&*line.value) => {}
            Only(_, why) => {
                return Err(error(format!("{wanted} cannot be '{}': {why}", line.value)));
            }
        }
    }
    Ok(())
}

/// Refuses a second stanza of those that there is one of.
pub(super) fn require_single(stanzas: &[Stanza<'_>]) -> Result<(), SpecError> {
    for (at, stanza) in stanzas.iter().enumerate() {
        let before = stanzas.iter().take(at);
        if SINGLE.contains(&stanza.name)
            && before.into_iter().any(|other| other.name == stanza.name)
        {
            let what = format!("there is a stanza {} already", stanza.name);
            return Err(SpecError {
                line: stanza.number,
                what,
            });
        }
    }
    // `mount` comes once for each file system, and there is one.
    Ok(())
}

/// The key with its operator, if it is not `=`.
fn key(line: &Line<'_>) -> String {
    format!("{}{}", line.key, line.operator)
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// Empty stands for what is so without the key.
fn privileges(spec: &mut SpecFile, key: &str, value: &str) -> Result<(), String> {
    if !value.is_empty() {
        let setting = format!("{key}{value}");
        Privileges::default()
            .with(std::slice::from_ref(&setting))
            .map_err(words)?;
        spec.security.push(setting);
    }
    Ok(())
}

fn name(spec: &mut SpecFile, value: &str) -> Result<(), String> {
    WparName::new(value).map_err(words)?;
    spec.name = Some(value.to_owned());
    Ok(())
}

fn hostname(spec: &mut SpecFile, value: &str) -> Result<(), String> {
    // Empty stands for the name, as without the key.
    if !value.is_empty() {
        Hostname::new(value).map_err(words)?;
        spec.hostname = Some(value.to_owned());
    }
    Ok(())
}

fn absolute(key: &str, value: &str) -> Result<Option<std::path::PathBuf>, String> {
    match value {
        "" => Ok(None),
        value if value.starts_with('/') => Ok(Some(value.into())),
        value => Err(format!("{key} must begin with '/', unlike '{value}'")),
    }
}

fn directory(spec: &mut SpecFile, value: &str) -> Result<(), String> {
    spec.directory = absolute("directory", value)?;
    Ok(())
}

fn backup(spec: &mut SpecFile, value: &str) -> Result<(), String> {
    spec.backup = absolute("backup", value)?;
    Ok(())
}

fn uuid(spec: &mut SpecFile, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    let groups: Vec<_> = value.split('-').collect();
    let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
    let digits = |group: &&str| {
        group
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    if lengths != [8, 4, 4, 4, 12] || !groups.iter().all(digits) {
        return Err(format!("'{value}' is no UUID in small letters with dashes"));
    }
    spec.uuid = Some(value.to_owned());
    Ok(())
}

fn yes_no(target: &mut Option<bool>, value: &str) -> Result<(), String> {
    *target = match value {
        "yes" => Some(true),
        "no" => Some(false),
        "" => None,
        _ => return Err(format!("it is 'yes' or 'no', not '{value}'")),
    };
    Ok(())
}

fn attribute(spec: &mut SpecFile, name: &str, value: &str) -> Result<(), String> {
    if !value.is_empty() {
        let pair = format!("{name}={value}");
        FileSystemAttributes::parse(&[&pair]).map_err(words)?;
        spec.file_system.push(pair);
    }
    Ok(())
}

fn control(spec: &mut SpecFile, name: &str, value: &str) -> Result<(), String> {
    if !value.is_empty() {
        let pair = format!("{name}={value}");
        CopyControls::parse(&[&pair]).map_err(words)?;
        spec.controls.push(pair);
    }
    Ok(())
}
