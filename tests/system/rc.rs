//! What the host does when it comes up and goes down: `wpar rc`, and what calls it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::fixtures::fixture;
use crate::common::run::Run;
use crate::common::skip::need;
use crate::common::world::World;

#[test]
fn those_that_are_marked_start_and_all_that_run_stop() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    for name in ["alpha", "beta", "gamma", "plain"] {
        world.mkwpar(&image, name);
    }
    for name in ["alpha", "beta", "gamma"] {
        world.ok(&format!("chwpar -A {name}"));
    }
    world.ok("startwpar beta");
    let started = world.ok("rc start -j 1");
    let said: Vec<_> = started.text().lines().map(str::to_owned).collect();
    assert_eq!(said.len(), 2, "{started}");
    assert!(
        said[0].starts_with("alpha") && said[1].starts_with("gamma"),
        "{started}"
    );
    let states = |world: &World| {
        ["alpha", "beta", "gamma", "plain"].map(|name| world.state(name).unwrap_or_default())
    };
    assert_eq!(states(&world), ["A", "A", "A", "D"]);
    assert_eq!(world.ok("rc start").text(), "", "nothing is left to do");
    world.ok("startwpar plain");
    world.ok("pause gamma");
    world.ok("rc stop -t 60");
    assert_eq!(states(&world), ["D", "D", "D", "D"]);
    // One that cannot be started keeps no other from it, and shows in the status.
    fs::write(world.base("alpha").join("in-the-way"), "").expect("a file");
    let output = world.wpar(["rc", "start"]).output();
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert_eq!(states(&world), ["D", "A", "A", "D"]);
    world.ok("rc stop");
    fs::remove_file(world.base("alpha").join("in-the-way")).expect("a file");
    world.remove_all();
}

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contrib")
        .join(name)
}

#[test]
fn the_unit_and_the_script_for_the_host_are_sound() {
    Run::new(
        "/bin/sh",
        ["-n".as_ref(), contrib("wpars.openrc").as_os_str()],
    )
    .ok();
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("SKIPPED in part: there is no systemd-analyze");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let unit = fs::read_to_string(contrib("wpars.service")).expect("the unit");
    assert_eq!(unit.matches("/usr/local/bin/wpar rc ").count(), 2);
    let unit = unit.replace("/usr/local/bin/wpar", env!("CARGO_BIN_EXE_wpar"));
    let unit = unit.replace("Documentation=man:wpar-rc(8)\n", "");
    let path = dir.path().join("wpars.service");
    fs::write(&path, unit).expect("a unit");
    let output = Run::new("systemd-analyze", ["verify".as_ref(), path.as_os_str()]).output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Units of this machine may be unsound; ours must not be.
    assert!(!said.contains("wpars.service"), "{output}");
}
