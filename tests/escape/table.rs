//! The probes that need nothing but to be run.

use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::cell::{Cell, Outcome};
use crate::common::run::Run;
use crate::common::skip::need;

/// What the bite of a probe needs of the host besides root: a capability by its number, see
/// capabilities(7).
type Needs = Option<u32>;

const RESOURCE: Needs = Some(24);
const MODULE: Needs = Some(16);
const RAW_IO: Needs = Some(17);
const BOOT: Needs = Some(22);
const TIME: Needs = Some(25);
const LOG: Needs = Some(34);

/// A probe, and what it would give. `@` stands for something that a test makes on the host.
const PROBES: &[(&str, Needs, &str)] = &[
    ("new-proc", None, "core_pattern: a program run by the host"),
    ("remount-proc-sys", None, "the same"),
    ("unmount-proc-sys", None, "the same"),
    ("mount fusectl", None, "every FUSE connection of the host"),
    ("mount devtmpfs", None, "the host's devices"),
    ("mount debugfs", None, "the insides of the kernel"),
    ("mount tracefs", None, "the insides of the kernel"),
    ("mount securityfs", None, "the host's security policy"),
    ("mount configfs", None, "kernel objects"),
    ("mount pstore", None, "the kernel's last words"),
    ("clear-nodev", None, "device nodes of the image"),
    ("clear-nodev-of-a-copy", None, "the same"),
    ("node-in-the-image", None, "the same"),
    ("make-node 1 3", None, "any device"),
    ("make-node 10 229", None, "/dev/fuse"),
    ("writable-sysfs", None, "settings of the kernel"),
    ("unmask", LOG, "the kernel's log, memory and keys"),
    (
        "read-only-superblock",
        None,
        "the next start, and other mounts of the same file system",
    ),
    (
        "release-agent",
        None,
        "a program run by the host (CVE-2022-0492)",
    ),
    ("own-limits", None, "all of the machine"),
    (
        "groups-of-the-host",
        None,
        "processes of the host to freeze",
    ),
    ("open-by-handle", None, "any file by its number (shocker)"),
    (
        "left-open @left-open",
        None,
        "the host's files (CVE-2024-21626)",
    ),
    (
        "in-left-open @file",
        None,
        "the host's files (CVE-2024-21626)",
    ),
    ("leave-root @file", None, "the host's files"),
    ("signal-process @process", None, "processes of the host"),
    ("trace-process @process", None, "processes of the host"),
    ("abstract-socket @socket", None, "services of the host"),
    ("loopback @port", None, "services of the host"),
    ("more-files", RESOURCE, "kernel memory"),
    ("higher-priority", None, "the processors"),
    ("system-call init_module", MODULE, "the kernel"),
    ("system-call finit_module", MODULE, "the kernel"),
    ("system-call delete_module", MODULE, "the kernel"),
    ("system-call kexec_load", BOOT, "the next kernel"),
    ("system-call iopl", RAW_IO, "the hardware"),
    ("system-call ioperm", RAW_IO, "the hardware"),
    ("system-call swapon", None, "the host's memory"),
    ("system-call acct", None, "files written by the host"),
    ("system-call settimeofday", TIME, "the clock"),
    ("system-call bpf", None, "programs in the kernel"),
    ("system-call perf_event_open", None, "what others compute"),
    ("system-call add_key", None, "keys, which have no namespace"),
    ("system-call request_key", None, "the same"),
    ("system-call keyctl", None, "the same"),
    ("system-call syslog", None, "the kernel's log"),
    ("audit-socket", None, "the host's audit system"),
    ("io-uring", None, "a large part of the kernel"),
];

/// What the host has that a WPAR must not reach.
struct Host {
    file: String,
    process: crate::common::run::Running,
    socket: String,
    _listener: UnixListener,
    port: TcpListener,
}

impl Host {
    fn new(cell: &Cell) -> Self {
        let file = cell.world.scratch().join("file-of-the-host");
        std::fs::write(&file, "host").expect("a file");
        let socket = format!("wpar-escape-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&socket).expect("an address");
        Self {
            // Without the first slash: a way up comes before it.
            file: file.display().to_string().split_off(1),
            process: Run::new("sleep", ["3600"]).start(),
            socket,
            _listener: UnixListener::bind_addr(&address).expect("a socket"),
            port: TcpListener::bind("127.0.0.1:0").expect("a port"),
        }
    }

    /// The words of a probe; the weakened profile sees the processes of all others, too.
    fn words(&self, probe: &str, weakened: bool) -> Vec<String> {
        let word = |word: &str| match word {
            "@file" => vec![self.file.clone()],
            "@left-open" if weakened => vec![self.file.clone(), "own".to_owned()],
            "@left-open" => vec![self.file.clone()],
            "@process" => vec![self.process.pid().to_string()],
            "@socket" => vec![self.socket.clone()],
            "@port" => vec![self.port.local_addr().expect("a port").port().to_string()],
            other => vec![other.to_owned()],
        };
        probe.split(' ').flat_map(word).collect()
    }
}

/// Whether this process has a capability.
fn has(capability: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set >> capability & 1 == 1)
}

#[test]
fn no_probe_gets_out_and_each_does_where_the_protection_is_missing() {
    let cell = need!(Cell::new());
    let host = Host::new(&cell);
    let mut wrong = String::new();
    for (probe, needs, gain) in PROBES {
        let words = host.words(probe, false);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let (outcome, said) = cell.inside(&words);
        if outcome == Outcome::Escaped {
            wrong.push_str(&format!("{probe} escapes, for {gain}\n{said}\n"));
        }
        let words = host.words(probe, true);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let (outcome, said) = cell.weakened(&words);
        match outcome {
            Outcome::Escaped => {}
            Outcome::Held if needs.is_none_or(has) => {
                wrong.push_str(&format!("{probe} detects nothing\n{said}\n"));
            }
            // Past the capture of the harness: what is not shown must not look like what is.
            outcome => {
                let _ = writeln!(
                    std::io::stderr(),
                    "NOT PROVEN {probe}: it cannot be done on this host either ({outcome:?})"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    host.process.signal(rustix::process::Signal::KILL);
    cell.end();
}

#[test]
fn what_programs_need_is_not_taken_away() {
    let cell = need!(Cell::new());
    for probe in ["unknown-call", "may-gain-privileges"] {
        let (outcome, said) = cell.inside(&[probe]);
        assert_eq!(outcome, Outcome::Escaped, "{probe}: {said}");
    }
    cell.end();
}
