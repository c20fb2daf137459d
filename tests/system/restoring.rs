//! `restwpar`: which settings of a saved WPAR come back, and which only if the host lets them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::fixtures::fixture;
use crate::common::skip::need;
use crate::common::world::World;

fn listed(world: &World, name: &str) -> serde_json::Value {
    let text = world.ok(&format!("lswpar --json {name}"));
    let list: serde_json::Value = serde_json::from_slice(&text.stdout).expect("JSON");
    list[0].clone()
}

#[test]
fn privileges_devices_and_script_of_a_saved_wpar_come_back() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let lists = world.root().join("etc/wpars");
    fs::create_dir_all(&lists).expect("a directory");
    let list = |devices: &[&str]| {
        let stanza = |device: &&str| format!("name:\n\tvalue = \"{device}\"\n\tauto = \"no\"\n");
        let text: String = devices.iter().map(stanza).collect();
        fs::write(lists.join("devexports"), text).expect("a list");
    };
    list(&["/dev/fuse", "/dev/hwrng", "/dev/net/tun"]);
    let script = world.scratch().join("announce");
    fs::write(&script, "#!/bin/sh\n").expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
    let script = script.display().to_string();
    let words = [
        "mkwpar",
        "-t",
        "-n",
        "one",
        "-D",
        "devname=/dev/fuse",
        "-u",
        &script,
    ];
    let settings = ["-S", "privs-=PV_NET_PORT", "-B"];
    world.wpar(words.iter().chain(&settings)).arg(&image).ok();
    let before = listed(&world, "one");
    assert_eq!(before["script"], script.as_str());
    assert_eq!(before["devices"], serde_json::json!(["/dev/fuse"]));
    let saved = world.scratch().join("one.savewpar").display().to_string();
    world.ok(&format!("savewpar -f {saved} one"));
    world.ok("rmwpar one");

    // The backup alone makes nothing run on the host.
    let restored = world.ok(&format!("restwpar -C -f {saved}"));
    let said = restored.complaint();
    assert!(
        said.contains("chwpar -u") && said.contains(&script),
        "{restored}"
    );
    let after = listed(&world, "one");
    assert_eq!(after["script"], serde_json::Value::Null);
    for key in ["privileges", "devices"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    let privileges = after["privileges"].as_array().expect("a list");
    assert!(!privileges.contains(&"PV_NET_PORT".into()), "{after}");
    world.ok("rmwpar one");

    world.ok(&format!("restwpar -C --script -f {saved}"));
    assert_eq!(listed(&world, "one")["script"], script.as_str());
    world.ok("rmwpar one");

    // What is not exported here is not given; the rest is made.
    list(&["/dev/net/tun"]);
    let restored = world.ok(&format!("restwpar -C -f {saved}"));
    assert!(
        restored.complaint().contains("does not get /dev/fuse"),
        "{restored}"
    );
    assert_eq!(listed(&world, "one")["devices"], serde_json::json!([]));
    fs::remove_dir_all(world.root().join("etc")).expect("removing the lists");
    world.remove_all();
}

#[test]
fn several_are_started_and_stopped_and_one_that_fails_holds_up_no_other() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    for name in ["one", "two"] {
        world.mkwpar(&image, name);
    }
    world.ok("startwpar one two");
    let states = || ["one", "two"].map(|name| world.state(name).expect("a state"));
    assert_eq!(states(), ["A", "A"]);
    world.ok("stopwpar -F one");
    let output = world.wpar(["startwpar", "two", "none", "one"]).output();
    let output = output.ended_with(1);
    let said = output.complaint();
    assert!(
        said.contains("two is active") && said.contains("none"),
        "{output}"
    );
    assert_eq!(states(), ["A", "A"]);
    world.refused("startwpar one a/b", &["a/b"]);
    world.ok("stopwpar -F one two");
    assert_eq!(states(), ["D", "D"]);
    world.refused("stopwpar", &["missing", "NAME"]);
    world.remove_all();
}
