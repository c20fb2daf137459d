//! Specification files of `mkwpar`, and templates.

use std::fs;

use serde_json::{Value, json};

use crate::support::Root;

fn record(root: &Root, name: &str) -> Value {
    let text = fs::read(root.state(&format!("registry/{name}.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A record without what is another one's for each WPAR.
fn settings(root: &Root, name: &str) -> Value {
    let mut record = record(root, name);
    for own in [
        "name",
        "uuid",
        "hostname",
        "directory",
        "directory_created",
        "ids",
        "created",
    ] {
        record.as_object_mut().unwrap().remove(own);
    }
    record
}

#[test]
fn what_is_written_makes_the_same_wpar() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("backup.tar");
    let file = root.beside("web.spec");
    root.wpar([
        "mkwpar",
        "-t",
        "-C",
        "-A",
        "-n",
        "w1",
        "-h",
        "w1.example.org",
    ])
    .args([
        "-T",
        "preserve_wpars=yes",
        "-M",
        "size=20M",
        "inodes=500",
        "-o",
    ])
    .arg(&file)
    .arg("-B")
    .arg(&image)
    .stdout("w1 was made\n")
    .any_stderr()
    .check();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(
        text,
        format!(
            "general:\n\tname = \"w1\"\n\thostname = \"w1.example.org\"\n\tauto = \"yes\"\n\n\
             options:\n\tsystemcopy = \"yes\"\n\tbackup = \"{}\"\n\tversioned = \"yes\"\n\n\
             mount:\n\tdirectory = \"/\"\n\tsize = \"20M\"\n\tinodes = \"500\"\n\n\
             copy_controls:\n\tpreserve_wpars = \"yes\"\n",
            image.display()
        )
    );
    let before = record(&root, "w1");
    root.run("rmwpar w1").any_stdout().check();
    root.wpar(["mkwpar", "-f"])
        .arg(&file)
        .stdout("w1 was made\n")
        .any_stderr()
        .check();
    assert_eq!(settings(&root, "w1"), {
        root.record("old", before.clone());
        fs::write(root.state("registry/old.json"), before.to_string()).unwrap();
        settings(&root, "old")
    });
    fs::remove_file(root.state("registry/old.json")).unwrap();
    assert_eq!(record(&root, "w1")["hostname"], "w1.example.org");
    assert_eq!(
        record(&root, "w1")["limits"],
        json!({"size": 20 << 20, "inodes": 500})
    );
    // The command line wins, for this one.
    root.wpar(["mkwpar", "-n", "w2", "-h", "w2", "-M", "inodes=900", "-f"])
        .arg(&file)
        .any_stdout()
        .any_stderr()
        .check();
    let second = record(&root, "w2");
    assert_eq!(
        (&second["hostname"], &second["auto"]),
        (&json!("w2"), &json!(true))
    );
    assert_eq!(second["limits"], json!({"size": 20 << 20, "inodes": 900}));
    // And one like it, but for who it is.
    root.run("mkwpar -e w2 -n w3")
        .stdout("w3 was made\n")
        .any_stderr()
        .check();
    assert_eq!(settings(&root, "w3"), settings(&root, "w2"));
    assert_eq!(record(&root, "w3")["hostname"], "w3");
    root.run("mkwpar -e nobody -n w4")
        .status(1)
        .complaint(&["0960-419"])
        .check();
}

#[test]
fn only_writing_makes_nothing_and_needs_no_privilege() {
    let root = Root::new();
    let file = root.beside("x.spec");
    root.wpar(["mkwpar", "-t", "-w", "-n", "w1", "-d", "/wpars/x", "-o"])
        .arg(&file)
        .stdout(&format!("{} was written\n", file.display()))
        .check();
    assert!(!root.path().exists());
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "general:\n\tname = \"w1\"\n\tdirectory = \"/wpars/x\"\n\noptions:\n\tsystemcopy = \"yes\"\n"
    );
    root.run("mkwpar -t -n w1 -w")
        .status(2)
        .complaint(&["missing --output"])
        .check();
}

#[test]
fn a_mistake_is_told_with_file_and_line_and_nothing_is_made() {
    let root = Root::new();
    let file = root.beside("bad.spec");
    for (text, line, says) in [
        (
            "general:\n\tname = \"w1\"\n\n\tcolour = \"red\"\n",
            4,
            "no key 'colour'",
        ),
        ("network:\n\taddress = \"192.0.2\"\n", 2, "IPv4 address"),
        ("whatever\n", 1, "neither"),
    ] {
        fs::write(&file, text).unwrap();
        root.wpar(["mkwpar", "-t", "-f"])
            .arg(&file)
            .status(2)
            .complaint(&[&format!("{}:{line}: ", file.display()), says])
            .check();
    }
    fs::write(&file, [0xff, 0xfe]).unwrap();
    root.wpar(["mkwpar", "-f"])
        .arg(&file)
        .status(1)
        .complaint(&["cannot read"])
        .check();
    root.run("mkwpar -f /none")
        .status(1)
        .complaint(&["/none", "no such file"])
        .check();
    assert!(!root.path().exists());
}

#[test]
fn an_identity_is_taken_from_a_file_once() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let file = root.beside("x.spec");
    let uuid = "6f2c1c0e-8a51-4a5e-9d4e-2f3c5a7b9e77";
    let text =
        format!("general:\n\tuuid = \"{uuid}\"\noptions:\n\tsystemcopy = yes\n\tversioned = yes\n");
    fs::write(&file, text).unwrap();
    let make = |name: &str| {
        root.wpar(["mkwpar", "-n", name, "-B"])
            .arg(root.image("b.tar"))
            .arg("-f")
            .arg(&file)
    };
    make("w1").any_stdout().any_stderr().check();
    assert_eq!(record(&root, "w1")["uuid"], uuid);
    make("w2")
        .status(1)
        .complaint(&[&format!("the UUID {uuid} is that of w1")])
        .check();
}
