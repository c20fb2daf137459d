//! Links to what is hidden: hidden as well, where distributions make them. A unit that is wanted and
//! not there would be complained about at each start.

use std::rc::Rc;

use wpar_mountd::error::FsError;
use wpar_mountd::types::FileKind;

use super::names::Names;
use super::places::Places;
use crate::source::files::join;

/// Directories in which links are looked at, and in the directories of those too if so marked.
const PLACES: &[(&[u8], bool)] = &[
    (b"", false),
    (b"etc/alternatives", false),
    (b"etc/rc0.d", false),
    (b"etc/rc1.d", false),
    (b"etc/rc2.d", false),
    (b"etc/rc3.d", false),
    (b"etc/rc4.d", false),
    (b"etc/rc5.d", false),
    (b"etc/rc6.d", false),
    (b"etc/rcS.d", false),
    (b"etc/runlevels", true),
    (b"etc/systemd/system", true),
    (b"etc/systemd/user", true),
];

/// Adds the links to what is hidden to `names`.
pub(super) fn hide(places: &mut Places<'_>, names: &mut Names) -> Result<(), FsError> {
    for (place, deeper) in PLACES {
        let directory = places.directory(place)?;
        for (name, kind) in places.names(&directory)? {
            let path = join(&directory, &name);
            match kind {
                FileKind::Symlink => hide_link(path, places, names)?,
                FileKind::Directory if *deeper => {
                    for (name, kind) in places.names(&path)? {
                        if kind == FileKind::Symlink {
                            hide_link(join(&path, &name), places, names)?;
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Hides a link if it leads to, or by, something hidden.
pub(super) fn hide_link(
    path: Vec<u8>,
    places: &mut Places<'_>,
    names: &mut Names,
) -> Result<(), FsError> {
    if names.covers(&path) {
        return Ok(());
    }
    for target in places.targets(&path)? {
        if names.covers(&target) {
            let why = names.reason(&target);
            let why = why.as_deref().unwrap_or_default();
            let reason: Rc<str> = format!(
                "leads to /{}, which {why}",
                String::from_utf8_lossy(&target)
            )
            .into();
            names.hide(path, &reason);
            return Ok(());
        }
    }
    Ok(())
}
