//! What a WPAR is to a runtime of containers: `config.json` of the OCI runtime specification, 1.0.
//!
//! The same namespaces, ids, limits, mounts, hidden paths, capabilities and refused system calls as
//! with the launcher of this program, as far as the specification has words for them. Pure: all that
//! has to be looked up comes in with [`Facts`].

use rustix::thread::CapabilitySet;
use serde_json::{Value, json};

use super::super::confine::WITHHELD;
use super::super::init::{ROOT_PATH, container_environment};
use super::super::inside::{MASKED_DIRECTORIES, MASKED_FILES, READ_ONLY};
use super::super::{LaunchSpec, Limits};

/// Length of the period that processor time is counted in, in microseconds.
const PERIOD: u64 = 100_000;

/// What is not in the specification of the WPAR.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The command.
    pub(super) arguments: Vec<String>,
    /// On a terminal of its own.
    pub(super) terminal: bool,
    /// Devices that it was given.
    pub(super) devices: Vec<Node>,
}

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Below /dev.
    pub(super) name: String,
    pub(super) block: bool,
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl Node {
    fn kind(&self) -> &'static str {
        if self.block { "b" } else { "c" }
    }
}

/// The configuration of a bundle whose root file system, ids mapped, is its directory `rootfs`.
pub(super) fn config(spec: &LaunchSpec, facts: &Facts) -> Value {
    let [container, uuid] = container_environment(spec);
    let namespaces = ["user", "pid", "ipc", "uts", "mount", "network", "cgroup"];
    let namespaces = namespaces.map(|kind| json!({"type": kind}));
    let capabilities = capabilities(spec.confinement.withheld);
    json!({
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": {"path": super::ROOT, "readonly": false},
        "process": {
            "terminal": facts.terminal,
            "user": {"uid": 0, "gid": 0},
            "args": facts.arguments,
            "env": [
                format!("PATH={ROOT_PATH}"),
                format!("TERM={}", if facts.terminal { "xterm" } else { "dumb" }),
                format!("{}={}", container.0, container.1),
                format!("{}={}", uuid.0, uuid.1),
            ],
            "cwd": "/",
            // su and ping must work; what they can gain is bounded by the user namespace.
            "noNewPrivileges": false,
            "rlimits": rlimits(&spec.limits),
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
                "inheritable": [],
                "ambient": [],
            },
        },
        "mounts": mounts(spec),
        "linux": {
            "namespaces": namespaces,
            "uidMappings": [mapping(spec)],
            "gidMappings": [mapping(spec)],
            "cgroupsPath": format!("/{}.oci", spec.cgroup),
            "resources": resources(&spec.limits, &facts.devices),
            "devices": facts.devices.iter().map(device).collect::<Vec<_>>(),
            "maskedPaths": absolute(MASKED_FILES.iter().chain(&MASKED_DIRECTORIES)),
            "readonlyPaths": absolute(READ_ONLY.iter()),
            "seccomp": filter(spec),
            "rootfsPropagation": "private",
        },
        "annotations": {"org.opencontainers.image.title": spec.name},
    })
}

fn absolute<'a>(paths: impl Iterator<Item = &'a &'a str>) -> Vec<String> {
    paths.map(|path| format!("/{path}")).collect()
}

fn mapping(spec: &LaunchSpec) -> Value {
    json!({"containerID": 0, "hostID": spec.ids.first, "size": spec.ids.count})
}

fn mounts(spec: &LaunchSpec) -> Vec<Value> {
    let mount = |place: &str, kind: &str, options: &[&str]| json!({"destination": place, "type": kind, "source": kind, "options": options});
    let data = ["nosuid", "nodev", "noexec"];
    let temporary = ["nosuid", "nodev", "mode=1777"];
    let terminals = spec.limits.terminals.map(|most| format!("max={most}"));
    let mut pts = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    pts.extend(terminals.as_deref());
    let mut mounts = vec![
        mount("/proc", "proc", &data),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755"]),
        mount("/dev/pts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", &temporary),
        mount("/dev/mqueue", "mqueue", &data),
        mount("/sys", "sysfs", &["nosuid", "nodev", "noexec", "ro"]),
        // Version 2 on every host, as with the launcher: newer systems know no other.
        mount("/sys/fs/cgroup", "cgroup2", &data),
        mount("/run", "tmpfs", &["nosuid", "nodev", "mode=755"]),
    ];
    for directory in &spec.tmpfs {
        let place = format!("/{}", directory.trim_matches('/'));
        mounts.push(mount(&place, "tmpfs", &temporary));
    }
    mounts
}

