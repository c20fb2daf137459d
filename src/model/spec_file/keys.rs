//! Every stanza and key of AIX's specification file, and what it means here.
//!
//! One table. A key that has no meaning here yet may only say what is so anyway.

use super::lines::{Line, Stanza};
use super::{SpecError, SpecFile};
use crate::model::network::{NetworkError, NetworkRequest, Route};
use crate::model::resources::{KEYS as RESOURCES, ResourceError};
use crate::model::{CopyControls, FileSystemAttributes, Hostname, Privileges, Resources, WparName};

/// Keys of the stanza `mount` that are attributes of `-M`.
pub(super) const ATTRIBUTES: &[&str] = &["size", "inodes"];

/// Keys of the stanza `copy_controls`.
pub(super) const CONTROLS: &[&str] = &[
    "preserve_private",
    "preserve_wpars",
    "snapshot",
    "hydrate",
    "source",
];

/// Keys of the stanza `network`; `mode` and `publish` are additions.
pub(super) const NETWORK: &[&str] = &[
    "interface",
    "address",
    "netmask",
    "address6",
    "prefixlen",
    "broadcast",
    "mode",
    "publish",
];

/// Keys of the stanza `route`.
pub(super) const ROUTE: &[&str] = &[
    "rtdest",
    "rtgateway",
    "rtnetmask",
    "rtprefixlen",
    "rttype",
    "rtinterface",
    "rtfamily",
];

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

const ONE_FILE_SYSTEM: &str = "a workload partition has one file system, /";
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
        Used(|spec, value| yes_no(&mut spec.private_usr, value)),
    ),
    (
        "general",
        "checkpointable",
        Only(&["no"], "checkpoints are not there yet"),
    ),
    (
        "general",
        "routing",
        Used(|spec, value| yes_no(&mut spec.routing, value)),
    ),
    (
        "general",
        "xwparipc",
        Only(&["no"], "workload partitions have no IPC with each other"),
    ),
    ("general", "script", Used(script)),
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
    (
        "copy_controls",
        "snapshot",
        Used(|spec, value| control(spec, "snapshot", value)),
    ),
    (
        "copy_controls",
        "hydrate",
        Used(|spec, value| control(spec, "hydrate", value)),
    ),
    (
        "copy_controls",
        "source",
        Used(|spec, value| control(spec, "source", value)),
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
    ("options", "usrfrom", Used(usr_from)),
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
    match stanza.name {
        "network" => {
            let pairs = listed(stanza, NETWORK, &|pair| {
                NetworkRequest::parse(&[vec![pair]]).map(drop)
            })?;
            NetworkRequest::parse(std::slice::from_ref(&pairs))
                .map_err(|error| of_stanza(stanza, error))?;
            spec.network.extend((!pairs.is_empty()).then_some(pairs));
            return Ok(());
        }
        "route" => {
            let pairs = listed(stanza, ROUTE, &|pair| Route::parse(&[pair]).map(drop))?;
            if !pairs.is_empty() {
                Route::parse(&pairs).map_err(|error| of_stanza(stanza, error))?;
                spec.routes.push(pairs);
            }
            return Ok(());
        }
        "resources" => {
            let one = |pair: &str| Resources::default().set(&[pair]);
            spec.resources.extend(listed(stanza, &RESOURCES, &one)?);
            return Ok(());
        }
        _ => {}
    }
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

/// An error of a part of the settings, of which some are about several lines together.
trait PartError: ToString {
    /// Whether more lines may put it right.
    fn is_of_several(&self) -> bool;
}

impl PartError for NetworkError {
    fn is_of_several(&self) -> bool {
        matches!(self, Self::Together(_))
    }
}

impl PartError for ResourceError {
    fn is_of_several(&self) -> bool {
        false
    }
}

/// The lines of a stanza that has only these keys, as an option of the command line takes them.
fn listed<E: PartError>(
    stanza: &Stanza<'_>,
    keys: &[&str],
    check: &dyn Fn(&str) -> Result<(), E>,
) -> Result<Vec<String>, SpecError> {
    let mut pairs = Vec::new();
    for line in &stanza.lines {
        let error = |what: String| SpecError {
            line: line.number,
            what,
        };
        let wanted = key(line);
        if !keys.contains(&wanted.as_str()) {
            let what = format!("the stanza {} has no key '{wanted}'", stanza.name);
            return Err(error(what));
        }
        if line.value.is_empty() {
            continue;
        }
        let pair = format!("{wanted}={}", line.value);
        match check(&pair) {
            Err(wrong) if !wrong.is_of_several() => return Err(error(wrong.to_string())),
            _ => pairs.push(pair),
        }
    }
    Ok(pairs)
}

fn of_stanza(stanza: &Stanza<'_>, error: impl ToString) -> SpecError {
    SpecError {
        line: stanza.number,
        what: error.to_string(),
    }
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

fn script(spec: &mut SpecFile, value: &str) -> Result<(), String> {
    spec.script = absolute("script", value)?;
    Ok(())
}

fn backup(spec: &mut SpecFile, value: &str) -> Result<(), String> {
    spec.backup = absolute("backup", value)?;
    Ok(())
}

fn usr_from(spec: &mut SpecFile, value: &str) -> Result<(), String> {
    spec.usr_from = absolute("usrfrom", value)?;
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
        CopyControls::parse_with_selection(&[&pair]).map_err(words)?;
        spec.controls.push(pair);
    }
    Ok(())
}
