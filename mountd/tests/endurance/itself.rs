//! A lower that contains the mount, and one that contains the store: as with the root of the host
//! underneath. The daemon must never wait for itself.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::mount::{Mount, directory_spec, possible, scratch, walk};

#[test]
fn a_mount_within_its_own_lower_can_be_walked_and_changed() {
    if !possible() {
        return;
    }
    let directory = scratch();
    let lower = directory.path().join("lower");
    let place = lower.join("a/b/mnt");
    fs::create_dir_all(&place).unwrap();
    fs::write(lower.join("a/file"), "text").unwrap();
    fs::write(place.join("covered"), "under the mount").unwrap();
    let spec = directory_spec(&lower, Some(&directory.path().join("store")));
    let mount = Mount::new(&spec, &place);
    let inside = mount.path("");
    let root = inside.clone();
    mount.within("walking", move || {
        let names = walk(&root);
        assert!((4..=5).contains(&names), "{names} names");
        rustix::fs::statfs(&root).unwrap();
        rustix::fs::statfs(root.join("a/b/mnt")).unwrap();
        let own = fs::metadata(root.join("a/b/mnt")).unwrap();
        assert_eq!(own.dev(), fs::metadata(&root).unwrap().dev());
    });
    let root = inside.clone();
    mount.within("changing what is above and below itself", move || {
        fs::write(root.join("a/b/mnt/new"), "new").unwrap();
        fs::rename(root.join("a"), root.join("c")).unwrap();
        assert_eq!(fs::read(root.join("c/b/mnt/new")).unwrap(), b"new");
        assert_eq!(fs::read(root.join("c/file")).unwrap(), b"text");
        fs::rename(root.join("c/b/mnt"), root.join("moved")).unwrap();
        walk(&root);
    });
    // The host renames a directory above the mount point.
    fs::rename(lower.join("a/b"), lower.join("a/renamed")).unwrap();
    let root = lower.join("a/renamed/mnt");
    mount.within("walking after the host's rename", move || {
        // What the host took away may be missing; nothing may hang.
        let _ = fs::read_dir(root.join("c")).map(Iterator::count);
        let _ = fs::read(root.join("c/file"));
        let _ = fs::metadata(root.join("c/b"));
    });
    fs::rename(lower.join("a/renamed"), lower.join("a/b")).unwrap();
    mount.end();
}

#[test]
fn a_store_within_its_own_lower_can_be_walked_and_changed() {
    if !possible() {
        return;
    }
    let directory = scratch();
    let lower = directory.path().join("lower");
    let place = directory.path().join("mnt");
    fs::create_dir_all(lower.join("dir")).unwrap();
    fs::create_dir(&place).unwrap();
    fs::write(lower.join("dir/file"), "text").unwrap();
    let store = lower.join("var/store");
    fs::create_dir(lower.join("var")).unwrap();
    let mount = Mount::new(&directory_spec(&lower, Some(&store)), &place);
    let root = mount.path("");
    mount.within("walking and changing", move || {
        for number in 0..20 {
            fs::write(root.join(format!("dir/new-{number}")), "new").unwrap();
            fs::write(root.join("dir/file"), format!("{number}")).unwrap();
            assert!(walk(&root) > number);
        }
        // The WPAR's own picture of its store, changed in the WPAR alone.
        fs::rename(root.join("var/store/tree"), root.join("var/elsewhere")).unwrap();
        fs::remove_file(root.join("var/store/store.json")).unwrap();
        fs::write(root.join("dir/last"), "last").unwrap();
        assert_eq!(fs::read(root.join("dir/last")).unwrap(), b"last");
        assert_eq!(fs::read(root.join("dir/file")).unwrap(), b"19");
    });
    assert!(store.join("tree/dir/last").exists());
    assert!(store.join("store.json").exists());
    mount.end();
}
