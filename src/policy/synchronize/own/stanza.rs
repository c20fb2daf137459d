//! One stanza of dpkg's `status`, as the copy will have it. Format: deb-control(5).
//!
//! A package that comes from the host is unpacked, and its scripts have not run: that is what the record
//! says, so that `dpkg --configure -a` runs them.

use std::collections::BTreeMap;

use crate::policy::system_copy::filesets::record::dpkg_stanzas::field;

/// Fields of a record that are about its past.
const PAST: &[&[u8]] = &[
    b"status",
    b"config-version",
    b"conffiles",
    b"triggers-pending",
    b"triggers-awaited",
];

/// A configuration file in a stanza: what it was like in the package, and whether it is in none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conffile<'a> {
    pub(super) digest: &'a [u8],
    pub(super) is_obsolete: bool,
}

/// Paths of configuration files, with the leading `/`, and what is noted of each.
pub(super) type Digests = Vec<(Vec<u8>, Vec<u8>)>;

/// Configuration files of a stanza by their paths, with the leading `/`.
pub(super) fn conffiles(stanza: &[u8]) -> BTreeMap<&[u8], Conffile<'_>> {
    let mut found = BTreeMap::new();
    for line in lines_of(stanza, b"conffiles").skip(1) {
        let mut rest = line.trim_ascii();
        let mut is_obsolete = false;
        // What is to be removed is in the package no more than what is obsolete.
        while let Some(before) = rest
            .strip_suffix(b" obsolete")
            .or_else(|| rest.strip_suffix(b" remove-on-upgrade"))
        {
            is_obsolete = true;
            rest = before;
        }
        if let Some(at) = rest.iter().rposition(|&byte| byte == b' ') {
            let (path, digest) = rest.split_at(at);
            let digest = digest.trim_ascii();
            found.insert(
                path,
                Conffile {
                    digest,
                    is_obsolete,
                },
            );
        }
    }
    found
}

/// The lines of a field, the first one with its name.
fn lines_of<'a>(stanza: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut is_in = false;
    stanza
        .split_inclusive(|&byte| byte == b'\n')
        .filter(move |line| {
            if !goes_on(line) {
                is_in = is_field(line, name);
            }
            is_in
        })
}

fn goes_on(line: &[u8]) -> bool {
    line.starts_with(b" ") || line.starts_with(b"\t")
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.split_at_checked(name.len())
        .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(name) && rest.starts_with(b":"))
}

/// Name and architecture of a stanza.
pub(super) fn key(stanza: &[u8]) -> (&[u8], &[u8]) {
    let value = |name| field(stanza, name).unwrap_or_default();
    (value(b"package"), value(b"architecture"))
}

/// The host's stanza in the copy, unpacked: `before` is the copy's own stanza, and `digests` what is
/// noted of each configuration file.
pub(super) fn unpacked(
    host: &[u8],
    before: Option<&[u8]>,
    digests: &[(Vec<u8>, Vec<u8>)],
) -> Vec<u8> {
    let mut made = Vec::with_capacity(host.len() + 64);
    let mut is_in = true;
    for line in host.split_inclusive(|&byte| byte == b'\n') {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if !goes_on(line) {
            is_in = !PAST.iter().any(|name| is_field(line, name));
        }
        if is_in {
            made.extend_from_slice(line);
        }
        if is_field(line, b"package") {
            // Whether it is held is the administrator's to say.
            let want = before.and_then(|before| {
                let words = field(before, b"status")?;
                words.split(|&byte| byte == b' ').next()
            });
            let want = match want {
                Some(b"hold") => &b"hold"[..],
                _ => b"install",
            };
            made.extend_from_slice(&[b"Status: ", want, b" ok unpacked\n"].concat());
        }
    }
    if let Some(version) = before.and_then(configured) {
        made.extend_from_slice(&[b"Config-Version: ", version, b"\n"].concat());
    }
    if !digests.is_empty() {
        made.extend_from_slice(b"Conffiles:\n");
        for (path, digest) in digests {
            made.extend_from_slice(&[b" ", &path[..], b" ", digest, b"\n"].concat());
        }
    }
    made.push(b'\n');
    made
}

