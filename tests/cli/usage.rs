//! Arguments: what is understood, what is refused, and how.

use std::process::Stdio;

use crate::support::Root;

const VERBS: [&str; 17] = [
    "mkwpar",
    "startwpar",
    "stopwpar",
    "rebootwpar",
    "rmwpar",
    "lswpar",
    "clogin",
    "mksysb",
    "mkszfile",
    "lsmksysb",
    "savewpar",
    "restwpar",
    "wparexec",
    "diff",
    "mount",
    "umount",
    "index",
];

#[test]
fn mistakes_get_one_line_and_status_2() {
    let root = Root::new();
    for (line, parts) in [
        ("", &["wpar: no command was named; see 'wpar --help'"][..]),
        ("nonsense", &["wpar: ", "'nonsense'"]),
        ("mkwpra", &["'mkwpra'", "did you mean 'mkwpar'?"]),
        (
            "mkwpar -t",
            &["mkwpar: missing the name; give one with -n NAME"],
        ),
        ("mkwpar -t -n", &["mkwpar: ", "--name"]),
        ("mkwpar -t -n w1 --colour", &["mkwpar: ", "'--colour'"]),
        (
            "mkwpar -n w1 -B /x",
            &["mkwpar: a standard workload partition has no backup; add -t"],
        ),
        (
            "mkwpar -n w1 -l --shared",
            &["mkwpar: ", "cannot be used with"],
        ),
        (
            "mkwpar -t -n w1 --shared",
            &["mkwpar: a copy of the running system has all of it"],
        ),
        (
            "mkwpar -t -l -B /x -n w1 --usr-from /y",
            &["mkwpar: a system copy with -l has /usr and /opt of its own"],
        ),
        (
            "mkwpar -n w1 -T include=/data",
            &["mkwpar: include and exclude are for system copies"],
        ),
        (
            "mkwpar -t -n w1 -T both",
            &["mkwpar: 'both' is not of the form name=value"],
        ),
        (
            "mkwpar -t -n w1 -T x=yes",
            &["unknown copy control 'x'", "preserve_wpars"],
        ),
        (
            "mkwpar -t -n w1 -T preserve_wpars=1",
            &["preserve_wpars is 'yes' or 'no', not '1'"],
        ),
        (
            "mkwpar -t -n w1 -h a..b",
            &["mkwpar: 'a..b': no part of a host name may be empty"],
        ),
        ("startwpar", &["startwpar: missing <NAME>"]),
        ("rebootwpar a b", &["rebootwpar: ", "'b'"]),
        ("stopwpar -F -h w1", &["stopwpar: ", "--force", "--hard"]),
        ("stopwpar -t soon w1", &["stopwpar: ", "'soon'"]),
        ("stopwpar -t 5 -N w1", &["stopwpar: ", "--timeout"]),
        (
            "lswpar -s X",
            &["lswpar: 'X' is no state; the letters are D, A, L, F, P, T and B"],
        ),
        ("lswpar -t Z", &["lswpar: 'Z' is no type"]),
        (
            "lswpar -a name,colour",
            &["lswpar: there is no field 'colour'; there are name, state"],
        ),
        ("lswpar -c -L", &["lswpar: ", "--colon", "--long"]),
        (
            "lswpar a.b",
            &["lswpar: 'a.b' is no name of a workload partition: ", "'.'"],
        ),
        ("wparexec -t", &["wparexec: missing <COMMAND>"]),
        (
            "wparexec -- true",
            &["wparexec: only system copies can be run; add -t"],
        ),
        ("clogin", &["clogin: missing <NAME>"]),
        ("mount image", &["mount: missing <DIR>"]),
        ("mount -w upper", &["mount: missing <IMAGE>"]),
        ("mount a b c", &["mount: ", "'c'"]),
        ("index", &["index: missing <IMAGE>..."]),
        (
            "index -",
            &["index: '-' needs a file to write to; use 'tar ... | wpar index - -o FILE'"],
        ),
        (
            "index a -o b",
            &["index: -o is for the stream of '-' alone"],
        ),
        ("index -c - -o b", &["index: ", "--check", "--output"]),
        ("diff a", &["diff: missing <B>"]),
        (
            "diff --only colour a.tar b.tar",
            &["diff: there is no section 'colour'; there are identity, packages"],
        ),
        (
            "diff --json --files a.tar b.tar",
            &["diff: ", "--json", "--files"],
        ),
        (
            "diff a.tar none.tar",
            &["diff: cannot open a.tar: no such file"],
        ),
        (
            "diff nobody host",
            &[
                "diff: 0960-419 there is no workload partition called nobody",
                "by its path",
            ],
        ),
    ] {
        root.run(line).status(2).complaint(parts).check();
    }
    assert!(!root.path().exists(), "wrong arguments make nothing");
}

