//! Attacks on whoever enters a WPAR: on the program that does it, and on its terminal.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::cell::{Cell, NAME, Outcome, told};
use crate::common::run::{Run, WATCHDOG, eventually};
use crate::common::skip::need;
use crate::common::terminal::Terminal;

/// CVE-2019-5736: a program in the WPAR waits for the one that enters, and writes to its file.
#[test]
fn the_program_that_enters_cannot_be_overwritten() {
    let cell = need!(Cell::without_wpar());
    let tree = need!(cell.tree("tree"));
    // An interpreter that is the program itself that enters.
    let trap = tree.join("trap");
    std::fs::write(&trap, "#!/proc/self/exe\n").unwrap();
    std::fs::set_permissions(&trap, std::fs::Permissions::from_mode(0o755)).unwrap();
    cell.world.mkwpar(&tree, NAME);
    cell.world.ok(&format!("startwpar {NAME}"));
    let own = std::fs::read(env!("CARGO_BIN_EXE_wpar")).unwrap();

    let watcher = cell.inside_run(&["overwrite-entering"]).start();
    for _ in 0..20 {
        let _ = cell.world.wpar(["clogin", NAME, "/trap"]).output();
        cell.inside(&["wait-for-end"]);
    }
    cell.world.inside(NAME, "touch /stop");
    let (outcome, said) = told(&watcher.wait());
    assert_eq!(outcome, Outcome::Held, "{said}");
    assert!(
        std::fs::read(env!("CARGO_BIN_EXE_wpar")).unwrap() == own,
        "the executable was changed"
    );
    cell.end();
}

#[test]
fn the_watcher_overwrites_a_program_that_enters_without_protection() {
    let cell = need!(Cell::without_wpar());
    let victim = cell.world.scratch().join("entering-victim");
    cell.put(cell.probe(), &victim);
    let mut watcher = cell
        .weakened_run(&["overwrite-entering", "entering-victim"])
        .start();
    // The victim ends after a moment; the watcher holds on to its file.
    let script = "sleep 0.1 | exec \"$1\" wait-for-end";
    eventually("the watcher has the victim", WATCHDOG, || {
        Run::new("sh", ["-c", script, "sh"]).arg(&victim).output();
        watcher.has_ended()
    });
    let (outcome, said) = told(&watcher.wait());
    assert_eq!(outcome, Outcome::Escaped, "{said}");
}

/// CVE-2024-21626: a home directory that is a descriptor of the one who enters.
#[test]
fn a_home_directory_that_is_a_descriptor_leads_nowhere() {
    let cell = need!(Cell::without_wpar());
    let tree = need!(cell.tree("tree"));
    let host = cell.world.scratch().join("file-of-the-host");
    std::fs::write(&host, "host").unwrap();
    let below = host.display().to_string().split_off(1);
    let users: String = (3..24)
        .map(|fd| format!("u{fd}:x:0:0::/proc/self/fd/{fd}:/bin/sh\n"))
        .collect();
    let passwd = tree.join("etc/passwd");
    let before = std::fs::read_to_string(&passwd).unwrap_or_default();
    std::fs::write(&passwd, before + &users).unwrap();
    cell.world.mkwpar(&tree, NAME);
    cell.world.ok(&format!("startwpar {NAME}"));
    for fd in 3..24 {
        let user = format!("u{fd}");
        let words = [
            "clogin",
            "-l",
            &user,
            NAME,
            "/probe",
            "in-left-open",
            &below,
        ];
        let output = cell.world.wpar(words).output();
        // That he cannot be logged in at all is as good.
        assert_ne!(output.code(), 0, "{output}");
    }
    cell.end();
}

/// A character that a program of the WPAR types into the administrator's terminal is a command of
/// the administrator's.
#[test]
fn nothing_inside_types_into_the_terminal_of_the_administrator() {
    let cell = need!(Cell::new());
    let wpar = env!("CARGO_BIN_EXE_wpar");
    let root = cell.world.root();
    let script = |probe: &str| format!("{probe} type-ahead >/dev/null; echo it said $?.");
    let weak = format!(
        "{} --weakened {}",
        cell.probe().display(),
        cell.world.scratch().join("weak").display()
    );
    // Its standard output is none, so it gets the terminal itself as its standard input.
    let held = format!("{wpar} clogin {NAME} /probe");
    let patience = Duration::from_secs(60);
    let legacy = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    let allowed = legacy.is_ok_and(|value| value.trim() == "1");
    for (probe, status) in [(held, "1"), (weak, if allowed { "0" } else { "1" })] {
        let arguments = ["-c", &script(&probe)];
        let mut terminal = Terminal::start("/bin/sh", &arguments, &root, (24, 80));
        terminal.expect(&format!("it said {status}."), patience);
    }
    cell.end();
}
