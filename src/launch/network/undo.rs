//! Taking back what was made for a WPAR: only what the ledger names, and only if it is still ours.

use std::fs;
use std::io;

use super::super::error::{Doing, LaunchError};
use super::ledger::{Changed, Entry, Ledger};
use super::netlink::{Netlink, RouteTo};
use super::{LABEL, nowhere, read_setting, translation};

/// Undoes an entry that is not in the ledger any more. Goes on after an error; returns the first.
pub(super) fn undo(netlink: &Netlink, ledger: &Ledger, entry: &Entry) -> Result<(), LaunchError> {
    let mut first = Ok(());
    let mut keep = |result: Result<(), LaunchError>| {
        if first.is_ok() {
            first = result;
        }
    };
    if entry.is_translated {
        keep(translation::unload(&entry.link));
    }
    if let Some(table) = &entry.table {
        for is_v6 in &entry.rules_v6 {
            keep(
                gone(netlink.remove_rule(*is_v6, &entry.link, table.number)).doing("remove a rule"),
            );
            let rest = nowhere(*is_v6, table.number);
            keep(gone(netlink.remove_route(&rest)).doing("remove a route"));
        }
        for route in &table.routes {
            // Without its link it is gone already.
            let Ok(link) = netlink.index(&route.interface) else {
                continue;
            };
            let route = RouteTo {
                destination: route.destination,
                prefix: route.prefix,
                gateway: route.gateway,
                link: Some(link),
                table: Some(table.number),
            };
            keep(gone(netlink.remove_route(&route)).doing("remove a route"));
        }
    }
    for proxy in &entry.proxies {
        if let Ok(link) = netlink.index(&proxy.interface) {
            let removed = gone(netlink.remove_proxy(link, proxy.address));
            keep(removed.doing(format!("stop answering for {}", proxy.address)));
        }
    }
    for alias in &entry.aliases {
        if let Ok(link) = netlink.index(&alias.interface) {
            let removed = gone(netlink.remove_address(link, alias.address));
            let step = format!("take {} from {}", alias.address, alias.interface);
            keep(removed.doing(step));
        }
    }
    keep(remove_link(netlink, &entry.link).doing(format!("remove the link {}", entry.link)));
    for changed in entry.settings.iter().rev() {
        let still_needed = ledger.before(&changed.path).is_some();
        // What another has written since is theirs.
        let is_ours = read_setting(&changed.path).is_ok_and(|now| now == changed.value)
            && !is_everywhere(changed);
        if !still_needed && is_ours {
            let path = format!("/proc/sys/net/{}", changed.path);
            keep(fs::write(&path, &changed.before).doing(format!("restore {path}")));
        }
    }
    first
}

/// Whether the whole host has been set to what was changed at one link, as by `ip_forward=1`.
fn is_everywhere(changed: &Changed) -> bool {
    let parts: Vec<_> = changed.path.split('/').collect();
    match parts.as_slice() {
        [family, "conf", _, key] => {
            read_setting(&format!("{family}/conf/all/{key}")).is_ok_and(|now| now == changed.value)
        }
        _ => false,
    }
}

/// Removes a link if it is one of ours: by its label, or without one because its making was cut short.
fn remove_link(netlink: &Netlink, name: &str) -> io::Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    match netlink.link(name)? {
        Some(link)
            if link
                .alias
                .as_deref()
                .is_none_or(|alias| alias.starts_with(LABEL)) =>
        {
            gone(netlink.remove_link(link.index))
        }
        _ => Ok(()),
    }
}

/// That something is not there is as good as that it was removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ESRCH | libc::ENODEV | libc::EADDRNOTAVAIL)
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}
