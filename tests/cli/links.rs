//! `install-links`, and being called by the name of a verb.

use std::fs;

use crate::support::{PROGRAM, Root, Test};

const VERBS: [&str; 17] = [
    "chwpar",
    "clogin",
    "lsmksysb",
    "lswpar",
    "mksysb",
    "mkszfile",
    "mkwpar",
    "oslevel",
    "rebootwpar",
    "restwpar",
    "rmwpar",
    "savewpar",
    "startwpar",
    "stopwpar",
    "syncwpar",
    "wparerr",
    "wparexec",
];

#[test]
fn each_verb_gets_a_link_that_is_that_verb() {
    let root = Root::new();
    let dir = root.beside("bin");
    fs::create_dir(&dir).unwrap();
    root.wpar(["install-links"]).arg(&dir).any_stdout().check();
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, VERBS);
    // A second time nothing changes.
    root.wpar(["install-links"]).arg(&dir).any_stdout().check();
    for verb in VERBS {
        let link = dir.join(verb);
        assert_eq!(
            fs::canonicalize(&link).unwrap(),
            fs::canonicalize(PROGRAM).unwrap()
        );
        let output = Test::new(&link, &root).arg("--help").any_stdout().check();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("Usage: {verb} ")), "{text}");
    }
    root.record("w1", serde_json::json!({}));
    Test::new(dir.join("lswpar"), &root)
        .args(["-q", "-a", "name"])
        .stdout("w1\n")
        .check();
    Test::new(dir.join("lswpar"), &root)
        .arg("--colour")
        .status(2)
        .complaint(&["lswpar: ", "'--colour'", "see 'lswpar --help'"])
        .check();
}

#[test]
fn what_is_there_already_is_replaced_only_by_force() {
    let root = Root::new();
    let dir = root.beside("bin");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("clogin"), "another program").unwrap();
    root.wpar(["install-links"])
        .arg(&dir)
        .status(1)
        .any_stdout()
        .complaint(&["install-links: ", "bin/clogin exists already; use -f"])
        .check();
    assert_eq!(
        fs::read_to_string(dir.join("clogin")).unwrap(),
        "another program"
    );
    root.wpar(["install-links", "-f"])
        .arg(&dir)
        .any_stdout()
        .check();
    assert!(dir.join("clogin").is_symlink());
}

#[test]
fn a_directory_that_does_not_exist_is_named() {
    let root = Root::new();
    root.wpar(["install-links"])
        .arg(root.beside("none"))
        .status(1)
        .complaint(&[
            "install-links: cannot make the link ",
            "/none/mkwpar: no such file",
        ])
        .check();
}
