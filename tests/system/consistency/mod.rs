//! What is promised of a copy of a system that goes on changing: exact, or file-consistent, or live.

mod host;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use self::host::Host;
use crate::common::Run;
use crate::common::run::{Running, eventually};
use crate::common::skip::need;
use crate::common::world::{BOOT, World};

/// Writes one generation after the other into several files, in order and in two subvolumes: no moment
/// has a later file of a newer generation than an earlier one.
const WRITER: &str = r#"
    n=0
    while :; do
        n=$((n + 1))
        for file in /srv/a /srv/data/b /etc/c /work/d; do
            echo "generation $n" >$file.new && mv $file.new $file || exit 1
        done
    done
"#;

struct Writer(Option<Running>);

impl Writer {
    fn start(host: &Host) -> Self {
        let running = host.run(["sh", "-c", WRITER]).start();
        eventually("the first generations are written", BOOT, || {
            fs::read_to_string(host.path("/work/d")).is_ok_and(|text| text.ends_with("9\n"))
        });
        Self(Some(running))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            let _ = kill_process(running.pid(), Signal::KILL);
            running.wait();
        }
    }
}

fn generations(text: &str) -> Vec<u64> {
    let number = |line: &str| line.strip_prefix("generation ")?.parse().ok();
    text.lines()
        .map(|line| number(line).unwrap_or_else(|| panic!("a torn file: {line:?} in {text}")))
        .collect()
}

#[test]
fn a_copy_on_btrfs_is_the_system_at_one_moment() {
    let world = need!(World::new());
    let host = need!(Host::new(&world, "btrfs"));
    let writer = Writer::start(&host);
    let made = host.ok("mkwpar -t -n one").complaint();
    assert!(made.contains("the copy is exact"), "{made}");
    assert_eq!(host.consistency(), "exact");
    let at_least = generations(&fs::read_to_string(host.path("/srv/a")).unwrap())[0];
    // Of / and of two subvolumes that are in it; that of another engine is not in the copy.
    let taken = host.snapshots();
    assert_eq!(taken.lines().count(), 3, "{taken}");
    assert!(taken.contains("wpar-one-"), "{taken}");
    eventually("the host goes on", BOOT, || {
        let now = fs::read_to_string(host.path("/work/d")).unwrap_or_default();
        now.starts_with("generation") && generations(&now)[0] > at_least + 20
    });
    host.sh("rm /etc/debian_version; echo later >/etc/later; rm -r /usr/share/doc");
    host.ok("startwpar one");
    let seen = host.inside("one", "cat /srv/a /srv/data/b /etc/c /work/d");
    let seen = generations(&seen);
    assert!(
        seen[0] <= at_least,
        "{seen:?}, but it was made before {at_least}"
    );
    // Within one file system all is of one moment; between two of them lie a few milliseconds, in
    // which a later file may get ahead.
    let root = [seen[0], seen[2], seen[3]];
    assert!(
        root[0] - root[2] <= 1 && root[0] >= root[1] && root[1] >= root[2],
        "{seen:?}"
    );
    let there = host.inside(
        "one",
        "cat /etc/debian_version; ls -d /usr/share/doc; ls -A /var/lib/docker; test ! -e /etc/later; \
         test ! -w /proc/sys/kernel/hostname || true; echo own >/etc/own; cat /etc/own",
    );
    assert!(there.starts_with("12") && there.ends_with("own"), "{there}");
    drop(writer);
    host.ok("stopwpar one");
    host.ok("startwpar one");
    let again = host.inside("one", "cat /srv/a /srv/data/b /etc/c /work/d /etc/own");
    assert_eq!(
        generations(again.strip_suffix("\nown").expect("what it wrote")),
        seen
    );
    let told = host.ok("hydrate --status one");
    assert!(told.text().contains("all file systems within"), "{told}");
    host.wpar("hydrate one").refused(&["does not depend"]);
    host.ok("stopwpar one");
    host.ok("rmwpar one");
    assert_eq!(host.snapshots(), "");
}

