//! The session of the AIX documentation, on a backup of a Debian server.

use crate::common::fixtures::{fixture, member};
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::terminal::Terminal;
use crate::common::world::{BOOT, World};

/// `mkwpar -t -B`, `startwpar`, `lswpar`, `clogin`, `stopwpar`, `rmwpar` on an image with systemd.
fn replay(world: &World, image: &str) -> Result<(), String> {
    let image = fixture(image)?;
    let package = fixture("hello-wpar")?;

    // At another level it is a versioned one.
    let (flag, kind) = match world.is_at_level_of_host(&image) {
        true => (None, "S"),
        false => (Some("-C"), "L"),
    };
    world
        .wpar_as_is(["mkwpar", "-t"])
        .args(flag)
        .arg("-B")
        .arg(&image)
        .args(["-n", "wpar1"])
        .ok();
    assert_eq!(
        world.state("wpar1").as_deref(),
        Some("D"),
        "made, not started"
    );

    world.ok("startwpar wpar1");
    let base = world.root().join("wpars/wpar1");
    let base = base.to_str().expect("a plain path");
    assert_eq!(world.table(), [["wpar1", "A", kind, "wpar1", base, "no"]]);

    let passwd = world.wpar(["clogin", "wpar1", "cat", "/etc/passwd"]).ok();
    assert_eq!(passwd.stdout, member(&image, "etc/passwd"), "{passwd}");
    let letter = world.inside("wpar1", "cat /home/anna/newest");
    assert_eq!(
        letter.as_bytes(),
        member(&image, "home/anna/letters/first.txt").trim_ascii_end()
    );
    let home = world.inside(
        "wpar1",
        "stat -c '%U:%G %a %n' /home/anna/private /home/anna/private/diary",
    );
    assert_eq!(
        home,
        "anna:anna 700 /home/anna/private\nanna:anna 600 /home/anna/private/diary"
    );
    assert_eq!(
        world.inside("wpar1", "hostname; cat /etc/hostname"),
        "wpar1\nwpar1"
    );
    let machine_id = world.inside("wpar1", "cat /etc/machine-id");
    assert_eq!(machine_id.len(), 32, "{machine_id:?}");
    assert_ne!(
        machine_id.as_bytes(),
        member(&image, "etc/machine-id").trim_ascii_end()
    );

    assert_eq!(
        world.wait_for_systemd("wpar1"),
        "running",
        "{}",
        world.inside(
            "wpar1",
            "systemctl --failed --no-pager; journalctl -b -p 3 --no-pager | tail -30"
        )
    );
    change(world, &package);

    world.ok("stopwpar wpar1");
    assert_eq!(world.state("wpar1").as_deref(), Some("D"));
    world.ok("startwpar wpar1");
    assert_eq!(world.wait_for_systemd("wpar1"), "running");
    assert_eq!(world.inside("wpar1", "hello-wpar"), "hello from a package");
    assert_eq!(
        world.inside("wpar1", "cat /home/anna/mine"),
        "written by anna"
    );
    world.inside("wpar1", "ssh-keygen -y -f /root/.ssh/id_ed25519");
    assert_eq!(
        world.inside("wpar1", "cat /etc/machine-id"),
        machine_id,
        "the identity is the WPAR's for its life"
    );

    world.ok("rebootwpar wpar1");
    assert_eq!(world.state("wpar1").as_deref(), Some("A"));
    assert_eq!(world.wait_for_systemd("wpar1"), "running");
    assert_eq!(world.inside("wpar1", "hello-wpar"), "hello from a package");

    world.ok("stopwpar wpar1");
    world.ok("rmwpar wpar1");
    world.assert_gone("wpar1");
    world.assert_empty();
    Ok(())
}

/// What an administrator does inside: keys, a package, another user.
fn change(world: &World, package: &std::path::Path) {
    world.inside(
        "wpar1",
        "ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519",
    );
    let key = world.inside("wpar1", "stat -c '%a %s' /root/.ssh /root/.ssh/id_ed25519");
    assert!(key.starts_with("700 "), "{key}");
    assert!(key.contains("\n600 "), "{key}");

    let bytes = std::fs::read(package).expect("the package");
    world
        .wpar([
            "clogin",
            "wpar1",
            "/bin/sh",
            "-c",
            "cat >/root/hello-wpar.deb",
        ])
        .stdin(bytes)
        .ok();
    world.inside(
        "wpar1",
        "DEBIAN_FRONTEND=noninteractive apt-get install -y /root/hello-wpar.deb",
    );
    assert_eq!(world.inside("wpar1", "hello-wpar"), "hello from a package");
    assert_eq!(
        world.inside("wpar1", "cat /var/lib/hello-wpar/state"),
        "configure"
    );
    let status = world.inside("wpar1", "dpkg -s hello-wpar | grep ^Status");
    assert_eq!(status, "Status: install ok installed");
    assert_eq!(
        world.inside("wpar1", "dpkg --audit; dpkg --verify hello-wpar"),
        ""
    );

    let anna = world.inside(
        "wpar1",
        "su - anna -c 'id -un; pwd; echo written by anna >mine; cat mine'",
    );
    assert_eq!(anna, "anna\n/home/anna\nwritten by anna");
    let by_flag = world
        .wpar(["clogin", "wpar1", "-l", "anna", "id", "-un"])
        .ok();
    assert_eq!(by_flag.text(), "anna");
}

