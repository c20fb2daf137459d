//! Holding a WPAR that has the host's network stack to addresses of its own, as AIX does.
//!
//! | what programs inside ask for | what they get |
//! |---|---|
//! | to listen at an address of the WPAR | that |
//! | to listen at all addresses | the first of the WPAR's, of the family |
//! | to listen at any other | `EADDRNOTAVAIL` |
//! | to connect or send, from no address or another's | from the first of the WPAR's |
//! | `127.0.0.1`, `::1` | a loopback address of its own; services of the host that listen at all addresses are there, too |
//! | the rest of `127.0.0.0/8` | nothing |
//! | protocols other than TCP, UDP and ICMP | nothing |
//!
//! Besides, no packet leaves one of its sockets or reaches one whose address on this side is not the
//! WPAR's: that is what holds, whatever way around the first there may be; ICMP alone is let through, for
//! `ping`. The loopback address is shown as `127.0.0.1` to those who ask for their own or the peer's. One
//! socket for both families that listens at all addresses gets that of IPv6, if there is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::assembler::{Assembler, Function, Place, R0, R1, R2, R3, R4, R5, R6, STACK, word};
use crate::model::network::SHARED_MAX;
use crate::sys::bpf::{Hook, Instruction};

/// What a WPAR on the host's network stack is held to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnAddresses {
    /// Its addresses, and the links of the host that they are put on if the host does not have them.
    pub addresses: Vec<(IpAddr, String)>,
    /// What `127.0.0.1` is for it.
    pub loopback: Ipv4Addr,
    /// Whether it may listen at ports below 1024: any user of it, for a program of the kernel cannot ask for
    /// the capability.
    pub low_ports: bool,
}

// struct bpf_sock_addr.
const ADDRESS4: i16 = 4;
const ADDRESS6: i16 = 8;
const SOURCE4: i16 = 40;
const SOURCE6: i16 = 44;
// struct bpf_sock.
const PROTOCOL: i16 = 12;
// struct __sk_buff: the kind of network, in the order of the network.
const NETWORK: i16 = 16;
const IPV4: i32 = (0x0800u16).to_be() as i32;
const IPV6: i32 = (0x86ddu16).to_be() as i32;

/// Not a program's own error: that the address is not there, nobody is there, no way leads there.
const NO_ADDRESS: i32 = libc::EADDRNOTAVAIL;
const NOBODY: i32 = libc::ECONNREFUSED;
const NO_WAY: i32 = libc::ENETUNREACH;

const ICMP: i32 = 1;
const TCP: i32 = 6;
const UDP: i32 = 17;
const ICMP6: i32 = 58;

const LOCALHOST: i32 = word([127, 0, 0, 1]);
/// Third word of an address of IPv4 in the form of IPv6.
const MAPPED: i32 = word([0, 0, 0xff, 0xff]);
const ONE: i32 = word([0, 0, 0, 1]);

/// The words that the programs compare with.
struct Own {
    v4: Vec<i32>,
    v6: Vec<[i32; 4]>,
    loopback: i32,
    low_ports: bool,
}

fn words(address: Ipv6Addr) -> [i32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address.octets();
    [
        word([a, b, c, d]),
        word([e, f, g, h]),
        word([i, j, k, l]),
        word([m, n, o, p]),
    ]
}

/// The programs and where they run; `None` if one would be too long.
pub(super) fn programs(own: &OwnAddresses) -> Option<Vec<(Hook, Vec<Instruction>)>> {
    let addresses = own.addresses.iter().take(SHARED_MAX);
    let addresses = || addresses.clone().map(|(address, _)| *address);
    let own = Own {
        v4: addresses()
            .filter_map(|address| match address {
                IpAddr::V4(address) => Some(word(address.octets())),
                IpAddr::V6(_) => None,
            })
            .collect(),
        v6: addresses()
            .filter_map(|address| match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(address) => Some(words(address)),
            })
            .collect(),
        loopback: word(own.loopback.octets()),
        low_ports: own.low_ports,
    };
    [
        (Hook::Bind4, own.bind4()),
        (Hook::Bind6, own.bind6()),
        (Hook::Connect4, own.connect4()),
        (Hook::Connect6, own.connect6()),
        (Hook::Send4, own.send4()),
        (Hook::Send6, own.send6()),
        (Hook::Receive4, own.shown()),
        (Hook::PeerName4, own.shown()),
        (Hook::SocketName4, own.shown()),
        (Hook::SocketCreate, create()),
        (Hook::Egress, own.packets(12, 8)),
        (Hook::Ingress, own.packets(16, 24)),
    ]
    .into_iter()
    .map(|(hook, program)| Some((hook, program?)))
    .collect()
}

