//! What to make for a network at a start.

use std::net::IpAddr;

use super::settle::{Other, PRIVATE, PRIVATE_V6, find, require_free, uplink};
use super::{Refusal, is_needed};
use crate::launch::network::plan::{Proxy, Setting, Table, TableRoute, Translation};
use crate::launch::network::{HostNetwork, Plan};
use crate::model::network::{InterfaceName, Mode, Network, Protocol, subnet};

/// Numbers of the kernel's tables that are ours begin here.
const TABLES: u32 = 0x7761_0000;

/// What is a WPAR's own of its wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Name of the host's end.
    pub link: String,
    /// Name of the WPAR.
    pub name: String,
    /// Its identity: 32 hexadecimal digits.
    pub machine_id: String,
    /// A number that no other WPAR has, small.
    pub number: u32,
}

/// What to make; `None` for nothing.
///
/// # Errors
/// What has changed on the host since [`super::settle()`].
pub fn plan(
    network: &Network,
    wire: &Wire,
    host: &HostNetwork,
    others: &[Other],
    resolver: Option<String>,
) -> Result<Option<Plan>, Refusal> {
    if !is_needed(network) || network.mode() == Mode::Shared {
        return Ok(None);
    }
    let addresses: Vec<IpAddr> = network.addresses.iter().map(|a| a.address).collect();
    for address in &addresses {
        require_free(*address, host, others)?;
        if address.is_ipv6() && !host.can_forward_v6 {
            return Err(Refusal::NoForwardV6(*address));
        }
    }
    let is_nat = network.mode() == Mode::Nat;
    let mut plan = Plan {
        link: wire.link.clone(),
        label: format!("wpar {}", wire.name),
        hardware: hardware(&wire.machine_id),
        link_settings: link_settings(&wire.link, &addresses),
        addresses,
        proxies: Vec::new(),
        settings: Vec::new(),
        table: None,
        translation: None,
        resolver,
    };
    if is_nat {
        behind(&mut plan, network, host)?;
    } else {
        beside(&mut plan, network, host)?;
        plan.table = table(network, wire, host)?;
    }
    Ok(Some(plan))
}

/// A hardware address of its own that stays: locally administered, not for groups.
fn hardware(machine_id: &str) -> [u8; 6] {
    let mut octets = [0x02, 0, 0, 0, 0, 0];
    let digits = machine_id.as_bytes().chunks(2);
    let bytes = digits.map(|pair| {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        u8::from_str_radix(text, 16).unwrap_or_default()
    });
    for (octet, byte) in octets.iter_mut().skip(1).zip(bytes) {
        *octet = byte;
    }
    octets
}

fn setting(path: String, value: &str) -> Setting {
    Setting {
        path,
        value: value.to_owned(),
        instead_of: None,
        optional: false,
    }
}

/// The host's end of the wire: it passes on what has the WPAR's own address as its source, and
/// believes nothing that comes from there about routes.
fn link_settings(link: &str, addresses: &[IpAddr]) -> Vec<Setting> {
    let of = |family: &str, key: &str, value| setting(format!("{family}/conf/{link}/{key}"), value);
    let optional = |setting: Setting| Setting {
        optional: true,
        ..setting
    };
    let mut settings = vec![
        of("ipv4", "forwarding", "1"),
        of("ipv4", "rp_filter", "1"),
        of("ipv4", "accept_redirects", "0"),
        of("ipv4", "send_redirects", "0"),
    ];
    if addresses.iter().any(IpAddr::is_ipv6) {
        settings.extend([
            of("ipv6", "accept_ra", "0"),
            of("ipv6", "accept_redirects", "0"),
            optional(of("ipv6", "force_forwarding", "1")),
        ]);
    } else {
        settings.push(optional(of("ipv6", "disable_ipv6", "1")));
    }
    settings
}

