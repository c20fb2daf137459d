//! What resource controls mean on this host: from AIX's words to the limits of a launch.
//!
//! | control | limit |
//! |---|---|
//! | `totalProcesses`, `totalThreads` | tasks, which are what the kernel counts: the smaller of both |
//! | `memory=MIN%-SOFT%,HARD%` | parts of the host's memory: what is kept, pushed back to, never exceeded |
//! | `totalVirtMem` | memory and swap space |
//! | `procVirtMem` | address space of each process |
//! | `CPU=MIN%-SOFT%,HARD%` | HARD: a part of the time of all processors; the kernel has no other two |
//! | `shares_CPU` | weight; 100 is that of a WPAR without shares |
//! | `rset` | processors |
//! | `totalPTYs` | pseudo terminals |
//! | `ioRead`, `ioWrite` | bytes in a second from and to each disk of the host, by its file system, and as much by its processes themselves |
//! | `ioWeight` | weight at each disk, where its scheduler has weights |
//!
//! With `active=no` only the guard against fork bombs is left.

use thiserror::Error;

use crate::launch::{IoLimits, Limits};
use crate::model::resources::{CpuList, Maximum, MemoryLimit, Resources};

/// What the host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Memory in bytes.
    pub memory: u64,
    /// Its processors that are online.
    pub processors: CpuList,
    /// Its disks, as `MAJOR:MINOR`.
    pub disks: Vec<String>,
}

/// A control that asks for what the host does not have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("rset={asked} names a processor that this host does not have: there are {present}")]
pub struct NoSuchProcessor {
    asked: CpuList,
    present: CpuList,
}

/// The limits that follow.
///
/// # Errors
/// Processors that do not exist.
pub fn limits(resources: &Resources, machine: &Machine) -> Result<Limits, NoSuchProcessor> {
    let none = Limits::default();
    if !resources.active {
        return Ok(none);
    }
    if let Some(asked) = &resources.rset
        && asked.last() > machine.processors.last()
    {
        return Err(NoSuchProcessor {
            asked: asked.clone(),
            present: machine.processors.clone(),
        });
    }
    let (processes, must_hold_processes) = match (resources.processes, resources.threads) {
        (None, None) => (none.processes, false),
        (Some(Maximum::At(processes)), threads) => {
            (Some(threads.map_or(processes, |t| t.min(processes))), true)
        }
        (_, threads) => (threads, threads.is_some()),
    };
    let part = |percent: u8| {
        let bytes = u128::from(machine.memory) * u128::from(percent) / 100;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let limit = |percent: u8| (percent < 100).then(|| part(percent));
    let (memory, memory_soft, memory_kept) = match resources.memory {
        None => (None, None, None),
        Some(MemoryLimit::Bytes(bytes)) => (Some(bytes), None, None),
        Some(MemoryLimit::Part(range)) => (
            limit(range.hard),
            limit(range.soft).filter(|_| range.soft < range.hard),
            Some(part(range.min)).filter(|kept| *kept > 0),
        ),
    };
    let hard = resources.cpu.map_or(100, |range| range.hard);
    Ok(Limits {
        processes,
        must_hold_processes,
        memory,
        memory_soft,
        memory_kept,
        memory_and_swap: resources.total_memory,
        cpu_percent: (hard < 100).then(|| u32::from(hard) * machine.processors.count()),
        cpu_weight: resources.shares_cpu,
        cpus: resources.rset.as_ref().map(ToString::to_string),
        process_memory: resources.process_memory,
        terminals: resources.terminals,
        io: IoLimits {
            read: resources.io_read,
            write: resources.io_write,
            weight: resources.io_weight,
            disks: match resources.io_read.or(resources.io_write) {
                Some(_) => machine.disks.clone(),
                None => Vec::new(),
            },
        },
    })
}

/// What is said but cannot be done in full, in words for the administrator.
pub fn notes(resources: &Resources) -> Vec<String> {
    let in_part = resources
        .cpu
        .filter(|range| range.min > 0 || range.soft < range.hard);
    in_part
        .map(|range| {
            format!(
                "CPU={range}: only the last, {}%, is enforced; use shares_CPU for what counts when \
                 others want the processors too",
                range.hard
            )
        })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn machine() -> Machine {
        Machine {
            memory: 10 * GIB,
            processors: CpuList::parse_or_none("0-3").unwrap().unwrap(),
            disks: vec!["8:0".to_owned(), "254:0".to_owned()],
        }
    }

    fn of(pairs: &[&str]) -> Result<Limits, NoSuchProcessor> {
        let mut resources = Resources::default();
        resources.set(pairs).unwrap();
        limits(&resources, &machine())
    }

    #[test]
    fn parts_are_of_the_whole_host() {
        let limits = of(&["memory=10%-50%,60%", "CPU=5%-10%,50%"]).unwrap();
        assert_eq!(limits.memory, Some(6 * GIB));
        assert_eq!(limits.memory_soft, Some(5 * GIB));
        assert_eq!(limits.memory_kept, Some(GIB));
        assert_eq!(limits.cpu_percent, Some(200));
        let limits = of(&["memory=512M", "CPU=100%", "shares_CPU=40"]).unwrap();
        assert_eq!(limits.memory, Some(512 << 20));
        assert_eq!((limits.memory_soft, limits.cpu_percent), (None, None));
        assert_eq!(limits.cpu_weight, Some(40));
        assert_eq!(of(&["memory=50%"]).unwrap().memory_soft, None);
    }

    #[test]
    fn processes_and_threads_are_one_count_and_one_that_is_said_replaces_the_guard() {
        for (pairs, expected, must_hold) in [
            (&[][..], Some(4096), false),
            (&["totalProcesses=400"], Some(400), true),
            (&["totalThreads=9000"], Some(9000), true),
            (&["totalProcesses=400", "totalThreads=300"], Some(300), true),
            (&["totalProcesses=unlimited"], None, false),
            (
                &["totalProcesses=unlimited", "totalThreads=90"],
                Some(90),
                true,
            ),
        ] {
            let limits = of(pairs).unwrap();
            assert_eq!(
                (limits.processes, limits.must_hold_processes),
                (expected, must_hold),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn rates_are_for_each_disk() {
        let io = of(&["ioRead=50MB/s", "ioWeight=40"]).unwrap().io;
        assert_eq!(
            (io.read, io.write, io.weight),
            (Some(50 << 20), None, Some(40))
        );
        assert_eq!(io.disks, ["8:0", "254:0"]);
        assert!(of(&["ioWeight=40"]).unwrap().io.disks.is_empty());
    }

    #[test]
    fn what_is_not_active_limits_nothing_but_keeps_the_guard() {
        let limits = of(&["active=no", "memory=50%", "totalProcesses=10"]).unwrap();
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn processors_that_do_not_exist_are_told() {
        assert_eq!(of(&["rset=0,3"]).unwrap().cpus.as_deref(), Some("0,3"));
        let error = of(&["rset=2-4"]).unwrap_err().to_string();
        assert!(
            error.contains("rset=2-4") && error.contains("0-3"),
            "{error}"
        );
    }

    #[test]
    fn what_is_enforced_in_part_is_told() {
        let said = |pair: &str| {
            let mut resources = Resources::default();
            resources.set(&[pair]).unwrap();
            notes(&resources).len()
        };
        assert_eq!(said("CPU=50%"), 0);
        assert_eq!(said("CPU=0%-20%,50%"), 1);
        assert_eq!(said("CPU=5%-50%,50%"), 1);
    }
}
