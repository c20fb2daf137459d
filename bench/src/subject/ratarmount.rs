//! `ratarmount`: archives shown read-only by an index.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Raised, Shows, Subject, daemon, find};
use crate::Fallible;

/// `ratarmount`, which may use all processors.
pub(crate) struct Ratarmount {
    program: Option<PathBuf>,
}

impl Ratarmount {
    /// The one that is given.
    pub(crate) fn new(program: &Path) -> Self {
        Self {
            program: find(program),
        }
    }
}

impl Subject for Ratarmount {
    fn name(&self) -> &'static str {
        "ratarmount"
    }

    fn about(&self) -> String {
        let program = self.program.as_deref().unwrap_or(Path::new("false"));
        let output = Command::new(program).arg("--version").output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let said = said.unwrap_or_default();
        let version = said
            .lines()
            .find_map(|line| line.strip_prefix("ratarmount "));
        format!(
            "ratarmount {} over an uncompressed tar archive",
            version.unwrap_or("of unknown version").trim()
        )
    }

    fn missing(&self) -> Option<String> {
        let none = self.program.is_none();
        none.then(|| "ratarmount is not installed (--ratarmount PATH names one)".to_owned())
    }

    fn shows(&self) -> Shows {
        Shows::Archive
    }

    fn writes(&self) -> bool {
        false
    }

    fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>> {
        let program = self.program.as_deref().ok_or("no program")?;
        let point = place.directory("root")?;
        let mut command = Command::new(program);
        command
            .args(["-P", "0", "--foreground", "--index-file"])
            .arg(place.own.join("index.sqlite"))
            .arg(&place.archive)
            .arg(&point)
            .env("HOME", &place.own);
        daemon::serve(&mut command, &point, &place.own.join("log"))
    }
}
