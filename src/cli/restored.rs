//! The settings of a saved WPAR, as a backup of it has them.
//!
//! A backup may come from anybody. What of it decides about the host is checked against what the
//! host's administrator says: devices against the list of those that may be exported, a script not at
//! all unless it is asked for.

use std::path::PathBuf;

use super::context::Context;
use super::error::{CliError, CliResult};
use super::script;
use crate::model::device_export::{DeviceName, DeviceRequest};
use crate::model::image_data::Stanza;
use crate::model::{CopyControls, Privileges, Resources, SpaceLimits, WparName};
use crate::source::devices;

/// Its copy controls.
pub(super) fn controls(about: &Stanza) -> CopyControls {
    let yes = |key: &str| about.get(key) == Some("yes");
    CopyControls {
        preserve_private: yes("PRESERVE_PRIVATE"),
        preserve_wpars: yes("PRESERVE_WPARS"),
    }
}

/// Its resource controls, as far as they are understood.
pub(super) fn resources(about: &Stanza) -> Resources {
    let mut resources = Resources::default();
    let said = about.get("RESOURCES").unwrap_or_default();
    for pair in said.split_whitespace() {
        // A later version may have saved more.
        let _ = resources.set(&[pair]);
    }
    resources
}

/// How much it may write.
pub(super) fn limits(about: &Stanza) -> SpaceLimits {
    let number = |key: &str| about.get(key).and_then(|value| value.parse().ok());
    SpaceLimits {
        size: number("SIZE"),
        inodes: number("INODES"),
    }
}

/// Its privileges: no one gives anything on the host, so they are taken as they are.
///
/// # Errors
/// One that this version does not know: the WPAR could have what it had not.
pub(super) fn privileges(about: &Stanza) -> CliResult<Privileges> {
    let said = about.get("PRIVILEGES").unwrap_or_default();
    let settings: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
    Privileges::default().with(&settings).map_err(|error| {
        CliError::new(format!("the privileges of the saved WPAR: {error}"))
            .hint("a newer version of the program may know them")
    })
}

/// Those of its devices that this host lets WPARs have and that are here; the others are named.
pub(super) fn devices(
    context: &Context,
    about: &Stanza,
    name: &WparName,
) -> CliResult<Vec<DeviceName>> {
    let said = about.get("DEVICES").unwrap_or_default();
    let wanted: Vec<_> = said.split_whitespace().collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let file = context.layout.devexports();
    let shown = file.display().to_string();
    let exports = devices::exports(&file)
        .map_err(|error| CliError::io(format!("cannot use the list of devices {shown}"), &error))?;
    let present = devices::present();
    let mut granted = Vec::new();
    for device in wanted {
        let one = DeviceRequest::parse(&[format!("devname={device}")])
            .and_then(|request| exports.grant(&request, &present, &shown));
        match one {
            // With it come those that every WPAR gets.
            Ok(devices) => granted.extend(devices),
            Err(error) => context.note(format_args!(
                "warning: {name} does not get {} again: {error}",
                device.escape_debug()
            )),
        }
    }
    granted.sort();
    granted.dedup();
    Ok(granted)
}

/// Its script, if `wanted` and fit to be one here; else it is named.
pub(super) fn script(
    context: &Context,
    about: &Stanza,
    name: &WparName,
    wanted: bool,
) -> CliResult<Option<PathBuf>> {
    let Some(said) = about.get("SCRIPT").filter(|said| !said.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(said);
    if wanted {
        script::check(&path)?;
        return Ok(Some(path));
    }
    let said = said.escape_debug();
    context.note(format_args!(
        "the saved WPAR had the script {said}; it is not run, unless 'chwpar -u {said} {name}' says so"
    ));
    Ok(None)
}
