//! Commands at the same time.

use std::collections::BTreeSet;
use std::fs::{self, File};

use rustix::fs::{FlockOperation, flock};

use crate::support::{Root, code};

#[test]
fn one_of_many_gets_the_name() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("backup.tar");
    let children: Vec<_> = (0..8)
        .map(|_| {
            root.wpar(["mkwpar", "-t", "-n", "w1", "-B"])
                .arg(&image)
                .spawn()
        })
        .collect();
    let outputs: Vec<_> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    let made = outputs
        .iter()
        .filter(|output| output.status.success())
        .count();
    assert_eq!(made, 1);
    for output in outputs.iter().filter(|output| !output.status.success()) {
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(output.status), 1, "{complaint}");
        assert!(
            complaint.contains("called w1 already") || complaint.contains("mkwpar is at work"),
            "{complaint}"
        );
    }
    root.run("lswpar -q -a name").stdout("w1\n").check();
}

#[test]
fn many_names_get_user_numbers_of_their_own() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.image("backup.tar");
    let children: Vec<_> = (0..8)
        .map(|number| {
            let name = format!("w{number}");
            root.wpar(["mkwpar", "-t", "-n", &name, "-B"])
                .arg(&image)
                .spawn()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let output = root.run("lswpar --json").any_stdout().check();
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 8);
    let firsts: BTreeSet<_> = listed
        .iter()
        .map(|row| row["ids"]["first"].as_u64().unwrap())
        .collect();
    assert_eq!(firsts.len(), 8, "{firsts:?}");
    assert!(firsts.iter().all(|first| first % 65_536 == 0), "{firsts:?}");
}

#[test]
fn a_command_that_waits_in_vain_names_the_other_one() {
    let Some(root) = Root::privileged() else {
        return;
    };
    root.record("w1", serde_json::json!({}));
    let path = root.state("locks/w1");
    fs::write(&path, "4711 stopwpar\n").unwrap();
    let lock = File::open(&path).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    for verb in ["startwpar", "stopwpar", "rebootwpar", "rmwpar"] {
        root.run(&format!("{verb} w1"))
            .status(1)
            .stderr(&format!(
                "{verb}: w1: stopwpar is at work (process 4711); try again when it has finished\n"
            ))
            .check();
    }
}
