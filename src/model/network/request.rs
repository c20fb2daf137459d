//! What `-N` asks for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Address, InterfaceName, Mode, Network, NetworkError, Published, subnet};

const KEYS: &str = "interface, address, netmask, address6, prefixlen, broadcast, mode and publish";

/// What all `-N` of a command ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRequest {
    /// How to be connected.
    pub mode: Option<Mode>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Ports of the host.
    pub published: Vec<Published>,
}

/// What one `-N` says, while it is read.
#[derive(Default)]
struct Said {
    interface: Option<InterfaceName>,
    address: Option<Ipv4Addr>,
    address6: Option<Ipv6Addr>,
    netmask: Option<u8>,
    prefix: Option<u8>,
    broadcast: Option<Ipv4Addr>,
}

impl NetworkRequest {
    /// What the groups say, of which each is the pairs of one `-N`.
    ///
    /// # Errors
    /// The first pair that is not understood.
    pub fn parse<T: AsRef<str>>(groups: &[Vec<T>]) -> Result<Self, NetworkError> {
        let mut request = Self::default();
        for group in groups {
            let mut said = Said::default();
            for pair in group {
                request.read(&mut said, pair.as_ref())?;
            }
            request.addresses.extend(said.addresses()?);
        }
        Ok(request)
    }

    fn read(&mut self, said: &mut Said, pair: &str) -> Result<(), NetworkError> {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| NetworkError::NotAPair(pair.to_owned()))?;
        let bad = |key, why| NetworkError::Value {
            key,
            value: value.to_owned(),
            why,
        };
        let twice = |is_set: bool| match is_set {
            true => Err(NetworkError::Together(format!(
                "{key} is said twice; a second address begins with a second -N"
            ))),
            false => Ok(()),
        };
        match key {
            "interface" => {
                let name = InterfaceName::new(value);
                said.interface = Some(name.map_err(|why| bad("interface", why))?);
            }
            "address" => {
                twice(said.address.is_some())?;
                said.address = Some(usable_v4(value).map_err(|why| bad("address", why))?);
            }
            "address6" => {
                twice(said.address6.is_some())?;
                said.address6 = Some(usable_v6(value).map_err(|why| bad("address6", why))?);
            }
            "netmask" => {
                let mask = value.parse().ok().and_then(subnet::prefix_of);
                let mask = mask.filter(|prefix| *prefix > 0);
                said.netmask =
                    Some(mask.ok_or_else(|| bad("netmask", "it is as in 255.255.255.0"))?);
            }
            "prefixlen" => {
                let prefix = value.parse().ok().filter(|bits| (1..=128).contains(bits));
                said.prefix = Some(prefix.ok_or_else(|| bad("prefixlen", "it is 1 to 128"))?);
            }
            "broadcast" => {
                let address = value.parse();
                said.broadcast =
                    Some(address.map_err(|_| bad("broadcast", "it is an IPv4 address"))?);
            }
            "mode" => {
                let known = Mode::ALL.into_iter().find(|(_, name)| *name == value);
                let (mode, _) =
                    known.ok_or_else(|| bad("mode", "it is none, alias, nat or shared"))?;
                self.mode = Some(mode);
            }
            "publish" => {
                for one in value.split(',') {
                    self.published.push(Published::parse(one)?);
                }
            }
            _ => return Err(NetworkError::Unknown("network", key.to_owned(), KEYS)),
        }
        Ok(())
    }

    /// `network` without what this names: an address, a published port, with a mode its mode.
    ///
    /// # Errors
    /// An address or port that it does not have, or if the rest cannot be.
    pub fn taken_from(&self, mut network: Network) -> Result<Network, NetworkError> {
        let none =
            |what: String| NetworkError::Together(format!("there is no {what} to take away"));
        for gone in &self.addresses {
            let before = network.addresses.len();
            network
                .addresses
                .retain(|address| address.address != gone.address);
            if network.addresses.len() == before {
                return Err(none(format!("address {}", gone.address)));
            }
        }
        for gone in &self.published {
            let before = network.published.len();
            network.published.retain(|one| one != gone);
            if network.published.len() == before {
                return Err(none(format!("port {gone}")));
            }
        }
        if self.mode.is_some() {
            network.mode = None;
        }
        if network.mode() != Mode::Nat {
            network.addresses.retain(|address| !address.private);
        }
        if network.mode() == Mode::None {
            network.routes.clear();
        }
        network.check()?;
        Ok(network)
    }
}

impl Said {
    fn addresses(self) -> Result<Vec<Address>, NetworkError> {
        let together = |text: &str| Err(NetworkError::Together(text.to_owned()));
        if self.address.is_none() && self.address6.is_none() {
            let lonely = self.netmask.is_some() || self.prefix.is_some();
            // An interface alone says where to be connected by default, which needs no word.
            if lonely || self.broadcast.is_some() || self.interface.is_some() {
                return together(
                    "interface, netmask, prefixlen and broadcast belong to an address; add address= \
                     or address6= after the same -N",
                );
            }
        }
        if self.broadcast.is_some() && self.address.is_none() {
            return together("IPv6 has no broadcast");
        }
        // A prefix is that of the IPv6 address if there is one.
        let (prefix4, prefix6) = match self.address6 {
            Some(_) => (self.netmask, self.prefix),
            None => (self.netmask.or(self.prefix), None),
        };
        if prefix4.is_some_and(|prefix| prefix > 32) {
            return together("prefixlen of an IPv4 address is 1 to 32");
        }
        let of = |address: IpAddr, prefix| Address {
            address,
            interface: self.interface.clone(),
            prefix,
            broadcast: self.broadcast.filter(|_| address.is_ipv4()),
            private: false,
        };
        let v4 = self.address.map(|address| of(address.into(), prefix4));
        let v6 = self.address6.map(|address| of(address.into(), prefix6));
        Ok(v4.into_iter().chain(v6).collect())
    }
}

fn usable_v4(text: &str) -> Result<Ipv4Addr, &'static str> {
    let address: Ipv4Addr = text
        .parse()
        .map_err(|_| "it is an IPv4 address, as in 192.0.2.10")?;
    match address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_link_local()
    {
        true => Err("no host has such an address"),
        false => Ok(address),
    }
}

fn usable_v6(text: &str) -> Result<Ipv6Addr, &'static str> {
    let address: Ipv6Addr = text
        .parse()
        .map_err(|_| "it is an IPv6 address, as in 2001:db8::10")?;
    match address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some()
    {
        true => Err("no host has such an address"),
        false => Ok(address),
    }
}
