//! A host with two networks, and WPARs on it.

use super::*;
use crate::launch::network::{HostInterface, HostNetwork, Plan};
use crate::model::network::{Mode, NetworkRequest, Route};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host() -> HostNetwork {
    let interface = |name: &str, addresses: &[(&str, u8)]| HostInterface {
        name: name.to_owned(),
        is_up: true,
        addresses: addresses.iter().map(|(a, p)| (ip(a), *p)).collect(),
    };
    HostNetwork {
        interfaces: vec![
            interface("lo", &[("127.0.0.1", 8), ("::1", 128)]),
            interface(
                "eth0",
                &[("192.0.2.2", 24), ("2001:db8::2", 64), ("fe80::2", 64)],
            ),
            interface("eth1", &[("10.0.0.2", 8)]),
            interface("eth2", &[("10.0.5.2", 24)]),
        ],
        default_v4: Some("eth0".to_owned()),
        default_v6: Some("eth0".to_owned()),
        can_forward_v6: true,
    }
}

fn said(lines: &[&str]) -> Network {
    let words = |line: &&str| line.split_whitespace().map(str::to_owned).collect();
    let groups: Vec<Vec<String>> = lines.iter().map(words).collect();
    Network::default()
        .with(NetworkRequest::parse(&groups).unwrap())
        .unwrap()
}

fn wire() -> Wire {
    Wire {
        link: "wpar1a2b3c4d".to_owned(),
        name: "web1".to_owned(),
        machine_id: "6f2c1c0e8a514a5e9d4e2f3c5a7b9e01".to_owned(),
        number: 7,
    }
}

fn planned(network: Network) -> Plan {
    let settled = settle(network, &host(), &[], 0).unwrap();
    plan(&settled, &wire(), &host(), &[], None)
        .unwrap()
        .unwrap()
}

#[test]
fn an_address_is_at_the_interface_of_its_subnet_with_that_mask() {
    let settled = settle(
        said(&[
            "address=192.0.2.10",
            "address=10.0.5.20 netmask=255.255.0.0",
            "address=10.9.9.9",
            "address6=2001:db8::10",
            "interface=eth1 address=198.51.100.1",
        ]),
        &host(),
        &[],
        0,
    )
    .unwrap();
    let shown: Vec<_> = settled
        .addresses
        .iter()
        .map(|a| {
            format!(
                "{} {} {}",
                a.interface.as_ref().unwrap(),
                a.address,
                a.mask()
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "eth0 192.0.2.10 255.255.255.0",
            "eth2 10.0.5.20 255.255.0.0",
            "eth1 10.9.9.9 255.0.0.0",
            "eth0 2001:db8::10 64",
            "eth1 198.51.100.1 255.255.255.255",
        ]
    );
    // Settled once, settled for good.
    assert_eq!(settle(settled.clone(), &host(), &[], 9).unwrap(), settled);
}

#[test]
fn what_another_has_is_refused() {
    let other = Other {
        name: "db1".to_owned(),
        network: said(&["mode=nat address=10.0.5.77 publish=8080:80/tcp"]),
    };
    for (line, says) in [
        (
            "address=192.0.2.2",
            "192.0.2.2 is an address of this host, at eth0",
        ),
        ("address6=2001:db8::2", "of this host, at eth0"),
        (
            "address=10.0.5.77",
            "10.0.5.77 is an address of the workload partition db1",
        ),
        (
            "address=203.0.113.5",
            "no interface of this host is in the subnet",
        ),
        ("interface=en7 address=203.0.113.5", "no interface en7"),
        (
            "mode=nat publish=8080:8080/tcp",
            "port 8080/tcp of this host leads to",
        ),
    ] {
        let error = settle(said(&[line]), &host(), std::slice::from_ref(&other), 0).unwrap_err();
        assert!(error.to_string().contains(says), "{line}: {error}");
        assert!(!error.hint().is_empty());
    }
    // Another protocol is another port.
    settle(
        said(&["mode=nat publish=8080:80/udp"]),
        &host(),
        &[other],
        0,
    )
    .unwrap();
}

#[test]
fn an_alias_is_answered_for_at_its_interface_alone() {
    let plan = planned(said(&["address=192.0.2.10", "address=10.0.5.20"]));
    assert_eq!(plan.hardware, [0x02, 0x6f, 0x2c, 0x1c, 0x0e, 0x8a]);
    let proxies: Vec<_> = plan
        .proxies
        .iter()
        .map(|p| format!("{} {}", p.interface, p.address))
        .collect();
    assert_eq!(proxies, ["eth0 192.0.2.10", "eth2 10.0.5.20"]);
    let paths: Vec<_> = plan.settings.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "ipv4/conf/eth0/forwarding",
            "ipv4/neigh/eth0/proxy_delay",
            "ipv4/conf/eth2/forwarding",
            "ipv4/neigh/eth2/proxy_delay",
        ]
    );
    let of_link = |path: &str| plan.link_settings.iter().any(|s| s.path == path);
    assert!(of_link("ipv4/conf/wpar1a2b3c4d/rp_filter"));
    assert!(of_link("ipv6/conf/wpar1a2b3c4d/disable_ipv6"));
    assert_eq!((plan.table, plan.translation), (None, None));
}

