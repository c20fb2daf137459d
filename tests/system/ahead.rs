//! Being ahead of a start: what is kept, what is made of it, and that nothing bad comes of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::common::fixtures::fixture;
use crate::common::run::{Run, eventually};
use crate::common::skip::need;
use crate::common::world::{BOOT, World};

/// A file that no init reads, and its size: more than all that they do read.
const UNREAD: &str = "srv/unread";
const SIZE: u64 = 12 << 20;

/// A copy of the busybox image with [`UNREAD`] in it.
fn image(world: &World, from: &Path) -> PathBuf {
    let dir = world.scratch();
    let image = dir.join("image.tar");
    fs::copy(from, &image).unwrap();
    fs::create_dir(dir.join("srv")).unwrap();
    fs::write(dir.join(UNREAD), vec![b'u'; SIZE as usize]).unwrap();
    Run::new("tar", ["--append", "-f"])
        .arg(&image)
        .arg("-C")
        .arg(&dir)
        .arg("srv")
        .ok();
    image
}

/// Bytes that the daemon of the one running WPAR has read.
fn read_by_daemon(world: &World) -> u64 {
    let daemon = world
        .keepers()
        .into_iter()
        .find(|process| process.command.starts_with("wpar-mountd"))
        .expect("a daemon");
    let text = fs::read_to_string(format!("/proc/{}/io", daemon.pid)).unwrap();
    let field = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    field.unwrap().parse().unwrap()
}

#[test]
fn a_start_is_ahead_of_what_the_last_one_read() {
    let world = need!(World::new());
    let image = image(&world, &need!(fixture("busybox")));
    world.mkwpar(&image, "one");
    let trail = world.scratch().join("image.tar.wparidx.trail");
    world.ok("startwpar one");
    eventually("the trail is kept", BOOT, || trail.exists());
    let kept = fs::read_to_string(&trail).unwrap();
    assert!(kept.contains("bin/busybox"), "{kept}");
    assert!(!kept.contains(UNREAD), "{kept}");
    assert!(read_by_daemon(&world) < SIZE);
    world.ok("stopwpar one");

    // What it says is read although nobody inside asks for it, and it is not made again.
    let ours = format!(
        r#"{{"version":1,"touched":[{{"path":"srv","ranges":[]}},{{"path":"{UNREAD}","ranges":[[0,{SIZE}]]}}]}}"#
    );
    fs::write(&trail, &ours).unwrap();
    world.ok("startwpar one");
    eventually("the daemon has read it", BOOT, || {
        read_by_daemon(&world) >= SIZE
    });
    assert_eq!(world.inside("one", "wc -c </srv/unread"), SIZE.to_string());
    world.ok("stopwpar one");
    assert_eq!(fs::read_to_string(&trail).unwrap(), ours);

    // A command in the foreground is no start of a system.
    world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "true"])
        .ok();
    world.ok("rmwpar one");
    assert!(trail.exists(), "it is the image's");
    world.assert_empty();
}

#[test]
fn whatever_a_trail_says_the_system_starts_and_stops() {
    let world = need!(World::new());
    let image = image(&world, &need!(fixture("busybox")));
    world.mkwpar(&image, "one");
    let trail = world.scratch().join("image.tar.wparidx.trail");
    let outside = world.scratch().join("outside");
    fs::write(&outside, "never").unwrap();
    // Opened by somebody who waits for a writer, it would hold the start or the stop.
    world.ok("startwpar one");
    world.inside("one", "mkfifo /srv/pipe; ln -s / /srv/root; sync");
    world.ok("stopwpar one");
    let up = "../".repeat(20);
    for touched in [
        r#"{"path":"srv/pipe","ranges":[[0,4096]]}"#.to_owned(),
        r#"{"path":"srv/root/etc/passwd","ranges":[[0,4096]]}"#.to_owned(),
        format!(r#"{{"path":"{up}{}","ranges":[[0,9]]}}"#, outside.display()),
        r#"{"path":"proc/kmsg","ranges":[[0,18446744073709551615]]}"#.to_owned(),
        format!(r#"{{"path":"{UNREAD}","ranges":[[18446744073709551615,18446744073709551615]]}}"#),
        format!(r#"{{"path":"{UNREAD}","ranges":[[0,1]]}},"#).repeat(1000)
            + r#"{"path":"","ranges":[]}"#,
    ] {
        fs::write(&trail, format!(r#"{{"version":1,"touched":[{touched}]}}"#)).unwrap();
        world.ok("startwpar one");
        assert_eq!(world.inside("one", "echo works"), "works", "{touched:.100}");
        world.ok("stopwpar -F one");
    }
    // What is no trail is replaced; where none can be kept, there is none.
    fs::write(&trail, "no trail").unwrap();
    world.ok("startwpar one");
    eventually("a new trail", BOOT, || {
        fs::read_to_string(&trail).unwrap().contains("bin/busybox")
    });
    world.ok("stopwpar one");
    fs::remove_file(&trail).unwrap();
    symlink("/nowhere/at/all", &trail).unwrap();
    world.ok("startwpar one");
    eventually("a trail in the place of a link", BOOT, || trail.is_file());
    world.ok("rmwpar -s one");
    world.assert_gone("one");
    world.assert_empty();
}
