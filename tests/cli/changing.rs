//! `chwpar`: what it changes, and what it refuses.

use std::fs;

use serde_json::{Value, json};

use crate::support::Root;

fn record(root: &Root, name: &str) -> Value {
    let text = fs::read(root.state(&format!("registry/{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A WPAR of a small archive, whose record is returned.
fn made(root: &Root, name: &str) -> Value {
    root.wpar(["mkwpar", "-C", "-t", "-n", name, "-B"])
        .arg(root.image("backup.tar"))
        .any_stdout()
        .any_stderr()
        .check();
    record(root, name)
}

#[test]
fn settings_are_changed_and_taken_away_again() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let before = made(&root, "w1");
    let change = |line: &str| root.run(line).stdout("w1 was changed\n").check();
    change("chwpar -A -M size=20M inodes=500 w1");
    let now = record(&root, "w1");
    assert_eq!(now["auto"], true);
    assert_eq!(now["limits"], json!({"size": 20 << 20, "inodes": 500}));
    change("chwpar -M size=30M w1");
    assert_eq!(
        record(&root, "w1")["limits"],
        json!({"size": 30 << 20, "inodes": 500})
    );
    change("chwpar -K -A -M size inodes w1");
    assert_eq!(record(&root, "w1"), before);
}

#[test]
fn a_host_name_is_changed_in_the_store_as_well() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let before = made(&root, "w1");
    root.run("chwpar -h mail.example.org w1")
        .stdout("w1 was changed\n")
        .check();
    assert_eq!(record(&root, "w1")["hostname"], "mail.example.org");
    let tree = root.state("stores/w1/tree/etc");
    let read = |name: &str| fs::read_to_string(tree.join(name)).unwrap();
    assert_eq!(read("hostname"), "mail.example.org\n");
    assert!(read("hosts").contains("mail.example.org") && !read("hosts").contains("w1"));
    let machine_id = before["uuid"].as_str().unwrap().replace('-', "");
    assert_eq!(read("machine-id").trim(), machine_id);
    root.run("chwpar -K -h w1")
        .stdout("w1 was changed\n")
        .check();
    assert_eq!(read("hostname"), "w1\n");
}

#[test]
fn a_new_name_takes_everything_along() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let before = made(&root, "w1");
    root.run("chwpar -n w2 w1")
        .stdout("w1 is called w2 now\n")
        .check();
    let after = record(&root, "w2");
    assert_eq!(
        (&after["uuid"], &after["ids"]),
        (&before["uuid"], &before["ids"])
    );
    assert_eq!(after["hostname"], "w1", "as in AIX");
    assert!(root.path().join("wpars/w2").is_dir());
    for left in root.leftovers() {
        assert!(!left.to_string_lossy().contains("w1"), "{}", left.display());
    }
    root.run("chwpar -A w1")
        .status(1)
        .complaint(&["0960-419"])
        .check();
    // What names it is free, and what took the name keeps it.
    made(&root, "w1");
    root.run("chwpar -n w2 w1")
        .status(1)
        .complaint(&["there is a workload partition called w2 already"])
        .check();
    root.run("rmwpar w2").stdout("w2 is removed\n").check();
    root.run("rmwpar w1").stdout("w1 is removed\n").check();
    assert!(root.leftovers().is_empty(), "{:?}", root.leftovers());
}

#[test]
fn a_base_directory_is_moved_to() {
    let Some(root) = Root::privileged() else {
        return;
    };
    made(&root, "w1");
    let usual = root.path().join("wpars/w1");
    let other = root.beside("elsewhere");
    root.wpar(["chwpar", "-d"])
        .arg(&other)
        .arg("w1")
        .stdout("w1 was changed\n")
        .check();
    assert!(other.is_dir() && !usual.exists());
    assert_eq!(record(&root, "w1")["directory"], other.to_str().unwrap());
    root.run("chwpar -K -d w1")
        .stdout("w1 was changed\n")
        .check();
    assert!(usual.is_dir() && !other.exists());
    fs::create_dir(&other).unwrap();
    fs::write(other.join("theirs"), "").unwrap();
    root.wpar(["chwpar", "-d"])
        .arg(&other)
        .arg("w1")
        .status(1)
        .complaint(&["is not empty"])
        .check();
    assert_eq!(record(&root, "w1")["directory"], usual.to_str().unwrap());
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let before = made(&root, "w1");
    for (line, status, says) in [
        ("chwpar w1", 2, "nothing is to be changed"),
        ("chwpar -h -- w1", 2, "a value is missing"),
        ("chwpar -K -h x -- w1", 2, "-K takes no value"),
        ("chwpar -K -M size=1G -- w1", 2, "-K takes names"),
        ("chwpar -M vfs=jfs2 w1", 2, "has no attribute"),
        ("chwpar -M size=1G", 2, "missing <NAME>"),
        ("chwpar -n a/b w1", 2, "is no name"),
        ("chwpar -h a_b! w1", 2, "a_b!"),
        ("chwpar -A nobody", 1, "0960-419"),
    ] {
        root.run(line).status(status).complaint(&[says]).check();
        assert_eq!(record(&root, "w1"), before, "{line}");
    }
    root.record("clone", json!({}));
    root.run("chwpar -C clone")
        .status(1)
        .complaint(&["is no copy of an image"])
        .check();
}
