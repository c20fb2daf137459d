//! Control groups: one group of the same path in every hierarchy of the host.
//!
//! A process of a WPAR is a member of its group in *every* hierarchy, those without controllers
//! too: a systemd inside that found itself in the host's root group would make its own groups
//! there. The group of cgroup2 serves to kill, to see whether anything runs, and as the only view
//! of control groups that the WPAR has. It is used through a mount of our own where the host has
//! none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use super::bpf::{self, DeviceRule, OwnAddresses};
use super::error::{Doing, LaunchError};
use super::limits::Need;
use super::note::note;
use super::{IdRange, Limits, mountinfo};

/// Controllers of cgroup2 that a WPAR gets if the host does not use them elsewhere.
const CONTROLLERS: [&str; 5] = ["cpuset", "cpu", "io", "memory", "pids"];

/// One hierarchy of the host.
#[derive(Debug)]
pub(super) struct Hierarchy {
    /// Its root directory.
    pub(super) root: PathBuf,
    /// Whether it is the one of cgroup2.
    pub(super) unified: bool,
}

/// What a group is made with.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    pub(super) limits: &'a Limits,
    pub(super) ids: IdRange,
    /// Devices besides those that every WPAR has.
    pub(super) devices: &'a [DeviceRule],
    /// Addresses that its sockets are held to.
    pub(super) addresses: Option<&'a OwnAddresses>,
}

/// The group of a WPAR in all hierarchies, cgroup2 first.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(super) hierarchies: Vec<Hierarchy>,
    pub(super) path: PathBuf,
    /// Keeps a private mount of cgroup2 alive, if one is used.
    _mount: Option<OwnedFd>,
}

