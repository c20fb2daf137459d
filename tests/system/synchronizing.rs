//! `syncwpar -D`: a copy of another release becomes one of the host's, and goes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::elsewhere::Elsewhere;
use super::takeover::kill_daemon;
use super::trees::shell;
use crate::common::fixtures::{fixture, unpack};
use crate::common::manifest::{Manifest, Times};
use crate::common::run::Output;
use crate::common::skip::need;
use crate::common::world::World;

/// Debian 13, as the host of copies of Debian 12.
fn newer_host(world: &World) -> Result<(PathBuf, PathBuf), String> {
    let (host, image) = (fixture("debian13-host")?, fixture("debian12-systemd")?);
    let root = world.scratch().join("host");
    fs::create_dir(&root).expect("a directory to unpack into");
    unpack(&host, &root);
    fs::copy(&image, root.join("image.tar")).expect("the image in the host's tree");
    Ok((root, image))
}

/// All that the tool keeps of a WPAR, but for times that opening a store changes.
fn kept(root: &Path, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let state = root.join("var/lib/wpar");
    let mut found = Vec::new();
    let mut to_do = vec![
        state.join("stores").join(name),
        state.join(format!("views/{name}.json")),
        state.join(format!("registry/{name}.json")),
    ];
    while let Some(path) = to_do.pop() {
        let kind = fs::symlink_metadata(&path).expect("metadata").file_type();
        let contents = if kind.is_dir() {
            let names = fs::read_dir(&path).expect("a directory");
            to_do.extend(names.map(|entry| entry.expect("an entry").path()));
            Vec::new()
        } else if kind.is_symlink() {
            fs::read_link(&path)
                .expect("a link")
                .into_os_string()
                .into_encoded_bytes()
        } else {
            fs::read(&path).expect("a file")
        };
        found.push((path, contents));
    }
    found.sort();
    found
}

/// Starts the WPAR and waits until its system is up, so that it can be stopped in order.
#[track_caller]
fn start(host: &Elsewhere<'_>) {
    host.wpar(["startwpar", "--wait", "one"])
        .timeout(Duration::from_secs(900))
        .ok();
}

/// Asserts that a command failed, and said all this.
#[track_caller]
fn failed(output: &Output, says: &[&str]) {
    assert_eq!(output.code(), 1, "{output}");
    for text in says {
        assert!(output.complaint().contains(text), "no {text:?} in {output}");
    }
}

