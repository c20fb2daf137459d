//! Command lines as administrators of AIX write them.

use super::*;

fn groups(lines: &[&str]) -> Vec<Vec<String>> {
    let words = |line: &&str| line.split_whitespace().map(str::to_owned).collect();
    lines.iter().map(words).collect()
}

fn network(lines: &[&str]) -> Result<Network, NetworkError> {
    Network::default().with(NetworkRequest::parse(&groups(lines))?)
}

#[test]
fn addresses_are_those_of_aix() {
    let one = network(&[
        "interface=en0 address=10.0.5.20 netmask=255.255.255.0 broadcast=10.0.5.255",
        "interface=en1 address6=2001:db8::20 prefixlen=64",
        "address=192.0.2.7 netmask=255.255.255.240 address6=2001:db8:1::7",
    ])
    .unwrap();
    assert_eq!(one.mode(), Mode::Alias);
    let shown: Vec<_> = one
        .addresses
        .iter()
        .map(|a| {
            let interface = a.interface.as_ref().map_or("", InterfaceName::as_str);
            format!("{interface} {} {}", a.address, a.mask())
        })
        .collect();
    assert_eq!(
        shown,
        [
            "en0 10.0.5.20 255.255.255.0",
            "en1 2001:db8::20 64",
            " 192.0.2.7 255.255.255.240",
            " 2001:db8:1::7 ",
        ]
    );
    // What is written reads back.
    let again = Network::default()
        .with(NetworkRequest::parse(&one.groups()).unwrap())
        .unwrap();
    assert_eq!(again, one);
    let json = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), one);
}

