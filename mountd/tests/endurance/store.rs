//! A store that goes away under a mount: what needs it fails with an error, the rest goes on, and
//! the mount can be ended.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount as mount_call, unmount};
use tempfile::TempDir;

use crate::mount::{Mount, directory_spec, possible, scratch, walk};

struct Fixture {
    directory: TempDir,
    mount: Option<Mount>,
}

impl Fixture {
    /// A mount whose store is `STORE/store`; `prepare` makes STORE.
    fn new(prepare: impl FnOnce(&Path)) -> Option<Self> {
        if !possible() {
            return None;
        }
        let directory = scratch();
        let path = |name: &str| directory.path().join(name);
        for name in ["lower/dir", "mnt", "STORE"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("lower/dir/file"), "text").unwrap();
        fs::write(path("lower/untouched"), "lower").unwrap();
        prepare(&path("STORE"));
        let spec = directory_spec(&path("lower"), Some(&path("STORE/store")));
        let mount = Mount::new(&spec, &path("mnt"));
        Some(Self {
            directory,
            mount: Some(mount),
        })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn mount(&self) -> &Mount {
        self.mount.as_ref().unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.mount = None;
        let _ = unmount(self.path("STORE"), UnmountFlags::DETACH);
    }
}

/// Tries everything that changes something; how often it worked.
fn changes(root: &Path) -> Vec<std::io::Result<()>> {
    vec![
        fs::write(root.join("new"), "new"),
        fs::write(root.join("dir/file"), "changed"),
        fs::create_dir(root.join("dir/made")),
        fs::rename(root.join("untouched"), root.join("dir/moved")),
        fs::rename(root.join("dir/moved"), root.join("untouched")),
        fs::hard_link(root.join("untouched"), root.join("linked")),
        fs::remove_file(root.join("linked")),
    ]
}

#[test]
fn a_store_that_was_removed_is_an_error_and_no_hang() {
    let Some(mut fixture) = Fixture::new(|_| {}) else {
        return;
    };
    let root = fixture.mount().path("");
    fs::write(root.join("dir/file"), "changed before").unwrap();
    let held = fs::File::open(root.join("dir/file")).unwrap();
    fs::remove_dir_all(fixture.path("STORE/store")).unwrap();
    fixture
        .mount()
        .within("using what lost its store", move || {
            for done in changes(&root) {
                // What was opened before may still be written; nothing new can be made.
                if let Err(error) = done {
                    assert_ne!(error.kind(), ErrorKind::TimedOut);
                }
            }
            let made = fs::create_dir(root.join("another"));
            assert!(made.is_err(), "made in a directory that is gone");
            let _ = fs::read_dir(&root).map(Iterator::count);
            assert_eq!(
                fs::read(root.join("untouched")).unwrap_or_default().len() % 5,
                0
            );
            let _ = held.sync_all();
            let _ = rustix::fs::statfs(&root);
        });
    fixture.mount.take().unwrap().end();
}

#[test]
fn a_store_whose_file_system_was_unmounted_lazily_is_used_on() {
    let tmpfs = |path: &Path| {
        mount_call("store", path, "tmpfs", MountFlags::empty(), None).unwrap();
    };
    let Some(mut fixture) = Fixture::new(tmpfs) else {
        return;
    };
    unmount(fixture.path("STORE"), UnmountFlags::DETACH).unwrap();
    let root = fixture.mount().path("");
    fixture.mount().within("using a detached store", move || {
        for (number, done) in changes(&root).into_iter().enumerate() {
            done.unwrap_or_else(|error| panic!("change {number}: {error}"));
        }
        assert_eq!(fs::read(root.join("dir/file")).unwrap(), b"changed");
        assert_eq!(walk(&root), 5);
    });
    fixture.mount.take().unwrap().end();
}

/// Makes an ext4 in a file, mounted at `place`, that an error turns read-only; tells if it cannot.
fn mount_ext4(place: &Path) -> bool {
    let file = place.with_file_name("ext4.img");
    fs::File::create(&file).unwrap().set_len(32 << 20).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program)
            .args(arguments)
            .arg(&file)
            .args((program == "mount").then_some(place))
            .output();
        done.is_ok_and(|output| output.status.success())
    };
    let made = run("mkfs.ext4", &["-q", "-F"]) && run("mount", &["-o", "loop,errors=remount-ro"]);
    if !made {
        eprintln!("SKIPPED: needs mkfs.ext4 and loop devices");
    }
    made
}

/// The name of the device that is mounted at `place`.
fn device_of(place: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(1) == place.to_str())
        .unwrap();
    let device = line.split(' ').next().unwrap();
    device.trim_start_matches("/dev/").to_owned()
}

#[test]
fn a_store_whose_file_system_went_read_only_can_still_be_read() {
    let mut made = false;
    let Some(mut fixture) = Fixture::new(|path| made = mount_ext4(path)) else {
        return;
    };
    if !made {
        return;
    }
    let root = fixture.mount().path("");
    fs::write(root.join("new"), "before").unwrap();
    fs::write(root.join("dir/file"), "before").unwrap();
    let device = device_of(&fixture.path("STORE"));
    let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
    fs::write(trigger, "a test").unwrap();
    fixture.mount().within("using a read-only store", move || {
        for (number, done) in changes(&root).into_iter().enumerate() {
            // Of the last names some were never made.
            let error = done.expect_err("a change");
            let expected = [ErrorKind::ReadOnlyFilesystem, ErrorKind::NotFound];
            assert!(expected.contains(&error.kind()), "change {number}: {error}");
        }
        assert_eq!(walk(&root), 4);
        assert_eq!(fs::read(root.join("untouched")).unwrap(), b"lower");
    });
    fixture.mount.take().unwrap().end();
}
