//! What a system is known by: its distribution, host name, machine-id, time zone, SSH host keys.

use std::collections::BTreeSet;

use wpar_mountd::error::FsResult;

use super::escape;
use crate::source::files::{Files, join, split};
use crate::source::os_release::SystemFacts;

/// Largest file that is read here, in bytes.
const FILE_MAX: u64 = 1 << 20;

const SSH: &[u8] = b"etc/ssh";

/// Something that a system is known by and that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityChange {
    /// What: `system`, `architecture`, `init`, `hostname`, `machine-id`, `timezone`, or the name of an
    /// SSH host key.
    pub what: String,
    /// It in A; `None` if it is not there. Of what is not to be told, only `set`.
    pub before: Option<String>,
    /// It in B.
    pub after: Option<String>,
}

/// A property, how it is compared and how it is shown.
struct Property {
    what: String,
    value: Option<Vec<u8>>,
    is_secret: bool,
}

pub(super) fn compare(a: &dyn Files, b: &dyn Files) -> FsResult<Vec<IdentityChange>> {
    let keys: BTreeSet<_> = host_keys(a)?.into_iter().chain(host_keys(b)?).collect();
    let (before, after) = (properties(a, &keys)?, properties(b, &keys)?);
    let show = |property: &Property| {
        let value = property.value.as_deref()?;
        Some(match property.is_secret {
            true => "set".to_owned(),
            false => escape::bytes(value),
        })
    };
    let pairs = before.iter().zip(&after);
    let changed = pairs.filter(|(before, after)| before.value != after.value);
    Ok(changed
        .map(|(before, after)| IdentityChange {
            what: before.what.clone(),
            before: show(before),
            after: show(after),
        })
        .collect())
}

fn properties(files: &dyn Files, keys: &BTreeSet<Vec<u8>>) -> FsResult<Vec<Property>> {
    let facts = SystemFacts::read(files)?;
    let plain = |what: &str, value: Option<Vec<u8>>| Property {
        what: what.to_owned(),
        value: value.filter(|value| !value.is_empty()),
        is_secret: false,
    };
    let system = match facts.pretty_name.is_empty() {
        true => format!("{} {}", facts.id, facts.version_id)
            .trim()
            .to_owned(),
        false => facts.pretty_name,
    };
    let machine_id = first_line(files, b"etc/machine-id")?.filter(|id| !id.is_empty());
    let zone = files.link(b"etc/localtime")?;
    let zone = zone.map(|target| match find(&target, b"zoneinfo/") {
        Some(at) => target.get(at..).unwrap_or_default().to_vec(),
        None => target,
    });
    let mut all = vec![
        plain("system", Some(system.into_bytes())),
        plain("architecture", facts.architecture.map(Into::into)),
        plain("init", facts.init.map(Into::into)),
        plain("hostname", first_line(files, b"etc/hostname")?),
        Property {
            what: "machine-id".to_owned(),
            value: machine_id,
            is_secret: true,
        },
        plain("timezone", zone),
    ];
    for key in keys {
        all.push(Property {
            what: escape::bytes(key),
            value: files.read(&join(SSH, key), FILE_MAX).ok().flatten(),
            is_secret: true,
        });
    }
    Ok(all)
}

/// The end of `needle` in `text`.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let at = text
        .windows(needle.len())
        .position(|window| window == needle)?;
    Some(at + needle.len())
}

fn first_line(files: &dyn Files, path: &[u8]) -> FsResult<Option<Vec<u8>>> {
    let text = files.read(path, FILE_MAX)?;
    Ok(text.map(|text| {
        let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
        line.trim_ascii().to_vec()
    }))
}

/// Names of the public halves of the SSH host keys.
fn host_keys(files: &dyn Files) -> FsResult<Vec<Vec<u8>>> {
    let names = files.names(SSH)?.into_iter().map(|(name, _)| name);
    let is_key = |name: &Vec<u8>| name.starts_with(b"ssh_host_") && name.ends_with(b".pub");
    Ok(names
        .filter(is_key)
        .map(|name| split(&name).1.to_vec())
        .collect())
}
