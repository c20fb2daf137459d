//! What a WPAR may use, and which files of control groups say so: a table for each kind of
//! hierarchy.
//!
//! Pure: limits in, files and values out. [`super::cgroup`] writes them where they exist.

use serde::{Deserialize, Serialize};

use super::error::LaunchError;

/// Tasks of a WPAR of which nothing else is said: a guard against a fork bomb.
pub const TASKS: u64 = 4096;

/// Period of the processor quota, in microseconds: the kernel's own.
const PERIOD: u64 = 100_000;

/// What a WPAR may use; `None` for as much as there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Whether the start fails if the host cannot hold it to `processes`. As for all others.
    pub must_hold_processes: bool,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory in bytes that it is pushed back to when it has more.
    pub memory_soft: Option<u64>,
    /// Memory in bytes that others do not take from it, where the host can do that.
    pub memory_kept: Option<u64>,
    /// Memory and swap space together, in bytes.
    pub memory_and_swap: Option<u64>,
    /// Processor time in percent of one processor.
    pub cpu_percent: Option<u32>,
    /// Weight against others if they all want the processors; 100 is usual.
    pub cpu_weight: Option<u32>,
    /// Processors that it runs on, as in `0-3,6`.
    pub cpus: Option<String>,
    /// Address space of each process in bytes.
    pub process_memory: Option<u64>,
    /// Pseudo terminals.
    pub terminals: Option<u64>,
    /// Disks.
    pub io: IoLimits,
}

/// What a WPAR may use of the host's disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IoLimits {
    /// Bytes in a second read from each disk.
    pub read: Option<u64>,
    /// Bytes in a second written to each disk.
    pub write: Option<u64>,
    /// Weight at each disk; 100 is usual.
    pub weight: Option<u32>,
    /// The disks, as `MAJOR:MINOR`.
    pub disks: Vec<String>,
}

impl IoLimits {
    /// Whether nothing is limited.
    pub(crate) fn is_none(&self) -> bool {
        self.read.or(self.write).is_none() && self.weight.is_none()
    }

    /// For a group of cgroup2, in the order of writing; of the disks in `before` that are not limited any
    /// more, that they are not.
    pub(crate) fn unified(&self, before: &[String]) -> Vec<Setting> {
        let or_max =
            |disk: &String, value: Option<u64>| or_max(value.filter(|_| self.disks.contains(disk)));
        let line = |disk: &String| {
            let (read, write) = (or_max(disk, self.read), or_max(disk, self.write));
            setting(
                Need::IoRate,
                "io.max",
                format!("{disk} rbps={read} wbps={write}"),
            )
        };
        let mut settings: Vec<_> = self.with(before).map(line).collect();
        let weight = self.weight.unwrap_or(100);
        // One of the two schedulers that have weights, whichever there is.
        settings.extend([
            setting(Need::IoWeight, "io.weight", format!("default {weight}")),
            setting(Need::IoWeight, "io.bfq.weight", format!("default {weight}")),
        ]);
        settings
    }

    /// For a group of the first version.
    pub(crate) fn legacy(&self, before: &[String]) -> Vec<Setting> {
        let line = |file, disk: &String, value: Option<u64>| {
            let value = value.filter(|_| self.disks.contains(disk)).unwrap_or(0);
            setting(Need::IoRate, file, format!("{disk} {value}"))
        };
        let mut settings = Vec::new();
        for disk in self.with(before) {
            settings.extend([
                line("blkio.throttle.read_bps_device", disk, self.read),
                line("blkio.throttle.write_bps_device", disk, self.write),
            ]);
        }
        let weight = self.weight.unwrap_or(100);
        settings.push(setting(Need::IoWeight, "blkio.bfq.weight", weight));
        settings
    }

    fn with<'a>(&'a self, before: &'a [String]) -> impl Iterator<Item = &'a String> {
        let gone = before.iter().filter(|disk| !self.disks.contains(disk));
        self.disks.iter().chain(gone)
    }

    /// What the host must be able to do.
    pub(crate) fn needs(&self) -> Vec<Need> {
        let rate = self.read.or(self.write).is_some();
        [
            (Need::IoRate, rate),
            (Need::IoWeight, self.weight.is_some()),
        ]
        .into_iter()
        .filter_map(|(need, wanted)| wanted.then_some(need))
        .collect()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: Some(TASKS),
            must_hold_processes: false,
            memory: None,
            memory_soft: None,
            memory_kept: None,
            memory_and_swap: None,
            cpu_percent: None,
            cpu_weight: None,
            cpus: None,
            process_memory: None,
            terminals: None,
            io: IoLimits::default(),
        }
    }
}

/// What of a host a limit needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Tasks,
    Memory,
    MemoryAndSwap,
    CpuTime,
    CpuWeight,
    Cpus,
    IoRate,
    IoWeight,
}

