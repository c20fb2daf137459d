//! `wpar mount`, as a user calls it, with a store for what is written.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Place, Raised, Shows, Subject, daemon, remove};
use crate::Fallible;

/// It is there where the kernel can take requests by `io_uring`.
const RINGS: &str = "/sys/module/fuse/parameters/enable_uring";
/// Endings of what is kept beside an archive.
const BESIDE: [&str; 3] = [".wparidx", ".wparidx.zst", ".wparidx.trail"];

/// `wpar` over a directory or over an archive.
pub(crate) struct Ours {
    name: &'static str,
    about: &'static str,
    shows: Shows,
    /// Whether requests may come by `io_uring`.
    rings: bool,
    program: PathBuf,
}

impl Ours {
    /// Over a directory, as a WPAR of the running host has it.
    pub(crate) fn directory(program: &Path) -> Self {
        Self {
            name: "ours",
            about: "over a directory",
            shows: Shows::Directory,
            rings: true,
            program: program.to_owned(),
        }
    }

    /// The same without `io_uring`, as on kernels before 6.14.
    pub(crate) fn device(program: &Path) -> Self {
        Self {
            name: "ours-device",
            about: "over a directory, requests by /dev/fuse (WPAR_FUSE_URING=no)",
            rings: false,
            ..Self::directory(program)
        }
    }

    /// Over an uncompressed tar archive, as a WPAR of a backup has it.
    pub(crate) fn archive(program: &Path) -> Self {
        Self {
            name: "ours-tar",
            about: "over an uncompressed tar archive",
            shows: Shows::Archive,
            ..Self::directory(program)
        }
    }
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> String {
        let by = match (self.rings, Path::new(RINGS).exists()) {
            (false, _) => "",
            (true, true) => ", requests by io_uring",
            (true, false) => ", requests by /dev/fuse: this kernel has no io_uring for it",
        };
        format!("wpar {} {}{by}", env!("CARGO_PKG_VERSION"), self.about)
    }

    fn missing(&self) -> Option<String> {
        let program = self.program.display();
        (!self.program.is_file()).then(|| {
            format!("{program}: not built; 'cargo build --release' builds it, --wpar names another")
        })
    }

    fn shows(&self) -> Shows {
        self.shows
    }

    fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>> {
        let point = place.directory("root")?;
        let lower = match self.shows {
            Shows::Directory => &place.lower,
            Shows::Archive => &place.archive,
        };
        let mut command = Command::new(&self.program);
        command
            .args(["mount", "--foreground", "--rw"])
            .arg(place.own.join("store"))
            .arg(lower)
            .arg(&point)
            .env("WPAR_ROOT", place.directory("state")?);
        match self.rings {
            true => command.env_remove("WPAR_FUSE_URING"),
            false => command.env("WPAR_FUSE_URING", "no"),
        };
        daemon::serve(&mut command, &point, &place.own.join("log"))
    }

    fn clear(&self, place: &Place) -> Fallible<()> {
        let index_too = self.shows == Shows::Archive && !place.writes;
        for ending in BESIDE.iter().filter(|_| index_too) {
            let mut beside = place.archive.clone().into_os_string();
            beside.push(ending);
            match std::fs::remove_file(&beside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        remove(&place.own)
    }
}
