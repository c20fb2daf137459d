//! An ordinary user is told what to do, and may read what the modes allow.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::program::copy_program;
use crate::support::{PROGRAM, Root, Test};

/// `nobody` in all distributions.
const NOBODY: u32 = 65_534;

#[test]
fn an_ordinary_user_is_told_to_use_sudo() {
    let Some(root) = Root::privileged() else {
        return;
    };
    root.record("w1", serde_json::json!({}));
    // A copy that anybody may run, whatever the modes of the build directory are.
    fs::set_permissions(root.beside(""), fs::Permissions::from_mode(0o755)).unwrap();
    let program = root.beside("wpar");
    copy_program(PROGRAM, &program);
    for line in [
        "mkwpar -t -n w2",
        "startwpar w1",
        "stopwpar w1",
        "rebootwpar w1",
        "rmwpar w1",
        "clogin w1 true",
        "wparexec -t -- true",
    ] {
        let verb = line.split(' ').next().unwrap();
        let status = if matches!(verb, "clogin" | "wparexec") {
            125
        } else {
            1
        };
        Test::new(&program, &root)
            .args(line.split(' '))
            .with(|command| {
                command.uid(NOBODY).gid(NOBODY);
            })
            .status(status)
            .complaint(&[
                &format!("{verb}: {verb} needs root: "),
                &format!("sudo {verb}"),
            ])
            .check();
    }
    // The list is for everybody who may read the registry.
    let as_nobody = || {
        Test::new(&program, &root)
            .args(["lswpar", "-q", "-a", "name,state"])
            .with(|command| {
                command.uid(NOBODY).gid(NOBODY);
            })
    };
    as_nobody().stdout("w1  D\n").check();
    fs::set_permissions(root.state(""), fs::Permissions::from_mode(0o700)).unwrap();
    as_nobody()
        .status(1)
        .complaint(&[
            "lswpar: cannot read [ROOT]/var/lib/wpar/registry: permission denied",
            "sudo",
        ])
        .check();
}