#[test]
fn no_snapshot_is_left_and_required_ones_are_not_replaced() {
    let world = need!(World::new());
    let host = need!(Host::new(&world, "btrfs"));
    // Where the snapshot is to be there is something else.
    let place = host.place();
    host.ok("lswpar");
    host.sh(&format!("mkdir -p $(dirname {place}) && : >{place}"));
    let failed = host
        .wpar("mkwpar -t -n one -T snapshot=require")
        .refused(&["cannot prepare"]);
    assert!(
        failed.complaint().contains("btrfs snapshot wpar-one-"),
        "{failed}"
    );
    assert_eq!(host.snapshots(), "");
    let made = host.ok("mkwpar -t -n one").complaint();
    assert!(made.contains("the copy is live"), "{made}");
    assert_eq!(host.consistency(), "live");
    host.ok("rmwpar one");
    host.sh(&format!("rm {place}"));

    // A failure after they were taken.
    host.wpar("mkwpar -t -n one -T exclude=/not/there")
        .refused(&["no /not/there"]);
    assert_eq!(host.snapshots(), "");
    host.ok("mkwpar -t -n one -T snapshot=no");
    assert_eq!(
        (host.consistency().as_str(), host.snapshots().as_str()),
        ("live", "")
    );
    host.ok("rmwpar one");

    // A throw-away copy takes one only if it is asked for.
    let words = |control: &str| -> Vec<String> {
        let line = format!("/usr/local/bin/wpar wparexec -t {control} -- /bin/sh -c");
        let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        words.push("cat /srv/x; echo inside >/srv/x".to_owned());
        words
    };
    host.sh("echo outside >/srv/x");
    for control in ["", "-T snapshot=require"] {
        let seen = host.run(words(control)).ok();
        assert_eq!(seen.text(), "outside");
        assert_eq!(host.snapshots(), "");
    }

    // One that the administrator has mounted.
    Run::new("btrfs", ["subvolume", "snapshot", "-r"])
        .arg(host.path("/"))
        .arg(host.path("/work/mine"))
        .ok();
    host.sh("echo later >/srv/x");
    host.ok("mkwpar -t -n one -T source=/work/mine");
    assert_eq!(host.consistency(), "exact");
    host.ok("startwpar one");
    assert_eq!(host.inside("one", "cat /srv/x"), "outside");
    host.ok("stopwpar one");
    host.sh("mv /work/mine /work/elsewhere");
    host.wpar("startwpar one")
        .refused(&["is not at /work/mine any more"]);
    host.ok("rmwpar one");
}

