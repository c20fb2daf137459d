//! `-N`, `-I`, `-i`: a WPAR is reached as it is said, and leaves nothing behind on the host.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::Run;
use crate::common::fixtures::fixture;
use crate::common::lan::{BEYOND, Lan, PEER, PEER_V6};
use crate::common::run::eventually;
use crate::common::skip::{need, nft};
use crate::common::world::World;

const PATIENCE: Duration = Duration::from_secs(60);

/// A busybox WPAR that runs, with these options.
#[track_caller]
fn start(world: &World, name: &str, options: &str) {
    let image = fixture("busybox").expect("an image that was there before");
    world
        .wpar(["mkwpar", "-t", "-n", name, "-s", "-B"])
        .arg(image)
        .args(options.split_whitespace())
        .ok();
}

/// Whether a WPAR gets an answer from an address.
fn reaches(world: &World, name: &str, address: &str) -> bool {
    let line = format!("ping -c 1 -W 3 {address}");
    let asked = world.wpar(["clogin", name, "/bin/sh", "-c", &line]);
    asked.output().code() == 0
}

/// What a program at a port of the host's address answers to `run`, a shell that waits for its script.
fn fetch(run: Run, port: u16) -> String {
    let script = format!(
        "exec 3<>/dev/tcp/192.0.2.2/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    );
    let output = run.arg(script).output();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it answers to the peer.
fn fetched(lan: &Lan, port: u16) -> String {
    fetch(lan.on_peer("timeout 10 bash -c"), port)
}

#[track_caller]
fn reached(what: &str, mut reaches: impl FnMut() -> bool) {
    eventually(what, PATIENCE, &mut reaches);
}

#[test]
fn an_alias_is_one_more_machine_on_the_network() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    start(
        &world,
        "web1",
        "-N address=192.0.2.10 -N address6=2001:db8::10",
    );
    reached("the peer reaches the WPAR", || {
        lan.peer_reaches("192.0.2.10")
    });
    reached("by IPv6, too", || lan.peer_reaches("2001:db8::10"));
    for address in [PEER, PEER_V6, BEYOND, "192.0.2.2"] {
        reached(address, || reaches(&world, "web1", address));
    }
    // Its address is its own, without a subnet; that of the host does not show.
    let shown = world.inside("web1", "ip -4 addr show dev eth0");
    assert!(shown.contains("192.0.2.10/32"), "{shown}");
    let seen = lan.on_peer("ip neigh show 192.0.2.10").ok();
    let host = lan.on_host("cat /sys/class/net/lan0/address").output();
    assert!(seen.text().contains("lladdr"), "{seen}{host}");
    let listed = world.ok("lswpar -cN web1");
    assert_eq!(
        listed.text(),
        "#name:interface:address:mask_prefix:broadcast\n\
         web1:lan0:192.0.2.10:255.255.255.0:\n\
         web1:lan0:2001:db8::10:64:"
    );
    assert_ne!(lan.summary(), before);
    world.ok("stopwpar -F web1");
    assert_eq!(lan.summary(), before);
    // And again: what is on record is made anew.
    world.ok("startwpar web1");
    reached("the peer reaches it again", || {
        lan.peer_reaches("192.0.2.10")
    });
    world.remove_all();
    assert_eq!(lan.summary(), before);
}

#[test]
fn two_reach_each_other_and_one_without_a_network_nobody() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    start(&world, "one", "-N address=192.0.2.11");
    start(&world, "two", "-N address=192.0.2.12");
    start(&world, "three", "");
    reached("two", || reaches(&world, "one", "192.0.2.12"));
    reached("one", || reaches(&world, "two", "192.0.2.11"));
    assert!(!reaches(&world, "three", "192.0.2.11"));
    assert!(!reaches(&world, "three", PEER));
    // The end of one does not take from the other what both need.
    world.ok("rmwpar -F one");
    reached("the peer", || reaches(&world, "two", PEER));
    reached("from the peer", || lan.peer_reaches("192.0.2.12"));
    world.remove_all();
    assert_eq!(lan.summary(), before);
}

#[test]
fn behind_the_host_a_published_port_leads_to_it() {
    need!(nft());
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    start(&world, "web1", "-N mode=nat publish=8080:80/tcp");
    // The peer has no route to private addresses: it answers the host.
    reached("the peer", || reaches(&world, "web1", PEER));
    reached("beyond", || reaches(&world, "web1", BEYOND));
    reached("by IPv6", || reaches(&world, "web1", PEER_V6));
    world.inside(
        "web1",
        "mkdir /www && echo published >/www/index.html && httpd -p 80 -h /www",
    );
    reached("by its port, from the peer", || {
        fetched(&lan, 8080).contains("published")
    });
    let from_host = fetch(lan.on_host("timeout 10 bash -c"), 8080);
    assert!(from_host.contains("published"), "{from_host}");
    world.refused(
        &format!(
            "mkwpar -t -B {} -n web2 -N mode=nat publish=8080:8080/tcp",
            fixture("busybox").unwrap().display()
        ),
        &["port 8080/tcp of this host leads to the workload partition web1"],
    );
    // Another one, with another port: the addresses differ.
    start(&world, "web2", "-N mode=nat publish=8081:80/tcp");
    let address = |name: &str| {
        let listed = world.ok(&format!("lswpar -q -N -a address {name}"));
        listed.text().trim().lines().next().unwrap().to_owned()
    };
    assert_ne!(address("web1"), address("web2"));
    world.ok("chwpar -K -N publish=8080:80/tcp web1");
    eventually("the port is closed", PATIENCE, || {
        !fetched(&lan, 8080).contains("published")
    });
    world.remove_all();
    assert_eq!(lan.summary(), before);
}

