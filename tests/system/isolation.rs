//! Several WPARs of one image.

use std::time::Duration;

use crate::common::fixtures::fixture;
use crate::common::run::eventually;
use crate::common::skip::need;
use crate::common::world::World;

#[test]
fn two_wpars_of_one_image_do_not_see_each_other() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    for name in ["left", "right"] {
        world.mkwpar(&image, name);
        world.ok(&format!("startwpar {name}"));
    }
    for name in ["left", "right"] {
        assert_eq!(world.wait_for_systemd(name), "running");
        world.inside(
            name,
            &format!("echo {name} >/root/who; echo {name} >>/etc/motd; ln -sf {name} /link"),
        );
    }
    world.inside(
        "left",
        "rm /home/anna/one-megabyte; mv /home/anna/letters /home/anna/moved",
    );
    for name in ["left", "right"] {
        assert_eq!(
            world.inside(
                name,
                "cat /root/who; tail -n 1 /etc/motd; readlink /link; hostname"
            ),
            format!("{name}\n{name}\n{name}\n{name}")
        );
    }
    assert_eq!(
        world.inside(
            "right",
            "stat -c %s /home/anna/one-megabyte /home/anna/letters/first.txt"
        ),
        "1048576\n52"
    );

    // Nor each other's processes, sockets and shared memory.
    world.inside("left", "(setsid sleep 4321 </dev/null >/dev/null 2>&1 &); echo x >/dev/shm/left; echo x >/tmp/left");
    assert_eq!(
        world.inside("right", "ps ax | grep -c '[s]leep 4321' || true"),
        "0"
    );
    assert_eq!(
        world.inside("left", "ps ax | grep -c '[s]leep 4321' || true"),
        "1"
    );
    assert_eq!(
        world.inside("right", "ls -A /dev/shm /tmp | grep -c left || true"),
        "0"
    );
    assert_ne!(
        world.inside("left", "cat /etc/machine-id"),
        world.inside("right", "cat /etc/machine-id")
    );
    let map = |name| world.inside(name, "cat /proc/self/uid_map");
    assert_ne!(
        map("left"),
        map("right"),
        "each has a range of ids of its own"
    );

    world.ok("stopwpar left");
    assert_eq!(
        world.inside("right", "cat /root/who"),
        "right",
        "stopping one leaves the other"
    );
    world.ok("rmwpar left");
    world.assert_gone("left");
    assert_eq!(world.inside("right", "cat /root/who"), "right");
    world.remove_all();
}

#[test]
fn a_halt_from_inside_ends_it_and_a_reboot_from_inside_starts_it_again() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-systemd"));
    world.mkwpar(&image, "wpar1");
    world.ok("startwpar wpar1");
    assert_eq!(world.wait_for_systemd("wpar1"), "running");
    // When process 1 began, in clock ticks since the host's boot: proc(5).
    let begin = [
        "clogin",
        "wpar1",
        "cut",
        "-d",
        " ",
        "-f",
        "22",
        "/proc/1/stat",
    ];
    let boot = world.wpar(begin).ok();
    // the connection may be cut before the command can answer
    let _ = world
        .wpar(["clogin", "wpar1", "systemctl", "reboot"])
        .output();
    eventually(
        "the system inside has started again",
        Duration::from_secs(60),
        || {
            let asked = world.wpar(begin).output();
            asked.status.success() && asked.stdout != boot.stdout
        },
    );
    world.wait_for_systemd("wpar1");
    let _ = world
        .wpar(["clogin", "wpar1", "systemctl", "poweroff"])
        .output();
    eventually(
        "state D after a poweroff inside",
        Duration::from_secs(60),
        || world.state("wpar1").as_deref() == Some("D"),
    );
    world.ok("rmwpar wpar1");
    world.assert_gone("wpar1");
    world.assert_empty();
}
