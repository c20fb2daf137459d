//! The core against a reference model: random operations are applied to both, and answers, errors
//! and whole trees must be the same, also after the store was opened again.
//!
//! `PROPTEST_CASES=10000 cargo test -p wpar-mountd --test reference` looks longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compare;
mod lower;
mod model;
mod operation;
mod quota;
mod regressions;
mod step;
mod unpack;
mod world;

use proptest::prelude::*;

/// How many cases an ordinary run tries.
const CASES: u32 = 96;

fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        max_shrink_iters: 20_000,
        // What is found becomes a named test in `regressions`.
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_core_does_what_the_model_does(case in operation::case()) {
        world::run(&case).map_err(TestCaseError::fail)?;
    }
}
