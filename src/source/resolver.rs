//! The name servers that the host itself asks, if they are not on the host.

use std::fs::File;
use std::io::Read;

use crate::model::{Edit, Put};

/// Where the list is, the best first: systemd-resolved keeps the true one beside its own address.
const PLACES: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];

/// Longest list that is read.
const LONGEST: u64 = 64 << 10;

/// A resolv.conf that is true in a WPAR, too; `None` if the host has only servers of its own.
pub fn upstream() -> Option<Vec<u8>> {
    PLACES.into_iter().find_map(|place| {
        let mut text = Vec::new();
        File::open(place)
            .ok()?
            .take(LONGEST)
            .read_to_end(&mut text)
            .ok()?;
        has_server_elsewhere(&text).then_some(text)
    })
}

/// The host's files about names that `-r` copies: AIX's resolv.conf, hosts and networks.
pub fn files_about_names() -> Vec<Edit> {
    let read = |path: &str| {
        let mut text = Vec::new();
        let file = File::open(path).ok()?;
        file.take(LONGEST).read_to_end(&mut text).ok()?;
        Some(text)
    };
    let servers = upstream().map(|text| portable(&text).into_bytes());
    let files = [
        ("etc/resolv.conf", servers),
        ("etc/hosts", read("/etc/hosts")),
        ("etc/networks", read("/etc/networks")),
    ];
    let edit = |(path, contents): (&str, Option<Vec<u8>>)| {
        contents.map(|contents| Edit {
            path: path.to_owned(),
            what: Put::File {
                contents,
                permissions: 0o644,
            },
            reason: "the host's, as -r asked".to_owned(),
        })
    };
    files.into_iter().filter_map(edit).collect()
}

/// The lines of a resolv.conf that are true on another machine: without servers on this one, and
/// without those that can be reached only by an interface of it.
pub fn portable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let is_true = |line: &&str| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("nameserver"), Some(server)) => server
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| !address.is_loopback() && !address.is_unspecified()),
            (Some("search" | "domain" | "options" | "sortlist"), _) => true,
            _ => false,
        }
    };
    text.lines()
        .filter(is_true)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Whether a resolv.conf names a server that is not on the machine itself.
pub fn has_server_elsewhere(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "nameserver")?;
        words.next()
    });
    servers.any(|server| {
        let address = server.split('%').next().unwrap_or_default();
        let address = address.parse::<std::net::IpAddr>();
        address.is_ok_and(|address| !address.is_loopback() && !address.is_unspecified())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_true_only_here_is_left_out() {
        let text = "# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n\
            search example.org\noptions edns0\nnonsense\n";
        assert_eq!(
            portable(text.as_bytes()),
            "nameserver 192.0.2.53\nsearch example.org\noptions edns0\n"
        );
    }

    #[test]
    fn servers_on_the_machine_itself_do_not_count() {
        for (text, expected) in [
            ("", false),
            ("nameserver 127.0.0.53\noptions edns0\n", false),
            ("nameserver ::1\nnameserver 0.0.0.0\n", false),
            ("# nameserver 9.9.9.9\n", false),
            ("nameserver 127.0.0.1\nnameserver 192.0.2.53\n", true),
            ("  nameserver\tfe80::1%eth0\n", true),
            ("nameserver", false),
        ] {
            assert_eq!(has_server_elsewhere(text.as_bytes()), expected, "{text:?}");
        }
    }
}
