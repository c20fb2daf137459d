//! The network of a WPAR, made from outside: by its supervisor, between the birth of its first process
//! and the start of its init.
//!
//! A WPAR with a network has a stack of its own and one wire to the host ([`plan::Plan`]). It sees a
//! link `eth0` with addresses of no subnet, and a default route to a neighbour that is the host; all
//! else is the host's routing. Nothing is asked of it and nothing in it can change what the host does.
//! What is made is written down first ([`ledger`]), so that it goes away whatever happens; nothing is
//! touched that is not written down there.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::bpf::OwnAddresses;
use super::error::{Doing, LaunchError};
use super::note::note;

mod facts;
mod ledger;
mod netlink;
pub mod plan;
pub(super) mod resolver;
mod translation;
mod undo;

pub use facts::{HostInterface, HostNetwork, look};
pub use plan::Plan;
pub use resolver::MARK as RESOLVER_MARK;
pub use translation::program as nft;

use ledger::{Changed, Entry, Ledger};
use netlink::{Netlink, RouteTo};
use undo::undo;

/// The link that a WPAR has.
const INSIDE: &str = "eth0";
/// Hardware address of the host's end of every wire: each wire has two ends only.
const HOST_HARDWARE: [u8; 6] = [0x02, 0x77, 0x70, 0x61, 0x72, 0x01];
/// The neighbour that a WPAR sends everything to. No host has these addresses.
const GATEWAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];
/// Beginning of the label of our links.
const LABEL: &str = "wpar ";

/// Makes the network of the WPAR with this run directory and network namespace. What was made for it
/// before is undone first.
///
/// # Errors
/// The step that failed; nothing of it is left then.
pub(super) fn connect(
    run_dir: &Path,
    plan: &Plan,
    namespace: BorrowedFd<'_>,
) -> Result<(), LaunchError> {
    let netlink = Netlink::open().doing("talk to the kernel about the network")?;
    let mut ledger = Ledger::open()?;
    undo_stale(&netlink, &mut ledger);
    if let Some(old) = ledger.entries.remove(run_dir) {
        undo(&netlink, &ledger, &old)?;
    }
    if let Some((address, owner)) = ledger.taken(run_dir, &plan.addresses) {
        return Err(in_use(address, owner));
    }
    let entry = intended(&ledger, plan)?;
    ledger.entries.insert(run_dir.to_owned(), entry);
    ledger.save()?;
    let made = make(&netlink, plan, namespace);
    if made.is_err()
        && let Some(entry) = ledger.entries.remove(run_dir)
    {
        if let Err(error) = undo(&netlink, &ledger, &entry) {
            note(error);
        }
        ledger.save()?;
    }
    made
}

/// Takes back what was made for WPARs whose run directories are gone.
fn undo_stale(netlink: &Netlink, ledger: &mut Ledger) {
    for stale in ledger.take_stale() {
        if let Err(error) = undo(netlink, ledger, &stale) {
            note(format_args!("what another left behind: {error}"));
        }
    }
}

