//! The suite with small trees: that every workload works on every subject that is installed, that the
//! report is whole, and that nothing is left behind, whatever ends it. No figure is looked at.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why the suite cannot run here; said loudly, or an error where tests must run.
fn skip(test: &str) -> bool {
    let wpar = Path::new(env!("CARGO_BIN_EXE_wpar-bench")).with_file_name("wpar");
    let why = if !rustix::process::geteuid().is_root() {
        "mounting needs root"
    } else if !Path::new("/dev/fuse").exists() {
        "there is no /dev/fuse"
    } else if !wpar.is_file() {
        "wpar is not built; 'cargo build' builds it"
    } else {
        return false;
    };
    assert!(
        std::env::var_os("WPAR_TESTS_MUST_RUN").is_none_or(|value| value != "1"),
        "{test} must run, but: {why}"
    );
    // Not `eprintln!`, which the test harness would keep to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    true
}

/// The benchmark with small trees in `work`.
fn quick(work: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wpar-bench"));
    command.arg("quick").arg("--work").arg(work).args(words);
    command
}

fn success(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A directory on a disk: memory file systems lack what an upper needs.
fn workplace() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("wpar-bench-test-")
        .tempdir_in("/var/tmp")
        .unwrap()
}

fn mounts(below: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    points
        .map(PathBuf::from)
        .filter(|point| point.starts_with(below))
        .collect()
}

fn assert_clean(work: &Path) {
    assert_eq!(mounts(work), Vec::<PathBuf>::new());
    let left: Vec<_> = fs::read_dir(work)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

fn eventually(goal: &str, mut what: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < PATIENCE, "never: {goal}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_workload_works_on_every_subject_and_the_report_is_whole() {
    if skip("every_workload_works_on_every_subject_and_the_report_is_whole") {
        return;
    }
    let (work, record) = (workplace(), tempfile::tempdir().unwrap());
    // Programs at their work have tests of their own.
    let groups = "metadata,data,writing,growth";
    let options = [
        "--only",
        groups,
        "--record",
        record.path().to_str().unwrap(),
    ];
    let printed = success(quick(work.path(), &options)).stdout;
    assert_clean(work.path());
    let text = String::from_utf8(printed).unwrap();
    assert!(text.contains("the figures mean nothing"), "{text}");

    let json = fs::read_to_string(record.path().join("suite.json")).unwrap();
    let results: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&results["format"], &results["version"]),
        (&"wpar-bench suite".into(), &1.into())
    );
    // How others do on this kernel is not ours to test.
    let failures = results["failures"].as_array().unwrap().iter();
    let of_ours = |failure: &&Value| failure["subject"].as_str().unwrap().starts_with("ours");
    assert_eq!(
        failures.filter(of_ours).collect::<Vec<_>>(),
        Vec::<&Value>::new()
    );
    let names = |list: &str| -> Vec<String> {
        let list = results[list].as_array().unwrap().iter();
        list.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    for subject in ["native", "copy", "ours", "ours-device", "ours-tar"] {
        assert!(
            names("subjects").iter().any(|name| name == subject),
            "{subject} did not take part"
        );
    }
    let rows = results["rows"].as_array().unwrap();
    for done in results["workloads"].as_array().unwrap() {
        for what in done["measures"].as_array().unwrap() {
            let mut values = rows
                .iter()
                .filter(|row| row["workload"] == done["name"] && row["what"] == *what)
                .flat_map(|row| row["values"].as_array().unwrap());
            let all_positive = values.all(|value| value.as_f64().unwrap() > 0.0);
            let ours = rows.iter().any(|row| {
                row["workload"] == done["name"]
                    && row["what"] == *what
                    && row["subject"].as_str().unwrap().starts_with("ours")
            });
            assert!(all_positive && ours, "{} {what}", done["name"]);
        }
    }
    for group in ["metadata", "data", "writing", "growth"] {
        assert!(
            text.contains(&format!("## {group}, medians")),
            "{group} is missing\n{text}"
        );
    }
    for chart in ["suite-writing.svg", "suite-image-size-walk.svg"] {
        let svg = fs::read_to_string(record.path().join(chart)).unwrap();
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
    }
    assert!(
        !json.contains(work.path().to_str().unwrap()),
        "a path of the machine got in"
    );
}

#[test]
fn only_what_is_named_takes_part_and_wrong_names_are_refused() {
    if skip("only_what_is_named_takes_part_and_wrong_names_are_refused") {
        return;
    }
    let work = workplace();
    let output = success(quick(
        work.path(),
        &["--only", "listing", "--subjects", "native,copy"],
    ));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("| listing first | native |"), "{text}");
    assert!(!text.contains("walk") && !text.contains("ours"), "{text}");
    let refused = quick(work.path(), &["--only", "listening"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("no workload listening"), "{said}");
    assert_clean(work.path());
}

/// A run that does not end by itself, once something is mounted.
fn endless(work: &Path, subject: &str) -> Child {
    let options = [
        "--only",
        "walk",
        "--runs",
        "1000000",
        "--patience",
        "86400",
        "--subjects",
        subject,
    ];
    let mut command = quick(work, &options);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    eventually("a mount", || !mounts(work).is_empty());
    child
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    if skip("an_interrupted_run_leaves_nothing") {
        return;
    }
    let work = workplace();
    let mut child = endless(work.path(), "ours");
    // Not SIGINT: who runs tests in the background of a shell has it ignored.
    signal(&child, rustix::process::Signal::TERM);
    let mut ended = None;
    eventually("the end", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(1));
    assert_clean(work.path());
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    if skip("what_a_killed_run_left_is_removed_by_the_next") {
        return;
    }
    let work = workplace();
    let mut child = endless(work.path(), "ours");
    signal(&child, rustix::process::Signal::KILL);
    child.wait().unwrap();
    let output = success(quick(
        work.path(),
        &["--only", "exec", "--subjects", "native"],
    ));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("1 killed run"), "{said}");
    assert_clean(work.path());
}
