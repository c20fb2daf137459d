//! What is really done to file systems.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

use wpar_mountd::spec::RootMark;

use super::Ground;
use crate::source::host::parse_mountinfo;
use crate::sys::btrfs;

/// This host.
#[derive(Clone, Copy, Debug)]
pub struct RealGround;

impl Ground for RealGround {
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<String> {
        let output = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let line = complaint.lines().rev().find(|line| !line.trim().is_empty());
        let why = line.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned());
        Err(io::Error::other(format!("{program}: {why}")))
    }

    fn snapshot_btrfs(&self, of: &Path, to: &Path) -> io::Result<()> {
        let subvolume = File::open(of)?;
        let (directory, name) = split(to)?;
        btrfs::snapshot(subvolume.as_fd(), directory.as_fd(), &name)
    }

    fn delete_btrfs(&self, path: &Path) -> io::Result<()> {
        let (directory, name) = split(path)?;
        btrfs::delete(directory.as_fd(), &name)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::symlink_metadata(path)?.is_dir() {
                    true => Ok(()),
                    false => Err(error),
                }
            }
            made => made,
        }
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn is_mounted(&self, path: &Path) -> bool {
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        parse_mountinfo(&mounts)
            .iter()
            .any(|mount| mount.point == path)
    }

    fn mark(&self, path: &Path) -> Option<RootMark> {
        wpar_mountd::lower::host::mark_at(path).ok()
    }
}

fn split(path: &Path) -> io::Result<(File, CString)> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok((File::open(directory)?, CString::new(name.as_bytes())?))
}