#[test]
fn the_documented_session_works_on_a_backup_of_debian_12() {
    let world = need!(World::new());
    need!(replay(&world, "debian12-systemd"));
}

#[test]
fn the_documented_session_works_on_a_backup_of_debian_13() {
    let world = need!(World::new());
    need!(replay(&world, "debian13-systemd"));
}

#[test]
fn the_documented_session_works_on_a_backup_of_debian_sid() {
    let world = need!(World::new());
    need!(replay(&world, "debian-sid-systemd"));
}

#[test]
fn debian_sid_runs_a_service_and_reboots_and_halts_from_inside() {
    let world = need!(World::new());
    let image = need!(fixture("debian-sid-systemd"));
    world.mkwpar(&image, "sid");
    world.ok("startwpar sid");
    assert_eq!(world.wait_for_systemd("sid"), "running");
    world.inside(
        "sid",
        "printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' \
            >/etc/systemd/system/lasting.service && systemctl enable --now lasting",
    );
    let number = || world.inside("sid", "systemctl show -P ActiveEnterTimestamp lasting");
    let before = number();
    // The session ends with the system, whatever its status is.
    let boot = world.inside("sid", "stat -c %Y /proc/1");
    world
        .wpar(["clogin", "sid", "systemctl", "reboot"])
        .output();
    eventually("it has started again", BOOT, || {
        let asked = world.wpar(["clogin", "sid", "stat", "-c", "%Y", "/proc/1"]);
        let asked = asked.output();
        asked.code() == 0 && asked.text() != boot
    });
    assert_eq!(world.wait_for_systemd("sid"), "running");
    eventually("its service has started again", BOOT, || {
        let now = number();
        !now.is_empty() && now != before
    });
    world
        .wpar(["clogin", "sid", "systemctl", "poweroff"])
        .output();
    eventually("it has stopped", BOOT, || {
        world.state("sid").as_deref() == Some("D")
    });
    world.remove_all();
}

#[test]
fn removing_with_s_stops_first() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    world
        .wpar(["mkwpar", "-t", "-s", "-B"])
        .arg(&image)
        .args(["-n", "wpar1"])
        .ok();
    assert_eq!(world.state("wpar1").as_deref(), Some("A"), "-s starts it");
    world.ok("rmwpar -s wpar1");
    world.assert_gone("wpar1");
    world.assert_empty();
}

#[test]
fn hostname_and_directory_are_as_asked() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let base = world.scratch().join("elsewhere");
    world
        .wpar(["mkwpar", "-t", "-B"])
        .arg(&image)
        .args(["-n", "named", "-h", "mail.example.org", "-d"])
        .arg(&base)
        .ok();
    world.ok("startwpar named");
    let base = base.to_str().expect("a plain path");
    assert_eq!(
        world.table(),
        [["named", "A", "L", "mail.example.org", base, "no"]]
    );
    assert_eq!(world.inside("named", "hostname"), "mail.example.org");
    assert!(
        std::path::Path::new(base).join("etc/inittab").exists(),
        "the base shows the tree"
    );
    world.remove_all();
}

#[test]
fn rmwpar_p_keeps_what_the_wpar_wrote() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "kept");
    world.ok("startwpar kept");
    world.inside("kept", "echo still here >/root/note");
    world.ok("stopwpar kept");
    world.ok("rmwpar -p kept");
    assert_eq!(world.state("kept"), None, "it is defined no longer");
    world.assert_empty();
    let found = crate::common::Run::new("grep", ["-rl", "still here"])
        .arg(world.root())
        .output();
    assert_eq!(
        found.code(),
        0,
        "what it wrote is still on the disk\n{found}"
    );
}

#[test]
fn a_start_tells_people_how_long_it_took_and_scripts_what_they_know() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let timed = |text: &str, name: &str| {
        let time = text
            .strip_prefix(&format!("{name} is active ("))
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|time| time.split_once(' '));
        assert!(
            time.is_some_and(|(number, unit)| {
                number.parse::<u64>().is_ok() && ["ms", "s"].contains(&unit)
            }),
            "{text}"
        );
    };
    let make = world.wpar(["mkwpar", "-t", "-s", "-v", "-n", "one", "-B"]);
    timed(make.arg(&image).ok().text(), "one");
    world.ok("stopwpar one");
    assert_eq!(world.ok("startwpar one").text(), "one is active");
    world.ok("stopwpar one");
    timed(world.ok("startwpar -v one").text(), "one");
    world.ok("stopwpar one");
    let wpar = env!("CARGO_BIN_EXE_wpar");
    let mut terminal = Terminal::start(wpar, &["startwpar", "one"], &world.root(), (24, 80));
    terminal.expect("one is active (", BOOT);
    terminal.expect("s)", BOOT);
    assert!(terminal.wait(BOOT).success());
    let make = world.wpar(["mkwpar", "-t", "-s", "-n", "two", "-B"]);
    assert_eq!(make.arg(&image).ok().text(), "two is active");
    world.remove_all();
}
