//! What this test executable does where a test starts it as another process: outside as an
//! administrator's command, inside as a program of the WPAR. Named by `WPAR_TEST_ROLE`.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::system::{RebootCommand, reboot};
use wpar::launch::{LaunchSpec, Launcher, Session, TerminalChoice};

/// Arguments that make this executable play its role.
pub(crate) const ARGUMENTS: [&str; 3] = ["role::play", "--exact", "--nocapture"];

/// Plays the role that is asked for. As a test of its own, with none: a role that does not exist
/// is an error, or a test could take a process that did nothing for one that did its part.
#[test]
fn play() {
    let variable = |name| std::env::var(name).unwrap();
    let Ok(role) = std::env::var("WPAR_TEST_ROLE") else {
        let unknown = Command::new(std::env::current_exe().unwrap())
            .args(ARGUMENTS)
            .env("WPAR_TEST_ROLE", "none")
            .output()
            .unwrap();
        assert!(!unknown.status.success(), "{unknown:?}");
        return;
    };
    match role.as_str() {
        // Inside: process 1 announces itself, then goes on as a script.
        "announce" => {
            let socket = UnixDatagram::unbound().unwrap();
            let message = b"STATUS=up\nREADY=1";
            socket.send_to(message, variable("NOTIFY_SOCKET")).unwrap();
            panic!("{}", Command::new("/init.sh").exec());
        }
        "halt" => panic!("{:?}", reboot(RebootCommand::Halt)),
        "reboot" => panic!("{:?}", reboot(RebootCommand::Restart)),
        // Outside: a command that starts, or enters, in the foreground.
        "start" => {
            let text = std::fs::read(variable("WPAR_TEST_SPEC")).unwrap();
            let spec: LaunchSpec = serde_json::from_slice(&text).unwrap();
            let started = launcher().start(&spec, &mut |_| ()).unwrap();
            std::process::exit(started.wait().unwrap().code().into());
        }
        "enter" => {
            let session = Session {
                user: std::env::var("WPAR_TEST_USER").ok(),
                argv: vec![
                    "/bin/sh".into(),
                    "-c".into(),
                    variable("WPAR_TEST_SCRIPT").into(),
                ],
                terminal: TerminalChoice::Auto,
            };
            let status = launcher().enter(variable("WPAR_TEST_RUN").as_ref(), &session);
            std::process::exit(status.unwrap().code().into());
        }
        other => panic!("no role {other}"),
    }
}

/// A launcher with the real executable.
pub(crate) fn launcher() -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_wpar"))
}
