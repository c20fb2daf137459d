//! Translation of addresses by `nft`: one table of ours for each WPAR, loaded and removed as a whole.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::error::LaunchError;
use super::plan::{Plan, Translation};

/// Where `nft` may be. A supervisor has no search path.
const PLACES: [&str; 4] = [
    "/usr/sbin/nft",
    "/sbin/nft",
    "/usr/bin/nft",
    "/usr/local/sbin/nft",
];

/// The program, if it is installed.
pub fn program() -> Option<PathBuf> {
    PLACES.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Loads the rules of a plan, in place of those that are there.
pub(super) fn load(plan: &Plan) -> Result<(), LaunchError> {
    match &plan.translation {
        None => Ok(()),
        Some(translation) => run(&script(&plan.link, &plan.addresses, translation)),
    }
}

/// Removes the rules that were loaded for `link`, if there are any.
pub(super) fn unload(link: &str) -> Result<(), LaunchError> {
    run(&removal(link))
}

/// A table that is added first can be deleted in any case.
fn removal(link: &str) -> String {
    format!("add table inet {link}\ndelete table inet {link}\n")
}

/// The rules. All that is put in is a number, an address or a name that the tool made up.
fn script(link: &str, addresses: &[IpAddr], translation: &Translation) -> String {
    let mut leaving = String::new();
    let mut arriving = String::new();
    let mut own = String::new();
    for address in addresses {
        let (ip, family, local) = match address {
            IpAddr::V4(_) => ("ip", "ipv4", "127.0.0.0/8"),
            IpAddr::V6(_) => ("ip6", "ipv6", "::1"),
        };
        // To itself by a published port: the answer must come back by the host.
        leaving.push_str(&format!(
            "    {ip} saddr {address} {ip} daddr {address} masquerade\n"
        ));
        for (range, prefix) in &translation.ranges {
            if range.is_ipv4() == address.is_ipv4() {
                leaving.push_str(&format!(
                    "    {ip} saddr {address} {ip} daddr != {range}/{prefix} masquerade\n"
                ));
            }
        }
        let shown = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        for (host, port, is_udp) in &translation.published {
            let protocol = if *is_udp { "udp" } else { "tcp" };
            let rule = format!("{protocol} dport {host} dnat {ip} to {shown}:{port}\n");
            arriving.push_str(&format!(
                "    meta nfproto {family} fib daddr type local {rule}"
            ));
            own.push_str(&format!(
                "    {ip} daddr != {local} fib daddr type local {rule}"
            ));
        }
    }
    format!(
        "{removal}table inet {link} {{\n  chain leaving {{\n    type nat hook postrouting priority \
         srcnat; policy accept;\n{leaving}  }}\n  chain arriving {{\n    type nat hook prerouting \
         priority dstnat; policy accept;\n{arriving}  }}\n  chain own {{\n    type nat hook output \
         priority -100; policy accept;\n{own}  }}\n}}\n",
        removal = removal(link)
    )
}

fn run(script: &str) -> Result<(), LaunchError> {
    let program = program().ok_or_else(|| {
        LaunchError::other("mode=nat needs nft, which is not installed; install nftables")
    })?;
    feed(&program, script)
        .map_err(|error| LaunchError::other(format!("cannot run {}: {error}", program.display())))?
        .map_err(|complaint| {
            LaunchError::other(format!(
                "nft refused the rules of mode=nat: {complaint}; does the kernel have nf_tables \
                 with nat, masq and fib?"
            ))
        })
}

fn feed(program: &Path, script: &str) -> io::Result<Result<(), String>> {
    let mut child = Command::new(program)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that ends without reading has said why.
        let _ = input.write_all(script.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let first = complaint.lines().next().unwrap_or("no reason given");
    Ok(Err(super::super::notify::printable(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_of_one_table_that_replaces_itself() {
        let translation = Translation {
            ranges: vec![
                ("10.213.0.0".parse().unwrap(), 16),
                ("fd77:7061:7200::".parse().unwrap(), 48),
            ],
            published: vec![(8080, 80, false), (53, 53, true)],
        };
        let addresses = [
            "10.213.0.2".parse().unwrap(),
            "fd77:7061:7200::2".parse().unwrap(),
        ];
        let text = script("wpar1a2b3c4d", &addresses, &translation);
        assert!(text.starts_with(
            "add table inet wpar1a2b3c4d\ndelete table inet wpar1a2b3c4d\ntable inet wpar1a2b3c4d {"
        ));
        for line in [
            "ip saddr 10.213.0.2 ip daddr != 10.213.0.0/16 masquerade",
            "ip6 saddr fd77:7061:7200::2 ip6 daddr != fd77:7061:7200::/48 masquerade",
            "meta nfproto ipv4 fib daddr type local tcp dport 8080 dnat ip to 10.213.0.2:80",
            "ip daddr != 127.0.0.0/8 fib daddr type local udp dport 53 dnat ip to 10.213.0.2:53",
            "fib daddr type local tcp dport 8080 dnat ip6 to [fd77:7061:7200::2]:80",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
