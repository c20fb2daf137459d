//! Data bases: transactions of PostgreSQL's own benchmark, and of SQLite, in files of the subject.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Fallible;
use crate::workload::real::program::{apart, command, run};

/// What PostgreSQL's part needs.
pub(crate) const POSTGRES_NEEDS: &[&str] = &[
    "postgres", "initdb", "pg_ctl", "pgbench", "unshare", "setpriv",
];
/// What SQLite's part needs.
pub(crate) const SQLITE_NEEDS: &[&str] = &["sqlite3"];

/// Who runs PostgreSQL, which root may not: nobody.
const NOBODY: u32 = 65_534;

/// Binds the subject's directory where everybody may go, with a /tmp of its own for the socket,
/// and goes on as nobody. Its last lines are what is to be done.
const AS_NOBODY: &str = "mount --bind \"$1\" /mnt; mount -t tmpfs -o mode=1777 tmpfs /tmp; cd /mnt; \
    exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -euc \"$SCRIPT\"";

fn as_nobody(directory: &Path, script: &str) -> Command {
    let mut command = apart(AS_NOBODY, &[directory]);
    command
        .env("SCRIPT", script)
        .env("PGHOST", "/tmp")
        .env("PGUSER", "bench");
    command
}

/// Starts the server on the data, does `$WORK` and stops it, which writes all to the files.
const SERVED: &str = "pg_ctl -s -w -D /mnt/data -l /tmp/log -o '-c listen_addresses= -k /tmp' start \
    || { cat /tmp/log >&2; exit 1; }; \
    eval \"$WORK\"; pg_ctl -s -w -m fast -D /mnt/data stop";

/// A data base of `scale` times 100,000 accounts.
pub(crate) fn set_up_postgres(lower: &Path, scale: u32) -> Fallible<()> {
    let directory = lower.join("postgres");
    fs::create_dir_all(&directory)?;
    chown(&directory, Some(NOBODY), Some(NOBODY))?;
    run(&mut as_nobody(
        &directory,
        "initdb -N -U bench -A trust --locale=C.UTF-8 -D /mnt/data",
    ))?;
    let work = format!("pgbench -i -q -s {scale} postgres");
    run(as_nobody(&directory, SERVED).env("WORK", work))?;
    Ok(())
}

/// Start of the server, `transactions` transactions by each of two clients, and its stop.
pub(crate) fn postgres(root: &Path, transactions: u32) -> Fallible<Duration> {
    let work = format!("pgbench -n -c 2 -j 2 -t {transactions} postgres");
    let (time, output) = run(as_nobody(&root.join("postgres"), SERVED).env("WORK", work))?;
    let all = transactions * 2;
    let done = format!("number of transactions actually processed: {all}/{all}");
    match output.contains(&done) {
        true => Ok(time),
        false => Err(format!("pgbench has not done {all} transactions: {output}").into()),
    }
}

/// A table of `rows` rows with an index.
pub(crate) fn set_up_sqlite(lower: &Path, rows: u32) -> Fallible<()> {
    let script = format!(
        "create table t(id integer primary key, name text, value integer);\n\
         with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})\n\
         insert into t select i, printf('name %d', i * 7919 % {rows}), 0 from n;\n\
         create index names on t(name);\n"
    );
    sqlite(lower, &script).map(drop)
}

/// `count` inserts and as many updates, each a transaction with the journal that SQLite has by
/// default: a file that is made, synchronised and removed.
pub(crate) fn insert_and_update(root: &Path, count: u32) -> Fallible<Duration> {
    let mut script = String::from("select sum(value) from t;\n");
    for number in 1..=count {
        let _ = writeln!(
            script,
            "insert into t(name, value) values('new {number}', 1);"
        );
        let _ = writeln!(
            script,
            "update t set value = value + 1 where id = {};",
            number * 7
        );
    }
    script.push_str("select sum(value) from t;\n");
    let begin = Instant::now();
    let output = sqlite(root, &script)?;
    let time = begin.elapsed();
    let sums: Vec<_> = output
        .lines()
        .filter_map(|line| line.parse::<u32>().ok())
        .collect();
    match sums.as_slice() {
        [before, after] if *after == before + 2 * count => Ok(time),
        _ => Err(format!("SQLite has lost something: sums are {output:?}").into()),
    }
}

fn sqlite(root: &Path, script: &str) -> Fallible<String> {
    let mut child = command("sqlite3")
        .args(["-batch", "-bail", "-init", "/dev/null"])
        .arg(root.join("sqlite.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "sqlite3: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::real::program::{missing, not_root};

    #[test]
    fn rows_are_inserted_and_updated() {
        if let Some(reason) = missing(SQLITE_NEEDS) {
            return crate::workload::real::skipped(&reason);
        }
        let dir = tempfile::tempdir().unwrap();
        set_up_sqlite(dir.path(), 200).unwrap();
        for _ in 0..2 {
            insert_and_update(dir.path(), 20).unwrap();
        }
        // Rows that are not there cannot be updated: the sums tell.
        assert!(insert_and_update(dir.path(), 60).is_err());
    }

    #[test]
    fn a_server_does_its_transactions_and_ends() {
        if let Some(reason) = missing(POSTGRES_NEEDS).or_else(not_root) {
            return crate::workload::real::skipped(&reason);
        }
        let dir = tempfile::tempdir().unwrap();
        set_up_postgres(dir.path(), 1).unwrap();
        for _ in 0..2 {
            postgres(dir.path(), 5).unwrap();
        }
        assert!(!dir.path().join("postgres/data/postmaster.pid").exists());
        assert_eq!(
            fs::read_dir("/mnt")
                .unwrap()
                .filter(|entry| {
                    entry
                        .as_ref()
                        .is_ok_and(|entry| entry.file_name() == "data")
                })
                .count(),
            0
        );
    }
}
