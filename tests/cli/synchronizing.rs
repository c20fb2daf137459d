//! `syncwpar`: which WPARs it is for, and what of AIX's options it refuses.

use std::fs;

use crate::support::Root;

#[test]
fn what_makes_no_sense_is_refused() {
    let Some(root) = Root::privileged() else {
        return;
    };
    for (line, status, says) in [
        ("syncwpar -D", 2, "missing"),
        ("syncwpar -D -d /mnt w1", 2, "taken from the host only"),
        ("syncwpar -D -a w1", 2, "-a is not for copies"),
        ("syncwpar -D -i w1", 2, "-i is not for copies"),
        ("syncwpar -D -r w1", 2, "-r is not for copies"),
        ("syncwpar -i -r w1", 2, "cannot be used with"),
        ("syncwpar -R w1", 2, "missing"),
        ("syncwpar -D -R -p w1", 2, "cannot be used with"),
        ("syncwpar -A w1", 2, "cannot be used with"),
        (
            "syncwpar -D -f /does/not/exist",
            1,
            "cannot read /does/not/exist",
        ),
        ("syncwpar -D -X nobody", 1, "0960-419"),
        ("syncwpar nobody", 1, "0960-419"),
    ] {
        root.run(line).status(status).complaint(&[says]).check();
    }
}

#[test]
fn it_is_for_copies_of_backups_that_have_no_level_of_their_own() {
    let Some(root) = Root::privileged() else {
        return;
    };
    root.run("syncwpar -D -A")
        .stdout("there is no workload partition that this applies to\n")
        .check();
    root.wpar(["mkwpar", "-C", "-t", "-n", "w1", "-B"])
        .arg(root.image("backup.tar"))
        .any_stdout()
        .any_stderr()
        .check();
    root.run("syncwpar -D w1")
        .status(1)
        .complaint(&["w1 is versioned", "chwpar -K -C w1"])
        .check();
    root.run("syncwpar w1")
        .status(1)
        .complaint(&["w1 has a /usr of its own", "syncwpar -D w1"])
        .check();
    root.run("chwpar -K -C w1")
        .any_stdout()
        .any_stderr()
        .check();
    let list = root.beside("list");
    fs::write(&list, "# those of today\nw1\n\n").unwrap();
    // The archive has no packages in it.
    root.wpar(["syncwpar", "-D", "-f"])
        .arg(&list)
        .status(1)
        .complaint(&["the copy has no package data base"])
        .check();
    root.run("syncwpar -D -R w1")
        .status(1)
        .complaint(&["never brought to the level of the host"])
        .check();
}
