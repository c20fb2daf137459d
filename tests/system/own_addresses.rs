//! `-N mode=shared address=`: the host's network stack, and of it only what is the WPAR's.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::common::fixtures::fixture;
use crate::common::lan::Lan;
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::world::World;

const PATIENCE: Duration = Duration::from_secs(60);
const OWN: &str = "192.0.2.20";
const HOST: &str = "192.0.2.2";

/// Does something on the host of the network, on a thread of its own.
fn on_host<T: Send + 'static>(
    lan: &Lan,
    what: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let namespace = std::fs::File::open(format!("/proc/{}/ns/net", lan.host())).unwrap();
    std::thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        what()
    })
}

/// A listener on the host that says whom it was connected from, once.
fn listen(lan: &Lan, address: &'static str) -> (u16, JoinHandle<IpAddr>) {
    let listener = on_host(lan, move || TcpListener::bind((address, 0)).unwrap());
    let listener = listener.join().unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = std::thread::spawn(move || listener.accept().unwrap().1.ip());
    (port, peer)
}

/// What somebody at this address of the host says first; nothing if nobody is there.
fn said(lan: &Lan, address: &str, port: u16) -> String {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    let asked = on_host(lan, move || {
        let mut text = String::new();
        let patience = Duration::from_secs(10);
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, patience) {
            stream.set_read_timeout(Some(patience)).unwrap();
            let _ = stream.read_to_string(&mut text);
        }
        text
    });
    asked.join().unwrap()
}

/// Whether anybody listens at this address of the host.
fn is_there(lan: &Lan, address: &str, port: u16) -> bool {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    let asked = on_host(lan, move || TcpStream::connect_timeout(&address, PATIENCE));
    asked.join().unwrap().is_ok()
}

#[track_caller]
fn start(world: &World, name: &str, network: &str) {
    let image = fixture("busybox").expect("an image that was there before");
    let made = world
        .wpar(["mkwpar", "-t", "-n", name, "-s", "-B"])
        .arg(image)
        .args(["-N", "mode=shared"])
        .args(network.split_whitespace())
        .ok();
    assert!(!made.complaint().contains("warning"), "{made}");
}

/// Whether a program inside can connect.
fn connects(world: &World, name: &str, address: &str, port: u16) -> bool {
    let line = format!("nc -w 10 {address} {port} </dev/null");
    world
        .wpar(["clogin", name, "/bin/sh", "-c", &line])
        .output()
        .code()
        == 0
}

#[test]
fn a_wpar_on_the_hosts_stack_has_only_its_own_address() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    start(&world, "one", &format!("address={OWN}"));
    let shown = world.inside("one", "ip addr show dev lan0");
    assert!(
        shown.contains(OWN) && shown.contains("192.0.2.2/24"),
        "{shown}"
    );

    // Everywhere is its address, ports below 1024 included.
    world.inside("one", "nc -ll -p 80 -e echo everywhere >/dev/null 2>&1 &");
    eventually("it listens", PATIENCE, || {
        said(&lan, OWN, 80) == "everywhere\n"
    });
    for other in [HOST, "127.0.0.1"] {
        assert_eq!(said(&lan, other, 80), "", "{other}");
    }
    // The host's own program has the same port beside it.
    let own = on_host(&lan, || TcpListener::bind((HOST, 80)))
        .join()
        .unwrap();
    assert!(own.is_ok(), "{own:?}");
    let refused = world
        .wpar(["clogin", "one", "httpd", "-f", "-p", "192.0.2.2:8081"])
        .output();
    assert_ne!(refused.code(), 0, "{refused}");
    let says = "assign requested address";
    assert!(refused.to_string().contains(says), "{refused}");

    // Whom it connects to sees that address.
    let (port, peer) = listen(&lan, HOST);
    assert!(connects(&world, "one", HOST, port));
    assert_eq!(peer.join().unwrap().to_string(), OWN);
    let listed = world.ok("lswpar -cqN one");
    assert_eq!(listed.text(), format!("one:lan0:{OWN}:255.255.255.0:"));
    world.ok("stopwpar -F one");
    assert_eq!(lan.summary(), before);
    // And again, after a restart from inside as well.
    world.ok("startwpar one");
    world.ok("rebootwpar -h one");
    let (port, peer) = listen(&lan, HOST);
    assert!(connects(&world, "one", HOST, port));
    assert_eq!(peer.join().unwrap().to_string(), OWN);
    world.remove_all();
    assert_eq!(lan.summary(), before);
}

#[test]
fn the_loopback_address_of_a_shared_stack_is_the_wpars_own() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    start(&world, "one", &format!("address={OWN}"));
    start(&world, "two", "address=192.0.2.21");
    let (port, _of_the_host) = listen(&lan, "127.0.0.1");
    assert!(
        !connects(&world, "one", "127.0.0.1", port),
        "a service of the host"
    );
    world.inside(
        "one",
        "mkdir /www && echo mine >/www/index.html && httpd -p 127.0.0.1:5432 -h /www",
    );
    let ask = |name: &str, address: &str| {
        let line = format!(
            "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 10 {address} 5432 2>/dev/null | tail -n 1"
        );
        world.inside(name, &line)
    };
    eventually("it listens", PATIENCE, || ask("one", "127.0.0.1") == "mine");
    for same in ["0.0.0.0", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(ask("one", same), "mine", "{same}");
    }
    assert_eq!(ask("two", "127.0.0.1"), "", "another WPAR's");
    assert_eq!(ask("one", OWN), "", "not from outside");
    for address in [HOST, OWN, "127.0.0.1"] {
        assert!(!is_there(&lan, address, 5432), "{address}");
    }
    world.remove_all();
}

#[test]
fn a_shared_address_that_the_host_has_stays_with_it() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    lan.on_host("ip address add 192.0.2.22/32 dev lan0").ok();
    let before = lan.summary();
    start(&world, "one", "address=192.0.2.22");
    let (port, peer) = listen(&lan, HOST);
    assert!(connects(&world, "one", HOST, port));
    assert_eq!(peer.join().unwrap().to_string(), "192.0.2.22");
    // One address, one WPAR.
    let image = need!(fixture("busybox"));
    let line = format!(
        "mkwpar -t -n two -N mode=shared address=192.0.2.22 -B {}",
        image.display()
    );
    world.refused(&line, &["192.0.2.22", "workload partition one"]);
    world.remove_all();
    assert_eq!(lan.summary(), before, "it was the host's before");
}

#[test]
fn addresses_of_a_killed_supervisor_do_not_stay() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    need!(fixture("busybox"));
    let before = lan.summary();
    start(
        &world,
        "one",
        &format!("address={OWN} -N address6=2001:db8::20"),
    );
    let shown = world.inside("one", "ip -6 addr show dev lan0");
    assert!(shown.contains("2001:db8::20"), "{shown}");
    let (port, peer) = listen(&lan, "2001:db8::2");
    assert!(connects(&world, "one", "2001:db8::2", port));
    assert_eq!(peer.join().unwrap().to_string(), "2001:db8::20");
    for keeper in world.keepers() {
        let pid = Pid::from_raw(keeper.pid).expect("a process id");
        let _ = kill_process(pid, Signal::KILL);
    }
    eventually("it is broken", PATIENCE, || {
        matches!(world.state("one").as_deref(), Some("T" | "B"))
    });
    world.ok("stopwpar -F one");
    assert_eq!(lan.summary(), before);
    world.remove_all();
}
