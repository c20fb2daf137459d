//! Processes of the running system that write into what looks like a data base: a live copy of such a
//! file is of no moment.

use std::collections::BTreeMap;
use std::path::Path;

use crate::model::pattern::matches;
use crate::source::host::OpenFile;

/// Names of files that are of use only as a whole.
const NAMES: &[&str] = &[
    "*.MYD",
    "*.MYI",
    "*.aof",
    "*.db",
    "*.dbf",
    "*.ibd",
    "*.img",
    "*.ldb",
    "*.mdb",
    "*.qcow2",
    "*.raw",
    "*.rdb",
    "*.sqlite",
    "*.sqlite3",
    "*.vdi",
    "*.vmdk",
    "*.wt",
    "ib_logfile*",
    "ibdata*",
    "ibtmp*",
    "undo_[0-9]*",
    "#ib_redo*",
];

/// Parts of the paths of others.
const PLACES: &[&str] = &[
    "/pg_wal/",
    "/pg_xlog/",
    "/postgresql/",
    "/pgsql/",
    "/innodb_redo/",
];

/// Whether it is one.
fn is_data_base(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let text = path.to_string_lossy();
    // Its log is not its data.
    let is_log = text.starts_with("/var/log/") || text.ends_with(".log");
    let has_name = name.is_some_and(|name| NAMES.iter().any(|pattern| matches(pattern, name)));
    has_name || !is_log && PLACES.iter().any(|place| text.contains(place))
}

/// One line for each process.
pub fn warnings(open: &[OpenFile]) -> Vec<String> {
    let mut processes: BTreeMap<u32, (&str, &Path, usize)> = BTreeMap::new();
    for file in open.iter().filter(|file| is_data_base(&file.path)) {
        let found = processes
            .entry(file.pid)
            .or_insert((&file.program, &file.path, 0));
        found.2 += 1;
    }
    let line = |(pid, (program, path, count)): (u32, (&str, &Path, usize))| {
        let more = match count {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        format!(
            "{program} (process {pid}) writes to {}{more} all the time: what this copy shows of it may \
             be of no use; stop it, or make the copy of a snapshot",
            path.display()
        )
    };
    processes.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_with_data_bases_is_told_once() {
        let open = |pid, program: &str, path: &str| OpenFile {
            pid,
            program: program.to_owned(),
            path: path.into(),
        };
        let files = [
            open(812, "mariadbd", "/var/lib/mysql/ibdata1"),
            open(812, "mariadbd", "/var/lib/mysql/ib_logfile0"),
            open(812, "mariadbd", "/var/log/mysql/error.log"),
            open(900, "postgres", "/var/lib/postgresql/15/main/base/5/16384"),
            open(
                901,
                "postgres",
                "/var/log/postgresql/postgresql-15-main.log",
            ),
            open(1000, "rsyslogd", "/var/log/syslog"),
            open(1001, "sssd_be", "/var/lib/sss/db/cache_example.ldb"),
        ];
        let told = warnings(&files);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("mariadbd (process 812)") && told[0].contains("and 1 more"));
        assert!(told[1].starts_with("postgres (process 900)"));
        assert!(told[2].contains("cache_example.ldb") && !told[2].contains("more"));
    }
}