#[test]
fn modes_follow_from_addresses_unless_said() {
    assert_eq!(network(&[]).unwrap().mode(), Mode::None);
    assert_eq!(network(&["mode=shared"]).unwrap().mode(), Mode::Shared);
    let nat = network(&["mode=nat publish=8080:80/tcp publish=53:53/udp,22"]).unwrap();
    let ports: Vec<_> = nat.published.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["8080:80/tcp", "53:53/udp", "22:22/tcp"]);
    let again = NetworkRequest::parse(&nat.groups()).unwrap();
    assert_eq!(Network::default().with(again).unwrap(), nat);
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    for (line, says) in [
        ("address", "name=value"),
        ("adress=10.0.0.1", "no attribute 'adress'"),
        ("address=10.0.0", "IPv4 address"),
        ("address=127.0.0.1", "no host has"),
        ("address=169.254.1.1", "no host has"),
        ("address6=fe80::1", "no host has"),
        ("address6=::ffff:10.0.0.1", "no host has"),
        ("address=10.0.0.1 address=10.0.0.2", "second -N"),
        ("address=10.0.0.1 netmask=255.0.255.0", "255.255.255.0"),
        ("address=10.0.0.1 prefixlen=33", "1 to 32"),
        ("address6=2001:db8::1 prefixlen=0", "1 to 128"),
        ("address6=2001:db8::1 broadcast=10.0.0.255", "no broadcast"),
        ("interface=eth0", "belong to an address"),
        ("interface=eth/0 address=10.0.0.1", "name of an interface"),
        (
            "interface=a_name_too_long_ address=10.0.0.1",
            "name of an interface",
        ),
        ("mode=bridge", "none, alias, nat or shared"),
        ("mode=none address=10.0.0.1", "goes without addresses"),
        ("mode=none address=10.0.0.1", "goes without addresses"),
        ("mode=alias", "needs an address"),
        ("address=10.0.0.1 publish=80:80", "needs mode=nat"),
        ("publish=80:80", "needs mode=nat"),
        ("mode=nat publish=80:80 publish=80:81", "published twice"),
        ("mode=nat publish=0:80", "HOSTPORT:PORT"),
        ("mode=nat publish=80:80/sctp", "HOSTPORT:PORT"),
        ("mode=nat publish=65536:80", "HOSTPORT:PORT"),
    ] {
        let error = network(&[line]).expect_err(line).to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn the_same_port_of_two_protocols_is_two_ports() {
    network(&["mode=nat publish=53:53/tcp publish=53:53/udp"]).unwrap();
}

#[test]
fn addresses_are_changed_and_taken_away_one_by_one() {
    let before = network(&["interface=en0 address=10.0.5.20", "address=10.0.5.21"]).unwrap();
    let request = NetworkRequest::parse(&groups(&["address=10.0.5.20 interface=en1"])).unwrap();
    let changed = before.clone().with(request).unwrap();
    assert_eq!(changed.addresses.len(), 2);
    assert_eq!(
        changed.addresses[0].interface,
        InterfaceName::new("en1").ok()
    );
    let gone = NetworkRequest::parse(&groups(&["address=10.0.5.20"])).unwrap();
    let rest = gone.taken_from(changed).unwrap();
    assert_eq!(rest.addresses.len(), 1);
    let error = gone.taken_from(rest).unwrap_err().to_string();
    assert!(error.contains("no address 10.0.5.20"), "{error}");
}

#[test]
fn what_the_tool_chose_goes_with_the_mode() {
    let mut nat = network(&["mode=nat"]).unwrap();
    nat.addresses.push(Address {
        address: "10.213.0.2".parse().unwrap(),
        interface: None,
        prefix: Some(32),
        broadcast: None,
        private: true,
    });
    assert_eq!(nat.groups(), groups(&["mode=nat"]));
    let request = NetworkRequest::parse(&groups(&["mode=none"])).unwrap();
    assert!(nat.with(request).unwrap().addresses.is_empty());
}

#[test]
fn routes_are_those_of_aix() {
    let route = |line: &str| Route::parse(&line.split_whitespace().collect::<Vec<_>>());
    for (line, kind, shown) in [
        (
            "rtdest=default rtgateway=10.0.5.1",
            "net",
            "rtdest=default rtgateway=10.0.5.1",
        ),
        (
            "rtdest=192.0.2.77 rtnetmask=255.255.255.0 rtgateway=10.0.5.1",
            "net",
            "rtdest=192.0.2.0/24 rtgateway=10.0.5.1",
        ),
        (
            "rtdest=192.0.2.77 rttype=host rtgateway=10.0.5.1 rtinterface=en0",
            "host",
            "rtdest=192.0.2.77 rtgateway=10.0.5.1 rtinterface=en0",
        ),
        (
            "rtdest=2001:db8::/32 rtgateway=fe80::1 rtinterface=en0",
            "net",
            "rtdest=2001:db8::/32 rtgateway=fe80::1 rtinterface=en0",
        ),
    ] {
        let parsed = route(line).unwrap();
        assert_eq!(
            (parsed.kind(), parsed.pairs().join(" ")),
            (kind, shown.to_owned())
        );
        assert_eq!(route(shown).unwrap(), parsed);
    }
    for (line, says) in [
        ("rtdest=10.0.0.0/8", "rtgateway"),
        ("rtgateway=10.0.0.1", "rtdest"),
        ("rtdest=10.0.0.0/33 rtgateway=10.0.0.1", "/PREFIX"),
        ("rtdest=gw rtgateway=10.0.0.1", "/PREFIX"),
        ("rtdest=10.0.0.0/8 rtgateway=fe80::1", "two families"),
        ("rtdest=10.0.0.0/8 rtgateway=gw", "it is an address"),
        ("rtdest=default rtfamily=x rtgateway=10.0.0.1", "'inet'"),
        ("rtmetric=1", "no attribute"),
    ] {
        let error = route(line).expect_err(line).to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
    let one = network(&["address=10.0.5.20"]).unwrap();
    let routed = one.with_routes(vec![route("rtdest=default rtgateway=10.0.5.1").unwrap()]);
    let routed = routed.unwrap();
    assert!(routed.routing);
    let again = routed.with_routes(vec![route("rtdest=default rtgateway=10.0.5.2").unwrap()]);
    assert_eq!(again.unwrap().routes.len(), 1);
    let nat = network(&["mode=nat"]).unwrap();
    let refused = nat.with_routes(vec![route("rtdest=default rtgateway=10.0.5.2").unwrap()]);
    assert!(refused.unwrap_err().to_string().contains("mode=alias"));
}

#[test]
fn masks_and_prefixes_are_the_same_thing() {
    use subnet::{contains, mask, network, prefix_of};
    for prefix in 0..=32 {
        assert_eq!(prefix_of(mask(prefix)), Some(prefix));
    }
    assert_eq!(prefix_of(Ipv4Addr::new(255, 0, 255, 0)), None);
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(network(ip("192.0.2.77"), 24), ip("192.0.2.0"));
    assert_eq!(network(ip("2001:db8::77"), 0), ip("::"));
    assert!(contains(ip("192.0.2.1"), 24, ip("192.0.2.77")));
    assert!(!contains(ip("192.0.2.1"), 24, ip("2001:db8::1")));
    assert!(contains(ip("2001:db8::1"), 64, ip("2001:db8::2")));
}
