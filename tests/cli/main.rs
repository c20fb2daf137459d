//! The commands as programs: arguments, messages, exit statuses, what is kept on disk.
//!
//! Nothing here starts a WPAR (see `tests/system` for that). Each test has a root of its own.
//! Tests that make WPARs need root and say so aloud when they are left out.

// All of this crate is test code; the lints' own exception covers only the test functions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

mod backup;
mod changing;
mod concurrency;
mod creating;
mod diff;
mod interrupt;
mod links;
mod listing;
mod manual;
mod parsers;
#[path = "../common/program.rs"]
mod program;
mod removing;
mod specification;
mod support;
mod synchronizing;
mod unprivileged;
mod usage;