impl Groups {
    /// Finds the hierarchies; makes no group.
    ///
    /// # Errors
    /// If `path` is not a plain relative path, or the mounts cannot be read.
    pub(crate) fn open(path: &str) -> Result<Self, LaunchError> {
        if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(LaunchError::other(format!(
                "\"{path}\" is no path of a control group"
            )));
        }
        let mounts = mountinfo::read().doing("read the table of mounts")?;
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut seen = Vec::new();
        for mount in mounts {
            let unified = mount.kind == "cgroup2";
            // A hierarchy may be mounted more than once; its options tell which one it is.
            if (unified || mount.kind == "cgroup")
                && !seen.contains(&(unified, mount.options.clone()))
            {
                seen.push((unified, mount.options));
                hierarchies.push(Hierarchy {
                    root: mount.point,
                    unified,
                });
            }
        }
        let mut own_mount = None;
        if !hierarchies.iter().any(|hierarchy| hierarchy.unified) {
            let mount = mount_unified().doing("mount cgroup2")?;
            let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
            hierarchies.push(Hierarchy {
                root,
                unified: true,
            });
            own_mount = Some(mount);
        }
        hierarchies.sort_by_key(|hierarchy| !hierarchy.unified);
        Ok(Self {
            hierarchies,
            path: PathBuf::from(path),
            _mount: own_mount,
        })
    }

    /// Makes the groups and sets limits, devices, addresses and the owner inside.
    ///
    /// # Errors
    /// The first step that failed, or [`LaunchError::LeftOver`] if something runs in a group.
    pub(super) fn create(&self, terms: &Terms<'_>) -> Result<(), LaunchError> {
        if self.is_populated() {
            return Err(LaunchError::LeftOver(format!(
                "processes in control group {}",
                self.path.display()
            )));
        }
        let devices: Vec<_> = bpf::ALWAYS.iter().chain(terms.devices).copied().collect();
        for hierarchy in &self.hierarchies {
            let group = self.group(hierarchy);
            create_below(hierarchy, &self.path).doing(format!("make {}", group.display()))?;
            if hierarchy.unified {
                delegate(&group, terms.ids).doing(format!("hand over {}", group.display()))?;
                // Groups made inside are removed by recursion at the end.
                write_if_there(&group, "cgroup.max.depth", Some("64".to_owned()))
                    .doing(format!("limit {}", group.display()))?;
            } else {
                allow_devices(&group, &devices).doing(format!("limit {}", group.display()))?;
            }
        }
        self.limit(terms.limits)?;
        self.filter(&devices, terms.addresses)
    }

    /// What programs of the kernel do at the group of cgroup2: the list of devices, unless the first
    /// version has a controller for that, which is a second wall; and addresses, which are promised.
    fn filter(
        &self,
        devices: &[DeviceRule],
        addresses: Option<&OwnAddresses>,
    ) -> Result<(), LaunchError> {
        let group = self.unified();
        let has_controller = |hierarchy: &Hierarchy| {
            !hierarchy.unified && self.group(hierarchy).join("devices.allow").exists()
        };
        if !self.hierarchies.iter().any(has_controller)
            && let Err(error) = bpf::filter_devices(&group, devices)
        {
            // Nodes of devices are not there to be opened: this is the second wall.
            note(format_args!("devices are not filtered: {error}"));
        }
        match addresses {
            Some(own) => bpf::hold_to_addresses(&group, own)
                .doing("hold it to its addresses, for which Linux 6.1 or later is needed"),
            None => Ok(()),
        }
    }

    /// Sets limits, and takes others away, of groups that exist.
    ///
    /// # Errors
    /// The first value that the kernel refused, or a limit that no hierarchy of this host has.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), LaunchError> {
        let mut held = Vec::new();
        for hierarchy in &self.hierarchies {
            let group = self.group(hierarchy);
            let settings = if hierarchy.unified {
                limits.unified()
            } else {
                let above = group.parent().map(|parent| parent.join("cpuset.cpus"));
                let cpus = above.and_then(|file| fs::read_to_string(file).ok());
                limits.legacy(cpus.unwrap_or_default().trim())
            };
            for setting in settings {
                let path = group.join(setting.file);
                if !path.exists() {
                    continue;
                }
                let written = write(&path, &setting.value);
                match setting.need {
                    None => {}
                    Some(need) => {
                        let doing = format!("write {} to {}", setting.value, path.display());
                        written.doing(doing)?;
                        held.push(need);
                    }
                }
            }
        }
        if held.contains(&Need::Memory) && !has_swap() {
            held.push(Need::MemoryAndSwap);
        }
        match limits.needs().into_iter().find(|need| !held.contains(need)) {
            None => Ok(()),
            Some(missing) => Err(missing.refusal()),
        }
    }

    /// Opens the files that a process writes `0` to in order to join the group everywhere.
    ///
    /// `leaf` names a group below that of cgroup2, made if it is missing: once the init inside
    /// hands controllers on, only leaves may have members.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn entrances(
        &self,
        leaf: Option<(&str, IdRange)>,
    ) -> Result<Vec<File>, LaunchError> {
        let open = |hierarchy: &Hierarchy| {
            let mut group = self.group(hierarchy);
            if let (true, Some((leaf, ids))) = (hierarchy.unified, leaf) {
                group.push(leaf);
                match fs::create_dir(&group) {
                    Ok(()) => delegate(&group, ids)?,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
            OpenOptions::new()
                .write(true)
                .open(group.join("cgroup.procs"))
        };
        self.hierarchies
            .iter()
            .map(|hierarchy| {
                open(hierarchy).doing(format!("open {}", self.group(hierarchy).display()))
            })
            .collect()
    }

    /// The contents of this file of the group, in the first hierarchy that has it.
    pub(crate) fn read(&self, file: &str) -> Option<String> {
        self.hierarchies
            .iter()
            .find_map(|hierarchy| fs::read_to_string(self.group(hierarchy).join(file)).ok())
    }

    /// Whether any process is in the group of cgroup2 or below.
    pub(crate) fn is_populated(&self) -> bool {
        fs::read_to_string(self.unified().join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// Halts all processes in the group of cgroup2, or lets them go on.
    pub(crate) fn freeze(&self, halt: bool) -> io::Result<()> {
        let word = if halt { "1" } else { "0" };
        write(&self.unified().join("cgroup.freeze"), word)
    }

    /// Whether all processes in the group of cgroup2 stand still because of that.
    pub(crate) fn is_frozen(&self) -> bool {
        fs::read_to_string(self.unified().join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
    }

    /// Groups that exist.
    pub(crate) fn existing(&self) -> Vec<PathBuf> {
        let groups = self
            .hierarchies
            .iter()
            .map(|hierarchy| self.group(hierarchy));
        groups.filter(|group| group.is_dir()).collect()
    }

    /// Sends a signal to every process in the groups.
    pub(crate) fn signal(&self, signal: i32) {
        for process in self.processes() {
            if let Some(descriptor) = super::ProcessId::of(process).and_then(super::ProcessId::open)
            {
                let _ =
                    crate::sys::process::send_signal(std::os::fd::AsFd::as_fd(&descriptor), signal);
            }
        }
    }

    /// Kills everything in the groups and waits until they are empty, at most for `patience`.
    ///
    /// # Errors
    /// [`LaunchError::Stuck`] with the processes that survive.
    pub(crate) fn kill(&self, patience: Duration) -> Result<(), LaunchError> {
        let kill = self.unified().join("cgroup.kill");
        if !kill.exists() {
            return Ok(());
        }
        let patience = Instant::now() + patience;
        let events =
            File::open(self.unified().join("cgroup.events")).doing("watch the control group")?;
        loop {
            // Read through this descriptor: a change from here on is told to it.
            let told = read_again(&events).doing("watch the control group")?;
            if !told.lines().any(|line| line == "populated 1") {
                break;
            }
            write(&kill, "1").doing("kill the processes of the control group")?;
            if Instant::now() > patience {
                let survivors: Vec<_> = self.processes().iter().map(u32::to_string).collect();
                return Err(LaunchError::Stuck(format!(
                    "process {}",
                    survivors.join(", ")
                )));
            }
            await_change(&events).doing("watch the control group")?;
        }
        Ok(())
    }

    /// Removes the groups, which must be empty of processes, and the parent if it is unused.
    /// Returns those that were there.
    ///
    /// # Errors
    /// [`LaunchError::Stuck`] with a group that stays.
    pub(crate) fn remove(&self) -> Result<Vec<PathBuf>, LaunchError> {
        let mut removed = Vec::new();
        for hierarchy in &self.hierarchies {
            let group = self.group(hierarchy);
            if group.is_dir() {
                remove_group(&group)?;
                removed.push(group);
            }
            for parent in self
                .path
                .ancestors()
                .skip(1)
                .filter(|path| *path != Path::new(""))
            {
                // Another WPAR's group may be in it.
                if fs::remove_dir(hierarchy.root.join(parent)).is_err() {
                    break;
                }
            }
        }
        Ok(removed)
    }

    pub(super) fn group(&self, hierarchy: &Hierarchy) -> PathBuf {
        hierarchy.root.join(&self.path)
    }

    fn unified(&self) -> PathBuf {
        self.hierarchies
            .iter()
            .find(|hierarchy| hierarchy.unified)
            .map_or_else(PathBuf::new, |hierarchy| self.group(hierarchy))
    }

    /// Processes in the group of cgroup2 and below.
    fn processes(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut groups = vec![self.unified()];
        while let Some(group) = groups.pop() {
            let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(members.lines().filter_map(|line| line.parse::<u32>().ok()));
            groups.extend(subgroups(&group));
        }
        found
    }
}

/// A mount of cgroup2 that is attached nowhere.
pub(crate) fn mount_unified() -> io::Result<OwnedFd> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "cgroup2")?;
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// Makes the group and those above it, handing down what a new group needs to be used.
pub(super) fn create_below(hierarchy: &Hierarchy, path: &Path) -> io::Result<()> {
    // The ends of other WPARs may remove a parent between two steps, and each other start makes it.
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        match try_create(hierarchy, path) {
            Err(error) if is_passing(&error) && Instant::now() < patience => {
                sleep(Duration::from_millis(1));
            }
            result => return result,
        }
    }
}

/// Whether an error is that of a group that was removed meanwhile: its files are not there, or were
/// open already.
fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

fn try_create(hierarchy: &Hierarchy, path: &Path) -> io::Result<()> {
    let mut group = hierarchy.root.clone();
    for part in path {
        let parent = group.clone();
        group.push(part);
        if hierarchy.unified {
            hand_down_controllers(&parent)?;
        }
        match fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !hierarchy.unified {
            // A cpuset without processors and memory nodes takes no member.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                match fs::read_to_string(parent.join(file)) {
                    // Whoever makes the parent has not come so far.
                    Ok(value) if value.trim().is_empty() => {
                        return Err(io::ErrorKind::NotFound.into());
                    }
                    Ok(value) => write(&group.join(file), value.trim())?,
                    Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Err(error),
                    Err(_) => {}
                }
            }
        }
    }
    Ok(())
}