#[test]
fn the_host_keeps_its_own_ipv6_route_when_it_answers_for_others() {
    let plan = planned(said(&["address6=2001:db8::10"]));
    let shown: Vec<_> = plan
        .settings
        .iter()
        .map(|s| format!("{}={}", s.path, s.value))
        .collect();
    assert_eq!(
        shown,
        [
            "ipv6/conf/eth0/accept_ra=2",
            "ipv6/conf/eth0/forwarding=1",
            "ipv6/conf/eth0/proxy_ndp=1",
            "ipv6/neigh/eth0/proxy_delay=0",
            "ipv6/conf/eth0/force_forwarding=1",
        ]
    );
    assert_eq!(plan.settings[0].instead_of.as_deref(), Some("1"));
    // Nothing in a WPAR tells the host its routes.
    let no_ra = |s: &&crate::launch::network::plan::Setting| s.path.ends_with("d/accept_ra");
    assert_eq!(plan.link_settings.iter().find(no_ra).unwrap().value, "0");
    let old = HostNetwork {
        can_forward_v6: false,
        ..host()
    };
    let refused = settle(said(&["address6=2001:db8::10"]), &old, &[], 0).unwrap_err();
    assert_eq!(refused, Refusal::NoForwardV6(ip("2001:db8::10")));
}

#[test]
fn private_addresses_are_chosen_apart_from_everybody_elses() {
    let settled = |others: &[Other], start| {
        let network = settle(said(&["mode=nat"]), &host(), others, start).unwrap();
        network
            .addresses
            .iter()
            .map(|a| a.address)
            .collect::<Vec<_>>()
    };
    // The host is in 10.0.0.0/8 already.
    assert_eq!(settled(&[], 0), [ip("172.29.0.1"), ip("fd77:7061:7200::1")]);
    let other = Other {
        name: "one".to_owned(),
        network: settle(said(&["mode=nat"]), &host(), &[], 0).unwrap(),
    };
    assert_eq!(
        settled(&[other], 0),
        [ip("172.29.0.2"), ip("fd77:7061:7200::2")]
    );
    assert_eq!(settled(&[], 65_533)[0], ip("172.29.255.254"));
    let lonely = HostNetwork {
        default_v4: None,
        default_v6: None,
        ..host()
    };
    let refused = settle(said(&["mode=nat"]), &lonely, &[], 0);
    assert_eq!(refused, Err(Refusal::NoDefaultRoute));
    let plan = planned(said(&["mode=nat publish=8080:80/tcp"]));
    assert!(plan.proxies.is_empty());
    assert_eq!(plan.translation.unwrap().published, [(8080, 80, false)]);
}

#[test]
fn routes_of_its_own_are_in_a_table_of_its_own() {
    let route = Route::parse(&["rtdest=default", "rtgateway=192.0.2.1"]).unwrap();
    let network = said(&["address=192.0.2.10"])
        .with_routes(vec![route])
        .unwrap();
    let table = planned(network).table.unwrap();
    assert_eq!(table.number, 0x7761_0007);
    let shown: Vec<_> = table
        .routes
        .iter()
        .map(|r| {
            format!(
                "{}/{} {:?} {}",
                r.destination, r.prefix, r.gateway, r.interface
            )
        })
        .collect();
    assert_eq!(
        shown,
        ["192.0.2.0/24 None eth0", "0.0.0.0/0 Some(192.0.2.1) eth0"]
    );
    let mut own = said(&["address=192.0.2.10"]);
    own.routing = true;
    assert_eq!(planned(own).table.unwrap().routes.len(), 1);
}

#[test]
fn without_a_network_nothing_is_made() {
    for network in [
        Network::default(),
        said(&["mode=shared"]),
        said(&["mode=none"]),
    ] {
        assert!(matches!(network.mode(), Mode::None | Mode::Shared));
        let settled = settle(network, &HostNetwork::default(), &[], 0).unwrap();
        assert_eq!(plan(&settled, &wire(), &host(), &[], None), Ok(None));
    }
}
