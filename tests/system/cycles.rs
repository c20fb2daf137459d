//! Starts and stops, again and again: the host is in the end as it was in the beginning.
//!
//! `WPAR_CYCLES` is the number of them, by default a few.

use std::time::Duration;

use crate::common::fixtures::fixture;
use crate::common::lan::Lan;
use crate::common::skip::{has_nft, need};
use crate::common::world::World;

/// How many starts and stops there are.
fn cycles() -> u32 {
    let asked = std::env::var("WPAR_CYCLES").unwrap_or_else(|_| "6".to_owned());
    asked.parse().expect("WPAR_CYCLES is a number")
}

/// The pause between the start and the stop: none, or up to a third of a second, each time another.
fn pause(cycle: u32) -> Duration {
    Duration::from_millis(u64::from(
        cycle.wrapping_mul(2_654_435_761) % 4 * (cycle % 100),
    ))
}

/// One cycle of `name`, each in another way.
#[track_caller]
fn once(world: &World, name: &str, cycle: u32) {
    world.ok(&format!("startwpar {name}"));
    std::thread::sleep(pause(cycle));
    match cycle % 4 {
        0 => {}
        1 => assert_eq!(world.inside(name, "echo here"), "here"),
        2 => {
            world.ok(&format!("stopwpar -F {name}"));
            return;
        }
        _ => drop(world.ok(&format!("rebootwpar {name}"))),
    }
    // A soft one, often before the init has begun to listen.
    world.ok(&format!("stopwpar {name}"));
}

#[test]
fn many_starts_and_stops_leave_the_host_as_it_was() {
    let lan = need!(Lan::new());
    let world = need!(World::new()).on(&lan);
    let busybox = need!(fixture("busybox"));
    let systemd = need!(fixture("debian12-systemd"));
    let wpar = |image: &std::path::Path, name: &str, options: &str| {
        let make = world.wpar(["mkwpar", "-t", "-n", name, "-B"]).arg(image);
        make.args(options.split_whitespace()).ok();
    };
    let nat = "-N mode=nat publish=8080:80/tcp";
    wpar(&busybox, "small", if has_nft() { nat } else { "" });
    wpar(&systemd, "large", "-N address=192.0.2.10");
    let names = ["small", "large"];
    let see = || (world.summary(), lan.summary());
    // What a first start keeps for later ones is not left behind.
    names.iter().for_each(|name| once(&world, name, 0));
    world.assert_still();
    let before = see();
    for cycle in 1..=cycles() {
        for name in names {
            once(&world, name, cycle);
        }
        wpar(&busybox, "passing", "");
        once(&world, "passing", cycle);
        world.ok("rmwpar passing");
        world.assert_still();
        let now = see();
        assert_eq!(now.0, before.0, "after {cycle} cycles");
        assert_eq!(now.1, before.1, "the network after {cycle} cycles");
    }
    world.remove_all();
}
