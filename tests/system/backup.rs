//! Backups: what was saved starts again.

use std::path::Path;

use crate::common::fixtures::fixture;
use crate::common::run::Run;
use crate::common::skip::need;
use crate::common::world::World;

/// A system saves itself with `mksysb`, from inside; the file starts as another WPAR.
#[test]
fn a_system_that_saved_itself_starts_from_the_backup() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    world.mkwpar(&image, "first");
    world.ok("startwpar first");
    let program = std::fs::read(env!("CARGO_BIN_EXE_wpar")).expect("the program");
    world
        .wpar([
            "clogin",
            "first",
            "/bin/sh",
            "-c",
            "cat >/root/wpar && chmod 755 /root/wpar",
        ])
        .stdin(program)
        .ok();
    world.inside(
        "first",
        "echo changed >/etc/motd; chown 12345:23456 /etc/motd; echo x >/tmp/gone",
    );
    world.inside(
        "first",
        "printf '^./usr/share/doc/\\n' >/etc/exclude.rootvg",
    );
    // Logs are written meanwhile, and then the status is 1: what else it says is looked at below.
    world.inside(
        "first",
        "/root/wpar mksysb -i -e /root/self.mksysb >/root/said 2>&1 || true",
    );
    let said = world.inside("first", "cat /root/said");
    assert!(said.contains("/root/self.mksysb: "), "{said}");

    let backup = world.scratch().join("self.mksysb");
    std::fs::copy(world.base("first").join("root/self.mksysb"), &backup).expect("the backup");
    world.ok("rmwpar -F first");
    world.mkwpar(&backup, "second");
    world.ok("startwpar second");
    assert_eq!(world.wait_for_systemd("second"), "running", "{said}");
    assert_eq!(
        world.inside(
            "second",
            "cat /etc/motd; stat -c '%u %g' /etc/motd; test -e /tmp/gone || echo gone; hostname"
        ),
        "changed\n12345 23456\ngone\nsecond"
    );
    let doc = world.inside(
        "second",
        "ls /usr/share/doc | wc -l; test -e /root/self.mksysb || echo not in itself",
    );
    assert_eq!(doc, "0\nnot in itself");
    world.inside(
        "second",
        "dpkg --audit && getcap /usr/bin/ping | grep -q net_raw || ! test -e /usr/bin/ping",
    );
    world.ok("rmwpar -F second");
    world.assert_empty();
}

/// A WPAR is saved while it runs and when it is stopped; both make the same WPAR again, with the
/// numbers of users that it has inside.
#[test]
fn a_wpar_is_saved_while_it_runs_and_when_it_does_not() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    world.inside(
        "one",
        "echo mine >/root/note; chown 1234:4321 /root/note; chmod 4750 /root/note; \
         mknod /root/pipe p; ln /root/note /root/other; ln -s nowhere /root/link; rm /etc/group; sync",
    );
    let (running, stopped, changes) = (
        world.scratch().join("running"),
        world.scratch().join("stopped"),
        world.scratch().join("changes"),
    );
    world.wpar(["savewpar", "-f"]).arg(&running).arg("one").ok();
    world
        .wpar(["savewpar", "--difference", "-f"])
        .arg(&changes)
        .arg("one")
        .refused(&["stop it with 'stopwpar one'"]);
    world.ok("stopwpar one");
    world
        .wpar(["savewpar", "-V", "-f"])
        .arg(&stopped)
        .arg("one")
        .ok();
    world
        .wpar(["savewpar", "--difference", "-f"])
        .arg(&changes)
        .arg("one")
        .ok();
    let changed = names(&changes);
    for name in [
        "./etc/.wh.group",
        "./root/link",
        "./root/note",
        "./root/other",
        "./root/pipe",
    ] {
        assert!(
            changed.iter().any(|known| known == name),
            "{name} in {changed:?}"
        );
    }
    assert!(
        !changed.iter().any(|name| name == "./bin/busybox"),
        "{changed:?}"
    );

    for (number, backup) in [&running, &stopped, &changes].into_iter().enumerate() {
        let name = format!("again{number}");
        world
            .wpar(["restwpar", "-s", "-n", &name, "-f"])
            .arg(backup)
            .ok();
        let found = world.inside(
            &name,
            "cat /root/note; stat -c '%u %g %a %h' /root/note; stat -c %F /root/pipe; \
             readlink /root/link; ls /etc/group 2>/dev/null; hostname",
        );
        assert_eq!(
            found,
            format!("mine\n1234 4321 4750 2\nfifo\nnowhere\n{name}"),
            "{}",
            backup.display()
        );
        world.ok(&format!("rmwpar -F {name}"));
    }
    world.ok("rmwpar -F one");
    world.assert_empty();
}

/// Names in an archive, by GNU tar.
fn names(image: &Path) -> Vec<String> {
    let list = Run::new("tar", ["--zstd", "-tf"]).arg(image).ok();
    list.text().lines().map(str::to_owned).collect()
}