#[test]
fn a_copy_of_an_older_release_becomes_one_of_the_hosts_and_goes_back() {
    let world = need!(World::new());
    let (root, _) = need!(newer_host(&world));
    let host = need!(
        Elsewhere::as_it_is(&world, &root).ok_or("the tool does not run with older libraries")
    );
    let state = root.join(world.root().strip_prefix("/").expect("an absolute path"));
    host.ok("mkwpar -t -B /image.tar -n one");
    let refused = host.wpar(["startwpar", "one"]).output();
    failed(
        &refused,
        &[
            "one is at level debian 12, the host is at debian 13",
            "syncwpar -D one",
            "chwpar -C one",
        ],
    );
    // Something of its own, changed and unchanged configuration, before.
    host.ok("chwpar -C one");
    start(&host);
    host.inside(
        "one",
        "echo mine >/root/note; echo '# ours' >>/etc/login.defs; rm /usr/bin/env",
    );
    host.ok("stopwpar one");
    host.ok("chwpar -K -C one");
    let before = kept(&state, "one");

    let preview = host.ok("syncwpar -D -p -v one");
    assert!(preview.contains("replaced dpkg 1.21"), "{preview}");
    assert!(preview.contains("added "), "{preview}");
    assert!(kept(&state, "one") == before, "a preview changed something");
    let json = host.wpar(["syncwpar", "-D", "-p", "--json", "one"]).ok();
    let told: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(told["possible"], true, "{told}");

    let system = |path: &Path| path.starts_with("var") || path == Path::new("ready");
    let of_host = Manifest::of(&root, Times::All, system);
    host.ok("syncwpar -D one");
    let listed = host.ok("lswpar -qc -a synchronized one");
    assert!(listed.starts_with("1200-"), "{listed}");
    start(&host);
    let inside = |script: &str| host.inside("one", script);
    assert_eq!(inside("dpkg --audit"), "");
    assert_eq!(inside("apt-get check >/dev/null && echo fine"), "fine");
    assert_eq!(inside("dpkg --verify | grep -v ' c /' || true"), "");
    let of = |path: &str| fs::read_to_string(root.join(path)).expect("a file of the host");
    assert_eq!(
        inside("cat /etc/debian_version"),
        of("etc/debian_version").trim()
    );
    assert_eq!(
        inside("cat /etc/os-release"),
        of("usr/lib/os-release").trim()
    );
    let version = inside("bash -c 'echo $BASH_VERSION'");
    assert!(
        version.starts_with("5.2.37"),
        "the host's bash, not {version}"
    );
    assert_eq!(inside("env echo runs; cat /root/note"), "runs\nmine");
    assert_eq!(inside("tail -n 1 /etc/login.defs"), "# ours");
    assert_eq!(
        inside("ls /etc/login.defs.dpkg-dist"),
        "/etc/login.defs.dpkg-dist"
    );
    let state_word = inside("systemctl is-system-running || true");
    assert_eq!(state_word, "running", "{}", inside("systemctl --failed"));
    // A daemon that follows another finds what both trees have by numbers alone.
    let numbers = inside("ls -id /usr/bin /usr/bin/env /etc/passwd /root/note");
    kill_daemon(&world);
    assert_eq!(
        inside("ls -id /usr/bin /usr/bin/env /etc/passwd /root/note"),
        numbers
    );
    assert_eq!(inside("env echo runs; cat /root/note"), "runs\nmine");
    host.ok("stopwpar one");
    let told = host.ok("explain one /usr/bin/bash /root/note");
    assert!(
        told.contains("/usr/bin/bash of the running system"),
        "{told}"
    );
    assert!(
        told.contains("/root/note of /image.tar, as the workload partition had"),
        "{told}"
    );
    // Whose a path is, and in which version, is the host's to say of what comes from it.
    for (package, paths) in [
        ("bash", "/usr/bin/bash /etc/bash.bashrc"),
        (
            "debian-archive-keyring",
            "/usr/share/keyrings/debian-archive-keyring.gpg",
        ),
    ] {
        let query = "dpkg-query --admindir \"$1/var/lib/dpkg\" -W -f '${Version}' \"$2\"";
        let version = shell(query, &[&root, Path::new(package)]);
        let told = host.ok(&format!("explain one {paths}"));
        let fileset = format!("fileset:  {package} {version}");
        let lines = told.lines().filter(|line| line.contains("fileset:"));
        assert!(lines.clone().count() > 0, "{told}");
        for line in lines {
            assert!(line.contains(&fileset), "{fileset}: {told}");
        }
    }
    host.ok("chwpar -n two one");
    host.ok("chwpar -n one two");
    // It is not set up a second time, and needs nothing more.
    start(&host);
    host.ok("stopwpar one");
    of_host.assert_unchanged(&Manifest::of(&root, Times::All, system), "the host");

    // When the host is upgraded, it says so.
    let status = root.join("var/lib/dpkg/status");
    let text = of("var/lib/dpkg/status");
    let bash = text.find("Package: bash\n").expect("bash is installed");
    let at = bash + text[bash..].find("\nVersion: ").expect("its version") + "\nVersion: ".len();
    fs::write(&status, format!("{}9:{}", &text[..at], &text[at..])).expect("status of the host");
    let behind = host.wpar(["startwpar", "one"]).output();
    failed(
        &behind,
        &["by now: bash", "syncwpar -D one", "startwpar -F one"],
    );
    // And again, above what was made before; back, step by step.
    host.ok("syncwpar -D one");
    let listed = host.ok("lswpar -qc -a synchronized one");
    assert!(listed.contains(",1300-"), "{listed}");
    start(&host);
    assert!(inside("dpkg-query -W bash").contains("9:5.2"));
    assert_eq!(inside("dpkg --audit; env cat /root/note"), "mine");
    host.ok("stopwpar one");
    host.ok("syncwpar -D -R one");
    fs::write(&status, text).expect("status of the host");
    start(&host);
    assert!(!inside("dpkg-query -W bash").contains("9:5.2"));
    host.ok("stopwpar one");

    host.ok("syncwpar -D -R one");
    let after = kept(&state, "one");
    let paths = |all: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
        all.iter().map(|(path, _)| path.clone()).collect()
    };
    assert_eq!(paths(&after), paths(&before));
    for ((path, now), (_, then)) in after.iter().zip(&before) {
        assert!(now == then, "{} is not what it was", path.display());
    }
    assert!(
        !host
            .wpar(["startwpar", "one"])
            .output()
            .complaint()
            .is_empty()
    );
    host.ok("rmwpar one");
    drop(host);
    world.assert_empty();
}

