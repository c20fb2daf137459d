//! Devices of the host that a WPAR was granted.
//!
//! The host's nodes are the host's: root of a WPAR has no right to most of them. So nodes of the same
//! devices are made for it, its own, in a file system that nothing else is in.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid, chownat, major, minor, mknodat};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, UnmountFlags, open_tree, unmount};

use super::bpf::{DeviceKind, DeviceRule};
use super::error::{Doing, LaunchError};
use super::inside::make;
use super::stage::attach;
use super::{IdRange, LaunchSpec};

/// A granted device that the host has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    /// Its name below `/dev`.
    name: String,
    kind: FileType,
    number: u64,
    permissions: u32,
}

impl Device {
    fn find(name: &str) -> Result<Self, LaunchError> {
        let path = Path::new("/dev").join(name);
        let shown = path.display();
        let found = std::fs::metadata(&path).doing(format!("find the device {shown}"))?;
        let kind = match found.file_type() {
            kind if kind.is_char_device() => FileType::CharacterDevice,
            kind if kind.is_block_device() => FileType::BlockDevice,
            _ => return Err(LaunchError::other(format!("{shown} is no device"))),
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            number: found.rdev(),
            permissions: found.mode() & 0o777 | 0o600,
        })
    }
}

/// What its control groups are told of the granted devices.
pub(super) fn rules(spec: &LaunchSpec) -> Vec<DeviceRule> {
    let devices = spec
        .devices
        .iter()
        .filter_map(|name| Device::find(name).ok());
    devices
        .map(|device| DeviceRule {
            kind: match device.kind {
                FileType::BlockDevice => DeviceKind::Block,
                _ => DeviceKind::Character,
            },
            major: major(device.number),
            minor: Some(minor(device.number)),
        })
        .collect()
}

/// What was granted, as far as the host has it now.
#[derive(Debug, Default)]
pub(super) struct Granted {
    /// Mounts of single nodes, by their names below `/dev`.
    pub(super) nodes: Vec<(String, OwnedFd)>,
    /// Why there is none of some.
    pub(super) missing: Vec<LaunchError>,
}

/// Makes the nodes. For the first stage, whose mount namespace is its own.
pub(super) fn nodes(spec: &LaunchSpec) -> Result<Granted, LaunchError> {
    let mut granted = Granted::default();
    if spec.devices.is_empty() {
        return Ok(granted);
    }
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let place = make("tmpfs", flags, &[("mode", "700")]).doing("make a tmpfs for devices")?;
    // A mount can be copied only from where it is attached.
    attach(place.as_fd(), CWD, &spec.run_dir.display().to_string())
        .doing("attach a tmpfs for devices")?;
    for (index, name) in spec.devices.iter().enumerate() {
        match Device::find(name) {
            Ok(device) => {
                let node = node(&place, &index.to_string(), &device, spec.ids)
                    .doing(format!("make a node of /dev/{name}"))?;
                granted.nodes.push((device.name, node));
            }
            Err(error) => granted.missing.push(error),
        }
    }
    unmount(&spec.run_dir, UnmountFlags::DETACH).doing("take off a tmpfs for devices")?;
    Ok(granted)
}

fn node(place: &OwnedFd, file: &str, device: &Device, ids: IdRange) -> rustix::io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(device.permissions);
    mknodat(place, file, device.kind, mode, device.number)?;
    let (user, group) = (Uid::from_raw(ids.first), Gid::from_raw(ids.first));
    chownat(
        place,
        file,
        Some(user),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    rustix::fs::chmodat(place, file, mode, AtFlags::empty())?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(place, file, flags)
}
