//! What people do to whole trees of source files: unpack, pack, search, copy and remove them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Fallible;
use crate::workload::real::program::{command, drain, run};
use crate::workload::real::sources;

/// What it needs.
pub(crate) const NEEDS: &[&str] = &["tar", "grep", "cp", "rm"];

/// The tree, and an archive of it beside it.
pub(crate) fn set_up(lower: &Path, files: usize) -> Fallible<()> {
    let tree = lower.join("sources");
    fs::create_dir_all(&tree)?;
    sources::write(&tree, files)?;
    let mut tar = command("tar");
    tar.args(["--sort=name", "-cf"])
        .arg(lower.join("sources.tar"));
    run(tar.arg("-C").arg(lower).arg("sources"))?;
    Ok(())
}

/// `tar -x` of the archive into a new directory.
pub(crate) fn unpack(root: &Path) -> Fallible<Duration> {
    let to = unused(root, "unpacked");
    fs::create_dir(&to)?;
    let mut tar = command("tar");
    tar.arg("-xf").arg(root.join("sources.tar"));
    let (time, _) = run(tar.arg("-C").arg(&to))?;
    Ok(time)
}

/// `tar -c` of the tree into a pipe: into `/dev/null`, GNU tar would read no file.
pub(crate) fn pack(root: &Path) -> Fallible<Duration> {
    let mut tar = command("tar");
    let (time, bytes) = drain(tar.args(["-cf", "-", "-C"]).arg(root).arg("sources"))?;
    match bytes {
        0 => Err("tar has written nothing".into()),
        _ => Ok(time),
    }
}

/// `grep -r` for a word that one file in a hundred has; `files` as for [`set_up`].
pub(crate) fn search(root: &Path, files: usize) -> Fallible<Duration> {
    let mut grep = command("grep");
    grep.args(["-rlF", sources::NEEDLE])
        .arg(root.join("sources"));
    let (time, output) = run(&mut grep)?;
    let (found, all) = (output.lines().count(), sources::needles(files));
    match found == all {
        true => Ok(time),
        false => Err(format!("grep finds {found} of {all} files").into()),
    }
}

/// `cp -a` of the tree, and `rm -rf` of the copy.
pub(crate) fn copy_and_remove(root: &Path) -> Fallible<Duration> {
    let to = unused(root, "copy");
    let (copied, _) = run(command("cp").arg("-a").arg(root.join("sources")).arg(&to))?;
    let (removed, _) = run(command("rm").arg("-rf").arg(&to))?;
    match to.exists() {
        true => Err(format!("{} is still there", to.display()).into()),
        false => Ok(copied + removed),
    }
}

/// A name in `root` that nothing has.
fn unused(root: &Path, name: &str) -> PathBuf {
    let mut number = 0_u32;
    loop {
        let path = root.join(format!("{name}-{number}"));
        if !path.exists() {
            return path;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_does_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        set_up(root, 250).unwrap();
        for _ in 0..2 {
            unpack(root).unwrap();
            pack(root).unwrap();
            search(root, 250).unwrap();
            copy_and_remove(root).unwrap();
        }
        for tree in ["unpacked-0/sources", "unpacked-1/sources"] {
            let read = fs::read_to_string(root.join(tree).join(sources::name(249)));
            assert_eq!(read.unwrap(), sources::text(249, 0));
        }
        assert!(!root.join("copy-0").exists());
        fs::remove_file(root.join("sources").join(sources::name(100))).unwrap();
        assert!(search(root, 250).is_err(), "a missing file goes unnoticed");
    }
}
