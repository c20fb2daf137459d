//! What bad input gets: one clear line, a non-zero status, and nothing half-made.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::fixtures::fixture;
use crate::common::program::copy_program;
use crate::common::run::Run;
use crate::common::skip::need;
use crate::common::world::World;

/// A file `name` in the world's scratch directory, with these contents.
fn file(world: &World, name: &str, contents: &[u8]) -> PathBuf {
    let path = world.scratch().join(name);
    fs::write(&path, contents).expect("a file of the test");
    path
}

/// Asserts that no WPAR can be made of `image` and nothing is left; the line names the image.
#[track_caller]
fn refused_as_image(world: &World, image: &Path, says: &[&str]) {
    let before = world.summary();
    for verb in ["mkwpar", "wparexec"] {
        let run = world.wpar([verb, "-t", "-B"]).arg(image);
        let run = match verb {
            "mkwpar" => run.args(["-n", "bad"]),
            _ => run.args(["--", "true"]),
        };
        let output = run.refused(says);
        let name = image
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            output.complaint().contains(&name),
            "should name the image\n{output}"
        );
        assert_eq!(world.summary(), before, "something is left\n{output}");
    }
    world.assert_gone("bad");
    world.assert_empty();
}

#[test]
fn images_that_are_none() {
    let world = need!(World::new());
    let busybox = need!(fixture("busybox"));
    let whole = fs::read(&busybox).expect("the busybox image");

    let missing = world.scratch().join("missing.tar");
    refused_as_image(
        &world,
        &missing,
        &["no such file", "does not exist", "not found"],
    );
    let directory = world.scratch().join("directory.tar");
    fs::create_dir(&directory).expect("a directory");
    refused_as_image(&world, &directory, &["directory", "not a"]);
    let not_an_archive = file(
        &world,
        "letter.tar",
        &b"Dear reader, this is no archive.\n".repeat(1000),
    );
    refused_as_image(&world, &not_an_archive, &["archive", "tar"]);
    let empty = file(&world, "empty.tar", b"");
    refused_as_image(&world, &empty, &["empty", "archive", "truncated"]);
    let zeros = file(&world, "zeros.tar", &vec![0; 1 << 20]);
    refused_as_image(
        &world,
        &zeros,
        &["empty", "archive", "no entries", "no files"],
    );
    let truncated = file(&world, "truncated.tar", &whole[..whole.len() / 2]);
    refused_as_image(
        &world,
        &truncated,
        &["cut off", "truncated", "ends", "incomplete", "short"],
    );
    let odd = file(&world, "odd.tar", &whole[..whole.len() / 2 + 100]);
    refused_as_image(
        &world,
        &odd,
        &["cut off", "truncated", "ends", "incomplete", "short"],
    );
    let mut damaged = whole.clone();
    // the checksum of the second header
    let second = 1024;
    damaged[second..second + 100].fill(0xaa);
    let damaged = file(&world, "damaged.tar", &damaged);
    refused_as_image(
        &world,
        &damaged,
        &["damaged", "checksum", "corrupt", "archive", "header"],
    );
}

#[test]
fn compressed_images_that_are_cut_off() {
    let world = need!(World::new());
    let busybox = need!(fixture("busybox"));
    for (name, program) in [("cut.tar.gz", "gzip"), ("cut.tar.zst", "zstd -q")] {
        let command = format!("{program} -c <\"$1\"");
        let packed = Run::new("sh", ["-c", &command, "sh"])
            .arg(&busybox)
            .ok()
            .stdout;
        let cut = file(&world, name, &packed[..packed.len() / 2]);
        refused_as_image(
            &world,
            &cut,
            &[
                "cut off",
                "truncated",
                "ends",
                "incomplete",
                "short",
                "damaged",
                "corrupt",
            ],
        );
    }
}

#[test]
fn an_image_that_changed_since_its_index_was_made() {
    let world = need!(World::new());
    let busybox = need!(fixture("busybox"));
    let image = file(
        &world,
        "image.tar",
        &fs::read(&busybox).expect("the busybox image"),
    );
    world.mkwpar(&image, "older");
    // Another archive, of another length, under the same name.
    let tree = world.scratch().join("tree");
    Run::new(
        "sh",
        [
            "-c",
            "mkdir -p \"$1/etc\" && echo other >\"$1/etc/other\" && tar -cf \"$2\" -C \"$1\" .",
            "sh",
        ],
    )
    .arg(&tree)
    .arg(&image)
    .ok();
    let output = world.refused("startwpar older", &["changed", "not the same", "differs"]);
    assert!(
        output.complaint().contains("image.tar"),
        "should name the image\n{output}"
    );
    assert_eq!(world.state("older").as_deref(), Some("D"));
    // It is a good archive still: a new WPAR is made of what it is now.
    world.mkwpar(&image, "newer");
    world.ok("startwpar newer");
    let seen = world.base("newer").join("etc/other");
    assert_eq!(fs::read(&seen).expect("the new file"), b"other\n");
    world.remove_all();
}

