//! What every verb is given: where things are, who asks, and whether to go on.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::{CliError, CliResult};
use super::interrupt::Interrupts;
use super::{output, remove};
use crate::model::WparName;
use crate::registry::{Layout, Lock, Registry};
use crate::source::privilege::is_host_root;

/// The surroundings of one command.
#[derive(Debug)]
pub(super) struct Context {
    /// The verb, for messages.
    pub(super) verb: &'static str,
    /// Where everything is.
    pub(super) layout: Layout,
    /// Signals that ask the command to end.
    pub(super) interrupts: Interrupts,
}

impl Context {
    /// The surroundings of `verb` with the given root.
    pub(super) fn new(verb: &'static str, root: Option<&OsStr>) -> CliResult<Self> {
        let layout = Layout::new(absolute_root(root)?);
        Ok(Self {
            verb,
            layout,
            interrupts: Interrupts::default(),
        })
    }

    /// The registry, to change it. Finishes what dead commands left. From now on the signals that
    /// would end this command are noted only.
    pub(super) fn registry(&self) -> CliResult<Registry> {
        self.require_root()?;
        self.interrupts
            .install()
            .map_err(|error| CliError::io("cannot take over the signals", &error))?;
        let registry = Registry::open(self.layout.clone())?;
        remove::sweep(self, &registry)?;
        Ok(registry)
    }

    /// The registry, to read it.
    pub(super) fn registry_to_read(&self) -> Registry {
        Registry::read_only(self.layout.clone())
    }

    /// Where indexes are that cannot lie beside their images: the tool's own place, or that of the
    /// user who asks.
    pub(super) fn index_cache(&self) -> CliResult<PathBuf> {
        if is_host_root() {
            return Ok(self.layout.images_dir());
        }
        let absolute = |name: &str| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        absolute("XDG_CACHE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".cache")))
            .map(|cache| cache.join("wpar"))
            .ok_or_else(|| {
                CliError::new(
                    "there is no place for indexes: neither HOME nor XDG_CACHE_HOME is set",
                )
                .hint("set one of them to an absolute path")
            })
    }

    /// Takes the lock of a WPAR.
    pub(super) fn lock(&self, registry: &Registry, name: &WparName) -> CliResult<Lock> {
        registry.lock_wpar(name, self.verb).map_err(|error| {
            let error = CliError::from(error);
            CliError {
                message: format!("{name}: {}", error.message),
                ..error
            }
        })
    }

    /// All that concerns a WPAR but to list it is for root, as in AIX.
    pub(super) fn require_root(&self) -> CliResult<()> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let verb = self.verb;
        Err(CliError::new(format!(
            "{verb} needs root: it mounts file systems and changes owners"
        ))
        .hint(format!("run it with 'sudo {verb} ...'")))
    }

    /// A note that is no error.
    pub(super) fn note(&self, text: impl std::fmt::Display) {
        output::complain(self.verb, text);
    }
}

/// The root as an absolute path.
fn absolute_root(root: Option<&OsStr>) -> CliResult<PathBuf> {
    let Some(root) = root.filter(|root| !root.is_empty()) else {
        return Ok(PathBuf::from("/"));
    };
    let path = std::path::absolute(root)
        .map_err(|error| CliError::io(format!("cannot use --root {}", root.display()), &error))?;
    // Links are resolved as far as the path exists: what is hidden from a copy of the running
    // system is hidden by its real name.
    let existing = path.ancestors().find_map(|ancestor| {
        let real = ancestor.canonicalize().ok()?;
        Some(real.join(path.strip_prefix(ancestor).ok()?))
    });
    let path = existing.unwrap_or(path);
    // `join("")` leaves a slash at the end.
    Ok(path.components().collect())
}

/// A name from the command line.
pub(super) fn parse_name(text: &str) -> CliResult<WparName> {
    WparName::new(text).map_err(|error| {
        CliError::usage(format!(
            "'{}' is no name of a workload partition: {error}",
            text.escape_debug()
        ))
    })
}

/// Device number of `/dev/fuse` (`FUSE_MINOR` of the kernel's misc devices).
const FUSE_DEVICE: (u32, u32) = (10, 229);

/// Whether `/dev/fuse` can be used.
pub(super) fn require_fuse() -> CliResult<()> {
    const HINT: &str = "load it with 'modprobe fuse', or let this container use the device";
    let path = Path::new("/dev/fuse");
    let opened = OpenOptions::new().read(true).write(true).open(path);
    match opened.and_then(|device| device.metadata()) {
        Err(error) => Err(CliError::io("cannot open /dev/fuse", &error).hint(HINT)),
        Ok(found) => {
            let number = (
                rustix::fs::major(found.rdev()),
                rustix::fs::minor(found.rdev()),
            );
            if number == FUSE_DEVICE {
                Ok(())
            } else {
                Err(CliError::new("/dev/fuse is not the device of FUSE").hint(HINT))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_made_absolute_and_real() {
        assert_eq!(absolute_root(None).unwrap(), Path::new("/"));
        assert_eq!(absolute_root(Some(OsStr::new(""))).unwrap(), Path::new("/"));
        let temp = tempfile::tempdir().unwrap();
        let real = temp.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        let root = absolute_root(Some(real.join("link/not/there").as_os_str())).unwrap();
        assert_eq!(root, real.join("not/there"));
        let root = absolute_root(Some(real.join("link").as_os_str())).unwrap();
        assert_eq!(root.as_os_str(), real.as_os_str());
    }
}