/// Ends the program with the system call failing with `errno`.
fn refuse(code: &mut Assembler, errno: i32) {
    code.set(R1, -errno);
    code.call(Function::SetReturn);
    code.end(0);
}

/// Only the protocols whose addresses the other programs see.
fn create() -> Option<Vec<Instruction>> {
    let mut code = Assembler::default();
    let known = code.place();
    code.load(R2, R1, PROTOCOL);
    for protocol in [TCP, UDP, ICMP, ICMP6] {
        code.jump_if(R2, protocol, known);
    }
    refuse(&mut code, libc::EPROTONOSUPPORT);
    code.here(known);
    code.end(1);
    code.finish()
}

impl Own {
    /// What listening at all addresses means in IPv4.
    fn first4(&self) -> i32 {
        self.v4.first().copied().unwrap_or(self.loopback)
    }

    /// Goes on at `yes` if the word in `register` is an address of the WPAR.
    fn if_own4(&self, code: &mut Assembler, register: u8, yes: Place) {
        for address in &self.v4 {
            code.jump_if(register, *address, yes);
        }
        code.jump_if(register, self.loopback, yes);
    }

    /// The same of IPv6, of the four words at `base + offset`. Uses `R5`.
    fn if_own6(&self, code: &mut Assembler, base: u8, offset: i16, yes: Place) {
        for address in &self.v6 {
            let next = code.place();
            for (index, value) in (0i16..).zip(address) {
                code.load(R5, base, offset + 4 * index);
                code.jump_unless(R5, *value, next);
            }
            code.jump(yes);
            code.here(next);
        }
    }

    /// Changes the address of IPv4 that the context is about.
    fn change4(code: &mut Assembler, address: i32) {
        code.set(R2, address);
        code.store(R6, ADDRESS4, R2);
    }

    /// Changes the four words at `offset` of the context.
    fn change6(code: &mut Assembler, offset: i16, address: [i32; 4]) {
        for (index, value) in (0i16..).zip(address) {
            code.set(R2, value);
            code.store(R6, offset + 4 * index, R2);
        }
    }

    /// Binds the source. That it is bound already is no error: by itself to another, and then what it sends
    /// is dropped.
    fn from4(code: &mut Assembler, address: i32) {
        let [low, high] = (libc::AF_INET as u16).to_ne_bytes();
        let name = [word([low, high, 0, 0]), address, 0, 0];
        Self::bind_source(code, &name);
    }

    fn from6(code: &mut Assembler, address: [i32; 4]) {
        let [low, high] = (libc::AF_INET6 as u16).to_ne_bytes();
        let [a, b, c, d] = address;
        Self::bind_source(code, &[word([low, high, 0, 0]), 0, a, b, c, d, 0]);
    }

    fn bind_source(code: &mut Assembler, name: &[i32]) {
        const PLACE: i16 = -32;
        for (index, value) in (0i16..).zip(name) {
            code.set(R2, *value);
            code.store(STACK, PLACE + 4 * index, R2);
        }
        code.copy(R1, R6);
        code.copy(R2, STACK);
        code.add(R2, PLACE.into());
        code.set(R3, i32::try_from(4 * name.len()).unwrap_or_default());
        code.call(Function::Bind);
    }

    /// What a bind that is allowed ends with.
    fn bound(&self) -> i32 {
        // The second bit: without a look at CAP_NET_BIND_SERVICE.
        if self.low_ports { 3 } else { 1 }
    }

    fn bind4(&self) -> Option<Vec<Instruction>> {
        let mut code = Assembler::default();
        let (allowed, all, local) = (code.place(), code.place(), code.place());
        code.copy(R6, R1);
        code.load(R2, R6, ADDRESS4);
        self.if_own4(&mut code, R2, allowed);
        code.jump_if(R2, 0, all);
        code.jump_if(R2, LOCALHOST, local);
        refuse(&mut code, NO_ADDRESS);
        code.here(all);
        Self::change4(&mut code, self.first4());
        code.jump(allowed);
        code.here(local);
        Self::change4(&mut code, self.loopback);
        code.here(allowed);
        code.end(self.bound());
        code.finish()
    }