/// A host with less than the copy: what it has does not go with what stays.
#[test]
fn what_does_not_fit_together_is_named_and_nothing_is_changed() {
    let world = need!(World::new());
    let (host, image) = (
        need!(fixture("debian13-systemd")),
        need!(fixture("debian12-systemd")),
    );
    let root = world.scratch().join("host");
    fs::create_dir(&root).expect("a directory to unpack into");
    unpack(&host, &root);
    fs::copy(&image, root.join("image.tar")).expect("the image in the host's tree");
    let host = need!(
        Elsewhere::as_it_is(&world, &root).ok_or("the tool does not run with older libraries")
    );
    let state = root.join(world.root().strip_prefix("/").expect("an absolute path"));
    host.ok("mkwpar -t -B /image.tar -n one");
    let before = kept(&state, "one");
    let unclean = host.wpar(["syncwpar", "-D", "one"]).output();
    failed(
        &unclean,
        &[
            "perl-base",
            "cannot be together with perl 5.36",
            "was not changed",
            "chwpar -C one",
        ],
    );
    assert!(kept(&state, "one") == before, "something was changed");
    host.ok("rmwpar one");
    drop(host);
    world.assert_empty();
}

#[test]
fn a_copy_that_is_newer_than_the_host_is_not_changed() {
    let world = need!(World::new());
    let image = need!(fixture("debian13-systemd"));
    need!(match fs::read_to_string("/etc/os-release") {
        Ok(text) if text.contains("VERSION_ID=\"12\"") && text.contains("ID=debian") => Ok(()),
        _ => Err("this machine is no Debian 12"),
    });
    let made = world
        .wpar_as_is(["mkwpar", "-t", "-n", "one", "-B"])
        .arg(&image)
        .ok();
    assert!(made.complaint().contains("syncwpar -D one"), "{made}");
    let before = kept(&world.root(), "one");
    for words in [
        &["syncwpar", "-D", "one"][..],
        &["syncwpar", "-D", "-p", "one"],
    ] {
        let output = world.wpar(words).output();
        failed(
            &output,
            &[
                "dpkg is newer in the copy",
                "one cannot be brought to the level of the host, and was not changed",
                "chwpar -C one",
            ],
        );
        assert!(
            kept(&world.root(), "one") == before,
            "something was changed"
        );
    }
    let json = world
        .wpar(["syncwpar", "-D", "-p", "--json", "one"])
        .output();
    let told: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((json.code(), &told["possible"]), (1, &false.into()));
    world.refused("syncwpar -D -R one", &["never brought to the level"]);
    world.refused("syncwpar one", &["syncwpar -D one"]);
    world.refused("startwpar one", &["syncwpar -D one"]);
    world.remove_all();
}

/// Whatever instruction it dies at, a WPAR is what it was or what it was to become, and the command
/// can be given again.
#[test]
fn a_synchronization_that_is_killed_was_made_or_was_not() {
    let world = need!(World::new());
    let (root, _) = need!(newer_host(&world));
    let host = need!(
        Elsewhere::as_it_is(&world, &root).ok_or("the tool does not run with older libraries")
    );
    let state = root.join(world.root().strip_prefix("/").expect("an absolute path"));
    host.ok("mkwpar -t -B /image.tar -n one");
    let before = kept(&state, "one");
    let mut made = 0;
    for step in 0..24u32 {
        let running = host.wpar(["syncwpar", "-D", "one"]).start();
        std::thread::sleep(Duration::from_millis(u64::from(step) * 150));
        running.signal(Signal::KILL);
        let _ = running.wait();
        let listed = host.ok("lswpar -qc -a synchronized one");
        if !listed.trim().is_empty() {
            assert!(listed.starts_with("1200-"), "{listed}");
            made += 1;
            host.ok("syncwpar -D -R one");
            assert!(kept(&state, "one") == before, "going back at step {step}");
        }
    }
    host.ok("syncwpar -D one");
    if made == 0 {
        println!("no one lived long enough to be done");
    }
    host.ok("syncwpar -D -R one");
    assert!(kept(&state, "one") == before, "something is left");
    host.ok("syncwpar -D one");
    host.ok("rmwpar one");
    drop(host);
    world.assert_gone("one");
    world.assert_empty();
}
