//! What is to be made for a WPAR's network, as plain values.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The network of a WPAR with a stack of its own: one wire from it to the host, and what the host does
/// for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name of the wire's end on the host.
    pub link: String,
    /// What the wire is for, as `ip link` shows it.
    pub label: String,
    /// Hardware address of the WPAR's end.
    pub hardware: [u8; 6],
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// At which links the host answers for which of them.
    pub proxies: Vec<Proxy>,
    /// Settings of the host that this needs, in order.
    pub settings: Vec<Setting>,
    /// Settings of the wire's end on the host, in order.
    pub link_settings: Vec<Setting>,
    /// Routes of its own, instead of the host's.
    pub table: Option<Table>,
    /// Translation of addresses.
    pub translation: Option<Translation>,
    /// A resolv.conf for it, where it has none that is of use to it.
    pub resolver: Option<String>,
}

/// An address that the host answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Link of the host.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
}

/// One file below `/proc/sys/net`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its path there.
    pub path: String,
    /// What is to be in it.
    pub value: String,
    /// Only if this is in it.
    pub instead_of: Option<String>,
    /// Whether it may be missing.
    pub optional: bool,
}

/// Routes for what comes from a WPAR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Number of the kernel's table.
    pub number: u32,
    /// Its routes; what they do not lead to cannot be reached.
    pub routes: Vec<TableRoute>,
}

/// One route of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRoute {
    /// First address that it leads to.
    pub destination: IpAddr,
    /// Bits that all of them have in common.
    pub prefix: u8,
    /// Neighbour of the host that knows on; the destination is a neighbour itself without.
    pub gateway: Option<IpAddr>,
    /// Link of the host.
    pub interface: String,
}

/// Private addresses behind the host's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// Prefix of the private addresses of all WPARs, which meet each other untranslated: of each
    /// family.
    pub ranges: Vec<(IpAddr, u8)>,
    /// Port of the host, port of the WPAR, whether it is UDP rather than TCP.
    pub published: Vec<(u16, u16, bool)>,
}
