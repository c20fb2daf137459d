//! What the kernel says is there: mounts, processes, control groups.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Mount points of this mount namespace at or below `dir`, in the order of mounting.
pub fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(unescape)
        .filter(|point| point.starts_with(dir))
        .collect()
}

/// Undoes the octal escapes of `/proc/*/mountinfo` (proc(5)).
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        if let Some(code) = code {
            bytes.push(code);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

/// A process, as much of it as tests need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its arguments, joined by blanks.
    pub command: String,
    /// Contents of `/proc/PID/cgroup`.
    pub cgroups: String,
}

/// All processes except kernel threads and zombies; `about` also sees the environment.
fn processes(about: impl Fn(&Process, &[u8]) -> bool) -> Vec<Process> {
    let listing = fs::read_dir("/proc").expect("/proc");
    let pids = listing
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .collect::<BTreeSet<_>>();
    let own = std::process::id();
    pids.into_iter()
        .filter(|&pid| u32::try_from(pid) != Ok(own))
        .filter_map(|pid| {
            // It may end at any moment.
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let process = Process {
                pid,
                command: String::from_utf8_lossy(&command).replace('\0', " "),
                cgroups: fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?,
            };
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            (!command.is_empty() && about(&process, &environment)).then_some(process)
        })
        .collect()
}

impl Process {
    /// Whether one of its control groups is one of `groups` or below it.
    pub fn is_in(&self, groups: &BTreeSet<PathBuf>) -> bool {
        let names: Vec<String> = groups
            .iter()
            .filter_map(|group| within_mount(group))
            .collect();
        self.cgroups.lines().any(|line| {
            let path = line.splitn(3, ':').nth(2).unwrap_or_default();
            names
                .iter()
                .any(|name| path == name || path.starts_with(&format!("{name}/")))
        })
    }

    /// Whether it works in `dir`, or has a file below it open.
    fn uses(&self, dir: &Path) -> bool {
        let links = fs::read_dir(format!("/proc/{}/fd", self.pid))
            .into_iter()
            .flatten()
            .flatten();
        let own =
            ["cwd", "root", "exe"].map(|name| PathBuf::from(format!("/proc/{}/{name}", self.pid)));
        let mut links = links.map(|link| link.path()).chain(own);
        links.any(|link| fs::read_link(link).is_ok_and(|target| target.starts_with(dir)))
    }
}

/// Processes that have to do with what is kept below `root`: its path stands in their arguments
/// or their environment, they have a file below it open, or they are in one of the control
/// groups `groups`.
pub fn processes_of(root: &Path, groups: &BTreeSet<PathBuf>) -> Vec<Process> {
    let needle = root.as_os_str().as_bytes();
    processes(|process, environment| {
        let mentions = |text: &[u8]| text.windows(needle.len()).any(|window| window == needle);
        mentions(process.command.as_bytes())
            || mentions(environment)
            || process.is_in(groups)
            || process.uses(root)
    })
}

/// Path of a control group inside its hierarchy.
fn within_mount(group: &Path) -> Option<String> {
    let mount = cgroup_mounts()
        .into_iter()
        .find(|mount| group.starts_with(mount))?;
    let inside = group.strip_prefix(mount).ok()?;
    Some(format!("/{}", inside.display()))
}

/// Mount points of all control group hierarchies of this host.
fn cgroup_mounts() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").expect("/proc/self/mounts");
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| matches!(fields.get(2), Some(&"cgroup" | &"cgroup2")))
        .filter_map(|fields| fields.get(1).map(PathBuf::from))
        .filter(|point| point.starts_with("/sys/fs/cgroup"))
        .collect();
    // the longest first, so that a mount below another one is found before it
    mounts.sort_by_key(|point| std::cmp::Reverse(point.as_os_str().len()));
    mounts
}

/// All control groups of all hierarchies with `wpar` in their own or a parent's name.
pub fn wpar_cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for mount in cgroup_mounts() {
        let mut todo = vec![(mount.clone(), false)];
        while let Some((dir, inside)) = todo.pop() {
            let Ok(listing) = fs::read_dir(&dir) else {
                continue;
            };
            for entry in listing.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let ours = inside
                    || entry
                        .file_name()
                        .as_bytes()
                        .windows(4)
                        .any(|w| w == b"wpar");
                if ours {
                    found.insert(entry.path());
                }
                todo.push((entry.path(), ours));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escapes_of_mountinfo_are_undone() {
        assert_eq!(unescape(b"/a\\040b\\134c"), PathBuf::from("/a b\\c"));
        assert_eq!(unescape(b"/plain"), PathBuf::from("/plain"));
        assert_eq!(unescape(b"/odd\\04"), PathBuf::from("/odd\\04"));
    }

    #[test]
    fn the_root_is_a_mount() {
        assert!(mounts_below(Path::new("/")).contains(&PathBuf::from("/")));
    }
}