/// The stanza of a package that went: nothing, or what is left of its configuration.
pub(super) fn removed(stanza: &[u8]) -> Vec<u8> {
    const KEPT: &[&[u8]] = &[
        b"package",
        b"priority",
        b"section",
        b"installed-size",
        b"maintainer",
        b"architecture",
        b"multi-arch",
        b"source",
        b"version",
        b"conffiles",
        b"description",
    ];
    if conffiles(stanza).is_empty() {
        return Vec::new();
    }
    let mut made = Vec::new();
    let mut is_in = false;
    for line in stanza.split_inclusive(|&byte| byte == b'\n') {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if !goes_on(line) {
            is_in = KEPT.iter().any(|name| is_field(line, name));
        }
        if is_in {
            made.extend_from_slice(line);
        }
        if is_field(line, b"package") {
            made.extend_from_slice(b"Status: deinstall ok config-files\n");
        }
    }
    if let Some(version) = configured(stanza) {
        made.extend_from_slice(&[b"Config-Version: ", version, b"\n"].concat());
    }
    made.push(b'\n');
    made
}

/// The version that was set up last.
fn configured(before: &[u8]) -> Option<&[u8]> {
    if let Some(version) = field(before, b"config-version") {
        return Some(version);
    }
    let state = field(before, b"status")?
        .rsplit(|&byte| byte == b' ')
        .next()?;
    let was_set_up = matches!(
        state,
        b"installed" | b"config-files" | b"triggers-awaited" | b"triggers-pending"
    );
    was_set_up.then(|| field(before, b"version")).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "Package: cron\nEssential: no\nStatus: install ok installed\nArchitecture: amd64\n\
        Version: 3.0pl1-162\nConffiles:\n /etc/crontab 1111 \n /etc/old 2222 obsolete\n\
        Triggers-Pending: x\nDescription: process scheduling\n daemon\n\n";
    const COPY: &str = "Package: cron\nStatus: hold ok installed\nArchitecture: amd64\n\
        Version: 3.0pl1-137\nConffiles:\n /etc/crontab 9999\n /etc/with space 8888\n\n";

    #[test]
    fn a_package_from_the_host_is_unpacked_and_what_was_set_up_last_is_known() {
        let digests = [(b"/etc/crontab".to_vec(), b"9999".to_vec())];
        let made = unpacked(HOST.as_bytes(), Some(COPY.as_bytes()), &digests);
        assert_eq!(
            String::from_utf8(made).unwrap(),
            "Package: cron\nStatus: hold ok unpacked\nEssential: no\nArchitecture: amd64\n\
             Version: 3.0pl1-162\nDescription: process scheduling\n daemon\n\
             Config-Version: 3.0pl1-137\nConffiles:\n /etc/crontab 9999\n\n"
        );
        let new = String::from_utf8(unpacked(HOST.as_bytes(), None, &[])).unwrap();
        assert!(new.contains("Status: install ok unpacked\n"), "{new}");
        assert!(!new.contains("Config-Version"), "{new}");
    }

    #[test]
    fn configuration_files_are_read_with_what_is_said_about_them() {
        let found = conffiles(HOST.as_bytes());
        assert!(found[&b"/etc/old"[..]].is_obsolete);
        assert!(!found[&b"/etc/crontab"[..]].is_obsolete);
        assert_eq!(found[&b"/etc/crontab"[..]].digest, b"1111");
        let found = conffiles(COPY.as_bytes());
        assert_eq!(found[&b"/etc/with space"[..]].digest, b"8888");
    }

    #[test]
    fn one_that_was_removed_knows_what_was_set_up() {
        let removed = b"Package: cron\nStatus: deinstall ok config-files\nVersion: 2\n";
        assert_eq!(configured(removed), Some(&b"2"[..]));
        assert_eq!(
            configured(b"Package: x\nStatus: install ok half-installed\nVersion: 2\n"),
            None
        );
    }
}
