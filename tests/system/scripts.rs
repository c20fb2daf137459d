//! The administrator's script (`-u`): when it is run, with what, and what its failure means.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::fixtures::fixture;
use crate::common::skip::need;
use crate::common::world::World;

/// A script that notes how it was called, and ends with the status in the file `status`.
fn script(world: &World) -> PathBuf {
    let dir = world.scratch();
    let path = dir.join("announce");
    let text = format!(
        "#!/bin/sh\necho \"$* $WPAR_NAME $WPAR_HOSTNAME $WPAR_DIRECTORY \
         $(test -d \"/proc/$WPAR_PID\" && echo alive)\" >>{dir}/calls\n\
         exit \"$(cat {dir}/status 2>/dev/null || echo 0)\"\n",
        dir = dir.display()
    );
    fs::write(&path, text).expect("a script");
    mode(&path, 0o755);
    path
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

fn calls(world: &World) -> Vec<String> {
    let path = world.scratch().join("calls");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_script_is_told_of_start_and_stop_and_can_refuse_the_start() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let script = script(&world);
    let shown = script.display().to_string();
    let image = image.display().to_string();
    world
        .wpar([
            "mkwpar",
            "-t",
            "-B",
            &image,
            "-n",
            "loud",
            "-h",
            "loud.example",
            "-u",
            &shown,
        ])
        .ok();
    let listed = world.ok("lswpar -G loud");
    assert!(listed.text().contains(&shown), "{listed}");
    assert!(calls(&world).is_empty(), "it was not started");
    world.ok("startwpar loud");
    let base = world.base("loud").display().to_string();
    assert_eq!(
        calls(&world),
        [format!("start loud loud loud.example {base} alive")]
    );
    world.ok("rebootwpar -F loud");
    assert!(calls(&world).is_empty(), "it went on");
    world.ok("stopwpar loud");
    assert_eq!(
        calls(&world),
        [format!("stop loud loud loud.example {base} alive")]
    );
    // A failure refuses the start, and is only told at a stop.
    fs::write(world.scratch().join("status"), "3").expect("a status");
    world.refused("startwpar loud", &["exit status: 3"]);
    assert_eq!(world.state("loud").as_deref(), Some("D"));
    assert_eq!(calls(&world).len(), 1);
    fs::write(world.scratch().join("status"), "0").expect("a status");
    world.ok("startwpar loud");
    fs::write(world.scratch().join("status"), "4").expect("a status");
    let stopped = world.ok("stopwpar loud");
    assert!(
        String::from_utf8_lossy(&stopped.stderr).contains("exit status: 4"),
        "{stopped}"
    );
    assert_eq!(world.state("loud").as_deref(), Some("D"));
    // Taken along by a specification, and away by chwpar.
    let spec = world.scratch().join("loud.spec").display().to_string();
    world
        .wpar(["mkwpar", "-e", "loud", "-n", "loud2", "-w", "-o", &spec])
        .ok();
    let text = fs::read_to_string(&spec).expect("a specification");
    assert!(text.contains(&format!("script = \"{shown}\"")), "{text}");
    world.ok("chwpar -K -u loud");
    calls(&world);
    world.ok("startwpar loud");
    assert!(calls(&world).is_empty());
    world.ok("stopwpar -F loud");
    world.wpar(["chwpar", "-u", &shown, "loud"]).ok();
    fs::write(world.scratch().join("status"), "0").expect("a status");
    world.ok("startwpar loud");
    assert_eq!(calls(&world).len(), 1);
    world.remove_all();
}

#[test]
fn a_script_that_others_could_change_is_never_run() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let script = script(&world);
    let shown = script.display().to_string();
    let image = image.display().to_string();
    world.mkwpar(image.as_ref(), "loud");
    for (bits, says) in [(0o757, "others"), (0o775, "others"), (0o644, "executable")] {
        mode(&script, bits);
        world
            .wpar(["chwpar", "-u", &shown, "loud"])
            .refused(&[says]);
    }
    mode(&script, 0o755);
    world.wpar(["chwpar", "-u", &shown, "loud"]).ok();
    mode(&script, 0o777);
    world.refused("startwpar loud", &["others"]);
    assert!(calls(&world).is_empty());
    world.remove_all();
}
