//! Leaving a test out, loudly: a test that did not run must not look like one that passed.

use std::io::Write;

/// Set to 1 to make every skip a failure. CI sets it where all tests can run.
pub const MUST_RUN: &str = "WPAR_TESTS_MUST_RUN";

/// Says, past the capture of the test harness, that `test` does not run and why.
///
/// # Panics
/// If the environment says that every test must run.
#[track_caller]
pub fn skipped(test: &str, why: &str) {
    assert!(
        std::env::var_os(MUST_RUN).is_none_or(|value| value != "1"),
        "{test} cannot run, and {MUST_RUN}=1 is set: {why}"
    );
    // `eprintln!` would be captured and thrown away with the passing test's output.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// The value of a `Result<_, String>`, or the end of the test with the reason said aloud.
macro_rules! need {
    ($what:expr) => {
        match $what {
            Ok(value) => value,
            Err(why) => {
                let test = std::thread::current().name().unwrap_or("a test").to_owned();
                $crate::common::skip::skipped(&test, &why);
                return;
            }
        }
    };
}
pub(crate) use need;

/// Whether `nft` is where the tool looks for it.
pub fn has_nft() -> bool {
    wpar::launch::network::nft().is_some()
}

/// That `nft` is there.
///
/// # Errors
/// The reason for a skip.
pub fn nft() -> Result<(), String> {
    has_nft()
        .then_some(())
        .ok_or_else(|| "needs nft, of the package nftables".to_owned())
}

/// Whether this process may start WPARs at all.
///
/// # Errors
/// The reason why not.
pub fn privileged() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root".to_owned());
    }
    std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map(drop)
        .map_err(|error| format!("needs /dev/fuse: {error}"))
}
