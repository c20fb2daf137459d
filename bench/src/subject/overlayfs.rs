//! The kernel's overlay: what the targets of the project are held against.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{Place, Raised, Subject};
use crate::Fallible;

/// One lower, an upper, default options.
pub(crate) struct Overlayfs;

struct Mounted(PathBuf);

impl Raised for Mounted {
    fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if unmount(&self.0, UnmountFlags::empty()).is_err() {
            let _ = unmount(&self.0, UnmountFlags::DETACH);
        }
    }
}

impl Subject for Overlayfs {
    fn name(&self) -> &'static str {
        "overlayfs"
    }

    fn about(&self) -> String {
        "overlayfs of the kernel, default options".to_owned()
    }

    fn missing(&self) -> Option<String> {
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let here = known.lines().any(|line| line.ends_with("\toverlay"))
            // A module that is loaded when it is asked for.
            || std::process::Command::new("modprobe").arg("overlay").status().is_ok_and(|s| s.success());
        (!here).then(|| "this kernel has no overlayfs".to_owned())
    }

    fn raise(&self, place: &Place) -> Fallible<Box<dyn Raised>> {
        let point = place.directory("root")?;
        let mut options = OsString::from("lowerdir=");
        options.push(&place.lower);
        for name in ["upper", "work"] {
            options.push(format!(",{name}dir="));
            options.push(place.directory(name)?);
        }
        let options = CString::new(options.as_bytes())?;
        mount(
            "overlay",
            &point,
            "overlay",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
        .map_err(|error| format!("cannot mount an overlay on {}: {error}", point.display()))?;
        Ok(Box::new(Mounted(point)))
    }
}
