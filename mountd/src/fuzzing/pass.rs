//! The targets in `cargo test`: each for a short while with the same inputs every time, or for as
//! many seconds as `WPAR_FUZZ_SECONDS` says, with others each time; `WPAR_FUZZ_TARGET=NAME` only one.
//!
//! What fails is kept in the directory for temporary files, and named; put into
//! `tests/data/fuzz/TARGET` it is tried for ever.
//!
//! `WPAR_FUZZ_CORPUS=DIR cargo test -p wpar-mountd fuzzing` writes the seeds to `DIR/TARGET`, for
//! libFuzzer to begin with.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::mutate::{Numbers, changed};
use super::{TARGETS, Target};

/// Inputs of an ordinary run, for each target.
const INPUTS: usize = 400;

#[test]
fn any_bytes_give_an_answer_or_an_error() {
    let seconds = std::env::var("WPAR_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| Duration::from_secs(text.parse().unwrap()));
    let only = std::env::var("WPAR_FUZZ_TARGET").ok();
    let wanted = |target: &&Target| only.as_deref().is_none_or(|only| only == target.name);
    for target in TARGETS.iter().filter(wanted) {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz");
        let mut seeds = (target.seeds)();
        if let Some(corpus) = std::env::var_os("WPAR_FUZZ_CORPUS") {
            write_seeds(&Path::new(&corpus).join(target.name), &seeds);
        }
        for input in files_in(&kept.join(target.name)).iter().chain(&seeds) {
            attempt(target, input).unwrap_or_else(|failed| failed.keep());
        }
        seeds.push(Vec::new());
        let tried = match seconds {
            None => tries(target, &seeds, Numbers(1), |tried| tried < INPUTS),
            Some(each) => {
                let begun = Instant::now();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let numbers = Numbers(now.as_nanos() as u64);
                tries(target, &seeds, numbers, |_| begun.elapsed() < each)
            }
        };
        let tried = tried.unwrap_or_else(|failed| failed.keep());
        println!("{}: {tried} inputs", target.name);
    }
}

/// An input that does not do.
struct Failed {
    target: &'static str,
    input: Vec<u8>,
    panic: Box<dyn Any + Send>,
}

impl Failed {
    /// Ends the test.
    fn keep(self) -> ! {
        let name = format!("wpar-fuzz-{}-{}", self.target, std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, self.input).unwrap();
        eprintln!("{} fails with the bytes in {}", self.target, path.display());
        resume_unwind(self.panic)
    }
}

fn tries(
    target: &Target,
    seeds: &[Vec<u8>],
    mut numbers: Numbers,
    goes_on: impl Fn(usize) -> bool,
) -> Result<usize, Failed> {
    let mut tried = 0;
    while goes_on(tried) {
        let mut input = changed(&mut numbers, seeds);
        if numbers.below(4) > 0 {
            (target.mend)(&mut input);
        }
        attempt(target, &input)?;
        tried += 1;
    }
    Ok(tried)
}

fn attempt(target: &Target, input: &[u8]) -> Result<usize, Failed> {
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    outcome.map(|()| 1).map_err(|panic| Failed {
        target: target.name,
        input: input.to_vec(),
        panic,
    })
}

fn files_in(directory: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

fn write_seeds(directory: &Path, seeds: &[Vec<u8>]) {
    fs::create_dir_all(directory).unwrap();
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(directory.join(format!("seed-{number}")), seed).unwrap();
    }
}

#[test]
fn a_byte_that_is_easily_met_is_met() {
    let broken = Target {
        name: "broken",
        run: |bytes| assert!(!bytes.contains(&0xff)),
        seeds: || vec![vec![0; 100]],
        mend: |_| {},
    };
    let tried = tries(&broken, &(broken.seeds)(), Numbers(1), |tried| tried < 1000);
    assert!(tried.is_err_and(|failed| failed.input.contains(&0xff)));
}
