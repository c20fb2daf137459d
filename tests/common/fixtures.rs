//! The images of `tests/fixtures/make-image.sh`, made when first asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::run::Run;

/// Time to make an image: it downloads a system.
const MAKING: Duration = Duration::from_secs(900);

/// Path of the fixture `name`, which is made first if it is not there.
///
/// # Errors
/// Why it cannot be had on this machine (no root, no package manager, no mirror).
pub fn fixture(name: &str) -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/make-image.sh");
    let output = Run::new(script, [name]).timeout(MAKING).output();
    if output.code() != 0 {
        let complaint = output.complaint();
        let last = complaint.lines().last().unwrap_or("no reason given");
        return Err(format!("fixture {name} cannot be made: {last}"));
    }
    Ok(PathBuf::from(output.text()))
}

/// Contents of the member `path` of the archive `image`, as GNU tar reads them.
#[track_caller]
pub fn member(image: &Path, path: &str) -> Vec<u8> {
    let path = format!("./{}", path.trim_start_matches('/'));
    Run::new(
        "tar",
        [
            "-xO".as_ref(),
            "-f".as_ref(),
            image.as_os_str(),
            path.as_ref(),
        ],
    )
    .ok()
    .stdout
}

/// Unpacks `image` into the existing directory `into`, with everything that GNU tar can keep.
#[track_caller]
pub fn unpack(image: &Path, into: &Path) {
    Run::new(
        "tar",
        [
            "--numeric-owner",
            "--xattrs",
            "--xattrs-include=*",
            "-xp",
            "-f",
        ],
    )
    .arg(image)
    .arg("-C")
    .arg(into)
    .timeout(MAKING)
    .ok();
}

/// SHA-256 of a file, in hexadecimal.
#[track_caller]
pub fn sha256(file: &Path) -> String {
    let output = Run::new("sha256sum", [file]).ok();
    output
        .text()
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}
