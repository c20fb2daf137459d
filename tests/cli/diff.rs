//! `wpar diff` as a program: what it prints, in which form, and its status.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tar::EntryType;

use crate::support::Root;

/// An archive of a system; each file with its permissions.
struct Image(tar::Builder<fs::File>);

impl Image {
    fn new(path: &Path) -> Self {
        Self(tar::Builder::new(fs::File::create(path).unwrap()))
    }

    fn file(mut self, path: &str, mode: u32, contents: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(mode);
        header.set_cksum();
        self.0
            .append_data(&mut header, path, contents.as_bytes())
            .unwrap();
        self
    }

    fn link(mut self, path: &str, target: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o777);
        header.set_entry_type(EntryType::Symlink);
        self.0.append_link(&mut header, path, target).unwrap();
        self
    }

    fn done(self) {
        let file = self.0.into_inner().unwrap();
        // Directories without an entry have the time of the archive.
        file.set_modified(UNIX_EPOCH).unwrap();
    }
}

/// Two states of one small Debian system.
fn images(root: &Root) -> (PathBuf, PathBuf) {
    let (a, b) = (root.beside("a.tar"), root.beside("b.tar"));
    let status = |tool: &str, rest: &str| {
        format!(
            "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: {tool}\n\
             Conffiles:\n /etc/tool.conf 900150983cd24fb0d6963f7d28e17f72\n\n{rest}"
        )
    };
    let package = |name: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: {version}\n\n"
        )
    };
    let wants = "etc/systemd/system/multi-user.target.wants";
    Image::new(&a)
        .file("etc/hostname", 0o644, "one\n")
        .file(
            "etc/machine-id",
            0o444,
            "0123456789abcdef0123456789abcdef\n",
        )
        .file("etc/os-release", 0o644, "PRETTY_NAME=\"Test 1\"\nID=test\n")
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0::/root:/bin/sh\nold:x:7:7::/:\n",
        )
        .file("etc/shadow", 0o640, "root:$6$SECRET1:::::::\n")
        .file("etc/tool.conf", 0o644, "abc")
        .file("etc/private.conf", 0o600, "SECRET1\n")
        .file("usr/bin/tool", 0o755, "1.9")
        .file("usr/bin/su", 0o755, "su")
        .file("srv/data", 0o644, "same")
        .file(
            "var/lib/dpkg/status",
            0o644,
            &status("1.9", &package("gone", "1")),
        )
        .file(
            "var/lib/dpkg/info/tool.list",
            0o644,
            "/.\n/usr/bin/tool\n/etc/tool.conf\n",
        )
        .link(
            &format!("{wants}/cron.service"),
            "/lib/systemd/system/cron.service",
        )
        .done();
    Image::new(&b)
        .file("etc/hostname", 0o644, "two\n")
        .file(
            "etc/machine-id",
            0o444,
            "fedcba9876543210fedcba9876543210\n",
        )
        .file("etc/os-release", 0o644, "PRETTY_NAME=\"Test 1\"\nID=test\n")
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0::/root:/bin/sh\nnew:x:8:8:\x1b[2J:/:\n",
        )
        .file("etc/shadow", 0o640, "root:$6$SECRET2:::::::\n")
        .file("etc/tool.conf", 0o644, "abc\nlocal = 1\n")
        .file("etc/private.conf", 0o600, "SECRET2\n")
        .file("usr/bin/tool", 0o755, "1.10")
        .file("usr/bin/su", 0o4755, "su")
        .file("srv/data", 0o644, "same")
        .file("srv/a\x1b]0;x\x07\nb", 0o644, "")
        .file(
            "var/lib/dpkg/status",
            0o644,
            &status("1.10", &package("new", "2:1-1")),
        )
        .file(
            "var/lib/dpkg/info/tool.list",
            0o644,
            "/.\n/usr/bin/tool\n/etc/tool.conf\n",
        )
        .link("etc/systemd/system/cron.service", "/dev/null")
        .done();
    (a, b)
}

/// Compares with a golden file, `[A]` and `[B]` in it for the two images.
#[track_caller]
fn expect_golden(name: &str, found: &[u8], images: &(PathBuf, PathBuf)) {
    let found = String::from_utf8(found.to_vec()).unwrap();
    let found = found
        .replace(&*images.0.to_string_lossy(), "[A]")
        .replace(&*images.1.to_string_lossy(), "[B]");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/golden")
        .join(name);
    if std::env::var_os("WPAR_UPDATE_GOLDEN").is_some() {
        fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&path).unwrap(), "{name}");
}

#[test]
fn an_image_is_the_same_as_itself() {
    let root = Root::new();
    let (a, _) = images(&root);
    let copy = root.beside("copy.tar");
    fs::copy(&a, &copy).unwrap();
    let file = fs::File::options().write(true).open(&copy).unwrap();
    file.set_modified(UNIX_EPOCH).unwrap();
    root.wpar(["diff"]).arg(&a).arg(&a).check();
    root.wpar(["diff", "-v"]).arg(&a).arg(&copy).check();
}

#[test]
fn two_images_are_told_apart_in_words_and_in_json() {
    let root = Root::new();
    let images = images(&root);
    for (options, golden) in [
        (&[][..], "diff.txt"),
        (&["-v"][..], "diff-v.txt"),
        (&["--json"][..], "diff.json"),
    ] {
        let run = root
            .wpar(["diff"])
            .args(options)
            .arg(&images.0)
            .arg(&images.1);
        let output = run.status(1).any_stdout().check();
        expect_golden(golden, &output.stdout, &images);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("SECRET"), "{text}");
        let unsafe_bytes = |byte: &u8| *byte < b' ' && *byte != b'\n' || *byte == 0x7f;
        assert_eq!(output.stdout.iter().find(|byte| unsafe_bytes(byte)), None);
    }
}

