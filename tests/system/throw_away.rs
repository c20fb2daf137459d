//! `wparexec`: one command in a WPAR that is gone when it ends.

use crate::common::fixtures::fixture;
use crate::common::skip::need;
use crate::common::world::World;

/// All 256 values, many times, so that any buffer is crossed at odd places.
fn every_byte() -> Vec<u8> {
    (0..=255u8).cycle().take(3 * 1024 * 1024 + 77).collect()
}

#[test]
fn the_status_of_the_command_is_the_status() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    for (script, code) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 7", 7),
        ("exit 125", 125),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        world
            .wpar(["wparexec", "-t", "-B"])
            .arg(&image)
            .args(["--", "sh", "-c", script])
            .output()
            .ended_with(code);
    }
    world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "no-such-command"])
        .output()
        .ended_with(127);
    world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "/etc/passwd"])
        .output()
        .ended_with(126);
    world.assert_empty();
}

#[test]
fn input_and_output_pass_through_byte_for_byte() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let bytes = every_byte();
    let output = world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "cat"])
        .stdin(bytes.clone())
        .ok();
    assert!(
        output.stdout == bytes,
        "{} bytes came back of {}",
        output.stdout.len(),
        bytes.len()
    );
    assert!(output.stderr.is_empty(), "{}", output.complaint());
    let both = world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "sh", "-c", "echo out; echo err >&2"])
        .ok();
    assert_eq!((both.text(), both.complaint().as_str()), ("out", "err\n"));
    world.assert_empty();
}

#[test]
fn words_reach_the_command_as_they_are() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let odd = [
        "a b",
        "",
        "$HOME",
        "it's",
        "-x",
        "--",
        "\u{e9}\u{20ac}",
        "tab\there",
    ];
    let output = world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "printf", "[%s]\n"])
        .args(odd)
        .ok();
    let expected: Vec<String> = odd.iter().map(|word| format!("[{word}]")).collect();
    assert_eq!(output.text(), expected.join("\n"));
    world.assert_empty();
}

#[test]
fn what_it_writes_is_gone_with_it() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    let run = |script: &str| {
        world
            .wpar(["wparexec", "-t", "-B"])
            .arg(&image)
            .args(["--", "sh", "-c", script])
            .ok()
    };
    let output =
        run("echo x >/root/new; rm -rf /usr/share; sed -i s/root/toor/ /etc/passwd; ls /root/new");
    assert_eq!(output.text(), "/root/new");
    let output =
        run("ls -A /root | grep -c new; test -d /usr/share/doc && head -n 1 /etc/passwd; true");
    assert_eq!(output.text(), "0\nroot:x:0:0:root:/root:/bin/bash");
    world.assert_empty();
}

#[test]
fn children_of_the_command_end_with_it() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    let script = "(setsid sleep 98765 </dev/null >/dev/null 2>&1 &); sleep 0.1; echo done";
    let output = world
        .wpar(["wparexec", "-t", "-B"])
        .arg(&image)
        .args(["--", "sh", "-c", script])
        .ok();
    assert_eq!(output.text(), "done");
    world.assert_empty();
}
