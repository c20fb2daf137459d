//! Copying a program that is then run.

use std::path::Path;
use std::process::Command;

/// Copies a program, by another process. If this one wrote it, a child that another test's thread
/// makes in that moment would have it open for writing too, and running it would fail with
/// "text file busy".
///
/// # Panics
/// If it cannot be copied.
#[track_caller]
pub(crate) fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let (from, to) = (from.as_ref(), to.as_ref());
    let status = Command::new("cp").arg("--").arg(from).arg(to).status();
    assert!(
        status.as_ref().is_ok_and(|status| status.success()),
        "cp {} {}: {status:?}",
        from.display(),
        to.display()
    );
}