/// What an interface of the host needs to pass on to and from a wire.
fn passing_on(interface: &str, is_v6: bool, answers: bool) -> Vec<Setting> {
    // The kernel lets those wait who ask for another's address, up to a second: there is no other
    // answer to come first.
    let at_once = |family: &str| setting(format!("{family}/neigh/{interface}/proxy_delay"), "0");
    if !is_v6 {
        let mut settings = vec![setting(format!("ipv4/conf/{interface}/forwarding"), "1")];
        settings.extend(answers.then(|| at_once("ipv4")));
        return settings;
    }
    let of = |key: &str, value| setting(format!("ipv6/conf/{interface}/{key}"), value);
    let forced = Setting {
        optional: true,
        ..of("force_forwarding", "1")
    };
    if !answers {
        return vec![forced];
    }
    vec![
        // A router does not listen to others unless it is told to: the host would lose its own route.
        Setting {
            instead_of: Some("1".to_owned()),
            ..of("accept_ra", "2")
        },
        // The kernel answers for others only at an interface of a router.
        of("forwarding", "1"),
        of("proxy_ndp", "1"),
        at_once("ipv6"),
        forced,
    ]
}

/// Addresses beside those of the host.
fn beside(plan: &mut Plan, network: &Network, host: &HostNetwork) -> Result<(), Refusal> {
    for address in &network.addresses {
        let name = address
            .interface
            .as_ref()
            .ok_or(Refusal::NoSubnet(address.address))?;
        let interface = find(host, name)?;
        plan.proxies.push(Proxy {
            interface: interface.name.clone(),
            address: address.address,
        });
        add(
            &mut plan.settings,
            passing_on(&interface.name, address.address.is_ipv6(), true),
        );
    }
    Ok(())
}

/// Private addresses behind that of the host.
fn behind(plan: &mut Plan, network: &Network, host: &HostNetwork) -> Result<(), Refusal> {
    let name = uplink(host, network).ok_or(Refusal::NoDefaultRoute)?;
    let name = InterfaceName::new(name).map_err(|_| Refusal::NoDefaultRoute)?;
    let interface = &find(host, &name)?.name;
    for address in &plan.addresses {
        add(
            &mut plan.settings,
            passing_on(interface, address.is_ipv6(), false),
        );
    }
    let ranges = PRIVATE.map(|(first, prefix)| (IpAddr::V4(first), prefix));
    let own = |(first, prefix): &(IpAddr, u8)| {
        let mut all = plan.addresses.iter();
        all.any(|address| subnet::contains(*first, *prefix, *address))
    };
    let mut ranges: Vec<_> = ranges.into_iter().filter(own).collect();
    if ranges.is_empty() {
        // A private address that was said: nobody is met untranslated but itself.
        let v4 = plan.addresses.iter().filter(|address| address.is_ipv4());
        ranges.extend(v4.map(|address| (*address, 32)));
    }
    ranges.push((IpAddr::V6(PRIVATE_V6.0), PRIVATE_V6.1));
    plan.translation = Some(Translation {
        ranges,
        published: network
            .published
            .iter()
            .map(|one| (one.host, one.own, one.protocol == Protocol::Udp))
            .collect(),
    });
    Ok(())
}

fn add(settings: &mut Vec<Setting>, more: Vec<Setting>) {
    for setting in more {
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
}

/// Routes of its own: to the subnets of its addresses, and those that are said.
fn table(network: &Network, wire: &Wire, host: &HostNetwork) -> Result<Option<Table>, Refusal> {
    if !network.routing {
        return Ok(None);
    }
    let mut routes: Vec<TableRoute> = Vec::new();
    for address in &network.addresses {
        let (Some(interface), Some(prefix)) = (&address.interface, address.prefix) else {
            continue;
        };
        let route = TableRoute {
            destination: subnet::network(address.address, prefix),
            prefix,
            gateway: None,
            interface: interface.to_string(),
        };
        if prefix < subnet::bits(address.address) && !routes.contains(&route) {
            routes.push(route);
        }
    }
    for route in &network.routes {
        let interface = route
            .interface
            .as_ref()
            .ok_or(Refusal::NoSubnet(route.gateway))?;
        routes.push(TableRoute {
            destination: route.destination.network,
            prefix: route.destination.prefix,
            gateway: Some(route.gateway),
            interface: find(host, interface)?.name.clone(),
        });
    }
    Ok(Some(Table {
        number: TABLES + wire.number,
        routes,
    }))
}
