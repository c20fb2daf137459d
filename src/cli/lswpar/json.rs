//! The list for programs. Names and values here are a promise, as those of `-c` are.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use super::fields;
use super::row::Row;
use crate::cli::error::{CliError, CliResult};
use crate::launch::TASKS;
use crate::model::resources::KEYS;
use crate::model::{CopyControls, Generation, IdRange, Level, Network, SpaceLimits};

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// AIX' letter.
    state: String,
    /// The word for it.
    state_name: &'a str,
    #[serde(flatten)]
    record: Option<Recorded<'a>>,
    /// Process 1 of the WPAR as the host numbers it, while it is active.
    init: Option<u32>,
    /// Whether its init said that the system is up.
    ready: bool,
    operation: Option<Operation<'a>>,
}

#[derive(Serialize)]
struct Recorded<'a> {
    r#type: String,
    hostname: &'a str,
    directory: String,
    rootvgwpar: bool,
    auto: bool,
    uuid: &'a str,
    /// The image, or `/`.
    source: String,
    copy_controls: CopyControls,
    /// File systems of the running system, besides that of /, that are in a copy of it.
    included: Vec<FileSystem<'a>>,
    /// Those that are not.
    left_out: Vec<FileSystem<'a>>,
    /// How consistent it is; null for a copy of a backup.
    consistency: Option<String>,
    /// In bytes and inodes; null for none.
    limits: SpaceLimits,
    network: Connection,
    /// Resource controls as `-R` names and shows them.
    resources: BTreeMap<&'static str, String>,
    ids: IdRange,
    /// Whether its /usr and /opt are its own to change.
    privateusr: bool,
    /// The system whose /usr and /opt it has: a directory; null for its source's.
    usr_from: Option<String>,
    /// Script of the host that is run at its start and stop; null for none.
    script: Option<String>,
    /// Devices of the host that it was given.
    devices: Vec<String>,
    /// What its programs may do.
    privileges: Vec<&'static str>,
    /// Whether it may run at a level of its own.
    versioned: bool,
    /// The level that it was at when it was last looked at; null if that is not on record.
    level: Option<&'a Level>,
    /// When it was brought to the level of the host, the first one first.
    synchronized: Vec<Synchronized>,
    /// RFC 3339.
    created: String,
}

#[derive(Serialize)]
struct Synchronized {
    /// RFC 3339.
    at: String,
    /// The level before; null if that was not known.
    from: Option<String>,
    /// Packages that are the host's since then.
    replaced: u64,
    /// Packages of the host that were added.
    added: u64,
    /// Packages that are still the copy's.
    kept: u64,
}

impl Synchronized {
    fn of(generation: &Generation) -> Self {
        Self {
            at: fields::time(generation.made),
            from: generation.from.as_ref().map(Level::service_pack),
            replaced: generation.replaced,
            added: generation.added,
            kept: generation.kept,
        }
    }
}

#[derive(Serialize)]
struct Connection {
    mode: String,
    addresses: Vec<Addressed>,
    /// As in `8080:80/tcp`: the host's port first.
    published: Vec<String>,
    routes: Vec<Routed>,
}

#[derive(Serialize)]
struct Addressed {
    address: IpAddr,
    prefix: Option<u8>,
    interface: Option<String>,
}

#[derive(Serialize)]
struct Routed {
    destination: String,
    gateway: IpAddr,
}

#[derive(Serialize)]
struct FileSystem<'a> {
    directory: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct Operation<'a> {
    verb: &'a str,
    pid: u32,
}

/// A list of objects, also for no rows.
pub(super) fn render(rows: &[Row]) -> CliResult<String> {
    let listed: Vec<_> = rows.iter().map(listed).collect();
    let text = serde_json::to_string_pretty(&listed)
        .map_err(|error| CliError::new(format!("cannot write the list as JSON: {error}")))?;
    Ok(text + "\n")
}

fn listed(row: &Row) -> Listed<'_> {
    Listed {
        name: row.name.as_str(),
        state: row.state.letter().to_string(),
        state_name: row.state.word(),
        record: row.record.as_ref().map(|record| Recorded {
            r#type: record.type_letter().to_string(),
            hostname: record.hostname.as_str(),
            directory: record.directory.display().to_string(),
            rootvgwpar: false,
            auto: record.auto,
            uuid: &record.uuid,
            source: fields::source(record),
            copy_controls: record.copy_controls,
            included: file_systems(row.view.parts.iter().map(|p| (&p.point, &p.reason))),
            left_out: file_systems(row.view.left_out.iter().map(|o| (&o.point, &o.reason))),
            consistency: row.consistency.map(|word| word.to_string()),
            limits: record.limits,
            network: connection(&record.network),
            resources: KEYS
                .into_iter()
                .map(|key| (key, record.resources.value(key, Some(TASKS))))
                .collect(),
            ids: record.ids,
            privateusr: record.has_private_usr(),
            usr_from: record
                .base
                .as_ref()
                .map(|base| base.system.root().display().to_string()),
            script: record
                .script
                .as_ref()
                .map(|path| path.display().to_string()),
            devices: record.devices.iter().map(ToString::to_string).collect(),
            privileges: record.privileges.names(),
            versioned: record.versioned,
            level: record.level.as_ref(),
            synchronized: row.view.generations.iter().map(Synchronized::of).collect(),
            created: fields::created(record),
        }),
        init: row.observation.init,
        ready: row.observation.ready,
        operation: row
            .operation
            .as_ref()
            .map(|(pid, verb)| Operation { verb, pid: *pid }),
    }
}

fn connection(network: &Network) -> Connection {
    Connection {
        mode: network.mode().to_string(),
        addresses: network
            .addresses
            .iter()
            .map(|address| Addressed {
                address: address.address,
                prefix: address.prefix,
                interface: address.interface.as_ref().map(ToString::to_string),
            })
            .collect(),
        published: network.published.iter().map(ToString::to_string).collect(),
        routes: network
            .routes
            .iter()
            .map(|route| Routed {
                destination: route.destination.to_string(),
                gateway: route.gateway,
            })
            .collect(),
    }
}

fn file_systems<'a>(list: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<FileSystem<'a>> {
    let shown = |(point, reason): (&String, &'a String)| FileSystem {
        directory: format!("/{point}"),
        reason,
    };
    list.map(shown).collect()
}