fn resources(limits: &Limits, devices: &[Node]) -> Value {
    let mut resources = json!({
        "devices": [{"allow": false, "access": "rwm"}],
    });
    if let Some(rules) = resources.get_mut("devices").and_then(Value::as_array_mut) {
        rules.extend(devices.iter().map(|node| {
            json!({
                "allow": true, "type": node.kind(), "major": node.major, "minor": node.minor,
                "access": "rw",
            })
        }));
    }
    if let Some(processes) = limits.processes {
        set(&mut resources, "pids", "limit", json!(processes));
    }
    for (key, value) in [
        ("limit", limits.memory),
        ("reservation", limits.memory_soft),
        ("swap", limits.memory_and_swap),
    ] {
        if let Some(value) = value {
            set(&mut resources, "memory", key, json!(value));
        }
    }
    if let Some(percent) = limits.cpu_percent {
        set(&mut resources, "cpu", "period", json!(PERIOD));
        let quota = u64::from(percent) * PERIOD / 100;
        set(&mut resources, "cpu", "quota", json!(quota));
    }
    if let Some(weight) = limits.cpu_weight {
        // 1024 shares are usual where 100 is the usual weight.
        let shares = (u64::from(weight) * 1024 / 100).max(2);
        set(&mut resources, "cpu", "shares", json!(shares));
    }
    if let Some(cpus) = &limits.cpus {
        set(&mut resources, "cpu", "cpus", json!(cpus));
    }
    resources
}

fn set(object: &mut Value, group: &str, key: &str, value: Value) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    let group = object.entry(group).or_insert_with(|| json!({}));
    if let Some(group) = group.as_object_mut() {
        group.insert(key.to_owned(), value);
    }
}

fn device(node: &Node) -> Value {
    json!({
        "path": format!("/dev/{}", node.name), "type": node.kind(),
        "major": node.major, "minor": node.minor, "fileMode": 0o660, "uid": 0, "gid": 0,
    })
}

/// The names of all capabilities but those that no WPAR, or not this one, has.
fn capabilities(withheld: u64) -> Vec<String> {
    let withheld = WITHHELD
        .into_iter()
        .fold(CapabilitySet::from_bits_truncate(withheld), |all, one| {
            all | one
        });
    CapabilitySet::all()
        .difference(withheld)
        .iter_names()
        .map(|(name, _)| format!("CAP_{name}"))
        .collect()
}

/// The system calls that `seccomp` refuses, by their names.
fn filter(spec: &LaunchSpec) -> Value {
    let own = spec.confinement;
    let mut forbidden = vec![
        "acct",
        "swapon",
        "swapoff",
        "init_module",
        "delete_module",
        "finit_module",
        "quotactl",
        "quotactl_fd",
        "kexec_load",
        "kexec_file_load",
        "open_by_handle_at",
        "bpf",
        "perf_event_open",
        "syslog",
        "ioperm",
        "iopl",
        "lookup_dcookie",
    ];
    if own.refuse_mounts {
        forbidden.extend([
            "mount",
            "umount",
            "umount2",
            "pivot_root",
            "open_tree",
            "move_mount",
            "fsopen",
            "fsconfig",
            "fsmount",
            "fspick",
            "mount_setattr",
        ]);
    }
    let mut unknown = Vec::new();
    if !own.allow_keys {
        unknown.extend(["add_key", "request_key", "keyctl"]);
    }
    if !own.allow_uring {
        unknown.extend(["io_uring_setup", "io_uring_enter", "io_uring_register"]);
    }
    let refuse = |names: Vec<&str>, errno: i32| json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno});
    let mut calls = vec![refuse(forbidden, libc::EPERM)];
    if !unknown.is_empty() {
        calls.push(refuse(unknown, libc::ENOSYS));
    }
    // The audit system is the host's: AF_NETLINK, NETLINK_AUDIT.
    calls.push(json!({
        "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EAFNOSUPPORT,
        "args": [
            {"index": 0, "value": 16, "op": "SCMP_CMP_EQ"},
            {"index": 2, "value": 9, "op": "SCMP_CMP_EQ"},
        ],
    }));
    let architectures = match std::env::consts::ARCH {
        "aarch64" => ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    };
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": architectures,
        "syscalls": calls,
    })
}

