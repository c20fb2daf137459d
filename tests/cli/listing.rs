//! `lswpar`, to the letter.

use std::fs::{self, File};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::support::Root;

#[test]
fn an_empty_list_prints_nothing_and_makes_nothing() {
    let root = Root::new();
    for line in ["lswpar", "lswpar -c", "lswpar -L", "lswpar -q"] {
        root.run(line).check();
    }
    root.run("lswpar --json").stdout("[]\n").check();
    assert!(!root.path().exists());
}

#[test]
fn the_table_is_that_of_aix() {
    let root = Root::new();
    root.record("wpar1", json!({}));
    root.run("lswpar")
        .stdout(
            "\
Name   State  Type  Hostname  Directory     RootVG WPAR
--------------------------------------------------------
wpar1  D      S     wpar1     /wpars/wpar1  no
",
        )
        .check();
    root.run("lswpar -q")
        .stdout("wpar1  D  S  wpar1  /wpars/wpar1  no\n")
        .check();
}

#[test]
fn columns_grow_and_rows_are_sorted() {
    let root = Root::new();
    root.record("zz", json!({"hostname": "mail.example.org"}));
    root.record("applejack-541ba3", json!({"directory": "/srv/apple jack"}));
    root.run("lswpar")
        .stdout(
            "\
Name              State  Type  Hostname          Directory        RootVG WPAR
------------------------------------------------------------------------------
applejack-541ba3  D      S     applejack-541ba3  /srv/apple jack  no
zz                D      S     mail.example.org  /wpars/zz        no
",
        )
        .check();
    root.run("lswpar -a state,name zz")
        .stdout("State  Name\n------------\nD      zz\n")
        .check();
}

#[test]
fn lines_for_programs() {
    let root = Root::new();
    root.record("w1", json!({"auto": true}));
    root.record("w2", json!({"kind": "application"}));
    root.run("lswpar -c")
        .stdout(
            "\
#name:state:type:hostname:directory:rootvgwpar
w1:D:S:w1:/wpars/w1:no
w2:D:A:w2:/wpars/w2:no
",
        )
        .check();
    root.run("lswpar -cq -a name,auto")
        .stdout("w1:yes\nw2:no\n")
        .check();
    root.run("lswpar -G -d UCMDB -q w1")
        .stdout(&format!(
            "w1UCMDBDUCMDBSUCMDBnoUCMDBw1UCMDByesUCMDBUCMDB/wpars/w1UCMDBrootUCMDBUCMDByesUCMDB\
             yesUCMDBnoUCMDBUCMDB0UCMDBnoUCMDB{}UCMDB6f2c1c0e-8a51-4a5e-9d4e-2f3c5a7b9e01\n",
            std::env::consts::ARCH
        ))
        .check();
    root.run("lswpar -cG w1")
        .stdout(&format!(
            "#name:state:type:rootvgwpar:hostname:routing:vipwpar:directory:owner:script:auto:\
             privateusr:checkpointable:application:ostype:xwparipc:architecture:uuid\n\
             w1:D:S:no:w1:yes::/wpars/w1:root::yes:yes:no::0:no:{}:\
             6f2c1c0e-8a51-4a5e-9d4e-2f3c5a7b9e01\n",
            std::env::consts::ARCH
        ))
        .check();
}

#[test]
fn filters_choose_by_state_and_type() {
    let root = Root::new();
    root.record("w1", json!({}));
    root.record("w2", json!({"kind": "application"}));
    for (line, expected) in [
        ("lswpar -q -s D -a name", "w1\nw2\n"),
        ("lswpar -q -s A -a name", ""),
        ("lswpar -q -s A,d -a name", "w1\nw2\n"),
        ("lswpar -q -t A -a name", "w2\n"),
        ("lswpar -q -t S,A -a name w2 w1", "w2\nw1\n"),
        ("lswpar -q -t L -a name", ""),
    ] {
        root.run(line).stdout(expected).check();
    }
}

#[test]
fn an_unknown_name_is_told_by_number_and_the_rest_is_listed() {
    let root = Root::new();
    root.record("w1", json!({}));
    root.run("lswpar -q -a name nobody w1")
        .status(1)
        .stdout("w1\n")
        .stderr(
            "lswpar: 0960-419 there is no workload partition called nobody; 'lswpar' lists them\n",
        )
        .check();
}

#[test]
fn a_damaged_record_is_state_b_and_hides_nobody() {
    let root = Root::new();
    root.record("w1", json!({}));
    root.record("w3", json!({"version": 99}));
    root.record("w4", json!({"name": "w1"}));
    fs::write(root.state("registry/w2.json"), "{\"version\": 1, \"name\"").unwrap();
    let output = root
        .run("lswpar -q -a name,state")
        .status(1)
        .stdout("w1  D\nw2  B\nw3  B\nw4  B\n")
        .any_stderr()
        .check();
    let complaints = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = complaints.lines().collect();
    assert_eq!(lines.len(), 3, "{complaints}");
    assert!(
        lines[0].contains("registry/w2.json is damaged"),
        "{complaints}"
    );
    assert!(
        lines[1].contains("registry/w3.json is of format 99"),
        "{complaints}"
    );
    assert!(lines[2].contains("it is about 'w1'"), "{complaints}");
}

