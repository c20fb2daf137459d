//! What a WPAR on the host's network stack is held to.

use std::net::Ipv4Addr;

use super::Wire;
use crate::launch::OwnAddresses;
use crate::model::network::{Mode, Network};

/// The addresses; `None` for all of the host's.
pub fn own_addresses(network: &Network, wire: &Wire, low_ports: bool) -> Option<OwnAddresses> {
    if network.mode() != Mode::Shared || network.addresses.is_empty() {
        return None;
    }
    let addresses = network.addresses.iter().map(|one| {
        let interface = one.interface.as_ref();
        (
            one.address,
            interface.map(ToString::to_string).unwrap_or_default(),
        )
    });
    Some(OwnAddresses {
        addresses: addresses.collect(),
        loopback: loopback(&wire.machine_id),
        low_ports,
    })
}

/// An address of the host's loopback interface that is nobody else's: the kernel has all of
/// 127.0.0.0/8 there. From what is the WPAR's own and stays, so that nothing has to be kept.
fn loopback(machine_id: &str) -> Ipv4Addr {
    let digits = machine_id.get(..8).unwrap_or_default();
    let number = u32::from_str_radix(digits, 16).unwrap_or_default();
    let [_, second, third, last] = number.to_be_bytes();
    // From 127.64.0.1 up: below are those that programs use by habit.
    Ipv4Addr::new(127, 64 + second % 191, third, last.clamp(1, 254))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::network::NetworkRequest;

    fn of(said: &[&str]) -> Option<OwnAddresses> {
        let groups = vec![said.to_vec()];
        let network = Network::default()
            .with(NetworkRequest::parse(&groups).unwrap())
            .unwrap();
        let wire = Wire {
            link: "wpar1".to_owned(),
            name: "web1".to_owned(),
            machine_id: "5f3c00ffb2a94d6c8e71aa90c5d1e2f3".to_owned(),
            number: 3,
        };
        own_addresses(&network, &wire, true)
    }

    #[test]
    fn only_who_shares_and_has_addresses_is_held_to_them() {
        assert_eq!(of(&["mode=shared"]), None);
        assert_eq!(of(&["address=192.0.2.10"]), None);
        let own = of(&["mode=shared", "interface=eth0", "address=192.0.2.10"]).unwrap();
        assert_eq!(
            own.addresses,
            [("192.0.2.10".parse().unwrap(), "eth0".to_owned())]
        );
        assert_eq!(own.loopback, Ipv4Addr::new(127, 64 + 0x3c, 0, 254));
    }

    #[test]
    fn the_loopback_address_is_always_one_of_a_host() {
        for id in ["00000000", "ffffffff", "00ff00ff", ""] {
            let address = loopback(id);
            assert!(
                address.is_loopback() && address.octets()[1] >= 64,
                "{address}"
            );
            assert!(![0, 255].contains(&address.octets()[3]), "{address}");
        }
    }
}
