//! Where file systems and swap space are named: fstab, mtab, and systemd's own units for them.

use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

use super::super::draft::Draft;
use super::fstab;

/// Where an administrator's units are.
const DIRECTORY: &str = "etc/systemd/system";

const SWAP: &str = "swap space of the source";

pub(super) fn apply(draft: &mut Draft<'_>) -> Result<(), FsError> {
    if let Some(old) = draft.text("etc/fstab")? {
        let old = String::from_utf8_lossy(&old);
        let outcome = fstab::without_devices(&old, |path| {
            // What cannot be looked at is not there for the boot either.
            draft.leads_somewhere(path).unwrap_or(false)
        });
        if let Some(text) = outcome.text {
            draft.write("etc/fstab", text, "without the source's disks")?;
        }
        for file in outcome.swap_files {
            draft.hide(&file.replace(['*', '?'], ""), SWAP)?;
        }
        if !outcome.network.is_empty() {
            draft.note(format!(
                "network file systems are not mounted in a WPAR, and were taken out of /etc/fstab: {}",
                outcome.network.join(", ")
            ));
        }
    }
    if let Some((path, FileKind::Regular)) = draft.find("etc/mtab")? {
        draft.write_link(
            &path,
            "../proc/self/mounts",
            "a list of the source's mounts",
        )?;
    }
    units(draft)
}

/// Units for disks in `/etc` are machine data, like lines of fstab.
fn units(draft: &mut Draft<'_>) -> Result<(), FsError> {
    for (path, _) in draft.expand(&format!("{DIRECTORY}/*.swap"))? {
        hide_unit(draft, path.rsplit('/').next().unwrap_or_default())?;
    }
    for (path, kind) in draft.expand(&format!("{DIRECTORY}/*.mount"))? {
        if kind != FileKind::Regular {
            continue;
        }
        let Some(text) = draft.text(&path)? else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| {
                line.trim()
                    .strip_prefix(key)?
                    .trim_start()
                    .strip_prefix('=')
            })
        };
        let field = |key, missing| value(key).map_or(missing, str::trim);
        let unit = fstab::Entry {
            source: field("What", ""),
            target: field("Where", ""),
            kind: field("Type", "auto"),
            options: field("Options", ""),
        };
        if unit.source.is_empty() || unit.can_be_mounted() {
            continue;
        }
        let mount = path.rsplit('/').next().unwrap_or_default();
        hide_unit(draft, mount)?;
        hide_unit(draft, &mount.replace(".mount", ".automount"))?;
        // Those of snap packages are many, and made by a program.
        if unit.kind != "squashfs" {
            draft.note(format!(
                "/{path} is not in the copy: it mounts {}, which a WPAR does not have",
                unit.source.escape_debug()
            ));
        }
    }
    Ok(())
}

/// Hides an administrator's unit, and what asks for it: a target that requires a unit which is not
/// there would not be reached.
fn hide_unit(draft: &mut Draft<'_>, unit: &str) -> Result<(), FsError> {
    const REASON: &str = "names a disk that a workload partition does not have";
    draft.hide(&format!("{DIRECTORY}/{unit}"), REASON)?;
    draft.hide(&format!("{DIRECTORY}/*.requires/{unit}"), REASON)?;
    draft.hide(&format!("{DIRECTORY}/*.wants/{unit}"), REASON)
}