/// Lets the groups below `group` use the controllers that it has itself.
fn hand_down_controllers(group: &Path) -> io::Result<()> {
    let available = fs::read_to_string(group.join("cgroup.controllers"))?;
    for controller in available
        .split_ascii_whitespace()
        .filter(|name| CONTROLLERS.contains(name))
    {
        // A host may not allow it; then there is no such limit.
        let _ = write(
            &group.join("cgroup.subtree_control"),
            &format!("+{controller}"),
        );
    }
    Ok(())
}

/// Lets root inside arrange the groups below `group`, but not change its limits.
fn delegate(group: &Path, ids: IdRange) -> io::Result<()> {
    let owner = |path: &Path| std::os::unix::fs::chown(path, Some(ids.first), Some(ids.first));
    owner(group)?;
    ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"]
        .iter()
        .try_for_each(|file| owner(&group.join(file)))
}

/// Lets the group open `devices`, and nothing else.
fn allow_devices(group: &Path, devices: &[DeviceRule]) -> io::Result<()> {
    let deny = group.join("devices.deny");
    if !deny.exists() {
        return Ok(());
    }
    write(&deny, "a")?;
    // Each rule is a write of its own.
    let mut allow = OpenOptions::new()
        .write(true)
        .open(group.join("devices.allow"))?;
    devices
        .iter()
        .try_for_each(|device| allow.write_all(device.to_string().as_bytes()))
}

