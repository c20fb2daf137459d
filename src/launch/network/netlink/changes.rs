//! What is made and taken away by [`Netlink`].

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
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
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use crate::model::network::subnet;

/// Mark of our routes, as `ip route` shows it.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(119);

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

impl Netlink {
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
        self.tell(
            RouteNetlinkMessage::NewAddress(single(link, address)),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    /// Takes [`Self::add_address`] back.
    pub(crate) fn remove_address(&self, link: u32, address: IpAddr) -> io::Result<()> {
        self.tell(RouteNetlinkMessage::DelAddress(single(link, address)), 0)
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

    /// Makes a route, unless there is one to the same destination.
    pub(crate) fn add_new_route(&self, route: &RouteTo) -> io::Result<()> {
        self.tell(
            RouteNetlinkMessage::NewRoute(route.message()),
            NLM_F_CREATE | NLM_F_EXCL,
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
            message.header.flags = RouteFlags::Onlink;
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

/// An address without a subnet, usable at once.
fn single(link: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = subnet::bits(address);
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
