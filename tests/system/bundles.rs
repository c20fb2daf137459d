//! `wpar oci`: other runtimes start what a WPAR has mounted.

use std::path::Path;
use std::process::Command;

use crate::common::fixtures::fixture;
use crate::common::run::{Output, Run};
use crate::common::skip::need;
use crate::common::world::World;

fn program(name: &str) -> Result<(), String> {
    let found = Command::new(name).arg("--version").output();
    found
        .map(drop)
        .map_err(|error| format!("needs {name}: {error}"))
}

/// A command in a mount namespace of its own without what crun takes for a mixture of both versions of
/// control groups, on hosts that have one.
fn apart(words: &[&str]) -> Run {
    let script = "umount -l /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
    let all = ["-m", "sh", "-c", script, "sh"];
    Run::new("unshare", all.iter().chain(words))
}

/// Asks the system in a bundle who and where it is; it leaves a file behind.
const LOOK: &str = "id -u; hostname; cat /etc/kept; echo new > /written; stat -c %u /written; \
    cat /proc/self/uid_map; mount -t proc proc /mnt && echo mounted; ls /proc/kcore; \
    wc -c < /proc/kcore; echo x > /proc/sys/kernel/hostname || echo read-only";

#[track_caller]
fn check(output: &Output, first: u32) {
    let words: Vec<_> = output.text().split_whitespace().collect();
    let range = first.to_string();
    let expected = ["0", "web1", "stays", "0", "0", &range, "65536"];
    assert_eq!(words.get(..7), Some(&expected[..]), "{output}");
    assert!(words.contains(&"read-only"), "{output}");
}

fn first_id(bundle: &Path) -> u32 {
    let text = std::fs::read(bundle.join("config.json")).expect("a configuration");
    let config: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let first = config["linux"]["uidMappings"][0]["hostID"].as_u64();
    u32::try_from(first.expect("a number")).expect("an id")
}

#[test]
fn runtimes_start_the_bundle_of_a_wpar() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    need!(program("runc").or_else(|_| program("crun")));
    world.mkwpar(&image, "web1");
    world.ok("startwpar -m web1");
    world.inside("web1", "echo stays > /etc/kept");
    let bundle = world.scratch().join("bundle");
    let shown = bundle.display().to_string();
    let state = world.scratch().join("state").display().to_string();
    world.ok(&format!("oci web1 {shown} sh -c id"));
    world.refused(&format!("oci web1 {shown}"), &["already"]);
    world.refused("stopwpar web1", &["oci -r"]);
    world.ok(&format!("oci -r web1 {shown}"));
    world.wpar(["oci", "web1", &shown, "sh", "-c", LOOK]).ok();
    let first = first_id(&bundle);
    for runtime in ["runc", "crun"] {
        if let Err(why) = program(runtime) {
            crate::common::skip::skipped("runtimes_start_the_bundle_of_a_wpar", &why);
            continue;
        }
        let id = format!("wpar-test-{runtime}-{}", std::process::id());
        let words = [runtime, "--root", &state, "run", "-b", &shown, &id];
        let output = match runtime {
            "crun" => apart(&words).ok(),
            _ => Run::new(runtime, &words[1..]).ok(),
        };
        check(&output, first);
        assert_eq!(world.inside("web1", "cat /written; rm /written"), "new");
    }
    world.ok(&format!("oci -r web1 {shown}"));
    world.ok("stopwpar web1");
    assert_eq!(
        std::fs::read_dir(&bundle).expect("the directory").count(),
        0
    );
    world.ok("startwpar web1");
    world.refused(&format!("oci web1 {shown}"), &["stopwpar web1"]);
    world.remove_all();
}

#[test]
fn podman_starts_the_files_of_a_bundle() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    need!(program("podman"));
    world.mkwpar(&image, "web1");
    world.ok("startwpar -m web1");
    // podman would make it, as the host's root, who is nobody in there.
    world.inside("web1", "ln -s ../proc/self/mounts /etc/mtab");
    let bundle = world.scratch().join("bundle");
    world.ok(&format!("oci web1 {}", bundle.display()));
    let mapping = format!("0:{}:65536", first_id(&bundle));
    let root = bundle.join("rootfs").display().to_string();
    let home = world.scratch().join("podman").display().to_string();
    let words = [
        "--root",
        &home,
        "--runroot",
        &home,
        "--cgroup-manager",
        "cgroupfs",
        "--runtime",
        "runc",
        "--events-backend",
        "none",
        "run",
        "--rm",
        "--network",
        "none",
        "--log-driver",
        "none",
        "--ulimit",
        "nofile=1024:1024",
        "--ulimit",
        "nproc=1024:1024",
        "--uidmap",
        &mapping,
        "--gidmap",
        &mapping,
        "--rootfs",
        &root,
        "sh",
        "-c",
        "echo by podman > /kept; stat -c %u /kept",
    ];
    let output = Run::new("podman", words).ok();
    assert_eq!(output.text(), "0", "{output}");
    assert_eq!(world.inside("web1", "cat /kept"), "by podman");
    // Force takes the bundle along.
    world.ok("stopwpar -F web1");
    assert!(!bundle.join("config.json").exists());
    world.remove_all();
}

#[test]
fn a_bundle_is_made_of_what_is_mounted_only() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    let bundle = world.scratch().join("bundle");
    let shown = bundle.display().to_string();
    world.refused(&format!("oci one {shown}"), &["startwpar -m one"]);
    assert!(!bundle.exists());
    world.ok("startwpar -m one");
    let full = world.scratch().join("full");
    std::fs::create_dir_all(full.join("something")).expect("a directory");
    world.refused(&format!("oci one {}", full.display()), &["empty"]);
    world.refused(&format!("oci -r one {shown}"), &["no bundle"]);
    world.ok(&format!("oci one {shown}"));
    world.ok("rmwpar -F one");
    assert!(!bundle.join("rootfs").exists());
    world.remove_all();
}
