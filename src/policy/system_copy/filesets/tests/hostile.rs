//! Images that were made to do harm, or are broken.

use wpar_mountd::lower::memory::MemoryLower;

use super::*;

#[test]
fn a_hostile_image_hides_no_more_than_names() {
    let long = "x".repeat(300);
    let paths = [
        "/",
        "/..",
        "/../../etc/shadow",
        "/a/../b",
        "//",
        "/a//b",
        "/usr",
        "/etc",
        "/var",
        &long,
        "/\u{fffd}",
    ];
    let builder = MemoryLower::builder()
        .file(
            "var/lib/dpkg/status",
            stanza("grub-pc", "") + &stanza("a/b", "") + &stanza("kexec-tools", ""),
        )
        .file("var/lib/dpkg/info/grub-pc.list", list(&paths))
        .file("var/lib/dpkg/diversions", "/x\n/y\n")
        .file("var/lib/dpkg/alternatives/x", "auto\n")
        .file("etc/apt", "in the way")
        .symlink("etc/rc2.d", "rc2.d")
        .symlink("etc/systemd", "../../../../../etc/systemd")
        .symlink("boot", "/boot")
        .directory("usr")
        .file("etc/shadow", "");
    let decisions = decided(builder, "a?b\n");
    let hidden = hidden(&decisions);
    for path in ["usr", "etc", "var", "etc/shadow", "boot"] {
        assert!(!hidden.iter().any(|hidden| hidden == path), "{hidden:?}");
    }
    let notes = &decisions.view.notes;
    assert!(
        notes.iter().any(|note| note.contains("stay visible")),
        "{notes:?}"
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("/etc/apt stands in the way")),
        "{notes:?}"
    );
}

#[test]
fn regression_a_link_that_leads_nowhere_is_no_directory_to_write_in() {
    let builder = MemoryLower::builder()
        .file("var/lib/dpkg/status", stanza("kexec-tools", ""))
        .symlink("etc/apt", "/nowhere");
    let decisions = decided(builder, "");
    assert_eq!(
        decisions.view.notes,
        ["/etc/apt stands in the way of what would be written"]
    );
}

#[test]
fn a_data_base_that_cannot_be_read_hides_nothing() {
    let builder = MemoryLower::builder().file("var/lib/rpm/rpmdb.sqlite", "no data base");
    let decisions = decided(builder, "*\n");
    assert!(decisions.view.hidden.is_empty());
    assert!(
        decisions.view.notes[0].starts_with("all filesets stay visible: "),
        "{:?}",
        decisions.view.notes
    );
}
