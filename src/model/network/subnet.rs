//! Masks and prefixes of both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The mask with a prefix of so many bits.
pub fn mask(prefix: u8) -> Ipv4Addr {
    let bits = u32::from(prefix.min(32));
    Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0))
}

/// Length of the prefix of a mask; `None` if its bits have gaps.
pub fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let length = bits.leading_ones();
    (bits.count_ones() == length)
        .then(|| u8::try_from(length).ok())
        .flatten()
}

/// Bits of an address of this family.
pub fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits behind the prefix zero.
pub fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & u32::from(mask(prefix))))
        }
        IpAddr::V6(address) => {
            let bits = u32::from(prefix.min(128));
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

/// Whether `address` is in the subnet that `other` with its prefix is in.
pub fn contains(other: IpAddr, prefix: u8, address: IpAddr) -> bool {
    other.is_ipv4() == address.is_ipv4() && network(other, prefix) == network(address, prefix)
}
