//! What a running WPAR uses: counters of the kernel, read without asking anybody.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::cgroup::Groups;
use super::disk;
use super::state::RunState;

/// Clock ticks in a second, of `/proc/PID/stat`: the same on every Linux that runs this.
const TICKS: u64 = 100;

/// What a WPAR uses now, or has used since its start; `None` where the host does not count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Processor time of its processes, in microseconds.
    pub cpu_microseconds: Option<u64>,
    /// Processor time of its file system, in microseconds.
    pub file_system_microseconds: Option<u64>,
    /// Memory in bytes, with what is cached of its files.
    pub memory_bytes: Option<u64>,
    /// The most that it may have; none if that is not limited.
    pub memory_limit_bytes: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// The most that there may be; none if that is not limited.
    pub tasks_limit: Option<u64>,
    /// Bytes that it got from its network.
    pub received_bytes: Option<u64>,
    /// Bytes that it sent.
    pub sent_bytes: Option<u64>,
    /// Bytes that were read from disks for it, since its file system was started.
    pub disk_read_bytes: Option<u64>,
    /// Bytes that were written to disks for it.
    pub disk_written_bytes: Option<u64>,
    /// Start, in seconds since 1970.
    pub started_at: u64,
}

/// Looks at the WPAR with this run directory; `None` if it does not run. `link` is the host's end of
/// its wire.
pub fn usage(run_dir: &Path, link: &str) -> Option<Usage> {
    let state = RunState::read(run_dir)?;
    if !state.init.is_some_and(super::ProcessId::is_alive) {
        return None;
    }
    let groups = Groups::open(&state.cgroup).ok()?;
    let number = |unified: &str, legacy: &str| {
        let text = groups.read(unified).or_else(|| groups.read(legacy))?;
        text.trim().parse::<u64>().ok()
    };
    // No group is limited to more than there is of addresses; the first version says that it is not.
    let limit =
        |unified: &str, legacy: &str| number(unified, legacy).filter(|limit| *limit < 1 << 62);
    let nanoseconds = groups.read("cpuacct.usage");
    let nanoseconds = nanoseconds.and_then(|text| text.trim().parse::<u64>().ok());
    let (received, sent) = match of_link(&fs::read_to_string("/proc/net/dev").ok()?, link) {
        Some((received, sent)) => (Some(received), Some(sent)),
        None => (None, None),
    };
    let daemon = state.daemon.filter(|daemon| daemon.is_alive());
    let (disk_read_bytes, disk_written_bytes) = daemon
        .and_then(|daemon| disk::of_process(daemon.pid).ok())
        .unwrap_or_default();
    Some(Usage {
        disk_read_bytes,
        disk_written_bytes,
        cpu_microseconds: groups
            .read("cpu.stat")
            .and_then(|text| field(&text, "usage_usec"))
            .or(nanoseconds.map(|time| time / 1000)),
        file_system_microseconds: daemon
            .and_then(|daemon| fs::read_to_string(format!("/proc/{}/stat", daemon.pid)).ok())
            .and_then(|stat| processor_time(&stat)),
        memory_bytes: number("memory.current", "memory.usage_in_bytes"),
        memory_limit_bytes: limit("memory.max", "memory.limit_in_bytes"),
        tasks: number("pids.current", "pids.current"),
        tasks_limit: limit("pids.max", "pids.max"),
        received_bytes: received,
        sent_bytes: sent,
        started_at: state.started_at,
    })
}

/// The value of a line `NAME VALUE`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

/// User and system time of a line of `/proc/PID/stat` (proc(5)), in microseconds.
fn processor_time(stat: &str) -> Option<u64> {
    // The name of the program, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * (1_000_000 / TICKS))
}

/// Bytes that the WPAR received and sent: what its wire's end on the host sent and received, in
/// `/proc/net/dev`.
fn of_link(table: &str, link: &str) -> Option<(u64, u64)> {
    let mut lines = table.lines().filter_map(|line| line.split_once(':'));
    let (_, counters) = lines.find(|(name, _)| name.trim() == link)?;
    let mut counters = counters.split_whitespace().map(str::parse::<u64>);
    let sent = counters.next()?.ok()?;
    let received = counters.nth(7)?.ok()?;
    Some((received, sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_in_the_forms_of_the_kernel() {
        assert_eq!(
            field("usage_usec 5678\nuser_usec 5\n", "usage_usec"),
            Some(5678)
        );
        assert_eq!(field("nr_periods 0\n", "usage_usec"), None);
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 5 0 888 1 2";
        assert_eq!(processor_time(stat), Some(420_000));
        let table = "Inter-|   Receive                    |  Transmit\n \
            face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n    \
            lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\nwpar1a2b3c4d: 100 2 0 0 0 0 0 0 900 3 0 0 0 0 0 0\n";
        assert_eq!(of_link(table, "wpar1a2b3c4d"), Some((900, 100)));
        assert_eq!(of_link(table, "wpar"), None);
    }
}