/// Those of each process.
fn rlimits(limits: &Limits) -> Vec<Value> {
    let address_space = limits.process_memory.into_iter();
    address_space
        .map(|bytes| json!({"type": "RLIMIT_AS", "soft": bytes, "hard": bytes}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::{Confinement, IdRange, Payload, RootSource};

    fn spec() -> LaunchSpec {
        LaunchSpec {
            name: "web1".into(),
            hostname: "web1".into(),
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            root: RootSource::Directory("/srv".into()),
            mount_point: "/wpars/web1".into(),
            run_dir: "/run/wpar/web1".into(),
            console_log: "/var/lib/wpar/logs/web1/console.log".into(),
            cgroup: "wpar/web1".into(),
            ids: IdRange {
                first: 1_000_000,
                count: 65_536,
            },
            payload: Payload::Maintenance,
            tmpfs: vec!["tmp".into()],
            limits: Limits::default(),
            network: None,
            host_network: false,
            own_addresses: None,
            trail: None,
            devices: Vec::new(),
            confinement: Confinement::default(),
            conversion: None,
        }
    }

    fn strings(value: &Value) -> Vec<&str> {
        let list = value.as_array().unwrap().iter();
        list.map(|one| one.as_str().unwrap()).collect()
    }

    #[test]
    fn a_bundle_has_what_the_launcher_gives() {
        let facts = Facts {
            arguments: vec!["/sbin/init".into()],
            ..Facts::default()
        };
        let config = config(&spec(), &facts);
        let linux = &config["linux"];
        assert_eq!(linux["uidMappings"][0]["hostID"], 1_000_000);
        assert_eq!(linux["resources"]["pids"]["limit"], crate::launch::TASKS);
        assert_eq!(linux["resources"].get("memory"), None);
        assert!(strings(&linux["maskedPaths"]).contains(&"/proc/kcore"));
        let has = strings(&config["process"]["capabilities"]["bounding"]);
        assert!(
            has.contains(&"CAP_CHOWN") && has.contains(&"CAP_SYS_ADMIN"),
            "{has:?}"
        );
        assert!(!has.contains(&"CAP_SYS_MODULE"), "{has:?}");
        let places: Vec<_> = config["mounts"].as_array().unwrap().iter().collect();
        assert!(places.iter().any(|mount| mount["destination"] == "/tmp"));
        let refused = strings(&linux["seccomp"]["syscalls"][0]["names"]);
        assert!(refused.contains(&"kexec_load") && !refused.contains(&"mount"));
    }

    #[test]
    fn limits_privileges_and_devices_come_along() {
        let mut spec = spec();
        spec.limits.memory = Some(1 << 30);
        spec.limits.cpu_percent = Some(50);
        spec.limits.cpus = Some("0-1".into());
        spec.confinement.refuse_mounts = true;
        spec.confinement.withheld = 1;
        let facts = Facts {
            devices: vec![Node {
                name: "loop0".into(),
                block: true,
                major: 7,
                minor: 0,
            }],
            ..Facts::default()
        };
        let config = config(&spec, &facts);
        let resources = &config["linux"]["resources"];
        assert_eq!(resources["memory"]["limit"], 1 << 30);
        assert_eq!(resources["cpu"]["quota"], 50_000);
        assert_eq!(resources["cpu"]["cpus"], "0-1");
        assert_eq!(resources["devices"][0]["allow"], false);
        assert_eq!(resources["devices"][1]["major"], 7);
        assert_eq!(config["linux"]["devices"][0]["path"], "/dev/loop0");
        let has = strings(&config["process"]["capabilities"]["bounding"]);
        assert!(!has.contains(&"CAP_CHOWN"));
        let refused = strings(&config["linux"]["seccomp"]["syscalls"][0]["names"]);
        assert!(refused.contains(&"mount"));
    }
}