#[test]
fn changes_hold_at_once() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    start(&world, "web1", "");
    world.ok("chwpar -N address=192.0.2.13 web1");
    reached("the peer reaches it", || lan.peer_reaches("192.0.2.13"));
    world.ok("chwpar -N address=192.0.2.14 web1");
    world.ok("chwpar -K -N address=192.0.2.13 web1");
    reached("by its new address", || lan.peer_reaches("192.0.2.14"));
    assert!(!lan.peer_reaches("192.0.2.13"));
    // After a restart, too.
    world.ok("rebootwpar -h web1");
    reached("after a restart", || lan.peer_reaches("192.0.2.14"));
    // A change that cannot be is none.
    world.refused("chwpar -N address=192.0.2.2 web1", &["of this host"]);
    world.refused("chwpar -N mode=none web1", &["goes without addresses"]);
    assert!(lan.peer_reaches("192.0.2.14"));
    world.ok("chwpar -K -N address=192.0.2.14 web1");
    assert_eq!(lan.summary(), before);
    world.refused(
        "chwpar -N mode=shared web1",
        &["cannot leave the host's network or enter"],
    );
    world.remove_all();
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    let translated = nft().is_ok();
    start(
        &world,
        "victim",
        "-N address=192.0.2.15 -I rtdest=default rtgateway=192.0.2.9",
    );
    if translated {
        start(&world, "other", "-N mode=nat publish=8080:80");
    }
    for keeper in world.keepers() {
        let pid = Pid::from_raw(keeper.pid).expect("a process id");
        let _ = kill_process(pid, Signal::KILL);
    }
    eventually("the victim is broken", PATIENCE, || {
        matches!(world.state("victim").as_deref(), Some("T" | "B"))
    });
    world.ok("stopwpar -F victim");
    if translated {
        world.ok("rmwpar -F other");
    }
    assert_eq!(lan.summary(), before);
    world.ok("startwpar victim");
    reached("the peer", || lan.peer_reaches("192.0.2.15"));
    world.remove_all();
    assert_eq!(lan.summary(), before);
}

#[test]
fn routes_of_its_own_are_not_those_of_the_host() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    start(&world, "web1", "-i -N address=192.0.2.16");
    reached("its subnet", || reaches(&world, "web1", PEER));
    assert!(
        !reaches(&world, "web1", BEYOND),
        "by the host's default route"
    );
    world.ok("chwpar -I rtdest=198.51.100.0/24 rtgateway=192.0.2.9 web1");
    reached("beyond", || reaches(&world, "web1", BEYOND));
    let listed = world.ok("lswpar -cqI web1");
    assert_eq!(listed.text(), "web1:net:198.51.100.0/24:192.0.2.9:lan0");
    let long = world.ok("lswpar -L web1");
    assert!(long.text().contains("USER-SPECIFIED ROUTES"), "{long}");
    world.ok("chwpar -K -I rtdest=198.51.100.0/24 web1");
    assert!(!reaches(&world, "web1", BEYOND));
    world.ok("chwpar -K -i web1");
    reached("as the host does", || reaches(&world, "web1", BEYOND));
    world.remove_all();
    assert_eq!(lan.summary(), before);
}

#[test]
fn a_whole_system_is_connected_and_knows_whom_to_ask_for_names() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    let image = need!(fixture("debian12-systemd"));
    world
        .wpar([
            "mkwpar",
            "-t",
            "-n",
            "deb1",
            "-s",
            "-N",
            "address=192.0.2.17",
            "-B",
        ])
        .arg(&image)
        .ok();
    assert_eq!(world.wait_for_systemd("deb1"), "running");
    reached("the peer", || lan.peer_reaches("192.0.2.17"));
    reached("to the peer", || reaches(&world, "deb1", PEER));
    let hosts = world.inside("deb1", "getent hosts deb1");
    assert!(hosts.contains("deb1"), "{hosts}");
    if let Some(upstream) = wpar::source::resolver::upstream() {
        let expected = wpar::source::resolver::portable(&upstream);
        let server = expected
            .lines()
            .find(|line| line.starts_with("nameserver"))
            .unwrap_or_default();
        let file = world.inside("deb1", "cat /etc/resolv.conf");
        assert!(file.contains(server), "{file}");
    }
    // What its administrator writes stays.
    world.inside("deb1", "echo nameserver 198.51.100.53 >/etc/resolv.conf");
    world.ok("rebootwpar deb1");
    let file = world.inside("deb1", "cat /etc/resolv.conf");
    assert_eq!(file, "nameserver 198.51.100.53");
    world.remove_all();
}

