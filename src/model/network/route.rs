//! Routes of a WPAR's own: `-I rtdest=... rtgateway=...`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{InterfaceName, NetworkError, subnet};

const KEYS: &str = "rtdest, rtgateway, rtnetmask, rtprefixlen, rttype, rtinterface and rtfamily";

/// Where a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// First address.
    pub network: IpAddr,
    /// Bits that are the same in all; 0 is the default route.
    pub prefix: u8,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            0 => f.write_str("default"),
            prefix if prefix == subnet::bits(self.network) => self.network.fmt(f),
            prefix => write!(f, "{}/{prefix}", self.network),
        }
    }
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where it leads to.
    pub destination: Destination,
    /// By which neighbour of the host.
    pub gateway: IpAddr,
    /// The host's interface that the neighbour is at. Not said: that of its subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceName>,
}

/// What one `-I` says, while it is read.
#[derive(Default)]
struct Said {
    destination: Option<String>,
    gateway: Option<IpAddr>,
    prefix: Option<u8>,
    is_host: Option<bool>,
    interface: Option<InterfaceName>,
    is_v6: Option<bool>,
}

impl Route {
    /// The route that the pairs of one `-I` say.
    ///
    /// # Errors
    /// The first pair that is not understood, or that one is missing.
    pub fn parse<T: AsRef<str>>(pairs: &[T]) -> Result<Self, NetworkError> {
        let said = said(pairs)?;
        let gateway = said
            .gateway
            .ok_or_else(|| NetworkError::Together("a route needs rtgateway=".to_owned()))?;
        let destination = destination(&said, Some(gateway))?;
        if destination.network.is_ipv4() != gateway.is_ipv4() {
            return Err(NetworkError::Together(format!(
                "rtdest={destination} and rtgateway={gateway} are of two families"
            )));
        }
        Ok(Self {
            destination,
            gateway,
            interface: said.interface,
        })
    }

    /// The destination that the pairs of `-K -I` name.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_destination<T: AsRef<str>>(pairs: &[T]) -> Result<Destination, NetworkError> {
        let said = said(pairs)?;
        destination(&said, said.gateway)
    }

    /// AIX's word for its kind.
    pub fn kind(&self) -> &'static str {
        match self.destination.prefix == subnet::bits(self.destination.network) {
            true => "host",
            false => "net",
        }
    }

    /// What is said, as `-I` takes it.
    pub fn pairs(&self) -> Vec<String> {
        let interface = self.interface.as_ref();
        [
            Some(format!("rtdest={}", self.destination)),
            Some(format!("rtgateway={}", self.gateway)),
            interface.map(|name| format!("rtinterface={name}")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn said<T: AsRef<str>>(pairs: &[T]) -> Result<Said, NetworkError> {
    let mut said = Said::default();
    for pair in pairs {
        let pair = pair.as_ref();
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| NetworkError::NotAPair(pair.to_owned()))?;
        let bad = |key, why| NetworkError::Value {
            key,
            value: value.to_owned(),
            why,
        };
        match key {
            "rtdest" => said.destination = Some(value.to_owned()),
            "rtgateway" => {
                let address = value.parse();
                said.gateway = Some(address.map_err(|_| bad("rtgateway", "it is an address"))?);
            }
            "rtnetmask" => {
                let mask = value.parse().ok().and_then(subnet::prefix_of);
                said.prefix =
                    Some(mask.ok_or_else(|| bad("rtnetmask", "it is as in 255.255.255.0"))?);
            }
            "rtprefixlen" => {
                let prefix = value.parse().ok().filter(|prefix| *prefix <= 128);
                said.prefix =
                    Some(prefix.ok_or_else(|| bad("rtprefixlen", "it is a number of bits"))?);
            }
            "rttype" => {
                said.is_host = Some(match value {
                    "host" => true,
                    "net" => false,
                    _ => return Err(bad("rttype", "it is 'host' or 'net'")),
                });
            }
            "rtinterface" => {
                let name = InterfaceName::new(value);
                said.interface = Some(name.map_err(|why| bad("rtinterface", why))?);
            }
            "rtfamily" => {
                said.is_v6 = Some(match value {
                    "inet" => false,
                    "inet6" => true,
                    _ => return Err(bad("rtfamily", "it is 'inet' or 'inet6'")),
                });
            }
            _ => return Err(NetworkError::Unknown("route", key.to_owned(), KEYS)),
        }
    }
    Ok(said)
}

fn destination(said: &Said, gateway: Option<IpAddr>) -> Result<Destination, NetworkError> {
    let text = said
        .destination
        .as_deref()
        .ok_or_else(|| NetworkError::Together("a route needs rtdest=".to_owned()))?;
    let bad = |why| NetworkError::Value {
        key: "rtdest",
        value: text.to_owned(),
        why,
    };
    if text == "default" {
        let is_v6 = said
            .is_v6
            .unwrap_or_else(|| gateway.is_some_and(|gateway| gateway.is_ipv6()));
        let network: IpAddr = match is_v6 {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        return Ok(Destination { network, prefix: 0 });
    }
    const WHY: &str = "it is an address, an address with /PREFIX, or 'default'";
    let (address, prefix) = match text.split_once('/') {
        None => (text, None),
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| bad(WHY))?)),
    };
    let address: IpAddr = address.parse().map_err(|_| bad(WHY))?;
    let whole = subnet::bits(address);
    let prefix = match said.is_host {
        Some(true) => whole,
        _ => prefix.or(said.prefix).unwrap_or(whole),
    };
    if prefix > whole || said.is_v6.is_some_and(|is_v6| is_v6 != address.is_ipv6()) {
        return Err(bad(WHY));
    }
    Ok(Destination {
        network: subnet::network(address, prefix),
        prefix,
    })
}
