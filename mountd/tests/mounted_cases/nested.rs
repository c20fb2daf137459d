//! The kernel's overlayfs with all its layers on a mount of ours, as container engines use it: it
//! does there what it does in a plain directory.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{Fixture, fixture, names};

/// An overlayfs, unmounted when it is dropped.
struct Nested {
    root: PathBuf,
}

impl Nested {
    /// Mounts the directories `lower`, `upper` and `work` of `directory` on `merged`.
    fn mount(directory: &Path, options: &str) -> std::io::Result<Self> {
        let root = directory.join("merged");
        let layer = |name: &str| directory.join(name).display().to_string();
        let data = format!(
            "lowerdir={},upperdir={},workdir={}{options}",
            layer("lower"),
            layer("upper"),
            layer("work")
        );
        let data = std::ffi::CString::new(data)?;
        mount("overlay", &root, "overlay", MountFlags::empty(), &*data)?;
        Ok(Self { root })
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.root, UnmountFlags::DETACH) {
            eprintln!("cannot unmount {}: {error}", self.root.display());
        }
    }
}

fn layers() -> Option<Fixture> {
    fixture(|tree| {
        tree.file("lower/file", "file")
            .file("lower/dir/one", "1")
            .file("lower/dir/two", "2")
            .file("lower/other/three", "3")
            .hard_link("lower/file", "lower/other/linked")
            .symlink("lower/link", "file")
            .directory("upper")
            .directory("work")
            .directory("merged")
    })
}

/// The same as [`layers`] has, as plain directories.
fn plain_layers(directory: &Path) {
    for name in ["lower/dir", "lower/other", "upper", "work", "merged"] {
        fs::create_dir_all(directory.join(name)).unwrap();
    }
    let lower = directory.join("lower");
    for (name, text) in [("file", "file"), ("dir/one", "1"), ("dir/two", "2")] {
        fs::write(lower.join(name), text).unwrap();
    }
    fs::write(lower.join("other/three"), "3").unwrap();
    fs::hard_link(lower.join("file"), lower.join("other/linked")).unwrap();
    symlink("file", lower.join("link")).unwrap();
}

/// Changes of every kind that overlayfs needs something special of its upper for.
fn change(root: &Path) {
    let path = |name: &str| root.join(name);
    fs::write(path("file"), "changed").unwrap();
    fs::remove_file(path("dir/one")).unwrap();
    fs::rename(path("dir/two"), path("two")).unwrap();
    fs::rename(path("link"), path("dir/link")).unwrap();
    fs::remove_file(path("other/three")).unwrap();
    fs::remove_file(path("other/linked")).unwrap();
    fs::remove_dir(path("other")).unwrap();
    fs::create_dir(path("other")).unwrap();
    fs::write(path("other/new"), "new").unwrap();
    fs::hard_link(path("other/new"), path("other/newer")).unwrap();
    fs::rename(path("other/newer"), path("two")).unwrap();
    fs::create_dir(path("emptied")).unwrap();
    fs::rename(path("emptied"), path("moved")).unwrap();
}

/// A line for each name below `directory`.
fn told(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for name in names(directory) {
        let path = directory.join(&name);
        let attr = fs::symlink_metadata(&path).unwrap();
        let kind = attr.file_type();
        let contents = if kind.is_file() {
            fs::read_to_string(&path).unwrap()
        } else if kind.is_char_device() {
            format!("device {:x}", attr.rdev())
        } else {
            String::new()
        };
        lines.push(format!("{name} {:o} {contents}", attr.mode() & 0o170_000));
        if kind.is_dir() {
            let below = told(&path).into_iter().map(|line| format!("{name}/{line}"));
            lines.extend(below);
        }
    }
    lines
}

#[test]
fn an_overlayfs_may_have_its_layers_here() {
    for options in ["", ",userxattr", ",redirect_dir=on,metacopy=on"] {
        let Some(mut ours) = layers() else { return };
        let plain = tempfile::tempdir().unwrap();
        plain_layers(plain.path());
        let nested = match Nested::mount(plain.path(), options) {
            Ok(nested) => nested,
            Err(error) => {
                eprintln!("SKIPPED: no overlayfs with \"{options}\" here at all: {error}");
                return;
            }
        };
        change(&nested.root);
        let expected = told(&nested.root);
        drop(nested);
        let nested = Nested::mount(&ours.root(), options).unwrap();
        change(&nested.root);
        assert_eq!(told(&nested.root), expected, "{options}");
        drop(nested);
        // Its whiteouts are devices here as there, and stay when we are mounted again.
        let layer = told(&plain.path().join("upper"));
        for _ in 0..2 {
            assert_eq!(told(&ours.path("upper")), layer, "{options}");
            ours.mount();
        }
        let nested = Nested::mount(&ours.root(), options).unwrap();
        assert_eq!(told(&nested.root), expected, "{options}, mounted again");
    }
}
