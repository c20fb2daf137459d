//! One image, several mounts; one store, one mount.

use std::fs::{self, File};

use wpar_mountd::lower::tar::{Silent, ensure_index};
use wpar_mountd::spec::{LowerSpec, MountSpec, SpaceLimits};

use crate::mount::{Mount, directory_spec, possible, scratch};

#[test]
fn two_mounts_share_an_image_and_its_index() {
    if !possible() {
        return;
    }
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    let mut archive = tar::Builder::new(File::create(path("image.tar")).unwrap());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(4);
    for number in 0..100 {
        let name = format!("dir/file-{number}");
        archive
            .append_data(&mut header, name, &b"text"[..])
            .unwrap();
    }
    archive.into_inner().unwrap();
    let image = path("image.tar");
    let index = ensure_index(&image, directory.path(), &mut Silent).unwrap();
    let before = fs::read(&index.path).unwrap();
    let mounts = ["one", "two"].map(|name| {
        fs::create_dir(path(name)).unwrap();
        let spec = MountSpec {
            lower: LowerSpec::Image {
                path: image.clone(),
                index: index.path.clone(),
                shared: Some(path("shared/chunks")),
            },
            store: Some(path(&format!("store-{name}"))),
            hidden: Vec::new(),
            limits: SpaceLimits::default(),
            access: Default::default(),
        };
        Mount::new(&spec, &path(name))
    });
    for number in 0..100 {
        let name = format!("dir/file-{number}");
        let (one, two) = (mounts[0].path(&name), mounts[1].path(&name));
        fs::write(&one, "changed").unwrap();
        assert_eq!(
            fs::read(&two).unwrap(),
            b"text",
            "the other sees nothing of it"
        );
        if number % 2 == 0 {
            fs::remove_file(&two).unwrap();
        }
        assert_eq!(fs::read(&one).unwrap(), b"changed");
    }
    for mount in mounts {
        mount.end();
    }
    assert!(
        fs::read(&index.path).unwrap() == before,
        "the index was changed"
    );
}

#[test]
fn a_store_that_is_in_use_is_refused_by_name() {
    if !possible() {
        return;
    }
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    for name in ["lower", "one", "two"] {
        fs::create_dir(path(name)).unwrap();
    }
    let store = path("store");
    let spec = directory_spec(&path("lower"), Some(&store));
    let first = Mount::new(&spec, &path("one"));
    let refused = Mount::try_new(&spec, &path("two")).err();
    let told = refused.expect("a store was opened twice");
    for word in ["InUse", &store.display().to_string()] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    fs::write(first.path("file"), "text").unwrap();
    first.end();
    let again = Mount::new(&spec, &path("two"));
    assert_eq!(fs::read(again.path("file")).unwrap(), b"text");
    again.end();
}
