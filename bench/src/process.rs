//! Memory of a process and of those that it started.

use std::fs;
use std::io;
use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

/// How often a process is looked at: what it allocates last may be missed for so long.
const LOOK: Duration = Duration::from_millis(2);

/// The process `pid` and all that it started, as far as they live.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(pid) = all.get(at) {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        all.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
        at += 1;
    }
    all
}

/// The sum of a field of `/proc/PID/status` over processes, in bytes.
pub(crate) fn sum(pids: &[u32], field: &str) -> u64 {
    let one = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kilobytes = line
            .split_whitespace()
            .find_map(|word| word.parse::<u64>().ok())?;
        Some(kilobytes * 1024)
    };
    pids.iter().filter_map(one).sum()
}

/// Waits for a process; answers how it ended and the most memory that it, and what it started,
/// had resident.
pub(crate) fn wait(child: &mut Child) -> io::Result<(ExitStatus, u64)> {
    let mut peak = 0;
    loop {
        peak = peak.max(sum(&tree(child.id()), "VmHWM:"));
        if let Some(status) = child.try_wait()? {
            return Ok((status, peak));
        }
        sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn peaks_are_those_of_all_processes() {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "x=$(head -c 30000000 /dev/zero | tr '\\0' x); sleep 0.1; :",
            ])
            .spawn()
            .unwrap();
        let (status, peak) = wait(&mut child).unwrap();
        assert!(status.success());
        assert!(peak > 30_000_000, "{peak}");
        let own = std::process::id();
        assert!(sum(&[own], "VmRSS:") > 100_000);
        assert!(tree(own).contains(&own));
    }
}