/// Gives links of the host the addresses of a WPAR that has the host's stack, but for those that the host
/// has anyway.
///
/// # Errors
/// The address that cannot be had; none is added then.
pub(super) fn share(run_dir: &Path, own: &OwnAddresses) -> Result<(), LaunchError> {
    disconnect(run_dir)?;
    let netlink = Netlink::open().doing("talk to the kernel about the network")?;
    let mut ledger = Ledger::open()?;
    undo_stale(&netlink, &mut ledger);
    let addresses: Vec<IpAddr> = own.addresses.iter().map(|(address, _)| *address).collect();
    if let Some((address, owner)) = ledger.taken(run_dir, &addresses) {
        return Err(in_use(address, owner));
    }
    let present = netlink.addresses().doing("list the host's addresses")?;
    let is_missing = |address: &IpAddr| !present.iter().any(|(_, one, _)| one == address);
    let missing = own.addresses.iter().filter(|(one, _)| is_missing(one));
    let entry = Entry {
        addresses,
        aliases: missing
            .map(|(address, interface)| plan::Proxy {
                interface: interface.clone(),
                address: *address,
            })
            .collect(),
        ..Entry::default()
    };
    let aliases = entry.aliases.clone();
    ledger.entries.insert(run_dir.to_owned(), entry);
    ledger.save()?;
    let made = aliases.iter().try_for_each(|alias| {
        let link = netlink.index(&alias.interface);
        link.and_then(|link| netlink.add_address(link, alias.address))
            .doing(format!("give {} to {}", alias.address, alias.interface))
    });
    if made.is_err()
        && let Some(entry) = ledger.entries.remove(run_dir)
    {
        if let Err(error) = undo(&netlink, &ledger, &entry) {
            note(error);
        }
        ledger.save()?;
    }
    made
}

fn in_use(address: IpAddr, owner: &Path) -> LaunchError {
    LaunchError::other(format!(
        "{address} is in use by the workload partition of {}; choose another address",
        owner.display()
    ))
}

/// Undoes all that was made for the WPAR with this run directory; tells whether there was anything.
///
/// # Errors
/// The first thing that stays. It can be called again then.
pub(super) fn disconnect(run_dir: &Path) -> Result<bool, LaunchError> {
    if !Ledger::may_exist() {
        return Ok(false);
    }
    let mut ledger = Ledger::open()?;
    let Some(entry) = ledger.entries.remove(run_dir) else {
        return Ok(false);
    };
    let netlink = Netlink::open().doing("talk to the kernel about the network")?;
    undo(&netlink, &ledger, &entry)?;
    ledger.save().map(|()| true)
}

/// What will have to be undone.
fn intended(ledger: &Ledger, plan: &Plan) -> Result<Entry, LaunchError> {
    let mut settings = Vec::new();
    for setting in &plan.settings {
        let now = match read_setting(&setting.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && setting.optional => continue,
            now => now.doing(format!("read /proc/sys/net/{}", setting.path))?,
        };
        // Another of us may have changed it: then its end must not take it from this one.
        let before = ledger.before(&setting.path).unwrap_or(&now).to_owned();
        let concerned = match &setting.instead_of {
            Some(only) => *only == before,
            None => before != setting.value,
        };
        if concerned {
            settings.push(Changed {
                path: setting.path.clone(),
                before,
                value: setting.value.clone(),
            });
        }
    }
    let families = [false, true];
    let has = |is_v6: &bool| plan.addresses.iter().any(|a| a.is_ipv6() == *is_v6);
    Ok(Entry {
        link: plan.link.clone(),
        addresses: plan.addresses.clone(),
        proxies: plan.proxies.clone(),
        aliases: Vec::new(),
        settings,
        table: plan.table.clone(),
        rules_v6: match plan.table {
            Some(_) => families.into_iter().filter(has).collect(),
            None => Vec::new(),
        },
        is_translated: plan.translation.is_some(),
    })
}

fn make(netlink: &Netlink, plan: &Plan, namespace: BorrowedFd<'_>) -> Result<(), LaunchError> {
    let link = plan.link.as_str();
    netlink
        .make_pair((link, HOST_HARDWARE), (INSIDE, plan.hardware), namespace)
        .doing(format!("make the link {link}"))?;
    for setting in plan.link_settings.iter().chain(&plan.settings) {
        write_setting(setting)?;
    }
    let index = netlink.index(link).doing(format!("find the link {link}"))?;
    netlink
        .bring_up(index, Some(&plan.label))
        .doing(format!("bring up the link {link}"))?;
    inside(namespace, || configure(plan)).doing("configure the network inside")?;
    for address in &plan.addresses {
        netlink
            .add_neighbour(index, *address, plan.hardware)
            .and_then(|()| netlink.add_new_route(&own_route(*address, index)))
            .doing(format!("make the route to {address}"))?;
    }
    for proxy in &plan.proxies {
        let at = netlink.index(&proxy.interface);
        at.and_then(|at| netlink.add_proxy(at, proxy.address))
            .doing(format!(
                "answer for {} at {}",
                proxy.address, proxy.interface
            ))?;
    }
    make_table(netlink, plan).doing("make the routes of its own")?;
    translation::load(plan)
}

