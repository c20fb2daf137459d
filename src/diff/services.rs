//! What is started with the system: links of systemd, OpenRC and System V init.

use std::collections::BTreeMap;

use wpar_mountd::error::FsResult;
use wpar_mountd::types::FileKind;

use crate::source::files::{Files, join, split};

/// A service that is started otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceChange {
    /// `systemd`, `openrc` or `sysvinit`.
    pub manager: &'static str,
    /// Its name.
    pub name: Vec<u8>,
    /// How it is in A, such as `enabled (multi-user.target)` or `masked`; `None` if it is not.
    pub before: Option<String>,
    /// How it is in B.
    pub after: Option<String>,
}

/// How a service is started: what starts it, and whether it must not be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    by: Vec<Vec<u8>>,
    is_masked: bool,
    link: Option<Vec<u8>>,
}

impl State {
    fn describe(&self) -> String {
        let by: Vec<_> = self.by.iter().map(|by| super::escape::bytes(by)).collect();
        match (&self.link, self.is_masked) {
            (Some(target), _) => super::escape::bytes(target),
            (None, true) => "masked".to_owned(),
            (None, false) => format!("enabled ({})", by.join(", ")),
        }
    }
}

type States = BTreeMap<(&'static str, Vec<u8>), State>;

pub(super) fn compare(a: &dyn Files, b: &dyn Files) -> FsResult<Vec<ServiceChange>> {
    let (before, after) = (states(a)?, states(b)?);
    let new = after.keys().filter(|key| !before.contains_key(*key));
    let mut keys: Vec<_> = before.keys().chain(new).collect();
    keys.sort();
    let mut changes = Vec::new();
    for key in keys {
        let (before, after) = (before.get(key), after.get(key));
        if before != after {
            changes.push(ServiceChange {
                manager: key.0,
                name: key.1.clone(),
                before: before.map(State::describe),
                after: after.map(State::describe),
            });
        }
    }
    Ok(changes)
}

fn states(files: &dyn Files) -> FsResult<States> {
    let mut states = States::new();
    systemd(files, &mut states)?;
    openrc(files, &mut states)?;
    // systemd takes these only for what has no unit, and packages make both.
    let init = files.real(b"sbin/init")?;
    if init.is_some_and(|(path, _)| split(&path).1 != b"systemd") {
        sysvinit(files, &mut states)?;
    }
    Ok(states)
}

/// systemd.unit(5): links in `UNIT.wants` and its like enable, a link to /dev/null masks.
fn systemd(files: &dyn Files, states: &mut States) -> FsResult<()> {
    const UNITS: &[u8] = b"etc/systemd/system";
    for (name, kind) in files.names(UNITS)? {
        let path = join(UNITS, &name);
        let wanting = [&b".wants"[..], b".requires", b".upholds"]
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        match (wanting, kind) {
            (Some(by), FileKind::Directory) => {
                for (unit, _) in files.names(&path)? {
                    let state = states.entry(("systemd", unit)).or_default();
                    state.by.push(by.to_vec());
                }
            }
            (None, FileKind::Symlink) => {
                let target = files.link(&path)?.unwrap_or_default();
                if target == b"/dev/null" {
                    states.entry(("systemd", name)).or_default().is_masked = true;
                } else if name == b"default.target" {
                    let link = Some(split(&target).1.to_vec());
                    states.entry(("systemd", name)).or_default().link = link;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A link for each service in the directory of each runlevel.
fn openrc(files: &dyn Files, states: &mut States) -> FsResult<()> {
    const LEVELS: &[u8] = b"etc/runlevels";
    for (level, _) in files.names(LEVELS)? {
        for (name, _) in files.names(&join(LEVELS, &level))? {
            let state = states.entry(("openrc", name)).or_default();
            state.by.push(level.clone());
        }
    }
    Ok(())
}

/// `rc?.d/S??NAME`, in `etc` or, of Red Hat, in `etc/rc.d`.
fn sysvinit(files: &dyn Files, states: &mut States) -> FsResult<()> {
    for level in [&b"S"[..], b"1", b"2", b"3", b"4", b"5"] {
        for base in [&b"etc/rc"[..], b"etc/rc.d/rc"] {
            let directory = [base, level, b".d"].concat();
            for (link, _) in files.names(&directory)? {
                let [b'S', tens, ones, name @ ..] = &*link else {
                    continue;
                };
                if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
                    continue;
                }
                let state = states.entry(("sysvinit", name.to_vec())).or_default();
                if !state.by.iter().any(|by| by == level) {
                    state.by.push(level.to_vec());
                }
            }
        }
    }
    Ok(())
}