/// Whether the host has any swap space.
fn has_swap() -> bool {
    let table = fs::read_to_string("/proc/swaps").unwrap_or_default();
    table.lines().nth(1).is_some()
}

/// The contents of an open control file as they are now.
fn read_again(mut file: &File) -> io::Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Waits until the kernel says that an open control file changed since it was read; not for long, for
/// a process that was just made may have to be killed, too.
fn await_change(file: &File) -> io::Result<()> {
    let longest = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    match poll(&mut [PollFd::new(file, PollFlags::PRI)], Some(&longest)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn write_if_there(group: &Path, file: &str, value: Option<String>) -> io::Result<()> {
    let path = group.join(file);
    match value {
        Some(value) if path.exists() => write(&path, &value),
        _ => Ok(()),
    }
}

/// Writes an existing control file in one call.
pub(super) fn write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(value.as_bytes())
}

fn subgroups(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes a group and those below it. A group whose last member is just being reaped is busy for
/// a moment.
pub(super) fn remove_group(group: &Path) -> Result<(), LaunchError> {
    for below in subgroups(group) {
        remove_group(&below)?;
    }
    let patience = Instant::now() + Duration::from_secs(2);
    loop {
        match fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > patience => {
                let reason = super::error::cause(&error);
                return Err(LaunchError::Stuck(format!("{}: {reason}", group.display())));
            }
            Err(_) => sleep(Duration::from_millis(2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of a hierarchy of plain files.
    fn of_files(root: &Path, unified: bool, files: &[&str]) -> Groups {
        let group = root.join("wpar/one");
        fs::create_dir_all(&group).unwrap();
        for file in files {
            fs::write(group.join(file), "").unwrap();
        }
        Groups {
            hierarchies: vec![Hierarchy {
                root: root.to_owned(),
                unified,
            }],
            path: PathBuf::from("wpar/one"),
            _mount: None,
        }
    }

    #[test]
    fn a_limit_that_the_host_cannot_hold_is_told_by_its_controller() {
        let temp = tempfile::tempdir().unwrap();
        let groups = of_files(temp.path(), true, &["pids.max", "cpu.stat"]);
        // The guard alone holds where it can.
        groups.limit(&Limits::default()).unwrap();
        assert_eq!(groups.read("pids.max").as_deref(), Some("4096"));
        let limits = Limits {
            memory: Some(1 << 30),
            ..Limits::default()
        };
        let error = groups.limit(&limits).unwrap_err().to_string();
        assert!(error.contains("controller memory"), "{error}");
        assert!(error.contains("memory cannot be limited"), "{error}");
        let none = of_files(&temp.path().join("b"), true, &[]);
        none.limit(&Limits::default()).unwrap();
        let said = Limits {
            must_hold_processes: true,
            ..Limits::default()
        };
        let error = none.limit(&said).unwrap_err().to_string();
        assert!(error.contains("controller pids"), "{error}");
    }

    #[test]
    fn limits_of_one_hierarchy_do_for_all() {
        let temp = tempfile::tempdir().unwrap();
        let mut groups = of_files(&temp.path().join("unified"), true, &["cgroup.procs"]);
        let memory = of_files(
            &temp.path().join("memory"),
            false,
            &["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
        );
        groups.hierarchies.extend(memory.hierarchies);
        let limits = Limits {
            memory: Some(1 << 30),
            memory_and_swap: Some(2 << 30),
            ..Limits::default()
        };
        groups.limit(&limits).unwrap();
        let bytes = groups.read("memory.limit_in_bytes");
        assert_eq!(bytes.as_deref(), Some("1073741824"));
    }

    #[test]
    fn paths_that_could_leave_the_hierarchy_are_refused() {
        for bad in ["", "/wpar/a", "wpar/../x", "wpar//a", "./a", "wpar/"] {
            assert!(Groups::open(bad).is_err(), "{bad}");
        }
    }

    /// The group in the hierarchy of cgroup2 alone, as on a host that has no other; `None`, said aloud,
    /// where this process may not make one.
    fn in_cgroup2(name: &str) -> Option<Groups> {
        let mut groups = Groups::open(&format!("wpar-test/{name}-{}", std::process::id())).ok()?;
        groups.hierarchies.retain(|hierarchy| hierarchy.unified);
        let made = create_below(groups.hierarchies.first()?, &groups.path);
        if !rustix::process::geteuid().is_root() || made.is_err() {
            let _ = io::stderr().write_all(b"SKIPPED: needs root, and control groups\n");
            return None;
        }
        Some(groups)
    }

    /// Runs a script in the group.
    fn run_in(groups: &Groups, script: &str) -> String {
        let own = groups.unified().join("cgroup.procs");
        let script = format!("echo $$ >{} || exit; {script}", own.display());
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .output();
        let output = output.unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn terms<'a>(limits: &'a Limits, devices: &'a [DeviceRule]) -> Terms<'a> {
        Terms {
            limits,
            ids: IdRange {
                first: 1_073_741_824,
                count: 65_536,
            },
            devices,
            addresses: None,
        }
    }

    #[test]
    fn without_the_first_version_devices_are_filtered_by_the_kernels_programs() {
        let Some(groups) = in_cgroup2("devices") else {
            return;
        };
        let limits = Limits::default();
        let open = "for d in null fuse; do (exec 3<>/dev/$d) 2>/dev/null && echo -n \"$d \"; done";
        assert_eq!(
            run_in(&groups, open),
            "null fuse ",
            "nothing is filtered yet"
        );
        groups.create(&terms(&limits, &[])).unwrap();
        assert_eq!(run_in(&groups, open), "null ");
        groups.remove().unwrap();
        // One that was given away.
        let fuse = DeviceRule {
            kind: bpf::DeviceKind::Character,
            major: 10,
            minor: Some(229),
        };
        groups.create(&terms(&limits, &[fuse])).unwrap();
        assert_eq!(run_in(&groups, open), "null fuse ");
        groups.remove().unwrap();
    }

    /// With the loopback address alone: nothing has to be changed on the host for it.
    #[test]
    fn the_kernel_takes_the_programs_for_addresses_and_does_what_they_say() {
        let Some(groups) = in_cgroup2("addresses") else {
            return;
        };
        let own = |addresses: &[(&str, &str)]| OwnAddresses {
            addresses: addresses
                .iter()
                .map(|(address, link)| (address.parse().unwrap(), (*link).to_owned()))
                .collect(),
            loopback: "127.99.98.97".parse().unwrap(),
            low_ports: true,
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = format!("(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo -n yes");
        assert_eq!(run_in(&groups, &connect), "yes");
        let limits = Limits::default();
        let none = own(&[]);
        let held = Terms {
            addresses: Some(&none),
            ..terms(&limits, &[])
        };
        groups.create(&held).unwrap();
        assert_eq!(run_in(&groups, &connect), "");
        let at_own = std::net::TcpListener::bind(("127.99.98.97", port)).unwrap();
        assert_eq!(run_in(&groups, &connect), "yes");
        assert_eq!(at_own.accept().unwrap().1.ip().to_string(), "127.99.98.97");
        groups.remove().unwrap();
        // The most that there may be: the kernel's checker has its own limits.
        let many: Vec<String> = (1..=64).map(|n| format!("2001:db8::{n:x}")).collect();
        let many: Vec<_> = many.iter().map(|text| (text.as_str(), "lo")).collect();
        let many = own(&many);
        let held = Terms {
            addresses: Some(&many),
            ..terms(&limits, &[])
        };
        groups.create(&held).unwrap();
        groups.remove().unwrap();
    }
}
