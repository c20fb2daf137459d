//! From what is said of a WPAR's network to what is made for it: pure, facts of the host in, a
//! [`crate::launch::network::Plan`] out.
//!
//! [`settle()`] completes what is said when it is said (interfaces, masks, private addresses) and finds
//! clashes; [`plan()`] says at each start what to make.
//!
//! | mode | addresses | the host |
//! |---|---|---|
//! | `alias` | as said, reached at an interface of the host | answers for them there (ARP, NDP), passes on between that interface and the wire |
//! | `shared` | as said, put on an interface of the host, unless the host has them | lets the WPAR use these alone |
//! | `nat` | private ones, chosen by [`settle()`] | translates to its own address and back, and from published ports |
//!
//! Forwarding is turned on for single interfaces, never for the whole host.

use std::net::IpAddr;

use thiserror::Error;

use crate::model::network::{Mode, Network};

mod plan;
mod settle;
mod share;
#[cfg(test)]
mod tests;

pub use plan::{Wire, plan};
pub use settle::{Other, settle};
pub use share::own_addresses;

/// Why a WPAR cannot be connected as it is said.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// An address that is the host's.
    #[error("{address} is an address of this host, at {interface}")]
    HostHas {
        /// The address.
        address: IpAddr,
        /// Where the host has it.
        interface: String,
    },
    /// An address of another WPAR.
    #[error("{address} is an address of the workload partition {owner}")]
    OtherHas {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: String,
    },
    /// A port that leads to another WPAR.
    #[error("port {port} of this host leads to the workload partition {owner}")]
    PortTaken {
        /// The port and its protocol.
        port: String,
        /// Where it leads to.
        owner: String,
    },
    /// No interface in the subnet of an address.
    #[error("no interface of this host is in the subnet of {0}")]
    NoSubnet(IpAddr),
    /// No such interface.
    #[error("this host has no interface {0}")]
    NoInterface(String),
    /// Nowhere to translate to.
    #[error("this host has no default route to be behind")]
    NoDefaultRoute,
    /// No private addresses are left.
    #[error("no private address is left")]
    NoPrivate,
    /// The kernel cannot pass IPv6 on between single interfaces.
    #[error(
        "{0} cannot be reached: before Linux 6.17, IPv6 is passed on by all interfaces or by none"
    )]
    NoForwardV6(IpAddr),
}

impl Refusal {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::HostHas { .. } | Self::OtherHas { .. } => {
                "choose another address, or leave it out with -a"
            }
            Self::PortTaken { .. } => "publish at another port",
            Self::NoSubnet(_) => "name one with interface=",
            Self::NoInterface(_) => "'ip link' lists them",
            Self::NoDefaultRoute => "name an interface with interface=, or use mode=alias",
            Self::NoPrivate => "remove workload partitions with mode=nat",
            Self::NoForwardV6(_) => {
                "set net.ipv6.conf.all.forwarding=1 if this host may be a router, or leave the address out"
            }
        }
    }

    /// Whether leaving an address out helps.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::HostHas { address, .. } | Self::OtherHas { address, .. } => Some(*address),
            _ => None,
        }
    }
}

/// Whether anything has to be made for it.
pub fn is_needed(network: &Network) -> bool {
    match network.mode() {
        Mode::None => false,
        Mode::Shared => !network.addresses.is_empty(),
        Mode::Alias | Mode::Nat => true,
    }
}
