//! What the programs decide, by running them here. That the kernel takes them is tested with sockets.

use super::super::machine::Machine;
use super::*;

const LOOPBACK: &str = "127.80.1.2";

fn own(addresses: &[&str], low_ports: bool) -> OwnAddresses {
    OwnAddresses {
        addresses: addresses
            .iter()
            .map(|address| (address.parse().unwrap(), "eth0".to_owned()))
            .collect(),
        loopback: LOOPBACK.parse().unwrap(),
        low_ports,
    }
}

/// What `hook` does about an address: its result, the address after it, what it bound the source to,
/// the error.
struct Seen {
    result: u64,
    address: IpAddr,
    source: Option<IpAddr>,
    /// What a datagram is sent from.
    sent_from: IpAddr,
    errno: Option<i32>,
}

fn bytes(word: u32) -> [u8; 4] {
    word.to_ne_bytes()
}

fn v6(words: [u32; 4]) -> IpAddr {
    let octets: Vec<u8> = words.into_iter().flat_map(bytes).collect();
    Ipv6Addr::from(<[u8; 16]>::try_from(octets).unwrap()).into()
}

fn ask(own: &OwnAddresses, hook: Hook, address: &str, sent_from: &str) -> Seen {
    // struct bpf_sock_addr.
    let mut context = [0u32; 16];
    for (text, v4_at, v6_at) in [(address, 1, 2), (sent_from, 10, 11)] {
        match text.parse().unwrap() {
            IpAddr::V4(address) => context[v4_at] = u32::from_ne_bytes(address.octets()),
            IpAddr::V6(address) => {
                for (index, part) in words(address).into_iter().enumerate() {
                    context[v6_at + index] = part.cast_unsigned();
                }
            }
        }
    }
    let programs = programs(own).unwrap();
    let (_, program) = programs.iter().find(|(one, _)| *one == hook).unwrap();
    let mut machine = Machine::new(&context);
    let result = machine.run(program);
    let of = |v4_at: u64, v6_at: u64, is_v4: bool| match is_v4 {
        true => IpAddr::from(bytes(machine.word(v4_at))),
        false => v6(std::array::from_fn(|n| machine.word(v6_at + 4 * n as u64))),
    };
    let is_v4 = address.parse::<IpAddr>().unwrap().is_ipv4();
    let source = machine.bound.first().map(|name| match name.len() {
        4 => IpAddr::from(bytes(name[1])),
        7 => v6([name[2], name[3], name[4], name[5]]),
        other => panic!("an address of {other} words"),
    });
    Seen {
        result,
        address: of(4, 8, is_v4),
        source,
        sent_from: of(40, 44, is_v4),
        errno: machine.errno,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn listening_is_possible_at_addresses_of_the_wpar_alone() {
    let both = own(&["192.0.2.10", "192.0.2.11", "2001:db8::10"], true);
    let v4 = own(&["192.0.2.10"], true);
    let mapped = "::ffff:192.0.2.10";
    let loopback = format!("::ffff:{LOOPBACK}");
    for (whose, hook, asked, got) in [
        (&both, Hook::Bind4, "192.0.2.11", Some("192.0.2.11")),
        (&both, Hook::Bind4, "0.0.0.0", Some("192.0.2.10")),
        (&both, Hook::Bind4, "127.0.0.1", Some(LOOPBACK)),
        (&both, Hook::Bind4, LOOPBACK, Some(LOOPBACK)),
        (&both, Hook::Bind4, "127.0.0.2", None),
        (&both, Hook::Bind4, "192.0.2.2", None),
        (&both, Hook::Bind4, "255.255.255.255", None),
        (&both, Hook::Bind6, "2001:db8::10", Some("2001:db8::10")),
        (&both, Hook::Bind6, "::", Some("2001:db8::10")),
        (&both, Hook::Bind6, "::1", Some(&loopback)),
        (&both, Hook::Bind6, "::2", None),
        (&both, Hook::Bind6, "2001:db8::11", None),
        (&both, Hook::Bind6, mapped, Some(mapped)),
        (&both, Hook::Bind6, "::ffff:192.0.2.2", None),
        (&v4, Hook::Bind6, "::", Some(mapped)),
        (&v4, Hook::Bind6, "::ffff:0.0.0.0", Some(mapped)),
        (&v4, Hook::Bind6, "::ffff:127.0.0.1", Some(&loopback)),
        (&v4, Hook::Bind6, "2001:db8::10", None),
    ] {
        let seen = ask(whose, hook, asked, asked);
        match got {
            Some(got) => {
                assert_eq!(
                    (seen.result, seen.address),
                    (3, ip(got)),
                    "{hook:?} {asked}"
                );
            }
            None => {
                assert_eq!(seen.result, 0, "{hook:?} {asked}");
                assert_eq!(seen.errno, Some(libc::EADDRNOTAVAIL));
            }
        }
    }
    let v6 = own(&["2001:db8::10"], false);
    let seen = ask(&v6, Hook::Bind4, "0.0.0.0", "0.0.0.0");
    assert_eq!((seen.result, seen.address), (1, ip(LOOPBACK)));
}

#[test]
fn connecting_is_done_from_an_address_of_the_wpar() {
    let both = own(&["192.0.2.10", "2001:db8::10"], true);
    let v4 = own(&["192.0.2.10"], true);
    let v6 = own(&["2001:db8::10"], true);
    let loopback = format!("::ffff:{LOOPBACK}");
    let (c4, c6) = (Hook::Connect4, Hook::Connect6);
    for (whose, hook, to, reached, from) in [
        (&both, c4, "198.51.100.1", "198.51.100.1", "192.0.2.10"),
        (&both, c4, "127.0.0.1", LOOPBACK, LOOPBACK),
        (&both, c4, "0.0.0.0", LOOPBACK, LOOPBACK),
        (&both, c4, LOOPBACK, LOOPBACK, LOOPBACK),
        (&v6, c4, "127.0.0.1", LOOPBACK, LOOPBACK),
        (&both, c6, "2001:db8::9", "2001:db8::9", "2001:db8::10"),
        (&both, c6, "::1", &loopback, &loopback),
        (&both, c6, "::", &loopback, &loopback),
        (&v4, c6, "::ffff:127.0.0.1", &loopback, &loopback),
        (
            &v4,
            c6,
            "::ffff:198.51.100.1",
            "::ffff:198.51.100.1",
            "::ffff:192.0.2.10",
        ),
    ] {
        let seen = ask(whose, hook, to, to);
        assert_eq!(
            (seen.result, seen.address),
            (1, ip(reached)),
            "{hook:?} {to}"
        );
        assert_eq!(seen.source, Some(ip(from)), "{hook:?} {to}");
    }
    for (whose, hook, to, errno) in [
        (&both, c4, "127.0.0.53", libc::ECONNREFUSED),
        (&both, c4, "127.80.1.3", libc::ECONNREFUSED),
        (&both, c6, "::ffff:127.0.0.53", libc::ECONNREFUSED),
        (&v6, c4, "198.51.100.1", libc::ENETUNREACH),
        (&v4, c6, "2001:db8::9", libc::ENETUNREACH),
        (&v6, c6, "::ffff:198.51.100.1", libc::ENETUNREACH),
    ] {
        let seen = ask(whose, hook, to, to);
        assert_eq!((seen.result, seen.errno), (0, Some(errno)), "{hook:?} {to}");
        assert_eq!(seen.source, None);
    }
}

#[test]
fn datagrams_are_sent_from_an_address_of_the_wpar() {
    let both = own(&["192.0.2.10", "192.0.2.11", "2001:db8::10"], true);
    let (s4, s6) = (Hook::Send4, Hook::Send6);
    for (hook, to, from, reached, sent_from) in [
        (s4, "198.51.100.1", "0.0.0.0", "198.51.100.1", "192.0.2.10"),
        // One of the host's, asked for by IP_PKTINFO.
        (
            s4,
            "198.51.100.1",
            "192.0.2.2",
            "198.51.100.1",
            "192.0.2.10",
        ),
        (
            s4,
            "198.51.100.1",
            "192.0.2.11",
            "198.51.100.1",
            "192.0.2.11",
        ),
        (s4, "127.0.0.1", "0.0.0.0", LOOPBACK, LOOPBACK),
        (s4, "127.0.0.1", "192.0.2.10", LOOPBACK, "192.0.2.10"),
        (s6, "2001:db8::9", "::", "2001:db8::9", "2001:db8::10"),
        (
            s6,
            "2001:db8::9",
            "2001:db8::2",
            "2001:db8::9",
            "2001:db8::10",
        ),
    ] {
        let seen = ask(&both, hook, to, from);
        assert_eq!(seen.result, 1, "{to} {from}");
        assert_eq!(seen.address, ip(reached), "{to} {from}");
        assert_eq!(seen.sent_from, ip(sent_from), "{to} {from}");
    }
    let v4 = own(&["192.0.2.10"], true);
    for (whose, hook, to, errno) in [
        (&both, s4, "127.0.0.53", libc::ECONNREFUSED),
        (&both, s6, "::1", libc::ECONNREFUSED),
        (&v4, s6, "2001:db8::9", libc::ENETUNREACH),
    ] {
        let seen = ask(whose, hook, to, to);
        assert_eq!((seen.result, seen.errno), (0, Some(errno)), "{to}");
    }
}

#[test]
fn the_loopback_address_has_the_name_that_programs_know() {
    let own = own(&["192.0.2.10"], true);
    for hook in [Hook::Receive4, Hook::PeerName4, Hook::SocketName4] {
        let seen = ask(&own, hook, LOOPBACK, "0.0.0.0");
        assert_eq!((seen.result, seen.address), (1, ip("127.0.0.1")));
        let seen = ask(&own, hook, "192.0.2.10", "0.0.0.0");
        assert_eq!((seen.result, seen.address), (1, ip("192.0.2.10")));
    }
}

/// A header of a packet.
fn packet(from: &str, to: &str, protocol: u8) -> Vec<u8> {
    match (ip(from), ip(to)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 20, protocol, 64];
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        _ => panic!("two families"),
    }
}

#[test]
fn packets_with_the_addresses_of_others_do_not_pass() {
    let own = own(&["192.0.2.10", "2001:db8::10"], true);
    let passes = |hook: Hook, packet: Vec<u8>| {
        let kind: u16 = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
        let mut context = [0u32; 8];
        context[4] = u32::from(kind.to_be());
        let programs = programs(&own).unwrap();
        let (_, program) = programs.iter().find(|(one, _)| *one == hook).unwrap();
        let mut machine = Machine::new(&context);
        machine.packet = packet;
        machine.run(program) == 1
    };
    const SCTP: u8 = 132;
    for (mine, theirs, expected) in [
        ("192.0.2.10", "198.51.100.1", true),
        (LOOPBACK, LOOPBACK, true),
        ("192.0.2.2", "198.51.100.1", false),
        ("127.0.0.1", "127.0.0.1", false),
        ("2001:db8::10", "2001:db8::9", true),
        ("2001:db8::2", "2001:db8::9", false),
    ] {
        for protocol in [6, 17, SCTP] {
            let out = packet(mine, theirs, protocol);
            assert_eq!(passes(Hook::Egress, out), expected, "{mine} {protocol}");
            let back = packet(theirs, mine, protocol);
            assert_eq!(passes(Hook::Ingress, back), expected, "{mine} {protocol}");
        }
    }
    assert!(passes(Hook::Egress, packet("192.0.2.2", "192.0.2.9", 1)));
    assert!(passes(
        Hook::Egress,
        packet("2001:db8::2", "2001:db8::9", 58)
    ));
    assert!(!passes(Hook::Egress, vec![0x45, 0, 0]));
}

#[test]
fn protocols_that_nobody_looks_at_are_not_there() {
    let programs = programs(&own(&["192.0.2.10"], true)).unwrap();
    let (_, program) = programs
        .iter()
        .find(|(hook, _)| *hook == Hook::SocketCreate)
        .unwrap();
    for (protocol, expected) in [
        (6, 1),
        (17, 1),
        (1, 1),
        (58, 1),
        (132, 0),
        (262, 0),
        (255, 0),
    ] {
        let mut machine = Machine::new(&[0, 2, 1, protocol]);
        assert_eq!(machine.run(program), expected, "{protocol}");
    }
}

#[test]
fn many_addresses_fit() {
    let addresses: Vec<String> = (0..200).map(|n| format!("2001:db8::{n:x}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let programs = programs(&own(&addresses, true)).unwrap();
    // Less than what every kernel takes.
    assert!(programs.iter().all(|(_, program)| program.len() < 4096));
}
