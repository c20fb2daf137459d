//! Tables of each family, and the families' own programs where they are installed.

use std::cmp::Ordering;
use std::process::Command;

use super::*;

/// Versions in rising order.
const DPKG: &[&str] = &[
    "0~~",
    "0~~a",
    "0~",
    "0",
    "0a",
    "0+",
    "1.0~beta1~svn1245",
    "1.0~beta1",
    "1.0~rc2",
    "1.0",
    "1.0-0.1",
    "1.0-1~bpo12",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1.1",
    "1.0+dfsg-1",
    "1.0.1-1",
    "1.9-1",
    "1.10-1",
    "2.36-9+deb12u4",
    "2.36-9+deb12u10",
    "1:0.1-1",
    "1:0.1-1ubuntu1",
    "2:0",
];

const RPM: &[&str] = &[
    "0.9~~-1",
    "1.0~rc1-1",
    "1.0~rc1^git1-1",
    "1.0~rc2-1",
    "1.0-1",
    "1.0-1.fc39",
    "1.0-1.fc40",
    "1.0-2",
    "1.0^-1",
    "1.0^20240101-1",
    "1.0^20240102-1",
    "1.0.a-1",
    "1.0.1-1",
    "1.0.010-1",
    "1.0.11-1",
    "2.0.1a-1",
    "2.0.1b-1",
    "2.0.1.1-1",
    "1:0.1-1",
];

const APK: &[&str] = &[
    "0.1.0_alpha_pre2",
    "0.1.0_alpha",
    "0.1.0_alpha2",
    "0.1.0_beta",
    "0.1.0_pre20191002222144-r0",
    "0.1.0_pre20210530193627-r0",
    "0.1.0_rc1",
    "0.1.0",
    "0.1.0-r0",
    "0.1.0-r1",
    "0.1.0-r10",
    "0.1.0_git20200101",
    "0.1.0_p9-r0",
    "0.1.0_p10-r0",
    "0.1.0a",
    "0.1.0b-r1",
    "0.1.0.1",
    "1.00",
    "1.02.07",
    "1.02.10-r1",
    "1.2.11",
    "1.2.12.1",
    "1.3",
    "1.10",
    "20050718_foo",
    "20050718-r1",
];

const PACMAN: &[&str] = &[
    "1.0a", "1.0b", "1.0beta", "1.0p", "1.0pre", "1.0rc", "1.0", "1.0.a", "1.0.1", "1.0.2-1",
    "1.0.2-2", "1.0.10", "1.1", "2.0", "1:0.5",
];

#[track_caller]
fn expect_rising(family: Family, versions: &[&str]) {
    for (a_place, a) in versions.iter().enumerate() {
        for (b_place, b) in versions.iter().enumerate() {
            let expected = a_place.cmp(&b_place);
            assert_eq!(family.compare(a, b), expected, "{family}: {a} and {b}");
        }
    }
}

#[test]
fn versions_are_in_the_order_of_their_family() {
    expect_rising(Family::Dpkg, DPKG);
    expect_rising(Family::Rpm, RPM);
    expect_rising(Family::Apk, APK);
    expect_rising(Family::Pacman, PACMAN);
}

#[test]
fn different_words_can_be_the_same_version() {
    for (family, a, b) in [
        (Family::Dpkg, "0:1.0", "1.0-0"),
        (Family::Dpkg, "1.01", "1.1"),
        (Family::Rpm, "1.0-1", "1.0"),
        (Family::Rpm, "2_0-1", "2.0-1"),
        (Family::Rpm, "1.01-1", "1.1-1"),
        (Family::Pacman, "1.5-1", "1.5"),
        (Family::Pacman, "0:1.5", "1.5"),
    ] {
        assert_eq!(
            family.compare(a, b),
            Ordering::Equal,
            "{family}: {a} and {b}"
        );
    }
}

/// What a program says of all pairs; skipped if it is not there.
fn ask(
    family: Family,
    program: &str,
    says: impl Fn(&str, &str) -> Option<Ordering>,
    list: &[&str],
) {
    if Command::new(program).arg("--version").output().is_err() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!("SKIPPED: {test}: there is no {program}");
        return;
    }
    for pair in list.windows(2) {
        let said = says(pair[0], pair[1]);
        assert_eq!(
            said,
            Some(family.compare(pair[0], pair[1])),
            "{program}: {pair:?}"
        );
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn by_sign(said: &str) -> Option<Ordering> {
    Some(said.parse::<i32>().ok()?.cmp(&0))
}

#[test]
fn the_order_is_that_of_the_families_own_programs() {
    let dpkg = |a: &str, b: &str| {
        let is = |relation| {
            let args = ["--compare-versions", a, relation, b];
            Command::new("dpkg").args(args).status().unwrap().success()
        };
        Some(match (is("lt"), is("eq")) {
            (true, _) => Ordering::Less,
            (_, true) => Ordering::Equal,
            _ => Ordering::Greater,
        })
    };
    ask(Family::Dpkg, "dpkg", dpkg, DPKG);
    // Without the release: `vercmp` of rpm compares one part.
    let part = |version: &str| version.split('-').next().unwrap_or_default().to_owned();
    let rpm = |a: &str, b: &str| {
        let ask = format!("%{{lua:print(rpm.vercmp('{}','{}'))}}", part(a), part(b));
        match by_sign(&output("rpm", &["--eval", &ask])) {
            Some(Ordering::Equal) => Some(Family::Rpm.compare(a, b)),
            said => said,
        }
    };
    ask(Family::Rpm, "rpm", rpm, &RPM[..RPM.len() - 1]);
    let pacman = |a: &str, b: &str| by_sign(&output("vercmp", &[a, b]));
    ask(Family::Pacman, "vercmp", pacman, PACMAN);
}
