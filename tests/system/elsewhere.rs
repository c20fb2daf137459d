//! A host that is not this one: the tool in a mount namespace of its own, whose root is another
//! system, or whose kernel says that it was booted since.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::Run;
use crate::common::fixtures::{fixture, unpack};
use crate::common::manifest::{Manifest, Times};
use crate::common::program::copy_program;
use crate::common::run::{Running, eventually};
use crate::common::skip::need;
use crate::common::world::World;

/// The tool inside such a host.
const TOOL: &str = "/usr/bin/wpar";

/// Makes `$1` the root, with the kernel's file systems of this machine and an empty /run.
const OTHER_ROOT: &str = r#"
    set -e
    mount --bind "$1" "$1"
    for part in proc sys dev; do mount --rbind "/$part" "$1/$part"; done
    mount -t tmpfs -o mode=755 run "$1/run"
    cd "$1"
    mkdir old
    pivot_root . old
    umount -l old
    rmdir old
    : >ready
    exec chroot . /bin/sh -c 'exec sleep 1000' "$1"
"#;

/// Says that the boot of this machine is that of the file `$1`. The second /proc is for the kernel,
/// which makes none in a user namespace where there is none to be seen without such a cover.
const OTHER_BOOT: &str = r#"
    set -e
    mkdir "$1.proc"
    mount -t proc proc "$1.proc"
    mount --bind "$1" /proc/sys/kernel/random/boot_id
    : >"$1.ready"
    exec sh -c 'sleep 1000' "$1"
"#;

/// A process that holds the namespace; its end is the end of this host.
pub(crate) struct Elsewhere<'a> {
    world: &'a World,
    tool: PathBuf,
    holder: Running,
}

impl<'a> Elsewhere<'a> {
    /// Enters a new mount namespace with `script`, which makes the file `ready`.
    fn enter(world: &'a World, tool: &Path, script: &str, about: &Path, ready: &Path) -> Self {
        let words = ["-m", "--propagation", "private", "sh", "-c", script, "sh"];
        let mut holder = Some(
            Run::new("unshare", words)
                .arg(about)
                .timeout(Duration::from_secs(900))
                .start(),
        );
        let pid = holder.as_ref().map(Running::pid).expect("just started");
        eventually("the other host is there", Duration::from_secs(30), || {
            if !Path::new(&format!("/proc/{}/exe", pid.as_raw_nonzero())).exists() {
                holder.take().expect("there until now").wait().succeeded();
            }
            ready.exists()
        });
        Self {
            world,
            tool: tool.to_owned(),
            holder: holder.expect("it lives"),
        }
    }

    /// The host whose root file system is `root`, with the tool and its libraries installed.
    fn with_root(world: &'a World, root: &Path) -> Self {
        install(root);
        Self::with_tool(world, root)
    }

    /// The same with the libraries that it has; `None` if the tool does not run with them.
    pub(crate) fn as_it_is(world: &'a World, root: &Path) -> Option<Self> {
        let tool = root.join(TOOL.trim_start_matches('/'));
        copy_program(env!("CARGO_BIN_EXE_wpar"), tool);
        let tried = Run::new("chroot", [root.as_os_str(), OsStr::new(TOOL)]);
        let runs = tried.arg("--version").output().code() == 0;
        runs.then(|| Self::with_tool(world, root))
    }

    fn with_tool(world: &'a World, root: &Path) -> Self {
        // The tool's root has the same path there, so that the world knows its own.
        let above = world.root();
        let above = above.strip_prefix("/").expect("an absolute path");
        fs::create_dir_all(root.join(above).parent().expect("a parent")).expect("directories");
        Self::enter(
            world,
            Path::new(TOOL),
            OTHER_ROOT,
            root,
            &root.join("ready"),
        )
    }

