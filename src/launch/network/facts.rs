//! What the host has of links, addresses and routes.

use std::fs;
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;

use super::super::error::{Doing, LaunchError};
use super::netlink::Netlink;

/// The network of the host, as far as it matters to WPARs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// Its links.
    pub interfaces: Vec<HostInterface>,
    /// Link of the default route of IPv4.
    pub default_v4: Option<String>,
    /// Link of the default route of IPv6.
    pub default_v6: Option<String>,
    /// Whether single links can be made to pass IPv6 on, or all do.
    pub can_forward_v6: bool,
}

/// A link of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInterface {
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub is_up: bool,
    /// Its addresses, and lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// Looks at the network namespace of this process.
///
/// # Errors
/// If the kernel does not answer.
pub fn look() -> Result<HostNetwork, LaunchError> {
    let netlink = Netlink::open().doing("ask the kernel about the network")?;
    let links = netlink.links().doing("list the host's interfaces")?;
    let addresses = netlink.addresses().doing("list the host's addresses")?;
    let defaults = netlink.default_links().doing("list the host's routes")?;
    let default = |wanted: AddressFamily| {
        let (_, index) = defaults.iter().find(|(family, _)| *family == wanted)?;
        let link = links.iter().find(|link| link.index == *index)?;
        Some(link.name.clone())
    };
    let all = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").unwrap_or_default();
    let each = fs::exists("/proc/sys/net/ipv6/conf/all/force_forwarding").unwrap_or(false);
    Ok(HostNetwork {
        default_v4: default(AddressFamily::Inet),
        default_v6: default(AddressFamily::Inet6),
        can_forward_v6: each || all.trim() == "1",
        interfaces: links
            .iter()
            .map(|link| HostInterface {
                name: link.name.clone(),
                is_up: link.is_up,
                addresses: addresses
                    .iter()
                    .filter(|(index, ..)| *index == link.index)
                    .map(|(_, address, prefix)| (*address, *prefix))
                    .collect(),
            })
            .collect(),
    })
}
