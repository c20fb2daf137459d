//! A terminal with a person at it: a pty whose other end types and reads.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

/// A command on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    line: String,
    child: Child,
    master: File,
    /// Kept open, so that the settings can be looked at after the command's end.
    slave: OwnedFd,
    screen: Arc<Mutex<Vec<u8>>>,
    /// How much of the screen has been matched by [`Self::expect`].
    seen: usize,
}

impl Terminal {
    /// Starts `program` with `args` and the environment variable `WPAR_ROOT`, on a terminal of
    /// `rows` by `columns`, as leader of a session that the terminal controls.
    ///
    /// The session is made by `setsid --ctty` of util-linux, which then becomes the command.
    pub fn start(program: &str, args: &[&str], root: &std::path::Path, size: (u16, u16)) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname(&master, Vec::new()).expect("ptsname");
        let slave = rustix::fs::open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .expect("the pty's other end");
        tcsetwinsize(&slave, winsize(size)).expect("window size");
        let stdio = || Stdio::from(slave.try_clone().expect("dup"));
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", program])
            .args(args)
            .env("WPAR_ROOT", root)
            .env("TERM", "vt100")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .expect("setsid of util-linux");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let master = File::from(master);
        let mut reader = master.try_clone().expect("dup");
        let written = Arc::clone(&screen);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                let mut bytes = written.lock().expect("no reader panics");
                bytes.extend_from_slice(&chunk[..count]);
            }
        });
        Self {
            line: format!("{program} {}", args.join(" ")),
            child,
            master,
            slave,
            screen,
            seen: 0,
        }
    }

    /// Types `keys`.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("typing");
    }

    /// Waits for `text` to appear after what was matched before.
    #[track_caller]
    pub fn expect(&mut self, text: &str, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        loop {
            let screen = self.screen.lock().expect("no reader panics").clone();
            let rest = &screen[self.seen..];
            let found = rest
                .windows(text.len())
                .position(|window| window == text.as_bytes());
            if let Some(position) = found {
                self.seen += position + text.len();
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}: {text:?} did not appear; the screen so far:\n{}",
                self.line,
                String::from_utf8_lossy(&screen)
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Changes the window's size; the kernel tells the foreground process group.
    pub fn resize(&mut self, size: (u16, u16)) {
        tcsetwinsize(&self.master, winsize(size)).expect("window size");
    }

    /// The terminal's settings.
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.slave).expect("tcgetattr")
    }

    /// Waits for the command's end.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("waiting for a child") {
                return status;
            }
            let screen = self.screen.lock().expect("no reader panics").clone();
            assert!(
                Instant::now() < deadline,
                "{}: did not end; the screen:\n{}",
                self.line,
                String::from_utf8_lossy(&screen)
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn winsize((rows, columns): (u16, u16)) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// The instrument itself: a shell with no WPAR around it passes what `clogin` has to pass.
    #[test]
    fn a_plain_shell_has_job_control_here() {
        let nowhere = std::path::Path::new("/nonexistent");
        let mut terminal = Terminal::start("bash", &["--norc"], nowhere, (24, 80));
        terminal.type_keys("PS1='ready''> '; stty -echo\n");
        terminal.expect("ready> ", SOON);
        terminal.type_keys("stty size\n");
        terminal.expect("24 80", SOON);
        terminal.resize((50, 132));
        terminal.type_keys("stty size\n");
        terminal.expect("50 132", SOON);
        terminal.type_keys("sleep 1000\n");
        thread::sleep(Duration::from_millis(300));
        terminal.type_keys("\x1a");
        terminal.expect("Stopped", SOON);
        terminal.type_keys("kill %1; exit 7\n");
        thread::sleep(Duration::from_millis(100));
        terminal.type_keys("exit 7\n");
        assert_eq!(terminal.wait(SOON).code(), Some(7));
    }
}