    /// This host, as it is in another boot.
    fn after_boot(world: &'a World, boot_id: &str) -> Self {
        let file = world.scratch().join(boot_id);
        fs::write(&file, format!("{boot_id}\n")).expect("a file");
        let tool = Path::new(env!("CARGO_BIN_EXE_wpar"));
        let ready = world.scratch().join(format!("{boot_id}.ready"));
        Self::enter(world, tool, OTHER_BOOT, &file, &ready)
    }

    /// `wpar WORDS` there, not yet run.
    pub(crate) fn wpar<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Run {
        let pid = self.holder.pid().as_raw_nonzero().to_string();
        Run::new("nsenter", ["-m", "-r", "-w", "-t", &pid, "--"])
            .arg(&self.tool)
            .args(words)
            .env("WPAR_ROOT", self.world.root())
    }

    /// Runs `wpar` with the words of `line` there and asserts that it succeeds; what it said.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        self.wpar(line.split_whitespace()).ok().text().to_owned()
    }

    /// Runs a command line of `/bin/sh` in a WPAR, which has to succeed; its standard output.
    #[track_caller]
    pub(crate) fn inside(&self, name: &str, script: &str) -> String {
        let output = self.wpar(["clogin", name, "/bin/sh", "-c", script]).ok();
        output.text().to_owned()
    }

    /// The row of `lswpar` that begins with `name`, as its columns.
    #[track_caller]
    fn row(&self, name: &str) -> Option<Vec<String>> {
        let table = self.ok("lswpar");
        let mut rows = table.lines().map(|line| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        rows.find(|row| row.first().is_some_and(|first| first == name))
    }
}

/// Puts the tool into the system at `root`, with the libraries that it was linked with here.
fn install(root: &Path) {
    let tool = root.join(TOOL.trim_start_matches('/'));
    copy_program(env!("CARGO_BIN_EXE_wpar"), tool);
    let libraries = Run::new("ldd", [env!("CARGO_BIN_EXE_wpar")]).ok();
    let text = libraries.text().to_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    for path in paths {
        let place = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().expect("a directory")).expect("directories");
        // Not in place: a program that runs from the old one would see it change.
        let _ = fs::remove_file(&place);
        copy_program(path, place);
    }
}

