//! Ways around the address that a WPAR on the host's network stack is held to.

use crate::cell::{Cell, NAME, Outcome};
use crate::common::lan::Lan;
use crate::common::skip::need;

const OWN: &str = "192.0.2.20";
const HOST: &str = "192.0.2.2";

#[test]
fn no_way_leads_around_the_address_of_a_shared_stack() {
    let lan = need!(Lan::new());
    let mut cell = need!(Cell::without_wpar());
    cell.world = cell.world.on(&lan);
    let tree = need!(cell.tree("tree"));
    cell.world
        .wpar(["mkwpar", "-t", "-C", "-n", NAME, "-N", "mode=shared"])
        .arg(format!("address={OWN}"))
        .arg("-B")
        .arg(&tree)
        .ok();
    cell.world.ok(&format!("startwpar {NAME}"));
    for (probe, own, foreign) in [
        ("foreign-bind", None, HOST),
        ("foreign-source", Some(OWN), HOST),
        ("foreign-source", Some("127.0.0.1"), HOST),
        ("unbound-listener", None, HOST),
        ("other-protocol", None, ""),
    ] {
        let mut words = vec![probe];
        words.extend(own);
        words.push(foreign);
        let (outcome, said) = cell.inside(&words);
        assert_ne!(outcome, Outcome::Escaped, "{words:?}: {said}");
    }
    // What it may, it can.
    let (outcome, said) = cell.inside(&["foreign-bind", OWN]);
    assert_eq!(outcome, Outcome::Escaped, "its own address: {said}");
    let (outcome, said) = cell.inside(&["bind", "80"]);
    assert_eq!(outcome, Outcome::Escaped, "a low port: {said}");
    cell.end();
}

#[test]
fn each_way_around_an_address_leads_somewhere_without_protection() {
    let cell = need!(Cell::without_wpar());
    for words in [
        &["foreign-bind", "127.0.0.9"][..],
        &["foreign-source", "127.0.0.1", "127.0.0.9"],
        &["unbound-listener", "127.0.0.9"],
    ] {
        let (outcome, said) = cell.weakened(words);
        assert_eq!(outcome, Outcome::Escaped, "{words:?}: {said}");
    }
    // Where the kernel has such a protocol at all.
    let (outcome, said) = cell.weakened(&["other-protocol", ""]);
    assert_ne!(outcome, Outcome::NothingThere, "{said}");
}

/// A privilege that is taken away is not given back by the programs at sockets.
#[test]
fn low_ports_of_a_shared_stack_need_the_privilege() {
    let lan = need!(Lan::new());
    let mut cell = need!(Cell::without_wpar());
    cell.world = cell.world.on(&lan);
    let tree = need!(cell.tree("tree"));
    cell.world
        .wpar(["mkwpar", "-t", "-C", "-n", NAME, "-S", "privs-=PV_NET_PORT"])
        .args(["-N", "mode=shared"])
        .arg(format!("address={OWN}"))
        .arg("-B")
        .arg(&tree)
        .ok();
    cell.world.ok(&format!("startwpar {NAME}"));
    let (outcome, said) = cell.inside(&["bind", "80"]);
    assert_eq!(outcome, Outcome::Held, "{said}");
    let (outcome, said) = cell.inside(&["bind", "8080"]);
    assert_eq!(outcome, Outcome::Escaped, "{said}");
    cell.end();
}
