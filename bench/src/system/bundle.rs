//! Containers of `runc` over overlays of the kernel: what most people would take to run many systems
//! of one tree.
//!
//! A container says that it is up through a socket, as ours do; one whose init never says so is up
//! when `runc` has executed it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::groups::Groups;
use super::world::time;
use crate::Fallible;
use crate::subject::{OVERLAYFS, Place, Raised, Subject};

/// How long a container may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Containers of one tree.
pub(super) struct Bundles {
    dir: PathBuf,
    tree: PathBuf,
    groups: Groups,
    /// Whether their init says when it is up.
    announces: bool,
}

impl Bundles {
    /// Containers of `tree`, kept below `dir`.
    pub(super) fn new(dir: &Path, tree: &Path, announces: bool) -> Self {
        Self {
            dir: dir.to_owned(),
            tree: tree.to_owned(),
            groups: Groups::of("runc"),
            announces,
        }
    }

    /// Makes the next one, ready to be started: an overlay and a description.
    pub(super) fn make(&self, number: usize) -> Fallible<Bundle> {
        let place = Place {
            lower: self.tree.clone(),
            archive: PathBuf::new(),
            own: self.dir.join(number.to_string()),
            writes: true,
        };
        fs::create_dir_all(&place.own)?;
        let raised = OVERLAYFS.raise(&place)?;
        let bundle = Bundle {
            container: Container {
                name: format!("wpar-bench-{}-{number}", std::process::id()),
                state: self.dir.join("state"),
                own: place.own.clone(),
                notify: self.announces.then(|| place.own.join("notify")),
            },
            place,
            raised: Some(raised),
        };
        time(
            Command::new("runc")
                .args(["spec", "--bundle"])
                .arg(&bundle.place.own),
        )?;
        let file = bundle.place.own.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file)?)?;
        describe(&mut config, &bundle.container, self.groups.name());
        fs::write(&file, serde_json::to_vec(&config)?)?;
        Ok(bundle)
    }
}

/// Turns what `runc spec` wrote into a description of a whole system.
fn describe(config: &mut Value, container: &Container, group: &str) {
    const CAPABILITIES: &[&str] = &[
        "CAP_AUDIT_WRITE",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_ADMIN",
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_CHROOT",
        "CAP_SYS_NICE",
        "CAP_SYS_PTRACE",
        "CAP_SYS_TTY_CONFIG",
    ];
    let process = &mut config["process"];
    process["terminal"] = json!(false);
    process["args"] = json!(["/sbin/init"]);
    process["rlimits"] = json!([]);
    process["noNewPrivileges"] = json!(false);
    for set in ["bounding", "effective", "permitted"] {
        process["capabilities"][set] = json!(CAPABILITIES);
    }
    let mut environment = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "container=oci",
        "TERM=dumb",
    ];
    if container.notify.is_some() {
        environment.push("NOTIFY_SOCKET=/run/host/notify");
    }
    process["env"] = json!(environment);
    config["root"] = json!({ "path": container.own.join("root"), "readonly": false });
    config["hostname"] = json!("bench");
    config["linux"]["cgroupsPath"] = json!(format!("/{group}/{}", container.name));
    if let Some(mounts) = config["mounts"].as_array_mut() {
        for mount in mounts.iter_mut() {
            if mount["destination"] == "/sys/fs/cgroup" {
                mount["options"] = json!(["nosuid", "noexec", "nodev", "relatime"]);
            }
        }
        for place in ["/run", "/tmp"] {
            mounts.push(json!({ "destination": place, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"] }));
        }
        if let Some(socket) = &container.notify {
            mounts.push(json!({ "destination": "/run/host/notify", "type": "bind", "source": socket, "options": ["bind"] }));
        }
    }
}

/// One container and its root, both gone when this goes.
pub(super) struct Bundle {
    container: Container,
    place: Place,
    raised: Option<Box<dyn Raised>>,
}

impl Bundle {
    /// What can be started.
    pub(super) fn container(&self) -> &Container {
        &self.container
    }
}

/// One container.
pub(super) struct Container {
    name: String,
    /// What `runc` keeps of all.
    state: PathBuf,
    /// Its own directory.
    own: PathBuf,
    /// Where it says that it is up.
    notify: Option<PathBuf>,
}

impl Container {
    fn runc(&self) -> Command {
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(&self.state);
        runc
    }

    /// Starts it, and waits until it is up.
    pub(super) fn start(&self) -> Fallible<()> {
        let socket = match &self.notify {
            None => None,
            Some(path) => {
                let socket = UnixDatagram::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
                Some(socket)
            }
        };
        let mut runc = self.runc();
        runc.args(["run", "--detach", "--bundle"]).arg(&self.own);
        runc.arg(&self.name)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        // Not a pipe: the container keeps it open.
        let log = self.own.join("log");
        runc.stderr(fs::File::create(&log)?).process_group(0);
        let status = runc.status().map_err(|error| format!("runc: {error}"))?;
        if !status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("runc: {status}: {}", said.trim()).into());
        }
        match socket {
            None => Ok(()),
            Some(socket) => ready(&socket),
        }
    }
}

/// Waits for READY=1.
fn ready(socket: &UnixDatagram) -> Fallible<()> {
    let begin = Instant::now();
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut buffer = [0; 4096];
    while begin.elapsed() < PATIENCE {
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let said = buffer.get(..length).unwrap_or_default();
        if said
            .split(|byte| *byte == b'\n')
            .any(|line| line == b"READY=1")
        {
            return Ok(());
        }
    }
    Err("a container has not said READY=1".into())
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // One that never ran cannot be deleted, and need not be.
        // Also when the user wants the end.
        let mut delete = self.container.runc();
        delete.process_group(0).stdin(Stdio::null());
        delete.stdout(Stdio::null()).stderr(Stdio::null());
        let _ = delete
            .args(["delete", "--force", &self.container.name])
            .status();
        self.raised = None;
        let _ = OVERLAYFS.clear(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_of_a_system_that_says_when_it_is_up() {
        let container = |notify: Option<PathBuf>| Container {
            name: "one".to_owned(),
            state: PathBuf::from("/nonexistent/state"),
            own: PathBuf::from("/nonexistent/own"),
            notify,
        };
        let mut config = json!({ "process": { "capabilities": {} }, "linux": {},
            "mounts": [{ "destination": "/sys/fs/cgroup", "options": ["ro"] }] });
        let loud = container(Some(PathBuf::from("/nonexistent/own/notify")));
        describe(&mut config, &loud, "group");
        let text = config.to_string();
        assert!(
            text.contains("NOTIFY_SOCKET") && text.contains("/nonexistent/own/notify"),
            "{text}"
        );
        assert_eq!(config["linux"]["cgroupsPath"], "/group/one");
        assert!(!text.contains("\"ro\""), "{text}");
        let mut config = json!({ "process": {}, "linux": {}, "mounts": [] });
        describe(&mut config, &container(None), "group");
        assert!(!config.to_string().contains("NOTIFY_SOCKET"));
    }
}