#[test]
fn the_hosts_network_can_be_used_but_not_changed() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    start(&world, "web1", "-N mode=shared");
    let shown = world.inside("web1", "ip addr show dev lan0; ls /sys/class/net");
    assert!(shown.contains("192.0.2.2/24"), "{shown}");
    world.inside(
        "web1",
        "mkdir /www && echo shared >/www/index.html && httpd -p 8080 -h /www",
    );
    reached("by the host's address", || {
        fetched(&lan, 8080).contains("shared")
    });
    let script = "ip addr del 192.0.2.2/24 dev lan0 || ip link set lan0 down || echo refused";
    assert_eq!(world.inside("web1", script), "refused");
    world.ok("stopwpar -F web1");
    world.ok("startwpar web1");
    world.remove_all();
    assert_eq!(lan.summary(), before);
}

#[test]
fn the_hosts_files_about_names_are_copied_if_asked_for() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world
        .wpar(["mkwpar", "-t", "-r", "-n", "web1", "-s", "-B"])
        .arg(&image)
        .ok();
    let host = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let own = world.inside("web1", "cat /etc/hosts");
    assert!(own.starts_with(host.trim_end()), "{own}");
    assert!(own.contains("127.0.1.1 web1"), "{own}");
    world.remove_all();
}

#[test]
fn a_command_can_be_run_with_a_network() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    let image = need!(fixture("busybox"));
    let before = lan.summary();
    let run = world
        .wpar(["wparexec", "-t", "-N", "address=192.0.2.18", "-B"])
        .arg(&image)
        .args(["--", "ping", "-c", "3", "-W", "5", PEER]);
    run.ok();
    assert_eq!(lan.summary(), before);
    world.assert_empty();
}

#[test]
fn a_specification_file_says_it_all() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    let image = need!(fixture("busybox"));
    let file = world.scratch().join("web.spec");
    let options = "-n web1 -N interface=lan0 address=192.0.2.19 netmask=255.255.255.0 \
         -I rtdest=default rtgateway=192.0.2.9 -R totalProcesses=100 memory=0%-50%,60% -w";
    world
        .wpar(["mkwpar", "-t", "-B"])
        .arg(&image)
        .args(options.split_whitespace())
        .arg("-o")
        .arg(&file)
        .ok();
    world.assert_empty();
    world.wpar(["mkwpar", "-s", "-f"]).arg(&file).ok();
    reached("the peer", || lan.peer_reaches("192.0.2.19"));
    let listed = world.ok("lswpar -cq -R -a memory,totalProcesses web1");
    assert_eq!(listed.text(), "0%-50%,60%:100");
    // As a template it gives its controls, not its address.
    world
        .wpar(["mkwpar", "-e", "web1", "-n", "web2", "-C"])
        .ok();
    assert_eq!(
        world.ok("lswpar -cqN web2").text(),
        "web2:lo:127.0.0.1:255.0.0.0:"
    );
    world.remove_all();
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    let image = need!(fixture("busybox"));
    start(&world, "holder", "-N address=192.0.2.20");
    let summary = lan.summary();
    for (options, says) in [
        (
            "-N address=192.0.2.2",
            "192.0.2.2 is an address of this host, at lan0",
        ),
        ("-N address=192.0.2.20", "of the workload partition holder"),
        (
            "-N address=203.0.113.1",
            "no interface of this host is in the subnet",
        ),
        ("-N address=203.0.113.1 interface=lan7", "no interface lan7"),
        ("-N address=192.0.2.256", "IPv4 address"),
        ("-N address=192.0.2.21 netmask=255.0.255.0", "netmask"),
        ("-N address=192.0.2.21 publish=80:80", "mode=nat"),
        ("-N mode=alias", "needs an address"),
        ("-N bridge=br0", "no attribute 'bridge'"),
        ("-I rtdest=default", "rtgateway"),
        ("-I rtdest=default rtgateway=192.0.2.9", "mode=alias"),
    ] {
        let line = format!("mkwpar -t -B {} -n second {options}", image.display());
        world.refused(&line, &[says]);
    }
    assert_eq!(lan.summary(), summary);
    // With -a what clashes is left out, and said.
    let made = world
        .wpar(["mkwpar", "-t", "-n", "second", "-a", "-B"])
        .arg(&image)
        .args(["-N", "address=192.0.2.20", "-N", "address=192.0.2.22"])
        .ok();
    assert!(made.complaint().contains("left out: 192.0.2.20"), "{made}");
    let listed = world.ok("lswpar -cq -N -a address second");
    assert_eq!(listed.text(), "192.0.2.22");
    // And an address that the host has got since.
    lan.on_host("ip address add 192.0.2.22/24 dev lan0").ok();
    world.refused(
        "startwpar second",
        &["192.0.2.22 is an address of this host"],
    );
    let started = world.ok("startwpar -a second");
    assert!(
        started.complaint().contains("left out: 192.0.2.22"),
        "{started}"
    );
    assert_eq!(world.inside("second", "ls /sys/class/net"), "lo");
    world.remove_all();
}