fn own_route(address: IpAddr, link: u32) -> RouteTo {
    RouteTo {
        destination: address,
        prefix: crate::model::network::subnet::bits(address),
        gateway: None,
        link: Some(link),
        table: None,
    }
}

fn make_table(netlink: &Netlink, plan: &Plan) -> io::Result<()> {
    let Some(table) = &plan.table else {
        return Ok(());
    };
    for is_v6 in [false, true] {
        if !plan.addresses.iter().any(|a| a.is_ipv6() == is_v6) {
            continue;
        }
        for route in table
            .routes
            .iter()
            .filter(|r| r.destination.is_ipv6() == is_v6)
        {
            netlink.add_route(&RouteTo {
                destination: route.destination,
                prefix: route.prefix,
                gateway: route.gateway,
                link: Some(netlink.index(&route.interface)?),
                table: Some(table.number),
            })?;
        }
        let has_default =
            |route: &plan::TableRoute| route.prefix == 0 && route.destination.is_ipv6() == is_v6;
        if !table.routes.iter().any(has_default) {
            netlink.add_route(&nowhere(is_v6, table.number))?;
        }
        netlink.add_rule(is_v6, &plan.link, table.number)?;
    }
    Ok(())
}

/// What no other route of a table leads to.
fn nowhere(is_v6: bool, table: u32) -> RouteTo {
    RouteTo {
        destination: match is_v6 {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        },
        prefix: 0,
        gateway: None,
        link: None,
        table: Some(table),
    }
}

/// Gives the WPAR's link its addresses; in the WPAR's network namespace.
fn configure(plan: &Plan) -> io::Result<()> {
    let netlink = Netlink::open()?;
    let link = netlink.index(INSIDE)?;
    netlink.bring_up(link, None)?;
    for address in &plan.addresses {
        netlink.add_address(link, *address)?;
    }
    for gateway in GATEWAYS {
        if !plan
            .addresses
            .iter()
            .any(|a| a.is_ipv6() == gateway.is_ipv6())
        {
            continue;
        }
        netlink.add_neighbour(link, gateway, HOST_HARDWARE)?;
        netlink.add_route(&RouteTo {
            destination: match gateway {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            },
            prefix: 0,
            gateway: Some(gateway),
            link: Some(link),
            table: None,
        })?;
    }
    Ok(())
}

/// Does something in another network namespace and comes back.
fn inside<T>(namespace: BorrowedFd<'_>, what: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let own = open(
        "/proc/self/ns/net",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    let result = what();
    if let Err(error) = move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)) {
        // Whatever this process did next would be done to the WPAR's network instead of the host's.
        note(format_args!(
            "cannot come back from a WPAR's network: {error}"
        ));
        crate::sys::process::exit_now(70);
    }
    result
}

fn read_setting(path: &str) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/sys/net/{path}"))?;
    Ok(text.trim().to_owned())
}

fn write_setting(setting: &plan::Setting) -> Result<(), LaunchError> {
    let path = format!("/proc/sys/net/{}", setting.path);
    let write = || match read_setting(&setting.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && setting.optional => Ok(()),
        Err(error) => Err(error),
        Ok(now) if now == setting.value => Ok(()),
        Ok(now) if setting.instead_of.as_ref().is_some_and(|only| *only != now) => Ok(()),
        Ok(_) => fs::write(&path, &setting.value),
    };
    write().doing(format!("write {} to {path}", setting.value))
}
