//! `rmwpar`, `rmwpar -p` and the sweep after commands that were killed.

use std::fs;

use serde_json::json;

use crate::support::Root;

fn make(root: &Root, name: &str) {
    let image = root.image("backup.tar");
    root.wpar(["mkwpar", "-t", "-n", name, "-B"])
        .arg(image)
        .any_stdout()
        .any_stderr()
        .check();
}

#[test]
fn everything_goes() {
    let Some(root) = Root::privileged() else {
        return;
    };
    make(&root, "w1");
    root.run("rmwpar w1").stdout("w1 is removed\n").check();
    assert!(root.leftovers().is_empty(), "{:?}", root.leftovers());
    for line in [
        "rmwpar w1",
        "rmwpar -F w1",
        "rmwpar -p w1",
        "startwpar w1",
        "stopwpar -F w1",
    ] {
        root.run(line)
            .status(1)
            .complaint(&["0960-419", "w1"])
            .check();
    }
    assert!(root.leftovers().is_empty(), "{:?}", root.leftovers());
}

#[test]
fn wrong_states_are_refused() {
    let Some(root) = Root::privileged() else {
        return;
    };
    make(&root, "w1");
    for line in ["stopwpar w1", "stopwpar -F w1", "rebootwpar w1"] {
        root.run(line)
            .status(1)
            .complaint(&["w1 is not active; start it with 'startwpar w1'"])
            .check();
    }
    root.run("clogin w1 true")
        .status(125)
        .stderr("clogin: w1 is defined; start it with 'startwpar w1'\n")
        .check();
}

#[test]
fn a_broken_one_is_removed_by_force_only() {
    let Some(root) = Root::privileged() else {
        return;
    };
    make(&root, "w1");
    // What a supervisor leaves that could not take everything away.
    fs::create_dir(root.path().join("run/wpar/w1")).unwrap();
    root.failed_run("w1");
    root.run("lswpar -q -a state").stdout("B\n").check();
    root.run("rmwpar w1")
        .status(1)
        .complaint(&["w1 is broken; ", "rmwpar -F w1"])
        .check();
    root.run("startwpar w1")
        .status(1)
        .complaint(&["w1 is broken; ", "stopwpar -F w1"])
        .check();
    root.run("stopwpar w1")
        .status(1)
        .complaint(&["w1 is broken; ", "stopwpar -F w1"])
        .check();
    root.run("stopwpar -F w1").stdout("w1 is stopped\n").check();
    root.run("lswpar -q -a state").stdout("D\n").check();
    fs::create_dir(root.path().join("run/wpar/w1")).unwrap();
    root.failed_run("w1");
    root.run("rmwpar -F w1").stdout("w1 is removed\n").check();
    assert!(root.leftovers().is_empty(), "{:?}", root.leftovers());
}

#[test]
fn a_kept_store_is_used_again_with_its_identity_and_numbers() {
    let Some(root) = Root::privileged() else {
        return;
    };
    make(&root, "w1");
    let record = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(root.state(path)).unwrap()).unwrap()
    };
    let before = record("registry/w1.json");
    fs::write(root.state("stores/w1/marker"), "still here").unwrap();
    root.run("rmwpar -p w1")
        .stdout(
            "w1 is removed; its store [ROOT]/var/lib/wpar/stores/w1 is kept for 'mkwpar -p -n w1'\n",
        )
        .check();
    root.run("lswpar").check();
    root.run("rmwpar -p w1")
        .status(1)
        .complaint(&["removed already", "'rmwpar w1'"])
        .check();
    // The name is not free for another WPAR, and the store not for another source.
    root.run("mkwpar -t -n w1")
        .status(1)
        .complaint(&[
            "kept the store of an earlier w1; ",
            "'mkwpar -p -n w1'",
            "'rmwpar w1'",
        ])
        .check();
    root.run("mkwpar -p -t -n w1")
        .status(2)
        .complaint(&["belongs to ", "backup.tar"])
        .check();
    root.run("mkwpar -p -n w2")
        .status(1)
        .complaint(&["no store of a WPAR called w2"])
        .check();
    root.run("mkwpar -p -n w1")
        .any_stdout()
        .any_stderr()
        .check();
    let after = record("registry/w1.json");
    for key in ["uuid", "ids", "hostname", "source"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(
        fs::read_to_string(root.state("stores/w1/marker")).unwrap(),
        "still here"
    );
    assert!(!root.state("kept/w1.json").exists());
    root.run("rmwpar -p w1").any_stdout().check();
    root.run("rmwpar w1")
        .stdout("the kept store of w1 is removed\n")
        .check();
    assert!(root.leftovers().is_empty(), "{:?}", root.leftovers());
}

#[test]
fn a_damaged_record_is_removed_by_force() {
    let Some(root) = Root::privileged() else {
        return;
    };
    make(&root, "w1");
    fs::write(root.state("registry/w1.json"), "not a record").unwrap();
    root.run("rmwpar w1")
        .status(1)
        .complaint(&["registry/w1.json is damaged", "-F"])
        .check();
    root.run("rmwpar -F w1")
        .stdout("w1 is removed\n")
        .any_stderr()
        .check();
    assert!(root.leftovers().is_empty(), "{:?}", root.leftovers());
}

/// A note of a process that does not live: of another boot of the host.
fn dead_note(root: &Root, name: &str) {
    let note = json!({
        "operation": "create",
        "owner": {"pid": 1, "started": 1, "boot": "another"},
        "directory": root.path().join("wpars").join(name),
        "store": true,
        "ids": {"first": 1_073_741_824u32, "count": 65_536},
    });
    fs::create_dir_all(root.state("stores").join(name).join("tree/etc")).unwrap();
    fs::create_dir_all(root.path().join("wpars").join(name)).unwrap();
    fs::create_dir_all(root.state("registry")).unwrap();
    let path = root.state("registry").join(format!("{name}.pending.json"));
    fs::write(path, note.to_string()).unwrap();
}

#[test]
fn what_a_killed_command_left_is_swept_by_any_command() {
    let Some(root) = Root::privileged() else {
        return;
    };
    for line in [
        "lswpar",
        "rmwpar nobody",
        "startwpar nobody",
        "stopwpar nobody",
    ] {
        dead_note(&root, "half");
        root.run(line)
            .status(i32::from(line != "lswpar"))
            .any_stderr()
            .check();
        assert!(
            root.leftovers().is_empty(),
            "{line}: {:?}",
            root.leftovers()
        );
    }
}

#[test]
fn a_throw_away_one_goes_when_its_command_is_gone() {
    let Some(root) = Root::privileged() else {
        return;
    };
    make(&root, "w1");
    let path = root.state("registry/w1.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["kind"] = json!("application");
    record["owner"] = json!({"pid": 1, "started": 1, "boot": "another"});
    fs::write(&path, record.to_string()).unwrap();
    root.run("lswpar")
        .stderr("lswpar: removed w1, whose wparexec is gone\n")
        .check();
    assert!(root.leftovers().is_empty(), "{:?}", root.leftovers());
}
