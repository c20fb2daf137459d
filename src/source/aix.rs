//! Backups of AIX: they can be looked into, and never be started.

use std::path::{Path, PathBuf};

use thiserror::Error;
use wpar_mountd::lower::tar::{ImageError, aix_backup};

use crate::model::ImageData;

/// An image that was to be started is a backup of AIX.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "image {path} is a backup of AIX{level}{uname} and cannot be started: its programs are for POWER \
     under AIX, and this is Linux on {here}; look into it with 'wpar mount {path} DIR' and \
     'lsmksysb -lf {path}'",
    path = path.display(),
    level = level.as_deref().map(|level| format!(" {level}")).unwrap_or_default(),
    uname = uname.as_deref().map(|uname| format!(" ({uname})")).unwrap_or_default(),
    here = std::env::consts::ARCH
)]
pub struct AixRefusal {
    /// The image.
    pub path: PathBuf,
    /// Version of its system, if it says so.
    pub level: Option<String>,
    /// What `uname -a` said there.
    pub uname: Option<String>,
}

/// Why `image` cannot be started if it is a backup of AIX; reads only its beginning.
///
/// # Errors
/// If it cannot be opened or read.
pub fn refusal(image: &Path) -> Result<Option<AixRefusal>, ImageError> {
    let Some(backup) = aix_backup(image)? else {
        return Ok(None);
    };
    let data = ImageData::parse(&backup.image_data.unwrap_or_default());
    Ok(Some(AixRefusal {
        path: image.to_owned(),
        level: data.level().map(str::to_owned),
        uname: data.uname().map(str::to_owned),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_says_what_it_is_and_what_to_do() {
        let mut refusal = AixRefusal {
            path: "/b.mksysb".into(),
            level: Some("7.1.2.0".to_owned()),
            uname: Some("AIX h 1 7 00F6".to_owned()),
        };
        let here = std::env::consts::ARCH;
        assert_eq!(
            refusal.to_string(),
            format!(
                "image /b.mksysb is a backup of AIX 7.1.2.0 (AIX h 1 7 00F6) and cannot be started: \
                 its programs are for POWER under AIX, and this is Linux on {here}; look into it \
                 with 'wpar mount /b.mksysb DIR' and 'lsmksysb -lf /b.mksysb'"
            )
        );
        (refusal.level, refusal.uname) = (None, None);
        let text = refusal.to_string();
        assert!(text.contains("a backup of AIX and cannot"), "{text}");
    }
}
