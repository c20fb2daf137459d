//! What `wpar explain` says of paths in a WPAR.

use serde_json::Value;

use crate::common::fixtures::fixture;
use crate::common::skip::need;
use crate::common::world::World;

/// What is said about one path, as JSON.
fn explain(world: &World, words: &[&str]) -> Value {
    let output = world
        .wpar(["explain", "--json"])
        .args(words.iter().copied())
        .ok();
    let mut all: Value = serde_json::from_str(output.text()).expect("JSON");
    all[0].take()
}

#[test]
fn every_layer_is_named() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    let shown = image.display().to_string();
    let line = format!("mkwpar -t -B {shown} -n one -T exclude=/usr/share/doc");
    world.ok(&line);
    for running in [false, true] {
        let of = |path: &str| explain(&world, &["one", path]);
        let cat = of("/bin/cat");
        assert_eq!(cat["real"], "/usr/bin/cat");
        assert_eq!(cat["layer"], "source");
        assert_eq!(cat["source"]["of"], shown.as_str());
        assert_eq!(cat["filesets"][0]["name"], "coreutils");
        let doc = of("/usr/share/doc/bash/copyright");
        assert_eq!(
            (&doc["layer"], &doc["visible"]),
            (&"hidden".into(), &false.into())
        );
        assert_eq!(doc["decided"], "creation");
        assert_eq!(doc["reason"], "left out by the administrator");
        assert_eq!(of("/no/such")["layer"], "absent");
        // mkwpar gave it its name.
        assert_eq!(of("/etc/hostname")["layer"], "copied");
        let store = of("/etc/hostname")["store"]
            .as_str()
            .expect("a path")
            .to_owned();
        assert_eq!(
            std::fs::read_to_string(store).expect("the copy").trim(),
            "one"
        );
        if running {
            world.inside(
                "one",
                "echo x >>/etc/passwd; rm /etc/motd; mkdir /srv/own; mv /usr/share/misc /srv/own/",
            );
            assert_eq!(of("/etc/passwd")["layer"], "copied");
            let removed = of("/etc/motd");
            assert_eq!(
                (&removed["layer"], &removed["kind"]),
                (&"removed".into(), &Value::Null)
            );
            assert_eq!(
                removed["filesets"],
                Value::Array(vec![]),
                "dpkg does not list it"
            );
            assert_eq!(of("/srv/own")["layer"], "own");
            let moved = of("/srv/own/misc");
            assert_eq!(moved["source"]["path"], "/usr/share/misc");
            assert_eq!(
                of("/proc/1")["note"]
                    .as_str()
                    .map(|note| note.contains("/proc")),
                Some(true)
            );
        } else {
            world.ok("startwpar one");
        }
    }
    let text = world.ok("explain one /usr/bin/cat");
    assert!(text.text().contains("fileset:  coreutils"), "{text}");
    world.refused("explain one", &["missing the path"]);
    world.refused("explain none /x", &["no workload partition"]);
    let new = explain(&world, &["-B", &shown, "/usr/bin/cat"]);
    assert_eq!(new["layer"], "source");
    world.remove_all();
}

#[test]
fn a_copy_of_the_running_system_is_explained_before_it_is_made() {
    let world = need!(World::in_view_of_the_host());
    let root = world.root();
    world.ok("lswpar");
    std::fs::create_dir_all(root.join("var/lib/wpar/images")).expect("a directory");
    let own = root.join("var/lib/wpar/images/x");
    let own = explain(&world, &["-t", &own.display().to_string()]);
    assert_eq!(own["layer"], "hidden");
    assert_eq!(own["reason"], "state of wpar itself");
    assert_eq!(own["decided"], "start");
    assert_eq!(explain(&world, &["-t", "/etc/passwd"])["visible"], true);
    assert_eq!(
        explain(&world, &["-t", "/proc/1"])["reason"],
        "belongs to the kernel"
    );
}
