//! The network of the source: its addresses are still in use there, and its interfaces do not exist
//! here. A WPAR's interfaces are configured from outside.

use wpar_mountd::error::FsError;

use super::super::draft::Draft;
use crate::source::resolver::has_server_elsewhere;

const REASON: &str = "interfaces and addresses of the source";

/// ifupdown's file, of Debian and Alpine.
const INTERFACES: &str = "etc/network/interfaces";
const OWN_INTERFACES: &str = "\
# Written by wpar: the interfaces of a workload partition are configured from outside. Those of the
# system that was copied are not here, because it still has their addresses.
auto lo
iface lo inet loopback
";

/// Names that configure an interface, in the words of each program.
const NAMES: &[&str] = &[
    "etc/netplan/*",
    "etc/NetworkManager/system-connections/*",
    "etc/systemd/network/*.network",
    "etc/systemd/network/*.netdev",
    "etc/sysconfig/network-scripts/route-*",
    "etc/sysconfig/network-scripts/route6-*",
    "etc/sysconfig/network-scripts/rule-*",
    "etc/sysconfig/network/routes",
    "etc/sysconfig/network/ifroute-*",
    "etc/conf.d/net",
    "etc/dhcpcd.duid",
    "var/lib/dhcpcd/*",
    "var/db/dhcpcd/*",
    "var/lib/dhcp/*.lease*",
    "var/lib/dhclient/*",
    "var/lib/connman/*",
];

/// Directories of such names that stay, empty.
const CONTENTS: &[&str] = &[
    "etc/network/interfaces.d",
    "etc/netctl",
    "etc/wicked/ifconfig",
    "var/lib/wicked",
    "var/lib/NetworkManager",
];

/// `resolver` is a resolv.conf that is true outside of the host, too.
pub(super) fn apply(draft: &mut Draft<'_>, resolver: Option<&[u8]>) -> Result<(), FsError> {
    for pattern in NAMES {
        draft.hide(pattern, REASON)?;
    }
    for directory in CONTENTS {
        draft.hide_contents(directory, REASON)?;
    }
    // That of the loopback interface is true everywhere.
    for pattern in [
        "etc/sysconfig/network-scripts/ifcfg-*",
        "etc/sysconfig/network/ifcfg-*",
    ] {
        for (path, _) in draft.expand(pattern)? {
            if !path.ends_with("/ifcfg-lo") {
                draft.hide(&path, REASON)?;
            }
        }
    }
    if draft
        .text(INTERFACES)?
        .is_some_and(|text| text != OWN_INTERFACES.as_bytes())
    {
        draft.write(INTERFACES, OWN_INTERFACES.into(), REASON)?;
    }
    resolve(draft, resolver)
}

/// A resolver on the source itself answers nobody here.
fn resolve(draft: &mut Draft<'_>, resolver: Option<&[u8]>) -> Result<(), FsError> {
    const FILE: &str = "etc/resolv.conf";
    let Some(resolver) = resolver else {
        return Ok(());
    };
    let is_of_a_boot = draft.link(FILE)?.is_some_and(|target| {
        target
            .trim_start_matches("../")
            .trim_start_matches('/')
            .starts_with("run/")
    });
    let old = draft.text(FILE)?;
    let is_local = old.is_some_and(|text| !has_server_elsewhere(&text) && text != resolver);
    if is_of_a_boot || is_local {
        draft.write(
            FILE,
            resolver.to_vec(),
            "named a resolver on the source itself",
        )?;
    }
    Ok(())
}
