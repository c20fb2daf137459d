//! Completing what is said of a network, and finding who has its addresses already.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Refusal;
use crate::launch::network::{HostInterface, HostNetwork};
use crate::model::network::{Address, InterfaceName, Mode, Network, subnet};

/// Ranges of private addresses, the first that the host is not in itself.
pub(super) const PRIVATE: [(Ipv4Addr, u8); 3] = [
    (Ipv4Addr::new(10, 213, 0, 0), 16),
    (Ipv4Addr::new(172, 29, 0, 0), 16),
    (Ipv4Addr::new(192, 168, 213, 0), 24),
];

/// The range of IPv6: a unique local one.
pub(super) const PRIVATE_V6: (Ipv6Addr, u8) =
    (Ipv6Addr::new(0xfd77, 0x7061, 0x7200, 0, 0, 0, 0, 0), 48);

/// Another WPAR's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its name.
    pub name: String,
    /// Its network.
    pub network: Network,
}

/// `network` with what is not said: the interface of each address, its mask, private addresses.
/// `start` is where the search for those begins, so that several roots of the tool do not all take the
/// first.
///
/// # Errors
/// An address or a port that another has, or an interface that there is not.
pub fn settle(
    mut network: Network,
    host: &HostNetwork,
    others: &[Other],
    start: u32,
) -> Result<Network, Refusal> {
    let mode = network.mode();
    if mode == Mode::Nat {
        choose_private(&mut network, host, others, start)?;
    }
    for address in &mut network.addresses {
        match mode {
            // What is the host's own may be shared with it.
            Mode::Shared => require_no_other(address.address, others)?,
            _ => require_free(address.address, host, others)?,
        }
        match mode {
            Mode::Nat => {
                if let Some(name) = &address.interface {
                    find(host, name)?;
                }
                address.prefix = address.prefix.or(Some(subnet::bits(address.address)));
            }
            _ => place(address, host)?,
        }
        if mode != Mode::Shared && address.address.is_ipv6() && !host.can_forward_v6 {
            return Err(Refusal::NoForwardV6(address.address));
        }
    }
    for one in &network.published {
        let taken = others
            .iter()
            .find(|other| other.network.published.iter().any(|p| p.clashes(one)));
        if let Some(other) = taken {
            return Err(Refusal::PortTaken {
                port: format!("{}/{}", one.host, one.protocol),
                owner: other.name.clone(),
            });
        }
    }
    if mode == Mode::Nat && uplink(host, &network).is_none() {
        return Err(Refusal::NoDefaultRoute);
    }
    for route in &mut network.routes {
        match &route.interface {
            Some(name) => drop(find(host, name)?),
            None => {
                let at = of_subnet(host, route.gateway).ok_or(Refusal::NoSubnet(route.gateway))?;
                route.interface = InterfaceName::new(&at.name).ok();
            }
        }
    }
    Ok(network)
}

/// The interface of the host that a network with private addresses is behind.
pub(super) fn uplink<'a>(host: &'a HostNetwork, network: &'a Network) -> Option<&'a str> {
    let said = network
        .addresses
        .iter()
        .find_map(|address| address.interface.as_ref());
    said.map(InterfaceName::as_str)
        .or(host.default_v4.as_deref())
        .or(host.default_v6.as_deref())
}

/// That nobody here has the address.
pub(super) fn require_free(
    address: IpAddr,
    host: &HostNetwork,
    others: &[Other],
) -> Result<(), Refusal> {
    for interface in &host.interfaces {
        if interface.addresses.iter().any(|(own, _)| *own == address) {
            return Err(Refusal::HostHas {
                address,
                interface: interface.name.clone(),
            });
        }
    }
    require_no_other(address, others)
}

fn require_no_other(address: IpAddr, others: &[Other]) -> Result<(), Refusal> {
    for other in others {
        if other
            .network
            .addresses
            .iter()
            .any(|theirs| theirs.address == address)
        {
            return Err(Refusal::OtherHas {
                address,
                owner: other.name.clone(),
            });
        }
    }
    Ok(())
}

