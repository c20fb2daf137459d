//! `fuse-overlayfs`: overlayfs in user space, as rootless containers use it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Raised, Subject, daemon, find};
use crate::Fallible;

/// One version of it.
pub(crate) struct FuseOverlayfs {
    name: &'static str,
    program: Option<PathBuf>,
}

impl FuseOverlayfs {
    /// The distribution's.
    pub(crate) fn packaged() -> Self {
        Self {
            name: "fuse-overlayfs",
            program: find(Path::new("fuse-overlayfs")),
        }
    }

    /// Version 2, which is written in Rust, where the user has it.
    pub(crate) fn second(program: Option<&Path>) -> Self {
        Self {
            name: "fuse-overlayfs-2",
            program: program.and_then(find),
        }
    }
}

impl Subject for FuseOverlayfs {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> String {
        let program = self.program.as_deref().unwrap_or(Path::new("false"));
        let said = Command::new(program).arg("--version").output();
        let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let said = said.unwrap_or_default();
        let version = said
            .lines()
            .find_map(|line| line.strip_prefix("fuse-overlayfs: version "));
        format!("fuse-overlayfs {}", version.unwrap_or("of unknown version"))
    }

    fn missing(&self) -> Option<String> {
        let why = match self.name {
            "fuse-overlayfs" => "fuse-overlayfs is not installed",
            _ => "no fuse-overlayfs of version 2 was given (--fuse-overlayfs-2 PATH)",
        };
        self.program.is_none().then(|| why.to_owned())
    }

    fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>> {
        let program = self.program.as_deref().ok_or("no program")?;
        let point = place.directory("root")?;
        let mut options = OsString::from("lowerdir=");
        options.push(&place.lower);
        for name in ["upper", "work"] {
            options.push(format!(",{name}dir="));
            options.push(place.directory(name)?);
        }
        let mut command = Command::new(program);
        command.arg("-f").arg("-o").arg(options).arg(&point);
        daemon::serve(&mut command, &point, &place.own.join("log"))
    }
}