    fn bind6(&self) -> Option<Vec<Instruction>> {
        let mut code = Assembler::default();
        let [allowed, all, local, mapped, refused] = std::array::from_fn(|_| code.place());
        code.copy(R6, R1);
        self.if_own6(&mut code, R6, ADDRESS6, allowed);
        Self::sort6(&mut code, refused, mapped);
        code.jump_if(R5, 0, all);
        code.jump_if(R5, ONE, local);
        code.jump(refused);
        code.here(mapped);
        self.if_own4(&mut code, R5, allowed);
        code.jump_if(R5, LOCALHOST, local);
        code.jump_unless(R5, 0, refused);
        Self::change6(&mut code, ADDRESS6, [0, 0, MAPPED, self.first4()]);
        code.jump(allowed);
        code.here(all);
        let first = self.v6.first().copied();
        let all = first.unwrap_or([0, 0, MAPPED, self.first4()]);
        Self::change6(&mut code, ADDRESS6, all);
        code.jump(allowed);
        code.here(local);
        Self::change6(&mut code, ADDRESS6, [0, 0, MAPPED, self.loopback]);
        code.here(allowed);
        code.end(self.bound());
        code.here(refused);
        refuse(&mut code, NO_ADDRESS);
        code.finish()
    }

    /// Tells kinds of addresses of IPv6 apart: those that do not begin with 64 zeros and are of no
    /// other kind go on at `other`, those of IPv4 at `mapped`, and `::` and what is near it here. The last
    /// word is in `R5`.
    fn sort6(code: &mut Assembler, other: Place, mapped: Place) {
        for index in 0..2 {
            code.load(R5, R6, ADDRESS6 + 4 * index);
            code.jump_unless(R5, 0, other);
        }
        code.load(R4, R6, ADDRESS6 + 8);
        code.load(R5, R6, ADDRESS6 + 12);
        code.jump_if(R4, MAPPED, mapped);
        code.jump_unless(R4, 0, other);
    }

    /// Goes on at `local` if the address of IPv4 in `register` is what a WPAR calls its own loopback,
    /// and at `refused` if it is another of them. Uses `R3`.
    fn sort4(&self, code: &mut Assembler, register: u8, local: Place, refused: Place) {
        for address in [LOCALHOST, 0, self.loopback] {
            code.jump_if(register, address, local);
        }
        code.copy(R3, register);
        code.and(R3, word([255, 0, 0, 0]));
        code.jump_if(R3, word([127, 0, 0, 0]), refused);
    }

    fn connect4(&self) -> Option<Vec<Instruction>> {
        let mut code = Assembler::default();
        let (local, refused) = (code.place(), code.place());
        code.copy(R6, R1);
        code.load(R2, R6, ADDRESS4);
        self.sort4(&mut code, R2, local, refused);
        match self.v4.first() {
            None => refuse(&mut code, NO_WAY),
            Some(source) => {
                Self::from4(&mut code, *source);
                code.end(1);
            }
        }
        code.here(local);
        Self::change4(&mut code, self.loopback);
        Self::from4(&mut code, self.loopback);
        code.end(1);
        code.here(refused);
        refuse(&mut code, NOBODY);
        code.finish()
    }

    fn connect6(&self) -> Option<Vec<Instruction>> {
        let mut code = Assembler::default();
        let [local, mapped, refused, other] = std::array::from_fn(|_| code.place());
        code.copy(R6, R1);
        Self::sort6(&mut code, other, mapped);
        code.jump_if(R5, 0, local);
        code.jump_if(R5, ONE, local);
        code.here(other);
        match self.v6.first() {
            None => refuse(&mut code, NO_WAY),
            Some(source) => {
                Self::from6(&mut code, *source);
                code.end(1);
            }
        }
        code.here(mapped);
        self.sort4(&mut code, R5, local, refused);
        match self.v4.first() {
            None => refuse(&mut code, NO_WAY),
            Some(source) => {
                Self::from6(&mut code, [0, 0, MAPPED, *source]);
                code.end(1);
            }
        }
        code.here(local);
        let loopback = [0, 0, MAPPED, self.loopback];
        Self::change6(&mut code, ADDRESS6, loopback);
        Self::from6(&mut code, loopback);
        code.end(1);
        code.here(refused);
        refuse(&mut code, NOBODY);
        code.finish()
    }

