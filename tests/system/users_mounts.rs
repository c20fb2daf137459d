//! Mounts of users without privileges: through `fusermount3`, and in a user namespace.
//!
//! The user is nobody. The device is given to everybody in a mount namespace of the test's own, as
//! distributions do it for the whole host.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::common::fixtures::fixture;
use crate::common::program::copy_program;
use crate::common::run::{Output, Run};
use crate::common::skip::need;
use crate::common::world::World;
use crate::trees::{needs, path, shell};

/// `nobody` in all distributions.
const NOBODY: u32 = 65_534;

/// Where nobody can work.
struct Place {
    home: PathBuf,
    image: PathBuf,
}

impl Place {
    fn new(world: &World) -> Result<Self, String> {
        needs(&["setpriv", "unshare"])?;
        let scratch = world.scratch();
        for directory in [&scratch, &scratch.parent().unwrap().to_owned()] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        }
        copy_program(env!("CARGO_BIN_EXE_wpar"), scratch.join("wpar"));
        let image = scratch.join("image.tar");
        fs::copy(fixture("busybox")?, &image).expect("a copy of the image");
        fs::set_permissions(&image, fs::Permissions::from_mode(0o644)).unwrap();
        let home = scratch.join("home");
        fs::create_dir_all(home.join("mnt")).expect("a home");
        for directory in [&home, &home.join("mnt")] {
            chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        shell("mknod -m 666 \"$1\" c 10 229", &[&scratch.join("fuse")]);
        Ok(Self { home, image })
    }

    /// Runs `script` as nobody, at home, perhaps by `within`; `$1` is the image.
    fn run(&self, within: &[&str], script: &str) -> Output {
        let scratch = self.home.parent().unwrap();
        let as_nobody = format!(
            "mount --bind '{}/fuse' /dev/fuse; exec setpriv --reuid {NOBODY} --regid {NOBODY} \
             --clear-groups \"$@\"",
            scratch.display()
        );
        Run::new(
            "unshare",
            [
                "-m",
                "--propagation",
                "private",
                "sh",
                "-ec",
                &as_nobody,
                "sh",
            ],
        )
        .args(within)
        .args(["sh", "-ec", script, "sh"])
        .arg(&self.image)
        .current_dir(&self.home)
        .env("HOME", &self.home)
        .env("PATH", format!("{}:{}", scratch.display(), path()))
        .output()
    }
}

/// What a user does with a mount, and what comes of it.
const SESSION: &str = "
    wpar mount \"$1\" mnt
    wpar mount | grep \"$PWD\"
    cat mnt/etc/secret; ls mnt/root
    wpar umount mnt
    wpar mount -w upper \"$1\" mnt
    echo mine >mnt/etc/mine; rm mnt/etc/secret
    wpar umount mnt
    wpar mount -w upper \"$1\" mnt
    cat mnt/etc/mine; ls mnt/etc/secret 2>&1 || :
    wpar umount mnt
    wpar mount | grep \"$PWD\" || :
    ls .cache/wpar | wc -l";

/// The image with a file that only its root may read.
fn add_secret(image: &Path) {
    let directory = image.with_extension("d");
    shell(
        "mkdir -p \"$1/etc\" \"$1/root\"; echo secret >\"$1/etc/secret\"; chmod 600 \"$1/etc/secret\"
         chmod 700 \"$1/root\"; : >\"$1/root/key\"
         tar --numeric-owner -rf \"$2\" -C \"$1\" etc/secret root",
        &[&directory, image],
    );
}

fn check_session(place: &Place, within: &[&str]) {
    add_secret(&place.image);
    let output = place.run(within, SESSION).succeeded();
    let expected = format!(
        "{} on {}/mnt (ro)\nsecret\nkey\nmine\nls: cannot access 'mnt/etc/secret': No such file or \
         directory\n1",
        place.image.display(),
        place.home.display()
    );
    assert_eq!(output.text(), expected, "{output}");
}

#[test]
fn a_user_mounts_through_fusermount() {
    let world = need!(World::new());
    need!(needs(&["fusermount3"]));
    let place = need!(Place::new(&world));
    check_session(&place, &[]);
    world.assert_empty();
}

#[test]
fn a_user_mounts_in_a_user_namespace() {
    let world = need!(World::new());
    let place = need!(Place::new(&world));
    let within = ["unshare", "-Urm"];
    need!(match place.run(&within, "true").code() {
        0 => Ok(()),
        _ => Err("users may not make user namespaces here".to_owned()),
    });
    check_session(&place, &within);
    world.assert_empty();
}

#[test]
fn nobody_else_gets_at_a_users_mount() {
    let world = need!(World::new());
    need!(needs(&["fusermount3"]));
    let place = need!(Place::new(&world));
    let output = place.run(
        &[],
        "wpar mount \"$1\" mnt; findmnt -n -o OPTIONS mnt; wpar umount mnt",
    );
    let options = output.succeeded().text().to_owned();
    assert!(!options.contains("allow_other"), "{options}");
    assert!(options.contains(&format!("user_id={NOBODY}")), "{options}");
    assert!(options.contains("nosuid,nodev"), "{options}");
    world.assert_empty();
}

#[test]
fn what_a_user_cannot_do_is_told_with_the_way_out() {
    let world = need!(World::new());
    let place = need!(Place::new(&world));
    let scratch = world.scratch();
    fs::write(scratch.join("squash"), b"hsqs........").unwrap();
    let squash = place.run(&[], "wpar mount ../squash mnt");
    squash.refused(&["only root can have mounted; run this with sudo, or use \"squashfuse "]);
    let missing = place.run(&[], "PATH=${PATH%%:*}; wpar mount \"$1\" mnt");
    missing.refused(&["install the package fuse3"]);
    world.assert_empty();
}