#[test]
fn names_that_are_not_allowed() {
    let world = need!(World::new());
    let busybox = need!(fixture("busybox"));
    let long = "x".repeat(26);
    for name in [
        "",
        " ",
        "a b",
        "a/b",
        "..",
        ".",
        ".hidden",
        "a.b",
        "-n",
        "0abc",
        "a=b",
        "a:b",
        "a!b",
        "a;b",
        "a`b",
        "a'b",
        "a\"b",
        "a<b",
        "a>b",
        "a~b",
        "a&b",
        "a(b",
        "a)b",
        "a*b",
        "a+b",
        "a[b",
        "a]b",
        "a,b",
        "a^b",
        "a{b",
        "a}b",
        "a|b",
        "a\\b",
        "a\nb",
        "gr\u{fc}n",
        &long,
    ] {
        let before = world.summary();
        let output = world
            .wpar(["mkwpar", "-t", "-B"])
            .arg(&busybox)
            .arg("-n")
            .arg(name)
            .output();
        let code = output.code();
        assert!(
            code != 0 && code != 101 && code < 128,
            "{name:?} should be refused\n{output}"
        );
        assert!(!output.stderr.is_empty(), "{name:?}: no word why\n{output}");
        assert_eq!(world.summary(), before, "{name:?} left something\n{output}");
    }
    assert!(world.table().is_empty());
    let longest = "y".repeat(25);
    world.mkwpar(&busybox, &longest);
    world.mkwpar(&busybox, "with-hyphen_1");
    world.remove_all();
}

#[test]
fn a_name_that_is_taken() {
    let world = need!(World::new());
    let busybox = need!(fixture("busybox"));
    world.mkwpar(&busybox, "taken");
    let before = world.summary();
    let output = world
        .wpar(["mkwpar", "-t", "-B"])
        .arg(&busybox)
        .args(["-n", "taken"])
        .refused(&["exists", "taken", "already"]);
    assert_eq!(world.summary(), before, "{output}");
    assert_eq!(world.state("taken").as_deref(), Some("D"));
    world.remove_all();
}

#[test]
fn base_directories_that_will_not_do() {
    let world = need!(World::new());
    let busybox = need!(fixture("busybox"));
    let full = world.scratch().join("full");
    fs::create_dir(&full).expect("a directory");
    fs::write(full.join("precious"), b"do not lose me").expect("a file");
    let a_file = file(&world, "file", b"x");
    let cases: [(&Path, &[&str]); 2] = [(&full, &["empty"]), (&a_file, &["directory"])];
    for (base, says) in cases {
        let before = world.summary();
        let output = world
            .wpar(["mkwpar", "-t", "-B"])
            .arg(&busybox)
            .args(["-n", "bad", "-d"])
            .arg(base)
            .refused(says);
        assert_eq!(world.summary(), before, "{output}");
    }
    assert_eq!(
        fs::read(full.join("precious")).expect("still there"),
        b"do not lose me"
    );
    world.assert_gone("bad");
    // A base directory that fills up between mkwpar and startwpar.
    world.mkwpar(&busybox, "later");
    let base = world.base("later");
    fs::create_dir_all(&base).expect("the base directory");
    fs::write(base.join("precious"), b"x").expect("a file");
    world.refused("startwpar later", &["empty"]);
    assert_eq!(fs::read(base.join("precious")).expect("still there"), b"x");
    fs::remove_file(base.join("precious")).expect("removing it");
    world.ok("startwpar later");
    world.remove_all();
}

#[test]
fn the_wrong_state_for_the_command() {
    let world = need!(World::new());
    let busybox = need!(fixture("busybox"));
    for verb in [
        "startwpar",
        "stopwpar",
        "rebootwpar",
        "rmwpar",
        "rmwpar -F",
        "lswpar",
        "clogin",
    ] {
        world.refused(&format!("{verb} nobody"), &["0960-419"]);
    }
    world.mkwpar(&busybox, "one");
    world.refused(
        "stopwpar one",
        &["not active", "not running", "defined", "already"],
    );
    world.refused("rebootwpar one", &["not active", "not running", "defined"]);
    world.refused("clogin one true", &["not active", "not running", "start"]);
    world.ok("startwpar one");
    world.refused("startwpar one", &["already", "active", "running"]);
    world.refused("rmwpar one", &["active", "running", "stop"]);
    assert_eq!(
        world.state("one").as_deref(),
        Some("A"),
        "a refusal changes nothing"
    );
    world.ok("stopwpar one");
    world.refused(
        "stopwpar one",
        &["not active", "not running", "defined", "already"],
    );
    world.ok("rmwpar one");
    world.refused("rmwpar one", &["0960-419"]);
    world.assert_gone("one");
    world.assert_empty();
}

