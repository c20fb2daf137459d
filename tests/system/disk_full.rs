//! The disk is full: while the index is written, and while the WPAR writes.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::common::fixtures::fixture;
use crate::common::run::Run;
use crate::common::skip::need;
use crate::common::world::World;

/// A tmpfs of this size on `dir`, taken away on drop.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn on(dir: &'a Path, size: &str) -> Self {
        fs::create_dir_all(dir).expect("a mount point");
        let options = std::ffi::CString::new(format!("size={size},mode=755")).expect("no NUL");
        mount(
            "small",
            dir,
            "tmpfs",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
        .expect("a tmpfs");
        Self(dir)
    }

    /// Fills it to the last byte; gives the file that does.
    fn fill(&self) -> std::path::PathBuf {
        let filler = self.0.join("filler");
        // It fails when the disk is full: that is the aim.
        let _ = Run::new("dd", ["if=/dev/zero", "bs=4096", "status=none"])
            .arg(format!("of={}", filler.display()))
            .output();
        filler
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn no_space_for_the_index() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let root = world.root();
    let small = Small::on(&root, "4m");
    let copy = root.join("image.tar");
    fs::copy(&image, &copy).expect("a copy of the image");
    let filler = small.fill();
    let output = world
        .wpar(["mkwpar", "-t", "-B"])
        .arg(&copy)
        .args(["-n", "one"])
        .refused(&["no space", "full"]);
    let found = Run::new("find", [&root])
        .args(["-type", "f", "-name", "*wparidx*"])
        .ok();
    assert_eq!(found.text(), "", "half an index is left\n{output}");
    fs::remove_file(filler).expect("making room");
    assert!(world.table().is_empty(), "{output}");
    world.assert_gone("one");
    // With room again, it works.
    world.mkwpar(&copy, "one");
    world.ok("startwpar one");
    world.ok("rmwpar -s one");
    drop(small);
    world.assert_empty();
}

#[test]
fn no_space_for_what_the_wpar_writes() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let root = world.root();
    let small = Small::on(&root, "16m");
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    let dd = world
        .wpar([
            "clogin",
            "one",
            "dd",
            "if=/dev/zero",
            "of=/root/big",
            "bs=65536",
            "count=1000",
        ])
        .output();
    assert_ne!(dd.code(), 0, "{dd}");
    assert!(dd.complaint().contains("No space left on device"), "{dd}");
    // Neither the console's log nor the supervisor's can be written now; both do without.
    world.inside("one", "seq 10000 >/dev/console");
    // Copy-up of a file for which there is no room fails likewise, and the file stays whole.
    let copy_up = world
        .wpar(["clogin", "one", "sh", "-c", "echo x >>/bin/busybox"])
        .output();
    assert_ne!(copy_up.code(), 0, "{copy_up}");
    let sum = world.inside("one", "sha256sum </bin/busybox");
    world.inside("one", "rm /root/big");
    assert_eq!(world.inside("one", "sha256sum </bin/busybox"), sum);
    assert_eq!(
        world.inside("one", "echo room >/root/note && cat /root/note"),
        "room"
    );
    world.ok("stopwpar one");
    world.ok("startwpar one");
    assert_eq!(
        world.inside("one", "cat /root/note; sha256sum </bin/busybox"),
        format!("room\n{sum}")
    );
    world.ok("rmwpar -s one");
    world.assert_gone("one");
    drop(small);
    world.assert_empty();
}
