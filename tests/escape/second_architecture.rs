//! Programs of the processor's second architecture: they run, and are filtered as well.
#![cfg(target_arch = "x86_64")]

use crate::cell::{Cell, NAME, compile, sources};
use crate::common::run::Run;
use crate::common::skip::{need, skipped};

#[test]
fn programs_for_i386_run_and_are_filtered_by_their_own_numbers() {
    let cell = need!(Cell::without_wpar());
    let program = cell.world.scratch().join("i386");
    let flags = [
        "-m32",
        "-nostdlib",
        "-static",
        "-O1",
        "-fno-stack-protector",
        "-fno-pic",
        "-no-pie",
    ];
    need!(compile(&program, &flags, &sources("i386")));
    // 8: no call was refused.
    let outside = Run::new("sh", ["-c", "\"$1\"; echo $?", "sh"])
        .arg(&program)
        .ok();
    if outside.text() != "8" {
        return skipped(
            "programs_for_i386_run_and_are_filtered_by_their_own_numbers",
            &format!("this kernel runs no programs for i386: {outside}"),
        );
    }
    let tree = need!(cell.tree("tree"));
    cell.put(&program, &tree.join("i386"));
    cell.world.mkwpar(&tree, NAME);
    cell.world.ok(&format!("startwpar {NAME}"));
    // 15: each was, with the right error.
    assert_eq!(cell.world.inside(NAME, "/i386; echo $?"), "15");
    cell.end();
}