#[test]
fn users_and_commands_that_are_not_inside() {
    let world = need!(World::new());
    let image = need!(fixture("debian12-minbase"));
    world.mkwpar(&image, "one");
    world.ok("startwpar one");
    world.refused(
        "clogin one -l nobody-of-that-name id",
        &["nobody-of-that-name"],
    );
    let missing = world.wpar(["clogin", "one", "no-such-command"]).output();
    assert_eq!(missing.code(), 127, "as in a shell\n{missing}");
    let forbidden = world.wpar(["clogin", "one", "/etc/passwd"]).output();
    assert_eq!(forbidden.code(), 126, "as in a shell\n{forbidden}");
    world.remove_all();
}

#[test]
fn wrong_usage_names_the_option() {
    let world = need!(World::new());
    for line in [
        "mkwpar --no-such-option",
        "lswpar -Z",
        "nonsense",
        "mkwpar -t",
        "wparexec -t",
    ] {
        let output = world.wpar(line.split_whitespace()).output();
        let code = output.code();
        assert!(code != 0 && code != 101 && code < 126, "{output}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{output}"
        );
    }
    world.assert_empty();
}

#[test]
fn an_ordinary_user_is_told_so() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    // A copy that nobody may run and read, whatever the modes of the build directory are.
    let dir = world.scratch();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.parent().expect("a parent"), open).expect("chmod");
    let binary = dir.join("wpar");
    copy_program(env!("CARGO_BIN_EXE_wpar"), &binary);
    let image_copy = dir.join("image.tar");
    fs::copy(image, &image_copy).expect("a copy of the image");
    let root = dir.join("root-of-nobody");
    fs::create_dir(&root).expect("a directory");
    std::os::unix::fs::chown(&root, Some(65534), Some(65534)).expect("chown");
    let as_nobody = |args: &[&str]| {
        Run::new(
            "setpriv",
            ["--reuid=65534", "--regid=65534", "--clear-groups", "--"],
        )
        .arg(&binary)
        .args(args)
        .env("WPAR_ROOT", &root)
    };
    let image_copy = image_copy.to_str().expect("a plain path");
    as_nobody(&["wparexec", "-t", "-B", image_copy, "--", "true"]).refused(&["root"]);
    as_nobody(&["mkwpar", "-t", "-s", "-B", image_copy, "-n", "one"]).refused(&["root"]);
    assert!(crate::common::procfs::mounts_below(&dir).is_empty());
    world.assert_empty();
}

#[test]
fn without_dev_fuse_the_module_is_named() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    // A mount namespace of its own in which /dev/fuse cannot be opened.
    let script = "mount --bind /dev/null /dev/fuse && exec \"$@\"";
    let output = Run::new(
        "unshare",
        [
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ],
    )
    .arg(env!("CARGO_BIN_EXE_wpar"))
    .args(["wparexec", "-t", "-B"])
    .arg(&image)
    .args(["--", "true"])
    .env("WPAR_ROOT", world.root())
    .refused(&["/dev/fuse"]);
    assert!(output.complaint().contains("/dev/fuse"), "{output}");
    world.assert_empty();
    let script = "mount -t tmpfs none /dev && exec \"$@\"";
    Run::new(
        "unshare",
        [
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ],
    )
    .arg(env!("CARGO_BIN_EXE_wpar"))
    .args(["wparexec", "-t", "-B"])
    .arg(&image)
    .args(["--", "true"])
    .env("WPAR_ROOT", world.root())
    .refused(&["/dev/fuse"]);
    world.assert_empty();
}

/// A removal that was cut short and cannot be finished stops no other command, and no new WPAR gets into
/// what is left.
#[test]
fn what_an_interrupted_command_left_for_good_is_in_nobody_elses_way() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "one");
    let state = world.root().join("var/lib/wpar");
    let stuck = file(&world, "stuck", b"");
    let note = state.join("registry/left.pending.json");
    let text = format!(
        "{{\"operation\": \"remove\", \"owner\": {{\"pid\": 1, \"started\": 1, \"boot\": \"none\"}}, \
         \"directory\": {:?}, \"store\": true, \"ids\": null}}",
        stuck.display()
    );
    fs::write(&note, text).expect("a note");
    let is_told = |text: String| text.contains("left of left is still there");
    assert!(is_told(world.mkwpar(&image, "two").complaint()));
    let refused = world
        .wpar(["mkwpar", "-t", "-n", "left", "-B"])
        .arg(&image)
        .output();
    assert_ne!(refused.code(), 0, "{refused}");
    for text in ["left of an earlier left", "left.pending.json"] {
        assert!(refused.complaint().contains(text), "{refused}");
    }
    let listed = world.ok("lswpar");
    assert!(listed.text().contains("one") && is_told(listed.complaint()));
    world.ok("rmwpar one");
    world.ok("rmwpar two");
    fs::remove_file(&note).expect("the note");
    assert!(!is_told(world.ok("lswpar").complaint()));
}
