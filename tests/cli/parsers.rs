//! What programs that were written for AIX read from `lswpar`: the patterns that three of them use.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::json;

use crate::support::Root;

fn text(root: &Root, line: &str) -> String {
    String::from_utf8(root.run(line).any_stdout().check().stdout).unwrap()
}

fn two() -> Root {
    let root = Root::new();
    root.record("applejack-541ba3", json!({"hostname": "apple.example.org"}));
    root.record(
        "w2",
        json!({"version": 3, "versioned": true, "limits": {"size": 1_048_576, "inodes": null}}),
    );
    root
}

type Section = Vec<String>;

/// As the plugin `virtualization` of Ohai reads `lswpar -L`: blocks from a rule to the last
/// exported device, in them sections that begin with a title in capitals and end at a blank line.
fn ohai(output: &str) -> BTreeMap<String, BTreeMap<String, Section>> {
    let block = Regex::new(r"(?s)={65}.*?(?:EXPORTED\n\n)+").unwrap();
    let section = Regex::new(r"(?ms)^[A-Z]{4,}.*?[A-Z:0-9]$.*?\n\n").unwrap();
    let mut found = BTreeMap::new();
    for block in block.find_iter(output) {
        let block = block.as_str();
        let name = block
            .lines()
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap();
        let mut sections = BTreeMap::new();
        for section in section.find_iter(block) {
            let mut lines: Vec<_> = section.as_str().lines().map(str::to_owned).collect();
            let title = lines.remove(0);
            assert_eq!(lines.pop().as_deref(), Some(""));
            sections.insert(title.to_lowercase(), lines);
        }
        found.insert(name.to_owned(), sections);
    }
    found
}

fn value(section: &Section, key: &str) -> String {
    let line = section
        .iter()
        .find(|line| line.starts_with(&format!("{key}:")));
    let (_, value) = line
        .unwrap_or_else(|| panic!("no {key} in {section:?}"))
        .split_once(':')
        .unwrap();
    value.trim().to_owned()
}

#[test]
fn ohai_finds_every_wpar_and_every_section() {
    let root = two();
    let wpars = ohai(&text(&root, "lswpar -L"));
    assert_eq!(wpars.keys().collect::<Vec<_>>(), ["applejack-541ba3", "w2"]);
    for (name, sections) in &wpars {
        let titles: Vec<_> = sections.keys().map(String::as_str).collect();
        assert_eq!(
            titles,
            [
                "device exports",
                "file systems",
                "general",
                "network",
                "operation",
                "resource controls",
                "security settings",
                "user-specified routes"
            ],
            "{name}"
        );
        assert_eq!(
            value(&sections["general"], "Directory"),
            format!("/wpars/{name}")
        );
        assert_eq!(value(&sections["general"], "Private /usr"), "yes");
        assert_eq!(value(&sections["general"], "UUID").len(), 36);
        assert_eq!(value(&sections["resource controls"], "Active"), "yes");
        let privileges = value(&sections["security settings"], "Privileges");
        assert!(privileges.starts_with("PV_AU_WRITE,PV_DAC_GID,"));
        // Tables: after the headings and the rule, words in fixed places.
        let words = |title: &str| -> Vec<Vec<String>> {
            let rows = sections[title].iter().skip(2);
            rows.map(|row| row.split_whitespace().map(str::to_owned).collect())
                .collect()
        };
        for device in words("device exports") {
            assert_eq!((&*device[1], &*device[2]), ("pseudo", "EXPORTED"));
        }
        let root = &words("file systems")[0];
        assert_eq!((&*root[0], &*root[2]), ("/", "wpar"));
        assert!(root[3].split(',').any(|option| option == "rw"), "{root:?}");
        assert_eq!(words("network")[0][..3], ["lo", "127.0.0.1", "255.0.0.0"]);
    }
    assert_eq!(
        value(&wpars["applejack-541ba3"]["general"], "Hostname"),
        "apple.example.org"
    );
    assert_eq!(value(&wpars["w2"]["general"], "Type"), "L");
}

