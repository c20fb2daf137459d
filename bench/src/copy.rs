//! The other side: a full copy, made by GNU tar, started by the same launcher.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::launcher::{self, Directory};
use crate::ours::{Life, run};
use crate::{Fallible, bytes};

/// Full copies, each in a new directory, one at a time.
#[derive(Debug)]
pub(crate) struct Copy {
    program: PathBuf,
    dir: PathBuf,
}

impl Copy {
    /// Copies are made below `dir` and started with `program`, which is `wpar`.
    pub(crate) fn new(program: &Path, dir: &Path) -> Self {
        Self {
            program: program.to_owned(),
            dir: dir.to_owned(),
        }
    }

    /// Unpacks `image`, starts it and runs a first command; then removes all. If `wait`, it also
    /// waits for its READY=1.
    pub(crate) fn live(&self, image: &Path, wait: bool) -> Fallible<Life> {
        let root = self.dir.join("root");
        fs::create_dir_all(&root)?;
        let mut system = Directory::new(&self.program, &root, &self.dir);
        let result = unpack_and_start(&mut system, image, &root, wait);
        // Stopped before its files go, whatever happened.
        let stopped = system.stop();
        let life = result?;
        stopped?;
        fs::remove_dir_all(&self.dir)?;
        Ok(life)
    }
}

/// `tar -x` with all that an image has.
pub(crate) fn unpacking(image: &Path, root: &Path) -> Command {
    let options = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"];
    let mut tar = Command::new("tar");
    tar.args(options).arg(image).arg("-C").arg(root);
    tar
}

fn unpack_and_start(
    system: &mut Directory,
    image: &Path,
    root: &Path,
    wait: bool,
) -> Fallible<Life> {
    let written = bytes::written_by("self");
    let begin = Instant::now();
    run(&mut unpacking(image, root))?;
    let create = begin.elapsed();
    let begin = Instant::now();
    system.start()?;
    let start = begin.elapsed();
    system.first_command()?;
    let command = begin.elapsed() - start;
    let ready = if wait {
        Some(launcher::ready(&system.run_dir(), begin)?)
    } else {
        None
    };
    // The kernel allocates late; what is on the disk is known when it is there.
    rustix::fs::syncfs(fs::File::open(root)?)?;
    Ok(Life {
        create,
        start,
        command,
        ready,
        disk: bytes::disk_usage(root),
        written: bytes::written_by("self") - written,
    })
}