#[test]
fn one_section_can_be_asked_for_and_decides_the_status() {
    let root = Root::new();
    let (a, b) = images(&root);
    let only = |section: &str| root.wpar(["diff", "--only", section]).arg(&a).arg(&b);
    only("kernels").check();
    let packages = only("packages").status(1).any_stdout().check();
    let text = String::from_utf8(packages.stdout).unwrap();
    assert!(
        text.contains("\npackages:\n- gone 1 all\n+ new 2:1-1 all\n> tool 1.9 -> 1.10 amd64\n"),
        "{text}"
    );
    assert!(!text.contains("files"), "{text}");
    let json = only("users,kernels")
        .arg("--json")
        .status(1)
        .any_stdout()
        .check();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json["users"].is_array() && json["kernels"].is_null());
    assert!(json.get("files").is_none() && json.get("packages").is_none());
}

#[test]
fn every_file_is_shown_on_request() {
    let root = Root::new();
    let (a, b) = images(&root);
    let output = root
        .wpar(["diff", "--files"])
        .arg(&a)
        .arg(&b)
        .status(1)
        .any_stdout()
        .check();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "~ /usr/bin/tool: content 3 -> 4 bytes\n",
        "~ /usr/bin/su: mode 0755 -> 4755\n",
        "+ /srv/a\\u{1b}]0;x\\u{7}\\nb\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_directory_is_a_system_too() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let (a, _) = images(&root);
    let dir = root.beside("unpacked");
    fs::create_dir(&dir).unwrap();
    tar::Archive::new(fs::File::open(&a).unwrap())
        .unpack(&dir)
        .unwrap();
    let only = "identity,packages,users,services";
    root.wpar(["diff", "--only", only])
        .arg(&a)
        .arg(&dir)
        .check();
    fs::write(dir.join("etc/hostname"), "other\n").unwrap();
    // An absolute link leads inside the directory, not to the host.
    fs::remove_file(dir.join("etc/passwd")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.join("etc/passwd")).unwrap();
    let output = root
        .wpar(["diff", "--only", only])
        .arg(&a)
        .arg(&dir)
        .status(1)
        .any_stdout();
    let text = String::from_utf8(output.check().stdout).unwrap();
    assert!(text.contains("~ hostname: one -> other\n"), "{text}");
    assert!(text.contains("- user root: "), "{text}");
}

#[test]
fn a_wpar_is_compared_without_being_started() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let (a, b) = images(&root);
    root.wpar(["mkwpar", "-t", "-n", "w1", "-B"])
        .arg(&a)
        .any_stdout()
        .any_stderr()
        .check();
    let output = root
        .wpar(["diff"])
        .arg(&a)
        .arg("w1")
        .status(1)
        .any_stdout()
        .check();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("~ hostname: one -> w1\n~ machine-id: changed\n"),
        "{text}"
    );
    assert!(!text.contains("packages"), "{text}");
    // The other way round, and against another image.
    let output = root
        .wpar(["diff", "w1"])
        .arg(&a)
        .status(1)
        .any_stdout()
        .check();
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("~ hostname: w1 -> one\n")
    );
    let output = root
        .wpar(["diff", "w1"])
        .arg(&b)
        .status(1)
        .any_stdout()
        .check();
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("> tool 1.9 -> 1.10 amd64\n")
    );
    root.wpar(["diff", "w1", "w1"]).check();
    root.run("rmwpar w1").any_stdout().check();
}

#[test]
fn a_name_is_a_wpar_before_it_is_a_file() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let (a, b) = images(&root);
    let here = root.beside("here");
    fs::create_dir(&here).unwrap();
    fs::copy(&b, here.join("w1")).unwrap();
    let diff = |name: &str| {
        let run = root.wpar(["diff", "--only", "packages", name]).arg(&a);
        run.with(|command| {
            command.current_dir(&here);
        })
    };
    diff("w1").status(1).any_stdout().check();
    root.wpar(["mkwpar", "-t", "-n", "w1", "-B"])
        .arg(&a)
        .any_stdout()
        .any_stderr()
        .check();
    diff("w1").check();
    diff("./w1").status(1).any_stdout().check();
    root.run("rmwpar w1").any_stdout().check();
}

#[test]
fn the_host_and_a_copy_of_it_differ_by_their_identity() {
    let Some(root) = Root::privileged() else {
        return;
    };
    root.run("mkwpar -t -n clone1")
        .any_stdout()
        .any_stderr()
        .check();
    let run = root
        .run("diff --json --only identity,files host clone1")
        .status(1)
        .any_stdout();
    let json: serde_json::Value = serde_json::from_slice(&run.check().stdout).unwrap();
    let paths: Vec<_> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    let own = [
        "etc/hostname",
        "etc/hosts",
        "etc/machine-id",
        "var/lib/dbus/machine-id",
    ];
    assert!(
        !paths.is_empty() && paths.iter().all(|path| own.contains(path)),
        "{paths:?}"
    );
    assert_eq!(json["identity"][0]["after"], "clone1");
    root.run("rmwpar clone1").any_stdout().check();
}

#[test]
fn what_cannot_be_compared_is_trouble() {
    let root = Root::new();
    let (a, _) = images(&root);
    let text = root.beside("text.tar");
    fs::write(&text, "no archive").unwrap();
    root.wpar(["diff"])
        .arg(&a)
        .arg(&text)
        .status(2)
        .complaint(&["diff: ", "text.tar"])
        .check();
    let none = root.beside("none.tar");
    root.wpar(["diff"])
        .arg(&a)
        .arg(&none)
        .status(2)
        .complaint(&["diff: cannot open"])
        .check();
}
