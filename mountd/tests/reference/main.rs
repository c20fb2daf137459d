//! The core against a reference model: random operations are applied to both, and answers, errors
//! and whole trees must be the same, also after the store was opened again, and nothing may be left
//! in the store that cannot be reached.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p wpar-mountd --test reference` looks longer. What
//! fails says how it is run again, alone: `WPAR_MODEL_SEED` and `WPAR_MODEL_CASE`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acl;
mod audit;
mod compare;
mod lower;
mod model;
mod operation;
mod place;
mod quota;
mod regressions;
mod step;
mod unpack;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// How many cases an ordinary run tries.
const CASES: u64 = 96;

/// How often a long run tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(60);

#[test]
fn the_core_does_what_the_model_does() {
    let seed = number("WPAR_MODEL_SEED").unwrap_or_else(random_seed);
    if let Some(case) = number("WPAR_MODEL_CASE") {
        return run(seed, case).unwrap_or_else(|error| panic!("{error}"));
    }
    let cases = number("PROPTEST_CASES").unwrap_or(CASES);
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("seed {seed}: {cases} cases on {threads} threads");
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let next = &next;
            scope.spawn(move || {
                let mut told = Instant::now();
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= cases {
                        break;
                    }
                    if let Err(error) = run(seed, case) {
                        // No other case begins.
                        next.store(cases, Ordering::Relaxed);
                        panic!("{error}");
                    }
                    if thread == 0 && told.elapsed() > TELL_EVERY {
                        println!("{case} of {cases} after {} s", begun.elapsed().as_secs());
                        told = Instant::now();
                    }
                }
            });
        }
    });
    println!("{cases} cases in {} s", begun.elapsed().as_secs());
}

/// Runs one case; if it fails, makes it small and tells.
fn run(seed: u64, case: u64) -> Result<(), String> {
    let config = Config {
        max_shrink_iters: 20_000,
        // What is found becomes a named test in `regressions`.
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&case.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let tree = operation::case().new_tree(&mut runner).unwrap();
    let done = runner.run_one(tree, |case| world::run(&case).map_err(TestCaseError::fail));
    done.map(drop).map_err(|error| {
        let again = format!("WPAR_MODEL_SEED={seed} WPAR_MODEL_CASE={case}");
        format!("{error}\nagain, with the same options of cargo: {again}")
    })
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} has to be a number, not {text}")))
}

fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}
