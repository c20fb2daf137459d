//! Control groups of rivals, which do not remove them all themselves.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A group in each hierarchy, gone with all below it when this goes.
pub(super) struct Groups {
    name: String,
}

impl Groups {
    /// Those of this benchmark for a rival.
    pub(super) fn of(rival: &str) -> Self {
        Self {
            name: format!("wpar-bench-{rival}-{}", std::process::id()),
        }
    }

    /// Their name below the root of each hierarchy.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs in the groups of the hierarchies that have no limits, for programs that
    /// make groups below their own.
    pub(super) fn command(&self, program: &str) -> Command {
        const ENTER: &str = "for h in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do \
            if test -f $h/cgroup.procs; then mkdir -p $h/$0 && echo $$ > $h/$0/cgroup.procs; fi; \
            done; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-ec", ENTER, &self.name, program]);
        command
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
        let entries = fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten();
        roots.extend(entries.map(|entry| entry.path()));
        let groups = roots.into_iter().map(|root| root.join(&self.name));
        groups.filter(|group| group.is_dir()).collect()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in self.paths() {
            remove(group);
        }
    }
}

fn remove(group: PathBuf) {
    for entry in fs::read_dir(&group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
