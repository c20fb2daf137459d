//! The launcher against the kernel: WPARs of a small directory tree, started by the real
//! executable. Needs root, control groups and user namespaces; says so loudly where it is skipped.
// A test's helpers fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod enter;
mod fixture;
mod isolation;
mod life;
#[path = "../common/program.rs"]
mod program;
mod role;
