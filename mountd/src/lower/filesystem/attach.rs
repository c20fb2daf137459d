//! A file as a mount that is attached nowhere.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::{FileSystemError, FileSystemImage, FileSystemKind};
use crate::sys::loop_device::LoopDevice;

/// Options that keep the kernel from writing, and from believing what could be harmful.
fn options(
    format: FileSystemKind,
) -> (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
) {
    match format {
        FileSystemKind::Squashfs | FileSystemKind::Erofs => (&[], &[]),
        // The file system itself may ask for a panic of the kernel where it is damaged.
        FileSystemKind::Ext4 => (&["noload"], &[("errors", "continue")]),
        // Another file system of its name may be mounted.
        FileSystemKind::Xfs => (&["norecovery", "nouuid"], &[]),
        FileSystemKind::Btrfs => (&[], &[("rescue", "nologreplay")]),
    }
}

/// Mounts the file system, read-only, without devices and set-id bits, nowhere. The mount, and
/// the loop device below it, last as long as the descriptor and what was opened through it.
///
/// # Errors
/// See [`FileSystemError`]; the kernel's own words where it has some.
pub fn attach(image: &FileSystemImage) -> Result<OwnedFd, FileSystemError> {
    let file = image.open()?;
    let region = image.region;
    let device = LoopDevice::new(file.as_fd(), region.offset, region.bytes).map_err(|source| {
        FileSystemError::Device {
            path: image.path.clone(),
            source,
        }
    })?;
    let failed = |why| FileSystemError::Mount {
        path: image.path.clone(),
        format: image.format,
        why,
    };
    let context = fsopen(image.format.name(), FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| {
        failed(match errno {
            Errno::NODEV => "it does not know it; load its module".to_owned(),
            errno => errno.to_string(),
        })
    })?;
    mount(context.as_fd(), &device, image)
        .map_err(|errno| failed(complaint(context.as_fd()).unwrap_or_else(|| errno.to_string())))
}

fn mount(
    context: BorrowedFd<'_>,
    device: &LoopDevice,
    image: &FileSystemImage,
) -> Result<OwnedFd, Errno> {
    fsconfig_set_string(context, "source", device.path())?;
    fsconfig_set_flag(context, "ro")?;
    let (flags, values) = options(image.format);
    for flag in flags {
        fsconfig_set_flag(context, *flag)?;
    }
    for (key, value) in values {
        fsconfig_set_string(context, *key, *value)?;
    }
    if let Some(subvolume) = &image.subvolume {
        fsconfig_set_string(context, "subvol", subvolume.as_str())?;
    }
    fsconfig_create(context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// The last error among what the kernel has to say about a mount: lines that begin with `e `.
fn complaint(context: BorrowedFd<'_>) -> Option<String> {
    let mut context = std::fs::File::from(context.try_clone_to_owned().ok()?);
    let mut buffer = [0; 1024];
    let mut last = None;
    // Each read is one line; there are at most eight.
    while let Ok(length @ 1..) = context.read(&mut buffer) {
        let line = String::from_utf8_lossy(buffer.get(..length)?).into_owned();
        if let Some(line) = line.strip_prefix("e ") {
            last = Some(line.trim_end().to_owned());
        }
    }
    last
}