/// As aix-wpar reads `lswpar -cX`: the first letter is dropped, then it is a table whose first line
/// names the columns. IPv6 addresses apart, no value has a colon.
#[test]
fn tables_with_colons_have_as_many_fields_as_names() {
    let root = two();
    for (view, objects) in [
        ("G", 2),
        ("N", 2),
        ("D", 14),
        ("M", 2),
        ("R", 2),
        ("S", 2),
        ("T", 2),
    ] {
        let text = text(&root, &format!("lswpar -c{view}"));
        let text = text.strip_prefix('#').unwrap();
        let rows: Vec<Vec<_>> = text.lines().map(|line| line.split(':').collect()).collect();
        assert_eq!(rows.len(), objects + 1, "-c{view}");
        for row in &rows {
            assert_eq!(row.len(), rows[0].len(), "-c{view}: {row:?}");
        }
        assert_eq!(rows[0][0], "name");
        assert!(rows.iter().any(|row| row[0] == "w2"));
        // And one by name, as manage_wpar asks.
        let one = self::text(&root, &format!("lswpar -c{view} w2"));
        assert!(
            one.lines().skip(1).all(|line| line.starts_with("w2:")),
            "{one}"
        );
    }
    // There is none of these.
    for view in ["I", "X", "b"] {
        assert_eq!(text(&root, &format!("lswpar -c{view}")), "");
    }
}

/// As UCMDB discovers WPARs: the text `UCMDB` between the fields.
#[test]
fn a_delimiter_may_be_a_word() {
    let root = two();
    let rows = |view: &str| -> Vec<Vec<String>> {
        let text = text(&root, &format!("lswpar -{view} -d UCMDB"));
        let lines = text
            .lines()
            .map(|line| line.split("UCMDB").map(str::to_owned).collect());
        lines.collect()
    };
    let general = rows("G");
    assert_eq!((general[0].len(), &*general[2][2]), (18, "L"));
    assert_eq!(
        rows("N")[1],
        ["applejack-541ba3", "lo", "127.0.0.1", "255.0.0.0", ""]
    );
    let resources = rows("R");
    assert_eq!((&*resources[0][2], &*resources[1][2]), ("active", "yes"));
}

/// As the test-kitchen driver tells whether a WPAR exists.
#[test]
fn a_name_that_nobody_has_is_message_419() {
    let root = two();
    root.run("lswpar nobody")
        .status(1)
        .complaint(&["0960-419"])
        .check();
}

#[test]
fn views_are_tables_and_paragraphs() {
    let root = Root::new();
    root.record("w1", json!({"copy_controls": {"preserve_wpars": true}}));
    root.run("lswpar -M")
        .stdout(
            "\
Name  MountPoint  Device  Vfs   Nodename  Options
--------------------------------------------------
w1    /           /       wpar            rw
",
        )
        .check();
    root.run("lswpar -q -N")
        .stdout("w1  lo  127.0.0.1  255.0.0.0\n")
        .check();
    root.run("lswpar -N -a interface,name")
        .stdout("Interface  Name\n----------------\nlo         w1\n")
        .check();
    root.run("lswpar -cq -D -a devname,devstatus -t S")
        .any_stdout()
        .check();
    root.run("lswpar -q -T")
        .stdout("COPY CONTROLS\nPreserve Private:        no\nPreserve WPARs:          yes\n\n")
        .check();
    root.run("lswpar -cT")
        .stdout("#name:state:preserve_private:preserve_wpars\nw1:D:no:yes\n")
        .check();
    root.run("lswpar -cR -a name,totalPTYs")
        .stdout("#name:totalPTYs\nw1:unlimited\n")
        .check();
    let expected = include_str!("golden/lswpar-L.txt");
    let section = expected.split("RESOURCE CONTROLS\n").nth(1).unwrap();
    let section = section.split("OPERATION").next().unwrap();
    root.run("lswpar -qR w1")
        .stdout(&format!("RESOURCE CONTROLS\n{section}"))
        .check();
    root.run("lswpar -N -a vfs")
        .status(2)
        .complaint(&["this view has no field 'vfs'"])
        .check();
    root.run("lswpar -N -M").status(2).any_stderr().check();
    root.run("lswpar -N -s B").check();
}
