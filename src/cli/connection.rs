//! Connecting a WPAR: the rules, with what the host and the other WPARs have.

use rustix::thread::CapabilitySet;

use super::context::Context;
use super::error::{CliError, CliResult};
use super::lifecycle::limits_of;
use crate::launch::network::{self, HostNetwork, Plan};
use crate::launch::{self, OwnAddresses};
use crate::model::ids::{IDS_FIRST, IDS_PER_WPAR};
use crate::model::network::{Mode, Network};
use crate::model::{Edit, Put, Resources, WparName, WparRecord};
use crate::policy;
use crate::policy::network::{Other, Refusal, Wire, is_needed, settle};
use crate::registry::Registry;
use crate::source::resolver;

fn refused(refusal: Refusal) -> CliError {
    let hint = refusal.hint();
    CliError::new(refusal.to_string()).hint(hint)
}

fn host() -> CliResult<HostNetwork> {
    Ok(network::look()?)
}

/// The networks of all but this one.
fn others(registry: &Registry, own: &WparName) -> CliResult<Vec<Other>> {
    let mut others = Vec::new();
    for name in registry.names()?.into_iter().filter(|name| name != own) {
        // One that is damaged cannot be started, either.
        if let Ok(Some(record)) = registry.load(&name) {
            others.push(Other {
                name: name.to_string(),
                network: record.network,
            });
        }
    }
    Ok(others)
}

/// What is said of a network, completed. With `leave_out`, addresses that another has are left out,
/// with a note.
pub(super) fn settled(
    context: &Context,
    registry: &Registry,
    name: &WparName,
    said: Network,
    leave_out: bool,
) -> CliResult<Network> {
    said.check().map_err(super::controls::bad_network)?;
    if !is_needed(&said) {
        return Ok(said);
    }
    if said.mode() == Mode::Nat && network::nft().is_none() {
        return Err(CliError::new("mode=nat needs nft, which is not installed")
            .hint("install the package nftables"));
    }
    let (host, others) = (host()?, others(registry, name)?);
    let mut said = said;
    loop {
        let start = registry.layout().first_private();
        match settle(said.clone(), &host, &others, start) {
            Ok(network) => return Ok(network),
            Err(refusal) => match refusal.address().filter(|_| leave_out) {
                Some(address) => {
                    context.note(format_args!("warning: left out: {refusal}"));
                    said.addresses.retain(|other| other.address != address);
                    if said.addresses.is_empty() && said.mode() != Mode::Nat {
                        return Ok(Network::default());
                    }
                }
                None => return Err(refused(refusal)),
            },
        }
    }
}

/// The record without addresses that another has, written down if that makes a difference.
pub(super) fn without_clashes(
    context: &Context,
    registry: &Registry,
    record: WparRecord,
) -> CliResult<WparRecord> {
    let network = settled(
        context,
        registry,
        &record.name,
        record.network.clone(),
        true,
    )?;
    if network == record.network {
        return Ok(record);
    }
    let mut record = WparRecord { network, ..record };
    record.version = record.needed_version();
    registry.store(&record)?;
    Ok(record)
}

/// A resolv.conf with the servers that the host asks, if any is not on the host itself.
fn resolver_text() -> Option<String> {
    let mark = network::RESOLVER_MARK;
    resolver::upstream().map(|text| format!("{mark}\n{}", resolver::portable(&text)))
}

/// The same to be put in a new WPAR.
pub(super) fn resolver() -> Option<Edit> {
    resolver_text().map(|text| Edit {
        path: "etc/resolv.conf".to_owned(),
        what: Put::File {
            contents: text.into_bytes(),
            permissions: 0o644,
        },
        reason: "its network is the host's: the host's name servers".to_owned(),
    })
}