/// Interface and mask of an alias.
fn place(address: &mut Address, host: &HostNetwork) -> Result<(), Refusal> {
    let interface = match &address.interface {
        Some(name) => find(host, name)?,
        None => with_address(host, address.address)
            .or_else(|| of_subnet(host, address.address))
            .ok_or(Refusal::NoSubnet(address.address))?,
    };
    let subnet = interface
        .addresses
        .iter()
        .find(|(own, prefix)| subnet::contains(*own, *prefix, address.address));
    address.prefix = address.prefix.or(match subnet {
        Some((_, prefix)) => Some(*prefix),
        None => Some(subnet::bits(address.address)),
    });
    address.interface = InterfaceName::new(&interface.name).ok();
    Ok(())
}

pub(super) fn find<'a>(
    host: &'a HostNetwork,
    name: &InterfaceName,
) -> Result<&'a HostInterface, Refusal> {
    host.interfaces
        .iter()
        .find(|interface| interface.name == name.as_str())
        .ok_or_else(|| Refusal::NoInterface(name.to_string()))
}

fn with_address(host: &HostNetwork, address: IpAddr) -> Option<&HostInterface> {
    let has =
        |interface: &&HostInterface| interface.addresses.iter().any(|(own, _)| *own == address);
    host.interfaces.iter().find(has)
}

/// The interface whose subnet an address is in: of several, the narrowest.
fn of_subnet(host: &HostNetwork, address: IpAddr) -> Option<&HostInterface> {
    let fits = |interface: &HostInterface| {
        let subnets = interface.addresses.iter();
        subnets
            .filter(|(own, prefix)| {
                !own.is_loopback()
                    && *prefix < subnet::bits(*own)
                    && subnet::contains(*own, *prefix, address)
            })
            .map(|(_, prefix)| *prefix)
            .max()
    };
    let all = host.interfaces.iter().filter(|interface| interface.is_up);
    all.filter_map(|interface| fits(interface).map(|prefix| (prefix, interface)))
        .max_by_key(|(prefix, _)| *prefix)
        .map(|(_, interface)| interface)
}

/// Gives a network the private addresses that it does not have yet.
fn choose_private(
    network: &mut Network,
    host: &HostNetwork,
    others: &[Other],
    start: u32,
) -> Result<(), Refusal> {
    let interface = network
        .addresses
        .iter()
        .find_map(|address| address.interface.clone());
    let new = |address: IpAddr| Address {
        address,
        interface: interface.clone(),
        prefix: Some(subnet::bits(address)),
        broadcast: None,
        private: true,
    };
    let is_free = |address: &IpAddr| require_free(*address, host, others).is_ok();
    if !network.addresses.iter().any(|a| a.address.is_ipv4()) {
        let (first, prefix) = private_range(host).ok_or(Refusal::NoPrivate)?;
        // Neither the first nor the last of the range, which some programs take for special.
        let count = (1u32 << (32 - u32::from(prefix))) - 2;
        let address = (0..count)
            .map(|step| 1 + (start % count + step) % count)
            .map(|number| IpAddr::V4(Ipv4Addr::from(u32::from(first) + number)))
            .find(is_free)
            .ok_or(Refusal::NoPrivate)?;
        network.addresses.push(new(address));
    }
    let has_v6 = network.addresses.iter().any(|a| a.address.is_ipv6());
    if !has_v6 && host.default_v6.is_some() && host.can_forward_v6 {
        let (first, _) = PRIVATE_V6;
        let address = (0..u128::from(u16::MAX))
            .map(|step| u128::from(first) + 1 + (u128::from(start % 65_535) + step) % 65_535)
            .map(|number| IpAddr::V6(Ipv6Addr::from(number)))
            .find(is_free)
            .ok_or(Refusal::NoPrivate)?;
        network.addresses.push(new(address));
    }
    Ok(())
}

fn private_range(host: &HostNetwork) -> Option<(Ipv4Addr, u8)> {
    let is_used = |(first, prefix): &(Ipv4Addr, u8)| {
        let mut all = host.interfaces.iter().flat_map(|i| &i.addresses);
        all.any(|(own, own_prefix)| {
            // A link of ours has no addresses; what is this narrow is a single machine elsewhere.
            subnet::contains((*first).into(), *prefix, *own)
                || subnet::contains(*own, *own_prefix, (*first).into())
        })
    };
    PRIVATE.into_iter().find(|range| !is_used(range))
}
