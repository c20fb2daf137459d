//! Whether a tree is the root of a system, and of which.
//!
//! Nothing in the tree is trusted: each path is resolved within it, as by `chroot`.

use std::os::fd::AsFd;

use super::below::Below;
use super::os_release::SystemFacts;

/// Longest name that is shown, in characters.
const NAME_MAX: usize = 80;

/// Whether the directory `root` has what every system has: `etc` and `usr`.
pub(super) fn is_system_at(root: impl AsFd) -> bool {
    let root = Below::new(root);
    ["etc", "usr"].iter().all(|name| root.is_directory(name))
}

/// What the system at `root` calls itself (`PRETTY_NAME` of os-release(5)).
pub(super) fn name_at(root: impl AsFd) -> Option<String> {
    let name = SystemFacts::names(&Below::new(root)).ok()?.pretty_name;
    let printable = |c: &char| !c.is_control();
    let name: String = name.chars().filter(printable).take(NAME_MAX).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn this_system_is_one() {
        assert!(is_system_at(File::open("/").unwrap()));
    }

    #[test]
    fn links_do_not_lead_out_of_the_tree() {
        let temp = tempfile::tempdir().unwrap();
        let root = File::open(temp.path()).unwrap();
        symlink("/usr", temp.path().join("etc")).unwrap();
        symlink("../../../..", temp.path().join("usr")).unwrap();
        // `usr` is the tree itself; there is no `/usr/usr` for `etc` to lead to but that.
        assert!(is_system_at(&root));
        fs::remove_file(temp.path().join("usr")).unwrap();
        assert!(!is_system_at(&root), "the host's own /usr");
        assert_eq!(name_at(&root), None);
        fs::create_dir_all(temp.path().join("usr/lib")).unwrap();
        let text = "NAME=x\nPRETTY_NAME=\"Debian \u{1b}[1m12\"\n";
        fs::write(temp.path().join("usr/lib/os-release"), text).unwrap();
        assert_eq!(name_at(&root).unwrap(), "Debian [1m12");
    }
}