/// What is to be made for a WPAR that starts or runs.
pub(super) fn plan(registry: &Registry, record: &WparRecord) -> CliResult<Option<Plan>> {
    if !is_needed(&record.network) {
        return Ok(None);
    }
    let wire = wire(registry, record);
    let others = others(registry, &record.name)?;
    policy::network::plan(&record.network, &wire, &host()?, &others, resolver_text())
        .map_err(refused)
}

/// The addresses that a WPAR with the host's network is held to.
pub(super) fn own_addresses(registry: &Registry, record: &WparRecord) -> Option<OwnAddresses> {
    let withheld = record.privileges.withheld_capabilities();
    let low_ports = withheld & CapabilitySet::NET_BIND_SERVICE.bits() == 0;
    policy::network::own_addresses(&record.network, &wire(registry, record), low_ports)
}

fn wire(registry: &Registry, record: &WparRecord) -> Wire {
    Wire {
        link: registry.layout().link(&record.name),
        name: record.name.to_string(),
        machine_id: record.machine_id(),
        number: record.ids.first.saturating_sub(IDS_FIRST) / IDS_PER_WPAR,
    }
}

/// Says if names will not be resolved, because nobody but the host itself could do that.
pub(super) fn report_resolver(context: &Context, network: &Network) {
    if is_needed(network) && resolver::upstream().is_none() {
        context.note(
            "note: this host asks only name servers of its own, which the WPAR cannot reach by \
             their addresses; name others in its /etc/resolv.conf",
        );
    }
}

/// Makes what is on record true of a running WPAR, as far as it differs from `before`.
pub(super) fn apply(
    registry: &Registry,
    before: &WparRecord,
    record: &WparRecord,
) -> CliResult<()> {
    let run_dir = registry.layout().run_dir(&record.name);
    if before.resources != record.resources {
        launch::limit(&run_dir, limits_of(&record.resources)?)?;
    }
    if before.network != record.network {
        let is_shared = |record: &WparRecord| record.network.mode() == Mode::Shared;
        if is_shared(before) != is_shared(record) {
            let name = &record.name;
            return Err(CliError::new(
                "a running workload partition cannot leave the host's network or enter it",
            )
            .hint(format!("stop it with 'stopwpar {name}' first")));
        }
        launch::connect(&run_dir, plan(registry, record)?)?;
    }
    Ok(())
}

/// Says what of the resource controls is enforced in part.
pub(super) fn report(context: &Context, resources: &Resources) {
    for note in policy::resources::notes(resources) {
        context.note(format_args!("note: {note}"));
    }
}

/// The network of a WPAR whose host name has an address in `/etc/hosts`: that address, if it is in a
/// subnet of the host, as in AIX. Only what this file says: a server is not waited for.
pub(super) fn of_hostname(hostname: &str) -> CliResult<Network> {
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let host = host()?;
    let mut network = Network::default();
    for address in addresses_of(hostname, &text) {
        if network
            .addresses
            .iter()
            .any(|known| known.address.is_ipv4() == address.is_ipv4())
        {
            continue;
        }
        let key = if address.is_ipv4() {
            "address"
        } else {
            "address6"
        };
        let said = vec![vec![format!("{key}={address}")]];
        // A name of the machine itself, or of one elsewhere, says nothing about a WPAR's address.
        let Ok(alone) = super::controls::network(Network::default(), &said, false, &[]) else {
            continue;
        };
        if settle(alone.clone(), &host, &[], 0).is_ok() {
            network.addresses.extend(alone.addresses);
        }
    }
    Ok(network)
}

/// The addresses of a name in a file of the form of hosts(5).
fn addresses_of(name: &str, hosts: &str) -> Vec<std::net::IpAddr> {
    let of_line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    };
    hosts.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_in_the_form_of_hosts() {
        let hosts = "127.0.0.1 localhost\n192.0.2.7 db1.example.org DB1 # old: web1\n\
            2001:db8::7\tdb1\nnonsense db1\n";
        let found = addresses_of("db1", hosts);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].to_string(), "192.0.2.7");
        assert!(addresses_of("web1", hosts).is_empty());
    }
}