/// A copy of the running host that `image` shows, without the files `removed`, from its birth to
/// its end. Its process 1 is called `init`.
fn copy_of(image: &Path, removed: &[&str], init: &str) {
    let world = need!(World::new());
    let root = world.scratch().join("host");
    fs::create_dir(&root).expect("a directory to unpack into");
    unpack(image, &root);
    for path in removed {
        fs::remove_file(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    fs::write(root.join("etc/os-release"), "ID=elsewhere\n").expect("os-release");
    let host = Elsewhere::with_root(&world, &root);
    let system = |path: &Path| path.starts_with("var") || path == Path::new("ready");
    // Not the kernel's file systems: from here the mounts of the other host are not seen.
    let before = Manifest::of(&root, Times::All, system);

    assert_eq!(host.ok("mkwpar -t -s -n clone1"), "clone1 is active");
    let row = host.row("clone1").expect("lswpar shows it");
    assert_eq!(row[..4], ["clone1", "A", "S", "clone1"]);
    let release = host.ok("clogin clone1 cat /etc/os-release");
    assert_eq!(release, "ID=elsewhere", "the other host's, not this one's");
    assert_eq!(host.ok("clogin clone1 cat /proc/1/comm"), init);
    assert_eq!(host.inside("clone1", "hostname"), "clone1");
    assert_eq!(host.inside("clone1", "ls -A /tmp; ls -A /var/tmp"), "");

    host.inside(
        "clone1",
        "echo mine >/root/note; rm /etc/passwd; chmod 700 /home",
    );
    host.ok("stopwpar clone1");
    assert_eq!(
        host.row("clone1").map(|row| row[1].clone()).as_deref(),
        Some("D")
    );
    host.ok("startwpar clone1");
    assert_eq!(host.inside("clone1", "cat /root/note"), "mine");
    before.assert_unchanged(&Manifest::of(&root, Times::All, system), "the host");

    host.ok("rmwpar -s clone1");
    assert_eq!(host.row("clone1"), None);
    drop(host);
    world.assert_empty();
}

#[test]
fn a_host_without_any_init_is_copied_and_runs_the_built_in_one() {
    copy_of(&need!(fixture("debian12-minbase")), &[], "wpar-init");
}

#[test]
fn a_host_of_a_shell_and_busybox_alone_is_copied() {
    let image = need!(fixture("busybox"));
    copy_of(&image, &["sbin/init"], "wpar-init");
}

#[test]
fn a_host_with_the_init_of_busybox_is_copied() {
    copy_of(&need!(fixture("busybox")), &[], "init");
}

#[test]
fn a_host_with_the_init_of_system_v_is_copied() {
    copy_of(&need!(fixture("debian12-sysvinit")), &[], "init");
}

/// Ends every process at once, the mounts and the control groups with them.
fn power_cut(world: &World, host: Elsewhere<'_>) {
    // Stopped first: a supervisor that sees the others die would tidy up.
    let processes = world.processes();
    for signal in [Signal::STOP, Signal::KILL] {
        for process in &processes {
            let pid = Pid::from_raw(process.pid).expect("a process id");
            let _ = kill_process(pid, signal);
        }
    }
    drop(host);
    eventually("all processes are gone", Duration::from_secs(30), || {
        world.processes().is_empty()
    });
    for group in world.groups().iter().rev() {
        fs::remove_dir(group).unwrap_or_else(|error| panic!("{}: {error}", group.display()));
    }
}

#[test]
fn after_a_reboot_of_the_host_a_wpar_is_defined_and_starts_with_all_that_it_had() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "wpar1");
    world.mkwpar(&image, "never");
    let first = Elsewhere::after_boot(&world, "11111111-1111-4111-8111-111111111111");
    first.ok("startwpar wpar1");
    first.inside("wpar1", "echo precious >/root/note; rm /etc/inittab; sync");
    assert_eq!(first.row("wpar1").expect("a row")[1], "A");

    power_cut(&world, first);
    // Here the run directory is on disk, and stays with the ids of processes that it names.
    let run = world.root().join("run/wpar/wpar1");
    assert!(
        run.is_dir(),
        "without what an earlier boot left this tests nothing"
    );

    let second = Elsewhere::after_boot(&world, "22222222-2222-4222-8222-222222222222");
    assert_eq!(second.row("wpar1").expect("a row")[1], "D");
    assert_eq!(second.row("never").expect("a row")[1], "D");
    second.wpar(["stopwpar", "wpar1"]).refused(&["not active"]);
    assert_eq!(second.ok("startwpar wpar1"), "wpar1 is active");
    assert_eq!(second.row("wpar1").expect("a row")[1], "A");
    let changes = "cat /root/note; test ! -e /etc/inittab && echo removed";
    assert_eq!(second.inside("wpar1", changes), "precious\nremoved");
    second.ok("stopwpar wpar1");
    second.ok("rmwpar wpar1");
    second.ok("rmwpar never");
    drop(second);
    world.assert_empty();
}

#[test]
fn what_an_earlier_boot_noted_does_not_count_even_if_processes_have_those_ids() {
    let world = need!(World::new());
    let image = need!(fixture("busybox"));
    world.mkwpar(&image, "wpar1");
    let first = Elsewhere::after_boot(&world, "11111111-1111-4111-8111-111111111111");
    first.ok("startwpar wpar1");
    assert_eq!(first.row("wpar1").expect("a row")[1], "A");
    // The processes that the first boot noted live, with the ids and the times of their start.
    let second = Elsewhere::after_boot(&world, "22222222-2222-4222-8222-222222222222");
    assert_eq!(second.row("wpar1").expect("a row")[1], "D");
    drop(second);
    power_cut(&world, first);
    world.ok("rmwpar wpar1");
    world.assert_empty();
}
