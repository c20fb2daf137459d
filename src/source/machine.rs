//! What the host has of memory, processors and disks.

use std::fs;
use std::path::Path;

use crate::model::resources::CpuList;
use crate::policy::resources::Machine;

/// Memory, processors and disks of this host; `None` if the kernel does not say.
pub fn machine() -> Option<Machine> {
    let memory = memory(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let processors = CpuList::parse_or_none(online.trim()).ok()??;
    Some(Machine {
        memory,
        processors,
        disks: disks(Path::new("/sys/block")),
    })
}

/// Whole disks, as the kernel numbers them. Those that are files or memory of the host are none.
fn disks(all: &Path) -> Vec<String> {
    let is_disk = |name: &str| {
        !["loop", "ram", "zram", "nbd"]
            .iter()
            .any(|kind| name.starts_with(kind))
    };
    let entries = fs::read_dir(all).into_iter().flatten().flatten();
    let found = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_disk));
    let number = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("dev")).ok();
    let mut disks: Vec<_> = found
        .filter_map(number)
        .map(|number| number.trim().to_owned())
        .collect();
    disks.sort();
    disks
}

/// The memory in bytes that `/proc/meminfo` tells (proc_meminfo(5)).
fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_look_like_disks_are_none() {
        let temp = tempfile::tempdir().unwrap();
        for (name, number) in [("sda", "8:0\n"), ("loop0", "7:0\n"), ("dm-0", "254:0\n")] {
            fs::create_dir(temp.path().join(name)).unwrap();
            fs::write(temp.path().join(name).join("dev"), number).unwrap();
        }
        assert_eq!(disks(temp.path()), ["254:0", "8:0"]);
    }

    #[test]
    fn the_memory_is_that_of_the_whole_host() {
        let text = "MemTotal:       24684032 kB\nMemFree:        10574016 kB\n";
        assert_eq!(memory(text), Some(24_684_032 * 1024));
        assert_eq!(memory("MemFree: 1 kB\n"), None);
        assert!(machine().is_some_and(|machine| machine.memory > 1 << 20));
    }
}