#[test]
fn a_command_at_work_is_state_t_as_long_as_it_lives() {
    let root = Root::new();
    root.record("w1", json!({}));
    let path = root.state("locks/w1");
    fs::write(&path, "4711 startwpar\n").unwrap();
    root.run("lswpar -q -a state").stdout("D\n").check();
    let lock = File::open(&path).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    root.run("lswpar -q -a state").stdout("T\n").check();
    let output = root.run("lswpar -L").any_stdout().check();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("w1 - Transitional\n"), "{text}");
    assert!(
        text.contains("Operation:               startwpar\n"),
        "{text}"
    );
    assert!(text.contains("Process ID:              4711\n"), "{text}");
    drop(lock);
    root.run("lswpar -q -a state").stdout("D\n").check();
}

#[test]
fn a_run_directory_of_another_boot_means_nothing() {
    let root = Root::new();
    root.record("w1", json!({}));
    let run = root.path().join("run/wpar/w1");
    fs::create_dir_all(&run).unwrap();
    fs::write(root.path().join("run/wpar/.boot"), "another boot\n").unwrap();
    root.run("lswpar -q -a state").stdout("D\n").check();
}

#[test]
fn what_a_supervisor_could_not_take_away_is_state_b() {
    let root = Root::new();
    root.record("w1", json!({}));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::create_dir_all(root.path().join("run/wpar/w1")).unwrap();
    root.failed_run("w1");
    fs::write(root.path().join("run/wpar/.boot"), boot).unwrap();
    root.run("lswpar -q -a state").stdout("B\n").check();
    assert!(
        root.path().join("run/wpar/w1").is_dir(),
        "nothing is done about it"
    );
}

#[test]
fn what_a_killed_supervisor_left_goes_when_root_looks() {
    let Some(root) = Root::privileged() else {
        return;
    };
    root.record("w1", json!({}));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::create_dir_all(root.path().join("var/lib/wpar/locks")).unwrap();
    fs::create_dir_all(root.path().join("run/wpar/w1")).unwrap();
    fs::write(root.path().join("run/wpar/.boot"), boot).unwrap();
    root.run("lswpar -q -a state").stdout("D\n").check();
    assert!(!root.path().join("run/wpar/w1").exists());
}

#[test]
fn paragraphs_have_the_form_of_aix() {
    let root = Root::new();
    root.record("w1", json!({}));
    let expected = include_str!("golden/lswpar-L.txt").replace("[ARCH]", std::env::consts::ARCH);
    root.run("lswpar -L").stdout(&expected).check();
    let (general, _rest) = expected.split_once("NETWORK\n").unwrap();
    root.run("lswpar -G").stdout(general).check();
}

#[test]
fn json_has_everything() {
    let root = Root::new();
    root.record("w1", json!({"copy_controls": {"preserve_wpars": true}}));
    let output = root.run("lswpar --json").any_stdout().check();
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        listed,
        json!([{
            "name": "w1", "state": "D", "state_name": "Defined", "type": "S", "hostname": "w1",
            "directory": "/wpars/w1", "rootvgwpar": false, "auto": false,
            "uuid": "6f2c1c0e-8a51-4a5e-9d4e-2f3c5a7b9e01", "source": "/",
            "copy_controls": {"preserve_private": false, "preserve_wpars": true},
            "consistency": "live",
            "included": [], "left_out": [],
            "limits": {"size": null, "inodes": null},
            "network": {"mode": "none", "addresses": [], "published": [], "routes": []},
            "resources": {
                "active": "yes", "rset": "", "shares_CPU": "unlimited", "CPU": "0%-100%,100%",
                "shares_memory": "unlimited", "memory": "0%-100%,100%",
                "procVirtMem": "unlimited", "totalVirtMem": "unlimited",
                "totalProcesses": "4096", "totalThreads": "unlimited", "totalPTYs": "unlimited",
                "totalLargePages": "unlimited", "pct_msgIDs": "100%", "pct_semIDs": "100%",
                "pct_shmIDs": "100%", "pct_pinMem": "100%",
                "ioRead": "unlimited", "ioWrite": "unlimited", "ioWeight": "unlimited",
            },
            "script": null, "devices": [],
            "privileges": ["PV_AU_WRITE", "PV_DAC_GID", "PV_DAC_O", "PV_DAC_R", "PV_DAC_UID",
                "PV_FS_CHOWN", "PV_FS_CHROOT", "PV_FS_CNTL", "PV_FS_MKNOD", "PV_FS_MOUNT",
                "PV_KER_IPC", "PV_KER_LOCK", "PV_KER_REBOOT", "PV_NET_CNTL", "PV_NET_PORT",
                "PV_NET_RAWSOCK", "PV_PROC_CKPT", "PV_PROC_DEBUG", "PV_PROC_PRIO", "PV_PROC_PRIV",
                "PV_PROC_SIG", "PV_SU_UID"],
            "privateusr": true,
            "usr_from": null,
            "versioned": false,
            "synchronized": [], "level": null,
            "ids": {"first": 1_073_741_824u32, "count": 65_536},
            "created": "2023-11-14T22:13:20Z", "init": null, "ready": false, "operation": null,
        }])
    );
}

#[test]
fn limits_are_listed_as_they_were_given() {
    let root = Root::new();
    root.record("w1", json!({}));
    root.record(
        "w2",
        json!({"limits": {"size": 10_u64 << 30, "inodes": 200_000}}),
    );
    root.run("lswpar -q -c -a name,size,inodes")
        .stdout("w1:unlimited:unlimited\nw2:10G:200000\n")
        .check();
    let output = root.run("lswpar -L w2").any_stdout().check();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("rw,size=10G,inodes=200000\n"), "{text}");
    let output = root.run("lswpar --json w2").any_stdout().check();
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        listed[0]["limits"],
        json!({"size": 10_737_418_240_u64, "inodes": 200_000})
    );
}
