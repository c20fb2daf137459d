//! The network of a WPAR: `-N key=value ...`, `-i` and `-I key=value ...`, as AIX names them, with
//! `mode` and `publish` as additions.
//!
//! Which links, routes and rules follow is [`crate::policy::network`]'. The interface of an address is
//! one of the *host's*, as in AIX: where the address is reached by others.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod interface;
mod published;
mod request;
mod route;
pub mod subnet;
#[cfg(test)]
mod tests;

pub use interface::InterfaceName;
pub use published::{Protocol, Published};
pub use request::NetworkRequest;
pub use route::{Destination, Route};

/// How a WPAR is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not at all: a stack of its own with the loopback interface alone.
    None,
    /// A stack of its own, whose addresses are reached at the host's interfaces as if they were the
    /// host's.
    Alias,
    /// A stack of its own with private addresses, behind those of the host.
    Nat,
    /// The host's stack; with addresses, held to those.
    Shared,
}

impl Mode {
    const ALL: [(Self, &'static str); 4] = [
        (Self::None, "none"),
        (Self::Alias, "alias"),
        (Self::Nat, "nat"),
        (Self::Shared, "shared"),
    ];
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Self::ALL.iter().find(|(mode, _)| mode == self);
        f.write_str(known.map_or("", |(_, name)| name))
    }
}

/// The most addresses that a WPAR with the host's stack can be held to.
pub const SHARED_MAX: usize = 64;

/// An address of a WPAR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// The host's interface that it is reached at. Not said: that of its subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceName>,
    /// Length of its subnet's prefix. Not said: that of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// Broadcast address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Ipv4Addr>,
    /// Whether the tool chose it, for mode nat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

impl Address {
    /// The mask or the length of the prefix, as the family has it.
    pub fn mask(&self) -> String {
        match (self.prefix, self.address) {
            (None, _) => String::new(),
            (Some(prefix), IpAddr::V4(_)) => subnet::mask(prefix).to_string(),
            (Some(prefix), IpAddr::V6(_)) => prefix.to_string(),
        }
    }
}

/// The network of a WPAR.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// How it is connected, if that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Ports of the host that lead to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
    /// Whether it has routes of its own rather than the host's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub routing: bool,
    /// Those routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// Why a network cannot be as it is said.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NetworkError {
    /// Not of the form `name=value`.
    #[error("'{0}' is not of the form name=value")]
    NotAPair(String),
    /// No such attribute.
    #[error("the {0} has no attribute '{1}'; there are {2}")]
    Unknown(&'static str, String, &'static str),
    /// A value that an attribute cannot have.
    #[error("{key} cannot be '{}': {why}", .value.escape_debug())]
    Value {
        /// The attribute.
        key: &'static str,
        /// The value.
        value: String,
        /// What it should be.
        why: &'static str,
    },
    /// Attributes that do not go together.
    #[error("{0}")]
    Together(String),
}

impl Network {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How it is connected: not at all without an address, by aliases with one, unless it is said.
    pub fn mode(&self) -> Mode {
        match self.mode {
            Some(mode) => mode,
            None if self.addresses.is_empty() => Mode::None,
            None => Mode::Alias,
        }
    }

    /// The network with what is asked for added or changed.
    ///
    /// # Errors
    /// If the result cannot be.
    pub fn with(mut self, request: NetworkRequest) -> Result<Self, NetworkError> {
        if let Some(mode) = request.mode {
            self.mode = Some(mode);
        }
        for new in request.addresses {
            match self
                .addresses
                .iter_mut()
                .find(|known| known.address == new.address)
            {
                Some(known) => {
                    known.interface = new.interface.or(known.interface.take());
                    known.prefix = new.prefix.or(known.prefix);
                    known.broadcast = new.broadcast.or(known.broadcast);
                }
                None => self.addresses.push(new),
            }
        }
        for new in request.published {
            if !self.published.contains(&new) {
                self.published.push(new);
            }
        }
        if self.mode() != Mode::Nat {
            self.addresses.retain(|address| !address.private);
        }
        self.check()?;
        Ok(self)
    }

    /// The network with these routes added, or changed if there are such for their destinations.
    ///
    /// # Errors
    /// If the result cannot be.
    pub fn with_routes(mut self, routes: Vec<Route>) -> Result<Self, NetworkError> {
        for route in routes {
            self.routes
                .retain(|known| known.destination != route.destination);
            self.routes.push(route);
        }
        self.routing |= !self.routes.is_empty();
        self.check()?;
        Ok(self)
    }

    /// What must hold between the attributes.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), NetworkError> {
        let together = |text: String| Err(NetworkError::Together(text));
        let mode = self.mode();
        if let (Mode::None, Some(address)) = (mode, self.addresses.first()) {
            return together(format!(
                "mode={mode} goes without addresses, and {} is one; leave mode= away",
                address.address
            ));
        }
        if let (Mode::Alias | Mode::None | Mode::Shared, Some(published)) =
            (mode, self.published.first())
        {
            let why = match mode {
                Mode::Alias => "all ports of an alias are its own",
                Mode::Shared => "all ports are the host's",
                _ => "there is no network",
            };
            return together(format!("publish={published} needs mode=nat: {why}"));
        }
        if mode == Mode::Shared && self.addresses.len() > SHARED_MAX {
            return together(format!(
                "mode=shared goes with at most {} addresses",
                SHARED_MAX
            ));
        }
        if mode == Mode::Alias && self.addresses.is_empty() {
            return together("mode=alias needs an address; add address=".to_owned());
        }
        for (at, one) in self.published.iter().enumerate() {
            let earlier = self.published.iter().take(at);
            if earlier.into_iter().any(|other| other.clashes(one)) {
                return together(format!("port {} of the host is published twice", one.host));
            }
        }
        if let Some(route) = self.routes.first().filter(|_| mode != Mode::Alias) {
            return together(format!(
                "routes of its own are for mode=alias, and rtdest={} is one",
                route.destination
            ));
        }
        if self.routing && !matches!(mode, Mode::Alias | Mode::None) {
            return together("-i is for mode=alias".to_owned());
        }
        Ok(())
    }

    /// What is said, as one `-N` for each address takes it; of what the tool chose, nothing.
    pub fn groups(&self) -> Vec<Vec<String>> {
        let ports: Vec<_> = self.published.iter().map(ToString::to_string).collect();
        let ports = Some(ports.join(",")).filter(|ports| !ports.is_empty());
        let own: Vec<String> = [
            self.mode.map(|mode| format!("mode={mode}")),
            ports.map(|ports| format!("publish={ports}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let of = |address: &Address| {
            let (key, mask) = match address.address {
                IpAddr::V4(_) => ("address", "netmask"),
                IpAddr::V6(_) => ("address6", "prefixlen"),
            };
            [
                address
                    .interface
                    .as_ref()
                    .map(|name| format!("interface={name}")),
                Some(format!("{key}={}", address.address)),
                address.prefix.map(|_| format!("{mask}={}", address.mask())),
                address
                    .broadcast
                    .map(|broadcast| format!("broadcast={broadcast}")),
            ]
            .into_iter()
            .flatten()
            .collect()
        };
        let said = self.addresses.iter().filter(|address| !address.private);
        let mut groups: Vec<Vec<String>> = said.map(of).collect();
        if !own.is_empty() {
            groups.push(own);
        }
        groups
    }
}