#[test]
fn names_follow_the_rules_of_aix_in_every_verb() {
    let root = Root::new();
    let long = "x".repeat(26);
    for bad in [
        "",
        " ",
        "0a",
        "a.b",
        "..",
        "a/b",
        "a b",
        "a'b",
        "a\nb",
        "gr\u{fc}n",
        &long,
    ] {
        for verb in [
            "startwpar",
            "stopwpar",
            "rebootwpar",
            "rmwpar",
            "lswpar",
            "clogin",
        ] {
            let parts = [verb, "is no name of a workload partition: "];
            root.wpar([verb, bad]).status(2).complaint(&parts).check();
        }
        root.wpar(["mkwpar", "-t", "-n", bad])
            .status(2)
            .complaint(&["is no name"])
            .check();
        let exec = ["wparexec", "-t", "-n", bad, "--", "true"];
        root.wpar(exec).status(2).complaint(&["is no name"]).check();
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let root = Root::new();
    for line in ["--help", "help", "help mkwpar", "--version", "-V"] {
        let output = root.run(line).any_stdout().check();
        assert!(!output.stdout.is_empty(), "{line}");
    }
    for verb in VERBS {
        let output = root.wpar([verb, "--help"]).any_stdout().check();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("Usage: wpar {verb}")), "{text}");
        assert!(text.contains("Examples:"), "{text}");
    }
    let version = root.run("--version").any_stdout().check();
    let expected = format!("wpar {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
}

#[test]
fn nobody_reading_on_is_no_error() {
    let root = Root::new();
    for name in ["a", "b", "c"] {
        root.record(name, serde_json::json!({}));
    }
    for line in [
        "lswpar",
        "lswpar -L",
        "lswpar --json",
        "--help",
        "generate-completions bash",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let test = root.run(line).with(|command| {
            command.stdout(Stdio::from(writer)).stderr(Stdio::piped());
        });
        test.any_stdout().check_streaming();
    }
}

#[test]
fn a_full_standard_output_is_an_error() {
    let root = Root::new();
    root.record("a", serde_json::json!({}));
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let test = root.run("lswpar").status(1).with(|command| {
        command.stdout(Stdio::from(full)).stderr(Stdio::piped());
    });
    test.complaint(&["lswpar: cannot write to standard output: no space left"])
        .check_streaming();
}

#[test]
fn the_root_is_an_option_before_and_behind_the_verb() {
    let root = Root::new();
    root.record("w1", serde_json::json!({}));
    let path = root.path();
    for args in [
        vec![
            "--root".as_ref(),
            path.as_os_str(),
            "lswpar".as_ref(),
            "-qc".as_ref(),
        ],
        vec![
            "lswpar".as_ref(),
            "-qc".as_ref(),
            "--root".as_ref(),
            path.as_os_str(),
        ],
    ] {
        root.wpar(args)
            .with(|command| {
                command.env_remove("WPAR_ROOT");
            })
            .stdout("w1:D:S:w1:/wpars/w1:no\n")
            .check();
    }
}