    fn send4(&self) -> Option<Vec<Instruction>> {
        let mut code = Assembler::default();
        let [local, refused, allowed] = std::array::from_fn(|_| code.place());
        code.copy(R6, R1);
        code.load(R2, R6, ADDRESS4);
        self.sort4(&mut code, R2, local, refused);
        code.load(R2, R6, SOURCE4);
        for address in &self.v4 {
            code.jump_if(R2, *address, allowed);
        }
        match self.v4.first() {
            None => refuse(&mut code, NO_WAY),
            Some(source) => {
                code.set(R2, *source);
                code.store(R6, SOURCE4, R2);
                code.jump(allowed);
            }
        }
        code.here(local);
        Self::change4(&mut code, self.loopback);
        code.load(R2, R6, SOURCE4);
        self.if_own4(&mut code, R2, allowed);
        code.set(R2, self.loopback);
        code.store(R6, SOURCE4, R2);
        code.here(allowed);
        code.end(1);
        code.here(refused);
        refuse(&mut code, NOBODY);
        code.finish()
    }

    /// Addresses of IPv4 do not come here, whatever the socket.
    fn send6(&self) -> Option<Vec<Instruction>> {
        let mut code = Assembler::default();
        let [other, refused] = std::array::from_fn(|_| code.place());
        code.copy(R6, R1);
        Self::sort6(&mut code, other, refused);
        code.here(refused);
        refuse(&mut code, NOBODY);
        code.here(other);
        match self.v6.first() {
            None => refuse(&mut code, NO_WAY),
            Some(source) => {
                let allowed = code.place();
                self.if_own6(&mut code, R6, SOURCE6, allowed);
                Self::change6(&mut code, SOURCE6, *source);
                code.here(allowed);
                code.end(1);
            }
        }
        code.finish()
    }

    /// Shows the loopback address by the name that programs know.
    fn shown(&self) -> Option<Vec<Instruction>> {
        let mut code = Assembler::default();
        let other = code.place();
        code.copy(R6, R1);
        code.load(R2, R6, ADDRESS4);
        code.jump_unless(R2, self.loopback, other);
        Self::change4(&mut code, LOCALHOST);
        code.here(other);
        code.end(1);
        code.finish()
    }

    /// Lets packets through whose address of this side, at these offsets of the headers, is the
    /// WPAR's.
    fn packets(&self, offset4: i32, offset6: i32) -> Option<Vec<Instruction>> {
        let mut code = Assembler::default();
        let [v6, dropped, allowed] = std::array::from_fn(|_| code.place());
        code.copy(R6, R1);
        code.load(R2, R6, NETWORK);
        code.jump_if(R2, IPV6, v6);
        code.jump_unless(R2, IPV4, dropped);
        // Time to live, protocol, sum of the header.
        Self::packet_words(&mut code, 8, 1, dropped);
        code.load(R2, STACK, -16);
        code.and(R2, word([0, 255, 0, 0]));
        code.jump_if(R2, word([0, 1, 0, 0]), allowed);
        Self::packet_words(&mut code, offset4, 1, dropped);
        code.load(R2, STACK, -16);
        self.if_own4(&mut code, R2, allowed);
        code.jump(dropped);
        code.here(v6);
        // Length, next header, limit of hops.
        Self::packet_words(&mut code, 4, 1, dropped);
        code.load(R2, STACK, -16);
        code.and(R2, word([0, 0, 255, 0]));
        code.jump_if(R2, word([0, 0, 58, 0]), allowed);
        Self::packet_words(&mut code, offset6, 4, dropped);
        self.if_own6(&mut code, STACK, -16, allowed);
        code.here(dropped);
        code.end(0);
        code.here(allowed);
        code.end(1);
        code.finish()
    }

    /// Copies words of the packet to the stack.
    fn packet_words(code: &mut Assembler, offset: i32, count: i32, missing: Place) {
        code.copy(R1, R6);
        code.set(R2, offset);
        code.copy(R3, STACK);
        code.add(R3, -16);
        code.set(R4, 4 * count);
        code.call(Function::LoadPacketBytes);
        code.jump_unless(R0, 0, missing);
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
