//! Privileges, given and taken: in the first program, in sessions, and on the host not at all.

use crate::cell::{Cell, NAME, Outcome};
use crate::common::skip::need;

/// Effective capabilities of a program that root of the WPAR runs.
fn capabilities(cell: &Cell) -> u64 {
    let line = cell.world.inside(NAME, "grep CapEff /proc/self/status");
    let set = line.split_whitespace().last().expect("a set");
    u64::from_str_radix(set, 16).expect("a number")
}

#[test]
fn a_privilege_that_is_taken_away_is_gone_for_root_of_the_wpar_too() {
    let cell = need!(Cell::without_wpar());
    let tree = need!(cell.tree("tree"));
    cell.world.mkwpar(&tree, NAME);
    let start = || cell.world.ok(&format!("startwpar {NAME}"));
    let stop = || cell.world.ok(&format!("stopwpar -F {NAME}"));

    start();
    let all = capabilities(&cell);
    let bind = ["bind", "80"];
    assert_eq!(cell.inside(&bind).0, Outcome::Escaped, "by default");
    assert_eq!(cell.inside(&["mount", "tmpfs"]).0, Outcome::Escaped);
    assert_eq!(cell.inside(&["system-call", "keyctl"]).0, Outcome::Held);
    stop();

    let line = format!("chwpar -S privs-=PV_NET_PORT,PV_FS_MOUNT privs+=PV_KER_KEY {NAME}");
    cell.world.ok(&line);
    start();
    let fewer = capabilities(&cell);
    assert_eq!(all & !fewer, 1 << 10, "{all:x} {fewer:x}");
    for (probe, expected) in [
        (&["bind", "80"][..], Outcome::Held),
        (&["mount", "tmpfs"], Outcome::Held),
        (&["system-call", "keyctl"], Outcome::Escaped),
        (&["system-call", "bpf"], Outcome::Held),
    ] {
        let (outcome, said) = cell.inside(probe);
        assert_eq!(outcome, expected, "{probe:?}: {said}");
    }
    // Nor does the first program have it, from which all others come.
    let first = cell.world.inside(NAME, "grep CapBnd /proc/1/status");
    let first = u64::from_str_radix(first.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(first & 1 << 10, 0, "{first:x}");
    let listed = cell.world.ok(&format!("lswpar -cqS -a privs {NAME}"));
    assert!(listed.text().contains("PV_KER_KEY"), "{listed}");
    assert!(!listed.text().contains("PV_NET_PORT"), "{listed}");
    stop();

    cell.world.ok(&format!("chwpar -K -S privs {NAME}"));
    start();
    assert_eq!(capabilities(&cell), all);
    cell.end();
}

#[test]
fn a_privilege_over_the_host_is_refused_with_the_reason() {
    let cell = need!(Cell::new());
    for (name, why) in [
        ("PV_ROOT", "outside of the user namespace"),
        ("PV_KER_EXTCONF", "kernel extensions are the host's"),
        ("PV_KER_TIME", "the clock is the host's"),
    ] {
        let line = format!("chwpar -S privs+={name} {NAME}");
        cell.world.refused(&line, &[why]);
    }
    let line = format!("chwpar -S privs+=PV_WHATEVER {NAME}");
    cell.world.refused(&line, &["no privilege 'PV_WHATEVER'"]);
    cell.end();
}

#[test]
fn a_throw_away_wpar_and_a_specification_file_take_privileges() {
    let cell = need!(Cell::without_wpar());
    let tree = need!(cell.tree("tree"));
    let run = |settings: &str| {
        let words = ["wparexec", "-t", "-S", settings, "-B"];
        let run = cell.world.wpar(words).arg(&tree);
        run.args(["--", "/probe", "bind", "80"]).output().code()
    };
    assert_eq!(run("privs-=PV_FS_CHROOT"), 0);
    assert_eq!(run("privs-=PV_NET_PORT"), 1);

    let file = cell.world.scratch().join("spec");
    let written = cell.world.wpar_as_is([
        "mkwpar",
        "-t",
        "-n",
        NAME,
        "-w",
        "-S",
        "privs-=PV_NET_PORT",
        "-o",
    ]);
    written.arg(&file).arg("-B").arg(&tree).ok();
    cell.world
        .wpar_as_is(["mkwpar", "-C", "-f"])
        .arg(&file)
        .ok();
    cell.world.ok(&format!("startwpar {NAME}"));
    let (outcome, said) = cell.inside(&["bind", "80"]);
    assert_eq!(outcome, Outcome::Held, "{said}");
    cell.end();
}
