//! A local network that this machine has no part in: a host with one interface, and a peer.
//!
//! Both are network namespaces; the host's is where the commands of a test run. So nothing that a test
//! does is done to the machine's own network, and tests may run side by side.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::run::{Run, eventually};

/// The peer's address.
pub const PEER: &str = "192.0.2.9";
/// And of IPv6.
pub const PEER_V6: &str = "2001:db8::9";
/// An address of the peer in no subnet of the host, which is reached by the host's default route.
pub const BEYOND: &str = "198.51.100.1";

/// Settings of the host's interface that a WPAR may need.
const SETTINGS: [&str; 7] = [
    "ipv4/conf/lan0/forwarding",
    "ipv4/neigh/lan0/proxy_delay",
    "ipv6/conf/lan0/accept_ra",
    "ipv6/conf/lan0/forwarding",
    "ipv6/conf/lan0/proxy_ndp",
    "ipv6/neigh/lan0/proxy_delay",
    "ipv6/conf/lan0/force_forwarding",
];

/// The network; it goes with the value.
#[derive(Debug)]
pub struct Lan {
    host: Child,
    peer: Child,
}

/// A process that does nothing, in a network namespace of its own.
fn namespace() -> Result<Child, String> {
    let child = Command::new("unshare")
        .args(["-n", "sleep", "1000"])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("unshare: {error}"))?;
    let own = fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
    let other = format!("/proc/{}/ns/net", child.id());
    eventually("a network namespace", Duration::from_secs(30), || {
        fs::read_link(&other).is_ok_and(|link| link != own)
    });
    Ok(child)
}

impl Lan {
    /// `lan0` of the host has 192.0.2.2 and 2001:db8::2, and its default routes go to the peer, which
    /// has 192.0.2.9, 2001:db8::9 and 198.51.100.1.
    ///
    /// # Errors
    /// What this machine lacks for it, for a skip.
    pub fn new() -> Result<Self, String> {
        super::skip::privileged()?;
        for program in ["ip", "nsenter", "unshare", "ping"] {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {program}")])
                .stdout(Stdio::null())
                .status();
            if !found.is_ok_and(|status| status.success()) {
                return Err(format!("needs the program {program}"));
            }
        }
        let lan = Self {
            host: namespace()?,
            peer: namespace()?,
        };
        for line in [
            "ip link set lo up",
            "ip link add lan0 type veth peer name lan1",
            &format!("ip link set lan1 netns {}", lan.peer.id()),
            "ip address add 192.0.2.2/24 dev lan0",
            "ip address add 2001:db8::2/64 dev lan0 nodad",
            "ip link set lan0 up",
        ] {
            lan.on_host(line).ok();
        }
        for line in [
            "ip link set lo up",
            "ip address add 198.51.100.1/32 dev lo",
            "ip address add 192.0.2.9/24 dev lan1",
            "ip address add 2001:db8::9/64 dev lan1 nodad",
            "ip link set lan1 up",
        ] {
            lan.on_peer(line).ok();
        }
        lan.on_host("ip route add default via 192.0.2.9").ok();
        lan.on_host("ip route add default via 2001:db8::9").ok();
        // The addresses that an interface gives itself take a while.
        eventually("the network is up", Duration::from_secs(60), || {
            let tentative = lan.on_host("ip -6 address show tentative").ok();
            tentative.text().is_empty()
        });
        Ok(lan)
    }

    /// Process in the host's namespace.
    pub fn host(&self) -> u32 {
        self.host.id()
    }

    /// A command on the host.
    pub fn on_host(&self, line: &str) -> Run {
        run(line).in_network_of(self.host.id())
    }

    /// A command on the peer.
    pub fn on_peer(&self, line: &str) -> Run {
        run(line).in_network_of(self.peer.id())
    }

    /// Whether the peer gets an answer from an address.
    pub fn peer_reaches(&self, address: &str) -> bool {
        let output = self.on_peer(&format!("ping -c 1 -W 3 {address}")).output();
        output.code() == 0
    }

    /// All of the host's network that a WPAR may change, for comparing.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for line in [
            "ip -brief link",
            "ip neigh show proxy",
            "ip -6 neigh show proxy",
            "ip route show table all",
            "ip -6 route show table all",
            "ip rule",
            "ip -6 rule",
        ] {
            let output = self.on_host(line).ok();
            text.push_str(&format!("{line}:\n{}\n", output.text()));
        }
        for setting in SETTINGS {
            // Older kernels do not have all.
            let output = self
                .on_host(&format!("cat /proc/sys/net/{setting}"))
                .output();
            text.push_str(&format!("{setting}={}\n", output.text()));
        }
        if super::skip::has_nft() {
            let rules = self.on_host("nft list ruleset").ok();
            text.push_str(rules.text());
        }
        text
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for child in [&mut self.host, &mut self.peer] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn run(line: &str) -> Run {
    let mut words = line.split_whitespace();
    Run::new(words.next().unwrap_or_default(), words)
}
