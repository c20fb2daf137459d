//! Manual pages and completions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::Root;

fn files(dir: &Path) -> BTreeMap<String, String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn the_manual_pages_are_current() {
    let root = Root::new();
    let fresh = root.beside("man");
    fs::create_dir(&fresh).unwrap();
    root.wpar(["generate-man"]).arg(&fresh).check();
    let committed = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("man"));
    let fresh = files(&fresh);
    assert_eq!(
        committed.keys().collect::<Vec<_>>(),
        fresh.keys().collect::<Vec<_>>()
    );
    for (name, text) in fresh {
        assert_eq!(
            committed[&name], text,
            "{name}: run 'wpar generate-man man'"
        );
    }
}

#[test]
fn every_command_has_a_page_with_examples() {
    let pages = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("man"));
    for verb in [
        "mkwpar",
        "startwpar",
        "stopwpar",
        "rebootwpar",
        "rmwpar",
        "lswpar",
        "clogin",
        "wparexec",
        "mksysb",
        "mkszfile",
        "lsmksysb",
        "savewpar",
        "restwpar",
        "wpar-install-links",
        "wpar-mount",
        "wpar-umount",
        "wpar-index",
        "wpar-diff",
    ] {
        let page = &pages[&format!("{verb}.8")];
        for section in [
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "EXAMPLES",
            "EXIT STATUS",
            "FILES",
        ] {
            assert!(
                page.contains(&format!(".SH {section}"))
                    || page.contains(&format!(".SH \"{section}\"")),
                "{verb}: no {section}"
            );
        }
    }
}

#[test]
fn shells_get_completions_for_the_links_too() {
    let root = Root::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = root
            .run(&format!("generate-completions {shell}"))
            .any_stdout()
            .check();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("mkwpar") && text.contains("backup"),
            "{shell}"
        );
    }
}
