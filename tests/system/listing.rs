//! `lswpar`: the shapes that people and programs read.

use crate::common::fixtures::fixture;
use crate::common::skip::need;
use crate::common::world::World;

#[test]
fn an_empty_list_prints_nothing() {
    let world = need!(World::new());
    let output = world.wpar(["lswpar"]).ok();
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output}"
    );
}

#[test]
fn the_default_table_is_the_one_of_aix() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "wpar1");
    let base = world.root().join("wpars/wpar1");
    let width = base.to_str().expect("a plain path").len();
    let row = format!("wpar1  D      L     wpar1     {}  no", base.display());
    let head = format!(
        "Name   State  Type  Hostname  {:width$}  RootVG WPAR",
        "Directory"
    );
    let output = world.wpar(["lswpar"]).ok();
    let lines: Vec<&str> = output.text().lines().map(str::trim_end).collect();
    assert_eq!(lines.len(), 3, "{output}");
    assert_eq!(lines[0], head, "{output}");
    // In AIX the rule is one longer than the heading.
    assert_eq!(lines[1], "-".repeat(head.len() + 1), "{output}");
    assert_eq!(lines[2], row, "{output}");
    let quiet = world.wpar(["lswpar", "-q"]).ok();
    // Without a heading the columns are as wide as what is in them.
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words(quiet.text()),
        words(&row),
        "-q leaves the heading out\n{quiet}"
    );
    assert_eq!(quiet.text().lines().count(), 1, "{quiet}");
    world.remove_all();
}

#[test]
fn the_colon_form_and_json_say_the_same() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.mkwpar(&image, "two");
    world.ok("startwpar two");
    let colon = world
        .wpar(["lswpar", "-c", "-a", "name,state,type,hostname"])
        .ok();
    assert_eq!(
        colon.text(),
        "#name:state:type:hostname\none:D:L:one\ntwo:A:L:two",
        "{colon}"
    );
    let quiet = world
        .wpar(["lswpar", "-c", "-q", "-a", "name,state", "two"])
        .ok();
    assert_eq!(quiet.text(), "two:A", "{quiet}");
    let json = world.wpar(["lswpar", "--json"]).ok();
    let value: serde_json::Value = serde_json::from_str(json.text())
        .unwrap_or_else(|error| panic!("not JSON: {error}\n{json}"));
    let rows = value
        .as_array()
        .unwrap_or_else(|| panic!("not a list\n{json}"));
    let states: Vec<_> = rows
        .iter()
        .map(|row| (&row["name"], &row["state"]))
        .collect();
    assert_eq!(states.len(), 2, "{json}");
    assert!(
        states
            .iter()
            .any(|(name, state)| *name == "one" && *state == "D"),
        "{json}"
    );
    assert!(
        states
            .iter()
            .any(|(name, state)| *name == "two" && *state == "A"),
        "{json}"
    );
    world.remove_all();
}

#[test]
fn an_unknown_name_has_the_message_number_that_scripts_look_for() {
    let world = need!(World::new());
    world.refused("lswpar nobody", &["0960-419"]);
}

#[test]
fn links_named_after_verbs_are_the_verbs() {
    let world = need!(World::new());
    let links = world.scratch().join("links");
    std::fs::create_dir(&links).expect("a directory for links");
    world.wpar(["install-links"]).arg(&links).ok();
    for verb in [
        "mkwpar",
        "startwpar",
        "stopwpar",
        "rebootwpar",
        "rmwpar",
        "lswpar",
        "chwpar",
        "oslevel",
        "clogin",
        "wparexec",
    ] {
        let link = links.join(verb);
        assert!(link.exists(), "install-links does not make {verb}");
    }
    let listed = crate::common::Run::new(links.join("lswpar"), [] as [&str; 0])
        .env("WPAR_ROOT", world.root())
        .ok();
    assert!(listed.stdout.is_empty(), "{listed}");
}