impl Need {
    /// The controller that has it, and what to do without, in words.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Tasks => ("pids", "totalProcesses and totalThreads"),
            Self::Memory => ("memory", "memory"),
            Self::MemoryAndSwap => ("memory (with its account of swap space)", "totalVirtMem"),
            Self::CpuTime => ("cpu", "CPU"),
            Self::CpuWeight => ("cpu", "shares_CPU"),
            Self::Cpus => ("cpuset", "rset"),
            Self::IoRate => ("io (or blkio) that can throttle", "ioRead and ioWrite"),
            Self::IoWeight => ("io (or blkio) with weights, as of bfq", "ioWeight"),
        }
    }

    /// That a host does not have it.
    pub(crate) fn refusal(self) -> LaunchError {
        let (controller, control) = self.words();
        LaunchError::other(format!(
            "{control} cannot be limited: this host has no control group controller {controller}; \
             enable it, or take the limit away with 'chwpar -K -R'"
        ))
    }
}

/// One value for one file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The limit that it is a part of; `None` for what is done where it can be.
    pub(crate) need: Option<Need>,
    pub(crate) file: &'static str,
    pub(crate) value: String,
}

fn setting(need: impl Into<Option<Need>>, file: &'static str, value: impl ToString) -> Setting {
    Setting {
        need: need.into(),
        file,
        value: value.to_string(),
    }
}

impl Limits {
    /// What the host must be able to do.
    pub(crate) fn needs(&self) -> Vec<Need> {
        let tasks = self.processes.is_some() && self.must_hold_processes;
        [
            (Need::Tasks, tasks),
            (Need::Memory, self.memory.is_some()),
            (Need::MemoryAndSwap, self.memory_and_swap.is_some()),
            (Need::CpuTime, self.cpu_percent.is_some()),
            (Need::CpuWeight, self.cpu_weight.is_some()),
            (Need::Cpus, self.cpus.is_some()),
        ]
        .into_iter()
        .filter_map(|(need, wanted)| wanted.then_some(need))
        .collect()
    }

    /// The memory that it may have, from both limits of it.
    fn whole_memory(&self) -> Option<u64> {
        self.memory.into_iter().chain(self.memory_and_swap).min()
    }

    /// For a group of cgroup2, in the order of writing.
    pub(crate) fn unified(&self) -> Vec<Setting> {
        let memory = self.whole_memory();
        // The kernel limits swap space on its own: what the memory leaves of the sum.
        let swap = self.memory_and_swap.map(|sum| sum - memory.unwrap_or(sum));
        let quota = self.cpu_percent.map(quota);
        vec![
            setting(Need::Tasks, "pids.max", or_max(self.processes)),
            setting(Need::Memory, "memory.max", or_max(memory)),
            setting(None, "memory.high", or_max(self.memory_soft)),
            setting(None, "memory.min", self.memory_kept.unwrap_or(0)),
            setting(Need::MemoryAndSwap, "memory.swap.max", or_max(swap)),
            setting(
                Need::CpuTime,
                "cpu.max",
                format!("{} {PERIOD}", or_max(quota)),
            ),
            setting(
                Need::CpuWeight,
                "cpu.weight",
                self.cpu_weight.unwrap_or(100).clamp(1, 10_000),
            ),
            setting(
                Need::Cpus,
                "cpuset.cpus",
                self.cpus.as_deref().unwrap_or(""),
            ),
        ]
    }

    /// For a group of the first version, in the order of writing. `cpus` are the processors of the
    /// group above.
    pub(crate) fn legacy(&self, cpus: &str) -> Vec<Setting> {
        let memory = self.whole_memory();
        let bytes = |value: Option<u64>| {
            value.map_or_else(|| "-1".to_owned(), |bytes: u64| bytes.to_string())
        };
        let quota = self
            .cpu_percent
            .map_or_else(|| "-1".to_owned(), |percent| quota(percent).to_string());
        let shares = u64::from(self.cpu_weight.unwrap_or(100)) * 1024 / 100;
        vec![
            setting(Need::Tasks, "pids.max", or_max(self.processes)),
            // The sum is never less than the memory, not even between two steps.
            setting(None, "memory.memsw.limit_in_bytes", "-1"),
            setting(Need::Memory, "memory.limit_in_bytes", bytes(memory)),
            setting(
                Need::MemoryAndSwap,
                "memory.memsw.limit_in_bytes",
                bytes(self.memory_and_swap),
            ),
            setting(None, "memory.soft_limit_in_bytes", bytes(self.memory_soft)),
            setting(Need::CpuTime, "cpu.cfs_quota_us", quota),
            setting(Need::CpuWeight, "cpu.shares", shares.clamp(2, 262_144)),
            setting(
                Need::Cpus,
                "cpuset.cpus",
                self.cpus.as_deref().unwrap_or(cpus),
            ),
        ]
    }
}

fn or_max(value: Option<u64>) -> String {
    value.map_or_else(|| "max".to_owned(), |value| value.to_string())
}

