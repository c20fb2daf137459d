//! A store that goes away under a mount: what needs it fails with an error, the rest goes on, and
//! the mount can be ended.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount as mount_call, mount_remount, unmount};
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

#[test]
fn a_store_that_went_read_only_refuses_changes_until_it_comes_back() {
    let tmpfs = |path: &Path| {
        mount_call("store", path, "tmpfs", MountFlags::empty(), None).unwrap();
    };
    let Some(mut fixture) = Fixture::new(tmpfs) else {
        return;
    };
    let store = fixture.path("STORE");
    mount_remount(&store, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
    let root = fixture.mount().path("");
    fixture.mount().within("using a read-only store", move || {
        for (number, done) in changes(&root).into_iter().enumerate().take(4) {
            let error = done.expect_err("a change");
            assert_eq!(
                error.kind(),
                ErrorKind::ReadOnlyFilesystem,
                "change {number}"
            );
        }
        assert_eq!(walk(&root), 3);
        assert_eq!(fs::read(root.join("dir/file")).unwrap(), b"text");
    });
    mount_remount(&store, MountFlags::BIND, "").unwrap();
    let root = fixture.mount().path("");
    fixture.mount().within("using the store again", move || {
        for (number, done) in changes(&root).into_iter().enumerate() {
            done.unwrap_or_else(|error| panic!("change {number}: {error}"));
        }
    });
    fixture.mount.take().unwrap().end();
}
