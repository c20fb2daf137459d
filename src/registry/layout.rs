//! Where everything of the tool is, below one root.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{RegistryResult, failed};
use crate::model::ids::{IDS_FIRST, IDS_LAST, IDS_PER_WPAR};
use crate::model::{Source, WparName};

/// Paths below a root, which is `/` unless `--root` or `WPAR_ROOT` says otherwise.
///
/// | path | what |
/// |---|---|
/// | `var/lib/wpar/registry/NAME.json` | the record |
/// | `var/lib/wpar/registry/NAME.pending.json` | what a creation or removal in progress owns |
/// | `var/lib/wpar/kept/NAME.json` | the record of a store that `rmwpar -p` kept |
/// | `var/lib/wpar/stores/NAME/` | the upper store |
/// | `var/lib/wpar/stores/NAME/generations/N/` | what `syncwpar -D` has made of it: a store above that, a list of names, notes |
/// | `var/lib/wpar/views/NAME.json` | what the rules of a system copy decided; goes with the store |
/// | `var/lib/wpar/images/` | indexes of images that cannot have them beside themselves |
/// | `var/lib/wpar/chunks/` | what mounts of compressed images share of their decoded contents; a cache |
/// | `var/lib/wpar/host.trail` | what a start of a copy of the host reads first |
/// | `var/lib/wpar/logs/NAME/` | console log |
/// | `var/lib/wpar/locks/` | locks of commands |
/// | `usr/lib/wpars/wparconvert.d/` | programs that run before a first start; never written |
/// | `etc/wpars/devexports` | devices that may be exported; never written |
/// | `run/wpar/NAME/` | what is true in this boot only |
/// | `etc/wpars/private.d/*.list` | which filesets are private, besides those of our own list |
/// | `wpars/NAME` | base directory, unless `-d` names another |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below `root`, which must be absolute.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this is the system's own.
    pub fn is_system(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Everything that is kept over a boot of the host, but for the base directories.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join("var/lib/wpar")
    }

    /// What the site says about private filesets.
    pub fn private_lists(&self) -> PathBuf {
        self.root.join("etc/wpars/private.d")
    }

    /// Records and pending notes.
    pub fn records_dir(&self) -> PathBuf {
        self.state_dir().join("registry")
    }

    /// Record of a WPAR.
    pub fn record(&self, name: &WparName) -> PathBuf {
        self.records_dir().join(format!("{name}.json"))
    }

    /// Note of what a creation or removal in progress owns.
    pub fn pending(&self, name: &WparName) -> PathBuf {
        self.records_dir().join(format!("{name}.pending.json"))
    }

    /// Records of kept stores.
    pub fn kept_dir(&self) -> PathBuf {
        self.state_dir().join("kept")
    }

    /// Record of a kept store.
    pub fn kept(&self, name: &WparName) -> PathBuf {
        self.kept_dir().join(format!("{name}.json"))
    }

    /// The host's programs that run before the first start of a system copy.
    pub fn convert_dir(&self) -> PathBuf {
        self.root.join("usr/lib/wpars/wparconvert.d")
    }

    /// The list of devices of the host that may be exported.
    pub fn devexports(&self) -> PathBuf {
        self.root.join("etc/wpars/devexports")
    }

    /// Upper store of a WPAR.
    pub fn store(&self, name: &WparName) -> PathBuf {
        self.state_dir().join("stores").join(name.as_str())
    }

    /// What `syncwpar -D` made for the first, second... time; it goes with the store.
    pub fn generations(&self, name: &WparName) -> PathBuf {
        self.store(name).join("generations")
    }

    /// One of them.
    pub fn generation(&self, name: &WparName, number: u32) -> PathBuf {
        self.generations(name).join(number.to_string())
    }

    /// The store of one.
    pub fn generation_store(&self, name: &WparName, number: u32) -> PathBuf {
        self.generation(name, number).join("store")
    }

    /// The list of names that one has from the host.
    pub fn generation_names(&self, name: &WparName, number: u32) -> PathBuf {
        self.generation(name, number).join("names")
    }

    /// What is noted of one.
    pub fn generation_notes(&self, name: &WparName, number: u32) -> PathBuf {
        self.generation(name, number).join("notes.json")
    }

    /// Where snapshots are that copies of the running system are made of.
    pub fn snapshots_dir(&self) -> PathBuf {
        self.state_dir().join("snapshots")
    }

    /// What the rules of a system copy decided about WPARs.
    pub fn views_dir(&self) -> PathBuf {
        self.state_dir().join("views")
    }

    /// What they decided about one.
    pub fn view(&self, name: &WparName) -> PathBuf {
        self.views_dir().join(format!("{name}.json"))
    }

    /// Logs of a WPAR.
    pub fn logs(&self, name: &WparName) -> PathBuf {
        self.state_dir().join("logs").join(name.as_str())
    }

    /// What the WPAR wrote to its console.
    pub fn console_log(&self, name: &WparName) -> PathBuf {
        self.logs(name).join("console.log")
    }

    /// Indexes of images whose own directory cannot be written.
    pub fn images_dir(&self) -> PathBuf {
        self.state_dir().join("images")
    }

    /// Files in which mounts of an image share what they decode.
    pub fn chunks_dir(&self) -> PathBuf {
        self.state_dir().join("chunks")
    }

    /// What a start of a system of this source reads first: beside the index of an image that has
    /// one.
    pub fn trail(&self, source: &Source) -> PathBuf {
        match source {
            Source::Host | Source::Fresh => self.state_dir().join(match source {
                Source::Fresh => "standard.trail",
                _ => "host.trail",
            }),
            Source::Image { index, .. } => {
                let mut name = OsString::from(index);
                name.push(".trail");
                name.into()
            }
            Source::FileSystem(_) | Source::Tree { .. } => {
                use std::os::unix::ffi::OsStrExt;
                let path = source.path().unwrap_or(Path::new("/"));
                let hash = fnv1a(path.as_os_str().as_bytes());
                self.images_dir().join(format!("{hash:016x}.trail"))
            }
        }
    }

    /// Lock of the registry.
    pub fn registry_lock(&self) -> PathBuf {
        self.state_dir().join("lock")
    }

    /// Lock of one WPAR.
    pub fn wpar_lock(&self, name: &WparName) -> PathBuf {
        self.state_dir().join("locks").join(name.as_str())
    }

    /// Run directories.
    pub fn run_parent(&self) -> PathBuf {
        self.root.join("run/wpar")
    }

    /// Run directory of a WPAR: the launcher's.
    pub fn run_dir(&self, name: &WparName) -> PathBuf {
        self.run_parent().join(name.as_str())
    }

    /// Says of which boot of the host the run directories are. (No name has a dot.)
    pub fn boot_note(&self) -> PathBuf {
        self.run_parent().join(".boot")
    }

    /// Parent of the usual base directories.
    pub fn wpars_dir(&self) -> PathBuf {
        self.root.join("wpars")
    }

    /// The usual base directory of a WPAR.
    pub fn base_dir(&self, name: &WparName) -> PathBuf {
        self.wpars_dir().join(name.as_str())
    }

    /// Name of the WPAR's cgroup, unique on the host: below `wpar/`, with a tag for a root that is
    /// not the system's.
    pub fn cgroup(&self, name: &WparName) -> String {
        if self.is_system() {
            format!("wpar/{name}")
        } else {
            format!("wpar/{:08x}.{name}", self.tag())
        }
    }

    /// Name of the WPAR's link on the host, unique there: of 15 letters at the most.
    pub fn link(&self, name: &WparName) -> String {
        use std::os::unix::ffi::OsStrExt;
        let root = self.root.as_os_str().as_bytes();
        let hash = fnv1a(&[root, b"\0", name.as_str().as_bytes()].concat());
        format!("wpar{:08x}", (hash ^ (hash >> 32)) as u32)
    }

    /// Where the search for a private address starts, apart for other roots as for user numbers.
    pub fn first_private(&self) -> u32 {
        match self.is_system() {
            true => 0,
            false => self.tag() % 65_000,
        }
    }

    /// Where the search for a range of user numbers starts: at the first one for the system, and
    /// apart from it and from each other, as a rule, for other roots, which do not know each
    /// other's records.
    pub(super) fn first_id_slot(&self) -> u32 {
        if self.is_system() {
            0
        } else {
            self.tag() % ((IDS_LAST - IDS_FIRST) / IDS_PER_WPAR + 1)
        }
    }

    fn tag(&self) -> u32 {
        use std::os::unix::ffi::OsStrExt;
        let hash = fnv1a(self.root.as_os_str().as_bytes());
        (hash ^ (hash >> 32)) as u32
    }

    /// Makes the directories that are missing. What is below `var/lib/wpar`, `run/wpar` and
    /// `wpars` is for root only: stores hold set-user-ID programs and other users' files.
    pub(super) fn create(&self) -> RegistryResult<()> {
        let state = self.state_dir();
        for parent in [self.root.join("var/lib"), self.root.join("run")] {
            fs::create_dir_all(&parent).map_err(failed("make", &parent))?;
        }
        make_private(&state)?;
        for part in [
            "registry", "kept", "stores", "views", "images", "logs", "locks",
        ] {
            make_private(&state.join(part))?;
        }
        make_private(&self.run_parent())?;
        make_private(&self.wpars_dir())
    }
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo; the parameters are in RFC 9923): a hash that is the same
/// in every version of the tool. Nothing relies on it against malice.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Makes one directory of mode 0700; one that is there is left as it is.
pub(crate) fn make_private(path: &Path) -> RegistryResult<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed("make", path)(error))
        }
        _ if path.is_dir() => Ok(()),
        _ => Err(failed("make", path)(io::Error::from(
            io::ErrorKind::NotADirectory,
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_moves_with_the_root() {
        let name = WparName::new("w1").unwrap();
        let layout = Layout::new("/scratch/r");
        for path in [
            layout.record(&name),
            layout.pending(&name),
            layout.kept(&name),
            layout.store(&name),
            layout.console_log(&name),
            layout.wpar_lock(&name),
            layout.registry_lock(),
            layout.run_dir(&name),
            layout.base_dir(&name),
        ] {
            assert!(path.starts_with("/scratch/r"), "{}", path.display());
        }
        assert_eq!(Layout::new("/").base_dir(&name), Path::new("/wpars/w1"));
    }

    #[test]
    fn cgroups_of_two_roots_differ() {
        let name = WparName::new("w1").unwrap();
        assert_eq!(Layout::new("/").cgroup(&name), "wpar/w1");
        assert_ne!(
            Layout::new("/a").cgroup(&name),
            Layout::new("/b").cgroup(&name)
        );
    }

    #[test]
    fn the_hash_is_fnv1a() {
        // Vectors of the reference implementation.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn directories_are_private_and_made_once() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::new(temp.path());
        layout.create().unwrap();
        layout.create().unwrap();
        for dir in [layout.state_dir(), layout.run_parent(), layout.wpars_dir()] {
            let mode = fs::metadata(&dir).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", dir.display());
        }
    }

    #[test]
    fn a_file_in_place_of_a_directory_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x");
        fs::write(&path, "").unwrap();
        assert!(make_private(&path).is_err());
    }
}
