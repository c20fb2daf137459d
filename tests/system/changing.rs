//! `chwpar`, and specification files: what is changed and made is what runs.

use crate::common::fixtures::fixture;
use crate::common::skip::need;
use crate::common::world::World;

#[test]
fn a_renamed_wpar_runs_with_everything_it_had() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    world.inside("one", "echo mine >/root/note");
    let machine_id = world.inside("one", "cat /etc/machine-id");
    for line in [
        "chwpar -n two one",
        "chwpar -h two one",
        "chwpar -d /srv/x one",
    ] {
        world.refused(line, &["one is active; stop it with 'stopwpar one' first"]);
    }
    world.ok("stopwpar one");
    world.ok("chwpar -n two -h two.example.org one");
    assert_eq!(world.state("one"), None);
    world.ok("startwpar two");
    assert_eq!(
        world.inside("two", "cat /root/note; hostname"),
        "mine\ntwo.example.org"
    );
    assert_eq!(world.inside("two", "cat /etc/machine-id"), machine_id);
    assert_eq!(world.base("two"), world.root().join("wpars/two"));
    // The old name is free for another one.
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    assert_eq!(world.inside("one", "ls /root"), "");
    // Its console log tells of the time when it was called one.
    world.ok("rmwpar -F two");
    world.remove_all();
}

#[test]
fn a_changed_limit_and_directory_hold_from_the_next_start_on() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    world.ok("chwpar -M size=20M one");
    world.ok("stopwpar one");
    let base = world.scratch().join("elsewhere");
    world.ok(&format!("chwpar -d {} one", base.display()));
    world.ok("startwpar one");
    assert!(base.join("etc/inittab").exists());
    let size = world.inside("one", "df -Pk / | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2");
    assert_eq!(size, (20 * 1024).to_string());
    world.remove_all();
    assert!(!base.exists(), "it was made for the WPAR and goes with it");
}

#[test]
fn those_that_are_marked_start_with_the_host() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    for name in ["one", "two", "three", "four"] {
        world.mkwpar(&image, name);
    }
    assert_eq!(world.ok("startwpar --auto").text(), "");
    for line in [
        "chwpar -A one",
        "chwpar -A three",
        "chwpar -A four",
        "startwpar four",
    ] {
        world.ok(line);
    }
    // What cannot start keeps nobody else from it.
    world.ok("chwpar -K -C one");
    let started = world.wpar(["startwpar", "--auto"]).output();
    assert_eq!(
        (started.code(), started.text()),
        (1, "three is active"),
        "{started}"
    );
    assert!(started.complaint().contains("one is at level"), "{started}");
    let states = ["one", "two", "three", "four"].map(|name| world.state(name).unwrap_or_default());
    assert_eq!(states, ["D", "D", "A", "A"]);
    world.remove_all();
}

#[test]
fn a_wpar_of_a_specification_file_starts_as_it_says() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let file = world.scratch().join("one.spec");
    let text = format!(
        "general:\n\tname = \"one\"\n\thostname = \"spec.example.org\"\n\
         mount:\n\tdirectory = \"/\"\n\tsize = \"20M\"\n\
         options:\n\tsystemcopy = \"yes\"\n\tversioned = \"yes\"\n\tbackup = \"{}\"\n",
        image.display()
    );
    std::fs::write(&file, text).expect("a specification file");
    world.ok(&format!("mkwpar -s -f {}", file.display()));
    assert_eq!(world.inside("one", "hostname"), "spec.example.org");
    assert_eq!(world.ok("lswpar -qc -a type,size one").text(), "L:20M");
    world.remove_all();
}
