//! Real programs at their work.

mod build;
mod database;
mod files;
mod git;
mod packages;
mod program;
mod python;
mod sources;

/// Says on standard error that a test was skipped; where all must run, that is a failure.
#[cfg(test)]
pub(crate) fn skipped(reason: &str) {
    assert!(
        std::env::var_os("WPAR_TESTS_MUST_RUN").is_none(),
        "must run, but: {reason}"
    );
    eprintln!("SKIPPED: {reason}");
}
