//! Talking to the kernel about links, addresses, neighbours, routes and rules.
//!
//! One request, one answer, by `rtnetlink(7)`. A socket belongs to the network namespace in which it was
//! opened, wherever its process goes. Nothing here knows a WPAR.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

mod changes;

pub(crate) use changes::RouteTo;

/// Answers of one request that are read at the most, in bytes: a host with ever more routes than that
/// is not asked to the end.
const LONGEST: usize = 64 << 20;

/// A conversation in one network namespace.
pub(crate) struct Netlink {
    socket: Socket,
}

/// A link as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) is_up: bool,
    pub(crate) alias: Option<String>,
}

impl Netlink {
    /// In the namespace of this process.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket })
    }

    fn ask(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = 1;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        let mut total = 0;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            total += bytes.len();
            if bytes.is_empty() || total > LONGEST {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            let mut rest = bytes.as_slice();
            while rest.len() >= 16 {
                let length = rest
                    .first_chunk()
                    .map_or(0, |word| u32::from_ne_bytes(*word) as usize);
                let one = rest.get(..length).filter(|one| one.len() >= 16);
                let one = one.ok_or(io::ErrorKind::InvalidData)?;
                // What of another's links cannot be understood is not looked for, either.
                if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(one) {
                    match message.payload {
                        NetlinkPayload::Done(_) => return Ok(answers),
                        NetlinkPayload::Error(error) if error.code.is_none() => {
                            return Ok(answers);
                        }
                        NetlinkPayload::Error(error) => return Err(error.to_io()),
                        NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                        _ => {}
                    }
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }

    fn tell(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(message, NLM_F_ACK | flags).map(drop)
    }

    /// All links.
    pub(crate) fn links(&self) -> io::Result<Vec<Link>> {
        let answers = self.ask(
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            NLM_F_DUMP,
        )?;
        let link = |answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(Link::of(&message)),
            _ => None,
        };
        Ok(answers.into_iter().filter_map(link).collect())
    }

    /// The link of that name.
    pub(crate) fn link(&self, name: &str) -> io::Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        let answers = self.ask(RouteNetlinkMessage::GetLink(message), NLM_F_ACK);
        match answers {
            Ok(answers) => Ok(answers.into_iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(message) => Some(Link::of(&message)),
                _ => None,
            })),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number of the link of that name, which must exist.
    pub(crate) fn index(&self, name: &str) -> io::Result<u32> {
        let link = self.link(name)?;
        link.map(|link| link.index)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// All addresses: number of the link, address, length of the prefix.
    pub(crate) fn addresses(&self) -> io::Result<Vec<(u32, IpAddr, u8)>> {
        let answers = self.ask(
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            NLM_F_DUMP,
        )?;
        let address = |answer| {
            let RouteNetlinkMessage::NewAddress(message) = answer else {
                return None;
            };
            // At a point-to-point link the local one is the link's.
            let local = message.attributes.iter().find_map(|a| match a {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            let address = message.attributes.iter().find_map(|a| match a {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
            let header = message.header;
            Some((header.index, local.or(address)?, header.prefix_len))
        };
        Ok(answers.into_iter().filter_map(address).collect())
    }

    /// Numbers of the links that default routes of the main table go to, the best first.
    pub(crate) fn default_links(&self) -> io::Result<Vec<(AddressFamily, u32)>> {
        let answers = self.ask(
            RouteNetlinkMessage::GetRoute(RouteMessage::default()),
            NLM_F_DUMP,
        )?;
        let mut found = Vec::new();
        for answer in answers {
            let RouteNetlinkMessage::NewRoute(route) = answer else {
                continue;
            };
            let header = &route.header;
            let usual = header.table == RouteHeader::RT_TABLE_MAIN
                && header.kind == RouteType::Unicast
                && header.destination_prefix_length == 0;
            let mut link = None;
            let mut priority = 0;
            for attribute in &route.attributes {
                match attribute {
                    RouteAttribute::Oif(index) => link = Some(*index),
                    RouteAttribute::Priority(value) => priority = *value,
                    RouteAttribute::MultiPath(hops) => {
                        link = hops.first().map(|hop| hop.interface_index);
                    }
                    _ => {}
                }
            }
            if let Some(link) = link.filter(|_| usual) {
                found.push((priority, header.address_family, link));
            }
        }
        found.sort_by_key(|(priority, ..)| *priority);
        Ok(found
            .into_iter()
            .map(|(_, family, link)| (family, link))
            .collect())
    }
}

impl std::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netlink").finish_non_exhaustive()
    }
}

impl Link {
    fn of(message: &LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            is_up: message.header.flags.contains(LinkFlags::Up),
            alias: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
                _ => {}
            }
        }
        link
    }
}
