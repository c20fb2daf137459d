//! Commands in a running WPAR.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use wpar::launch::{ExitStatus, LaunchError, Session, StopMode, stop};

use crate::fixture::{Wpar, wpar};
use crate::role::launcher;

fn enter(wpar: &Wpar, user: Option<&str>, argv: &[&str]) -> Result<ExitStatus, LaunchError> {
    let session = Session {
        user: user.map(str::to_owned),
        argv: argv.iter().map(Into::into).collect(),
        ..Default::default()
    };
    launcher().enter(&wpar.spec.run_dir, &session)
}

#[test]
fn commands_run_as_their_user_and_their_status_comes_back() {
    let Some(wpar) = wpar() else { return };
    assert!(matches!(
        enter(&wpar, None, &["id"]).unwrap_err(),
        LaunchError::NotActive
    ));
    wpar.start().unwrap();
    let shell = |user, script: &str| enter(&wpar, user, &["/bin/sh", "-c", script]);
    for (script, status) in [
        ("exit 3", ExitStatus::Exited(3)),
        ("kill -TERM $$", ExitStatus::Signaled(15)),
        (
            "id > /root/id; pwd > /root/pwd; echo $HOME $USER $PATH > /root/env",
            ExitStatus::Exited(0),
        ),
        // Nothing of the host's is open, no other process is seen.
        (
            "ls /proc/self/fd | cat > /root/fds; ls -d /proc/[0-9]* | cat > /root/processes",
            ExitStatus::Exited(0),
        ),
    ] {
        assert_eq!(shell(None, script).unwrap(), status, "{script}");
    }
    assert_eq!(
        wpar.read("root/id"),
        "uid=0(root) gid=0(root) groups=0(root)\n"
    );
    assert_eq!(wpar.read("root/pwd"), "/root\n");
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(wpar.read("root/env"), format!("/root root {path}\n"));
    assert_eq!(wpar.read("root/fds"), "0\n1\n2\n3\n");
    // Process 1, the shell, ls (and cat, which may have ended).
    assert!(wpar.read("root/processes").lines().count() <= 4);

    shell(None, "chmod 777 /home/ann").unwrap();
    assert_eq!(
        shell(Some("ann"), "id > id; test ! -w /etc/passwd")
            .unwrap()
            .code(),
        0
    );
    let groups = "uid=1000(ann) gid=1000(ann) groups=1000(ann),4(adm)\n";
    assert_eq!(wpar.read("home/ann/id"), groups);
    for (argv, user, code) in [
        (["/no/such"], None, 127),
        (["/etc/passwd"], None, 126),
        (["id"], Some("nobody"), 125),
    ] {
        assert_eq!(
            enter(&wpar, user, &argv).unwrap_err().exit_code(),
            code,
            "{argv:?}"
        );
    }
    stop(&wpar.spec.run_dir, StopMode::Soft, None).unwrap();
    wpar.assert_gone();
}

#[test]
fn pipes_carry_every_byte() {
    let Some(wpar) = wpar() else { return };
    wpar.start().unwrap();
    let data: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut child = role(&wpar, "cat; exit 9")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let sent = data.clone();
    let writer = thread::spawn(move || input.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(9));
    // The test harness of the role prints a line first.
    assert!(output.stdout.ends_with(&data));
}

#[test]
fn a_terminal_is_the_wpars_own_and_comes_back_as_it_was() {
    let Some(wpar) = wpar() else { return };
    wpar.start().unwrap();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    tcsetwinsize(
        &master,
        Winsize {
            ws_row: 33,
            ws_col: 77,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    let slave = open(
        path.as_c_str(),
        OFlags::RDWR | OFlags::NOCTTY,
        Mode::empty(),
    )
    .unwrap();
    let before = tcgetattr(&slave).unwrap();
    let script =
        "stty size; test -t 0 && ls /dev/pts; echo ready; read line; echo \"got $line\"; exit 6";
    let mut child = role(&wpar, script)
        .stdin(Stdio::from(slave.try_clone().unwrap()))
        .stdout(Stdio::from(slave.try_clone().unwrap()))
        .spawn()
        .unwrap();
    let mut master = File::from(master);
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains("got typed") {
        let length = master.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        if seen.ends_with("ready\r\n") {
            master.write_all(b"typed\r").unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(6), "{seen}");
    assert!(seen.contains("33 77\r\n"), "{seen}");
    // In devpts of its own the first terminal is number 0.
    assert!(seen.contains("\n0 ") || seen.contains("\n0\r"), "{seen}");
    let after = tcgetattr(&slave).unwrap();
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!(after.input_modes, before.input_modes);
}

fn role(wpar: &Wpar, script: &str) -> Command {
    let mut command = wpar.role("enter");
    command.env("WPAR_TEST_SCRIPT", script);
    command
}