#[test]
fn a_live_copy_becomes_file_consistent_while_the_host_goes_on() {
    let world = need!(World::new());
    let host = need!(Host::new(&world, "ext4"));
    host.wpar("mkwpar -t -n one -T snapshot=require")
        .refused(&["no snapshot can be taken of /"]);
    host.sh("echo first >/srv/first; ln /srv/first /etc/second; echo old >/srv/old");
    let writer = Writer::start(&host);
    host.ok("mkwpar -t -n one -T hydrate=yes");
    assert_eq!(host.consistency(), "hydrating 0%");
    host.ok("startwpar one");
    host.inside(
        "one",
        "echo ours >/etc/ours; echo ours >/srv/old; rm /usr/bin/tac",
    );
    let tools = |script: &str| host.inside("one", script);
    let before = tools("stat -c '%i %h %a %u %s %y' /bin/cat /usr/bin/perl /etc/passwd /srv/first");
    let mut words = Vec::new();
    let mut kills = 0;
    eventually("all is copied", BOOT * 10, || {
        let word = host.consistency();
        // The worker dies with its daemon, and the next one goes on.
        if kills < 3 && word.starts_with("hydrating") && words.last() != Some(&word) {
            kills += u32::from(kill_daemon(&host));
        }
        if words.last() != Some(&word) {
            words.push(word);
        }
        words.last().is_some_and(|word| word == "file-consistent")
    });
    for word in &words {
        let known = word == "file-consistent" || word.starts_with("hydrating ");
        assert!(known, "{words:?}");
    }
    let told = host.json("hydrate --status --json one");
    let hydration = &told["hydration"];
    assert_eq!(hydration["state"], "done", "{told}");
    assert_eq!(hydration["failed"]["count"], 0, "{told}");
    let status = host.ok("hydrate --status one");
    assert!(
        status
            .text()
            .starts_with("Consistency: file-consistent, of 20"),
        "{status}"
    );
    let changed = hydration["changed"]["paths"].to_string();
    assert!(
        changed.contains("/srv/a") && changed.contains("/etc/c"),
        "{changed}"
    );

    // The host becomes another one; nothing of it shows.
    let seen = tools("cat /srv/a /srv/data/b /etc/c /work/d");
    generations(&seen);
    let names = tools("find / -xdev | sort | cksum");
    eventually("the host goes on", BOOT, || {
        let now = fs::read_to_string(host.path("/work/d")).unwrap_or_default();
        now.starts_with("generation") && generations(&now)[0] > generations(&seen)[0] + 10
    });
    host.sh(
        "rm -r /usr/share /etc/passwd /srv/first; mkdir /usr/share /etc/passwd; echo new >/new",
    );
    assert_eq!(tools("cat /srv/a /srv/data/b /etc/c /work/d"), seen);
    assert_eq!(tools("find / -xdev | sort | cksum"), names);
    drop(writer);
    let after = tools("stat -c '%i %h %a %u %s %y' /bin/cat /usr/bin/perl /etc/passwd /srv/first");
    assert_eq!(after, before);
    let ours =
        tools("cat /etc/ours /srv/old; test ! -e /usr/bin/tac; test /srv/first -ef /etc/second");
    assert_eq!(ours, "ours\nours");
    host.ok("stopwpar one");
    host.ok("startwpar one");
    assert_eq!(tools("cat /srv/a /srv/data/b /etc/c /work/d"), seen);
    assert_eq!(tools("find / -xdev | sort | cksum"), names);
    host.ok("stopwpar one");
    host.ok("rmwpar one");
    assert!(!host.store("one").exists());
}

/// Kills the daemon of the WPAR, if it is there.
fn kill_daemon(host: &Host) -> bool {
    let store = host.store("one").join("store.json");
    let Ok(wanted) = fs::metadata(store).map(|found| (found.dev(), found.ino())) else {
        return false;
    };
    let is_daemon = |directory: &Path| {
        let comm = fs::read_to_string(directory.join("comm")).unwrap_or_default();
        let open = fs::read_dir(directory.join("fd")).into_iter().flatten();
        let mut open = open.flatten().filter_map(|fd| fs::metadata(fd.path()).ok());
        comm.starts_with("exe") | comm.starts_with("wpar")
            && open.any(|file| (file.dev(), file.ino()) == wanted)
    };
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw)
            && is_daemon(&entry.path())
        {
            return kill_process(pid, Signal::KILL).is_ok();
        }
    }
    false
}

#[test]
fn hydration_stops_goes_on_and_is_no_change() {
    let world = need!(World::new());
    let host = need!(Host::new(&world, "ext4"));
    host.ok("mkwpar -t -n one -T exclude=/usr/share");
    assert_eq!(host.consistency(), "live");
    host.wpar("hydrate --status two").refused(&["two"]);
    host.ok("hydrate --stop one");
    assert_eq!(host.consistency(), "live");
    // It does not run, so it is done here and now.
    let told = host.ok("hydrate one");
    assert!(
        told.text().contains("Consistency: file-consistent"),
        "{told}"
    );
    let before = host.wpar("diff --json / one").output();
    let saved = host.path("/work/saved.tar");
    host.ok("savewpar --difference -f /work/saved.tar one");
    let size = fs::metadata(&saved).unwrap().len();
    assert!(
        size < 30 << 20,
        "{size} bytes: what was copied was saved as a change"
    );
    host.ok("startwpar one");
    host.inside("one", "echo changed >>/etc/services");
    host.ok("stopwpar one");
    let after = host.wpar("diff --json / one").output();
    assert!(after.text().contains("etc/services"), "{after}");
    assert!(
        !before.text().contains("etc/services") && !before.text().contains("bin/perl"),
        "{before}"
    );
    host.ok("rmwpar one");

    // Without room for all of it, and then without room for anything.
    host.ok("mkwpar -t -n one -M size=8M");
    let told = host.ok("hydrate one");
    assert!(
        told.text().contains("only /etc, /var and /root are copied"),
        "{told}"
    );
    assert_eq!(host.consistency(), "live");
    host.sh("rm /etc/debian_version");
    host.ok("startwpar one");
    assert!(
        host.inside("one", "cat /etc/debian_version")
            .starts_with("12")
    );
    host.ok("stopwpar one");
    host.ok("rmwpar one");
    host.ok("mkwpar -t -n one -M size=1M");
    let failed = host.wpar("hydrate one").output();
    let reason = failed.complaint();
    assert!(
        failed.code() == 1 && reason.contains("not enough space"),
        "{failed}"
    );
    assert_eq!(host.consistency(), "live");
    host.ok("startwpar one");
    host.ok("stopwpar one");
    host.ok("rmwpar one");
}

