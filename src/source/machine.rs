//! What the host has of memory and processors.

use std::fs;

use crate::model::resources::CpuList;
use crate::policy::resources::Machine;

/// Memory and processors of this host; `None` if the kernel does not say.
pub fn machine() -> Option<Machine> {
    let memory = memory(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let online = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let processors = CpuList::parse_or_none(online.trim()).ok()??;
    Some(Machine { memory, processors })
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
    fn the_memory_is_that_of_the_whole_host() {
        let text = "MemTotal:       24684032 kB\nMemFree:        10574016 kB\n";
        assert_eq!(memory(text), Some(24_684_032 * 1024));
        assert_eq!(memory("MemFree: 1 kB\n"), None);
        assert!(machine().is_some_and(|machine| machine.memory > 1 << 20));
    }
}
