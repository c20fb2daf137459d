//! What the measurements were made on.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// Facts about the machine, without which no figure means anything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Model of the processor.
    processor: String,
    /// Processors that this program may use.
    processors: usize,
    /// Memory in MiB.
    memory_mib: u64,
    /// Kernel release.
    kernel: String,
    /// Distribution.
    system: String,
    /// File system of the working directory.
    file_system: String,
    /// Load of the last minute when the benchmark began. Above a tenth: the machine was not quiet.
    load: f64,
    /// Version of wpar.
    wpar: String,
}

impl Machine {
    /// This machine; `work` is where files are written.
    pub(crate) fn here(work: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, key: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(key))
                .unwrap_or_default();
            let value = line.split_once([':', '=']).map_or("", |(_, value)| value);
            value.trim().trim_matches('"').to_owned()
        };
        Self {
            processor: after(&read("/proc/cpuinfo"), "model name"),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_bytes() >> 20,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: after(&read("/etc/os-release"), "PRETTY_NAME"),
            file_system: file_system(work),
            load: load(),
            wpar: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// In one sentence.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "{} ({} processors, {} MiB), Linux {}, {}, {}; load {:.2} at the beginning; wpar {}",
            self.processor,
            self.processors,
            self.memory_mib,
            self.kernel,
            self.system,
            self.file_system,
            self.load,
            self.wpar,
        )
    }
}

/// Memory of this machine.
pub(crate) fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    total.unwrap_or(0) * 1024
}

/// Load of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next();
    first.and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Type of the file system that `path` is on: that of the longest mount point above it.
fn file_system(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    mounts
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(String::new, |(_, kind)| kind.to_owned())
}