/// A file that the host changes in place, and one that it replaces, are soon seen as they are, however
/// often they were looked at before: also if the size is the same, and mapped.
#[test]
fn a_live_copy_shows_the_present_contents_of_a_file_that_it_has_read() {
    let world = need!(World::new());
    let host = need!(Host::new(&world, "ext4"));
    let write = |text: &str| {
        fs::write(host.path("/srv/in-place"), text).unwrap();
        fs::write(host.path("/srv/draft"), text).unwrap();
        fs::rename(host.path("/srv/draft"), host.path("/srv/replaced")).unwrap();
    };
    write("a");
    host.ok("mkwpar -t -n one -T snapshot=no");
    host.ok("startwpar one");
    for (letter, length) in [
        ("b", 5000),
        ("c", 9000),
        ("d", 9000),
        ("e", 10),
        ("f", 200_000),
        ("g", 200_000),
    ] {
        let text = letter.repeat(length);
        write(&text);
        let wanted = format!("{length}\n{text}\n{length}\n{text}");
        // The name of a file that was replaced is remembered for a second; then reading it fails.
        let script = "for f in in-place replaced; do stat -c %s /srv/$f; cat /srv/$f; echo; done";
        let mut last = String::new();
        eventually(&format!("{length} times {letter} is seen"), BOOT, || {
            last = host.inside("one", script);
            last == wanted
        });
        // A write to a part of it goes to what is seen.
        let script = "cp /srv/in-place /srv/copy; printf X | dd of=/srv/copy bs=1 seek=5 conv=notrunc \
                      2>/dev/null; head -c 10 /srv/copy";
        let part = host.inside("one", script);
        assert_eq!(part, format!("{}X{}", letter.repeat(5), letter.repeat(4)));
    }
    // Also what a daemon gave to the kernel that was killed since.
    for (file, text) in [("in-place", "i"), ("in-place", "j")] {
        let text = text.repeat(200_000);
        assert!(kill_daemon(&host), "there is no daemon");
        fs::write(host.path(&format!("/srv/{file}")), &text).unwrap();
        eventually(
            "what a killed daemon had read is seen as it is",
            BOOT,
            || {
                host.inside(
                    "one",
                    &format!("stat -c %s /srv/{file} >/dev/null; cat /srv/{file}"),
                ) == text
            },
        );
    }
    // What the WPAR changes a byte of is copied as it is at that moment, whatever was read before.
    write(&"h".repeat(9000));
    let changed = host.inside(
        "one",
        "printf X | dd of=/srv/in-place bs=1 seek=4096 conv=notrunc 2>/dev/null; cat /srv/in-place",
    );
    let expected = format!("{}X{}", "h".repeat(4096), "h".repeat(4903));
    let mut seen = changed;
    eventually(
        "what was written is seen with what was around it",
        BOOT,
        || {
            let is_seen = seen == expected;
            seen = host.inside("one", "cat /srv/in-place");
            is_seen
        },
    );
    host.ok("stopwpar one");
    host.ok("rmwpar one");
}