/// Microseconds of processor time in each period. The kernel takes no less than one thousand.
fn quota(percent: u32) -> u64 {
    (u64::from(percent) * PERIOD / 100).max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn text(settings: &[Setting]) -> Vec<String> {
        settings
            .iter()
            .map(|setting| format!("{}={}", setting.file, setting.value))
            .collect()
    }

    fn whole() -> Limits {
        Limits {
            processes: Some(400),
            must_hold_processes: true,
            memory: Some(2 * GIB),
            memory_soft: Some(GIB),
            memory_kept: Some(GIB / 2),
            memory_and_swap: Some(3 * GIB),
            cpu_percent: Some(150),
            cpu_weight: Some(40),
            cpus: Some("0-1".to_owned()),
            process_memory: Some(GIB),
            terminals: Some(16),
            io: IoLimits {
                read: Some(50 << 20),
                write: None,
                weight: Some(40),
                disks: vec!["8:0".to_owned()],
            },
        }
    }

    #[test]
    fn every_limit_has_its_file_in_either_version() {
        assert_eq!(
            text(&whole().unified()),
            [
                "pids.max=400",
                "memory.max=2147483648",
                "memory.high=1073741824",
                "memory.min=536870912",
                "memory.swap.max=1073741824",
                "cpu.max=150000 100000",
                "cpu.weight=40",
                "cpuset.cpus=0-1",
            ]
        );
        assert_eq!(
            text(&whole().legacy("0-3")),
            [
                "pids.max=400",
                "memory.memsw.limit_in_bytes=-1",
                "memory.limit_in_bytes=2147483648",
                "memory.memsw.limit_in_bytes=3221225472",
                "memory.soft_limit_in_bytes=1073741824",
                "cpu.cfs_quota_us=150000",
                "cpu.shares=409",
                "cpuset.cpus=0-1",
            ]
        );
        assert_eq!(whole().needs().len(), 6);
    }

    #[test]
    fn disks_are_limited_one_by_one_and_released() {
        let io = whole().io;
        let before = ["8:0".to_owned(), "8:16".to_owned()];
        assert_eq!(
            text(&io.unified(&before)),
            [
                "io.max=8:0 rbps=52428800 wbps=max",
                "io.max=8:16 rbps=max wbps=max",
                "io.weight=default 40",
                "io.bfq.weight=default 40",
            ]
        );
        assert_eq!(
            text(&io.legacy(&before)),
            [
                "blkio.throttle.read_bps_device=8:0 52428800",
                "blkio.throttle.write_bps_device=8:0 0",
                "blkio.throttle.read_bps_device=8:16 0",
                "blkio.throttle.write_bps_device=8:16 0",
                "blkio.bfq.weight=40",
            ]
        );
        assert_eq!(io.needs(), [Need::IoRate, Need::IoWeight]);
        assert!(IoLimits::default().is_none() && IoLimits::default().needs().is_empty());
    }

    #[test]
    fn without_limits_every_file_says_so() {
        let none = Limits {
            processes: None,
            ..Limits::default()
        };
        assert_eq!(
            text(&none.unified()),
            [
                "pids.max=max",
                "memory.max=max",
                "memory.high=max",
                "memory.min=0",
                "memory.swap.max=max",
                "cpu.max=max 100000",
                "cpu.weight=100",
                "cpuset.cpus=",
            ]
        );
        let legacy = text(&none.legacy("0-3"));
        assert!(legacy.contains(&"cpu.shares=1024".to_owned()));
        assert!(legacy.contains(&"cpuset.cpus=0-3".to_owned()));
        assert!(none.needs().is_empty());
        // The guard holds where it can.
        assert!(Limits::default().needs().is_empty());
        assert_eq!(Limits::default().unified()[0].value, "4096");
    }

    #[test]
    fn the_sum_of_memory_and_swap_limits_the_memory_too() {
        let limits = Limits {
            memory_and_swap: Some(GIB),
            ..Limits::default()
        };
        let unified = text(&limits.unified());
        assert!(unified.contains(&format!("memory.max={GIB}")));
        assert!(unified.contains(&"memory.swap.max=0".to_owned()));
        let legacy = text(&limits.legacy(""));
        assert!(legacy.contains(&format!("memory.limit_in_bytes={GIB}")));
        let more = Limits {
            memory: Some(2 * GIB),
            ..limits
        };
        assert!(text(&more.legacy("")).contains(&format!("memory.limit_in_bytes={GIB}")));
    }

    #[test]
    fn a_part_of_a_processor_that_the_kernel_would_refuse_is_the_least_it_takes() {
        assert_eq!(quota(1), 1000);
        assert_eq!(quota(0), 1000);
        assert_eq!(quota(u32::MAX), 4_294_967_295_000);
    }

    #[test]
    fn a_specification_of_an_earlier_version_is_read() {
        let old: Limits =
            serde_json::from_str(r#"{"processes": 4096, "memory": null, "cpu_percent": 50}"#)
                .unwrap();
        assert_eq!(old.cpu_percent, Some(50));
        assert!(!old.must_hold_processes);
    }
}
