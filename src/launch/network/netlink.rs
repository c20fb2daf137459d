//! Talking to the kernel about links, addresses, neighbours, routes and rules.
//!
//! One request, one answer, by `rtnetlink(7)`. A socket belongs to the network namespace in which it was
//! opened, wherever its process goes. Nothing here knows a WPAR.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Answers of one request that are read at the most, in bytes: a host with ever more routes than that
/// is not asked to the end.
const LONGEST: usize = 64 << 20;

/// Mark of our routes, as `ip route` shows it.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(119);

/// A conversation in one network namespace.
pub(crate) struct Netlink {
    socket: Socket,
}

/// A route to be made or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteTo {
    pub(crate) destination: IpAddr,
    pub(crate) prefix: u8,
    pub(crate) gateway: Option<IpAddr>,
    /// Number of the link; `None` for one that refuses.
    pub(crate) link: Option<u32>,
    /// The main table, if none is named.
    pub(crate) table: Option<u32>,
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

    /// Makes two links that are the ends of one wire; `peer` is born in another namespace.
    pub(crate) fn make_pair(
        &self,
        near: (&str, [u8; 6]),
        peer: (&str, [u8; 6]),
        namespace: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let named = |(name, hardware): (&str, [u8; 6])| {
            vec![
                LinkAttribute::IfName(name.to_owned()),
                LinkAttribute::Address(hardware.to_vec()),
            ]
        };
        let mut far = LinkMessage::default();
        far.attributes = named(peer);
        far.attributes
            .push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        let mut message = LinkMessage::default();
        message.attributes = named(near);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
        ]));
        self.tell(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Brings a link up and says what it is for.
    pub(crate) fn bring_up(&self, index: u32, alias: Option<&str>) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = alias
            .map(|alias| LinkAttribute::IfAlias(alias.to_owned()))
            .into_iter()
            .collect();
        self.tell(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Removes a link, and the other end with it.
    pub(crate) fn remove_link(&self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.tell(RouteNetlinkMessage::DelLink(message), 0)
    }

    /// Gives a link an address without a subnet, usable at once.
    pub(crate) fn add_address(&self, link: u32, address: IpAddr) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = crate::model::network::subnet::bits(address);
        message.header.index = link;
        message.attributes = vec![
            AddressAttribute::Local(address),
            AddressAttribute::Address(address),
        ];
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.tell(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Says once and for all which hardware has an address.
    pub(crate) fn add_neighbour(
        &self,
        link: u32,
        address: IpAddr,
        hardware: [u8; 6],
    ) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = link;
        message.header.state = NeighbourState::Permanent;
        message.attributes = vec![
            NeighbourAttribute::Destination(neighbour(address)),
            NeighbourAttribute::LinkLayerAddress(hardware.to_vec()),
        ];
        self.tell(
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Lets the host answer at a link for an address that is not its own.
    pub(crate) fn add_proxy(&self, link: u32, address: IpAddr) -> io::Result<()> {
        self.tell(
            RouteNetlinkMessage::NewNeighbour(proxy(link, address)),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Takes [`Self::add_proxy`] back.
    pub(crate) fn remove_proxy(&self, link: u32, address: IpAddr) -> io::Result<()> {
        self.tell(RouteNetlinkMessage::DelNeighbour(proxy(link, address)), 0)
    }

    /// Makes a route, in place of one to the same destination.
    pub(crate) fn add_route(&self, route: &RouteTo) -> io::Result<()> {
        self.tell(
            RouteNetlinkMessage::NewRoute(route.message()),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Takes a route away.
    pub(crate) fn remove_route(&self, route: &RouteTo) -> io::Result<()> {
        self.tell(RouteNetlinkMessage::DelRoute(route.message()), 0)
    }

    /// Sends what comes in by a link to a table of its own.
    pub(crate) fn add_rule(&self, is_v6: bool, link: &str, table: u32) -> io::Result<()> {
        self.tell(
            RouteNetlinkMessage::NewRule(rule(is_v6, link, table)),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// Takes [`Self::add_rule`] back.
    pub(crate) fn remove_rule(&self, is_v6: bool, link: &str, table: u32) -> io::Result<()> {
        self.tell(RouteNetlinkMessage::DelRule(rule(is_v6, link, table)), 0)
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

impl RouteTo {
    fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family(self.destination);
        message.header.destination_prefix_length = self.prefix;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = PROTOCOL;
        message.header.kind = match self.link {
            Some(_) => RouteType::Unicast,
            None => RouteType::Unreachable,
        };
        message.header.scope = match (self.gateway, self.destination) {
            (None, IpAddr::V4(_)) if self.link.is_some() => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        if self.prefix > 0 {
            let destination = RouteAddress::from(self.destination);
            message
                .attributes
                .push(RouteAttribute::Destination(destination));
        }
        if let Some(gateway) = self.gateway {
            message.header.flags = netlink_packet_route::route::RouteFlags::Onlink;
            message
                .attributes
                .push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        if let Some(link) = self.link {
            message.attributes.push(RouteAttribute::Oif(link));
        }
        if let Some(table) = self.table {
            message.header.table = 0;
            message.attributes.push(RouteAttribute::Table(table));
        }
        message
    }
}

fn rule(is_v6: bool, link: &str, table: u32) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = match is_v6 {
        true => AddressFamily::Inet6,
        false => AddressFamily::Inet,
    };
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Iifname(link.to_owned()),
        RuleAttribute::Table(table),
        RuleAttribute::Priority(30_000),
    ];
    message
}

fn proxy(link: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = link;
    message.header.flags = NeighbourFlags::Proxy;
    message.attributes = vec![NeighbourAttribute::Destination(neighbour(address))];
    message
}

fn neighbour(address: IpAddr) -> NeighbourAddress {
    match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
