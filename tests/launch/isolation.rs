//! What root of a WPAR must not be able to do: each probe is a way out that some container
//! system has had.

use crate::fixture::wpar;

/// Shell commands that must fail, and what they would give.
const PROBES: [(&str, &str); 18] = [
    ("mount -o remount,bind,dev /", "device nodes of the image"),
    (
        "mount -o remount,bind,dev,ro /",
        "the same, among other flags",
    ),
    ("mknod /node c 1 3", "a device node"),
    ("mount -t devtmpfs x /mnt", "the host's devices"),
    ("mount -t debugfs x /mnt", "the kernel's insides"),
    ("mount -t tracefs x /mnt", "the kernel's insides"),
    (
        "mount -t fusectl x /mnt",
        "every FUSE connection of the host",
    ),
    ("mount -t securityfs x /mnt", "security policy"),
    (
        "echo x > /proc/sys/kernel/core_pattern",
        "a program run by the host",
    ),
    (
        "mount -o remount,rw /proc/sys; echo x > /proc/sys/kernel/core_pattern",
        "the same",
    ),
    (
        "umount /proc/sys; echo x > /proc/sys/kernel/core_pattern",
        "the same",
    ),
    (
        "mount -t proc x /mnt; echo x > /mnt/sys/kernel/core_pattern",
        "the same",
    ),
    ("echo h > /proc/sysrq-trigger", "the host's console"),
    (
        "umount /proc/sysrq-trigger; echo h > /proc/sysrq-trigger",
        "the same",
    ),
    ("umount -l /proc; ls /proc/1", "the host's processes"),
    (
        "mount -t sysfs x /mnt; echo 0 > /mnt/kernel/mm/ksm/run",
        "a setting of the host",
    ),
    ("cat /proc/1/exe", "the host's executable"),
    (
        "echo 1 > /proc/1/oom_score_adj && echo -1000 > /proc/1/oom_score_adj",
        "protection",
    ),
];

#[test]
fn root_inside_is_not_root_outside() {
    let Some(mut wpar) = wpar() else { return };
    std::fs::create_dir(wpar.tree("mnt")).unwrap();
    for (probe, gain) in PROBES {
        let status = wpar.run(&format!("{{ {probe}; }} 2> /dev/null")).unwrap();
        assert_ne!(status.code(), 0, "{probe}: {gain}");
    }
    wpar.assert_gone();
}

#[test]
fn a_device_node_in_the_image_is_only_a_name() {
    let Some(mut wpar) = wpar() else { return };
    let node = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        wpar.tree("node"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        node,
    )
    .unwrap();
    assert_eq!(
        wpar.run("test -c /node && echo x > /dev/null")
            .unwrap()
            .code(),
        0
    );
    assert_ne!(wpar.run("echo x > /node").unwrap().code(), 0);
    wpar.assert_gone();
}

#[test]
fn set_user_id_works_inside_and_not_outside() {
    let Some(mut wpar) = wpar() else { return };
    wpar.start().unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let point = wpar.spec.mount_point.display().to_string();
    let line = mounts.lines().find(|line| line.contains(&point)).unwrap();
    assert!(line.contains("nosuid") && line.contains("nodev"), "{line}");
    wpar::launch::stop(&wpar.spec.run_dir, wpar::launch::StopMode::Soft, None).unwrap();
    let script = "while read -r _ point _ flags _; do
        [ \"$point\" = / ] && echo \"$flags\"; done < /proc/mounts > /flags; test -s /flags";
    assert_eq!(wpar.run(script).unwrap().code(), 0);
    let flags = wpar.read("flags");
    assert!(!flags.contains("nosuid"), "{flags}");
}
