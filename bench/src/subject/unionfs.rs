//! `unionfs-fuse`, the oldest of the unions in user space.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Raised, Subject, daemon, find};
use crate::Fallible;

/// A writable branch over a read-only one, copy-on-write.
pub(crate) struct Unionfs {
    program: Option<PathBuf>,
}

impl Unionfs {
    /// The distribution's.
    pub(crate) fn new() -> Self {
        let names = ["unionfs", "unionfs-fuse"];
        Self {
            program: names.into_iter().map(Path::new).find_map(find),
        }
    }
}

impl Subject for Unionfs {
    fn name(&self) -> &'static str {
        "unionfs"
    }

    fn about(&self) -> String {
        let program = self.program.as_deref().unwrap_or(Path::new("false"));
        let output = Command::new(program).arg("--version").output();
        let said = output.map(|output| {
            let said = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&said).into_owned()
        });
        let said = said.unwrap_or_default();
        let version = said
            .lines()
            .find_map(|line| line.strip_prefix("unionfs-fuse version: "));
        format!(
            "unionfs-fuse {}, cow",
            version.unwrap_or("of unknown version")
        )
    }

    fn missing(&self) -> Option<String> {
        let none = self.program.is_none();
        none.then(|| "unionfs-fuse is not installed".to_owned())
    }

    fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>> {
        let program = self.program.as_deref().ok_or("no program")?;
        let point = place.directory("root")?;
        let mut branches = OsString::from(place.directory("upper")?);
        branches.push("=RW:");
        branches.push(&place.lower);
        branches.push("=RO");
        let mut command = Command::new(program);
        command.args(["-f", "-o", "cow"]).arg(branches).arg(&point);
        daemon::serve(&mut command, &point, &place.own.join("log"))
    }
}
