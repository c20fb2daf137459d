//! The same random system calls through a mount, in a plain directory, and on the kernel's own
//! overlayfs: answers, errors, attributes, listings and contents must be the same.
//!
//! An ordinary run tries the same few sequences each time; `WPAR_DIFFERENTIAL_SEED=$RANDOM
//! WPAR_DIFFERENTIAL=2000 cargo test --release -p wpar-mountd --test differential` tries others, and more.
//! A failure is made small and says its seed. Needs root and `/dev/fuse`; says so when it is skipped.
//!
//! What is not compared, and why (`sides::Side::answer` and `sides::told`):
//!
//! | what | why |
//! |---|---|
//! | `st_dev`, `st_ino` | other file systems; that names of one inode stay together is compared |
//! | `st_nlink` and `st_size` of directories | a merged directory says 1, as overlayfs does: nobody counted |
//! | `st_blocks`, where data and holes are | each file system has its own blocks |
//! | times of the present, `st_atime` | only a time that was set can be the same |
//! | set-id bits of regular files | `fallocate` always takes them away, for its request does not say who asks and kernels before 6.1 leave it to us; so does a change of size over `/dev/fuse`, because fuser does not carry the flag |
//! | on overlayfs, what a descriptor opened for reading sees | it stays at the lower file after a copy-up; ours and a plain directory see the write |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod sides;

use std::path::Path;

use wpar_mountd::wire::Transport;

use calls::{Call, Numbers, random_call};
use sides::World;

/// Sequences of an ordinary run, for each way to the kernel.
const SEQUENCES: u64 = 25;
const CALLS: u64 = 80;

#[test]
fn calls_over_the_device_answer_as_in_a_plain_directory() {
    run(Transport::Device);
}

#[test]
fn calls_over_rings_answer_as_in_a_plain_directory() {
    run(Transport::Rings);
}

/// What only a long run found, made small.
#[test]
fn what_was_found_once_does_not_come_back() {
    let open = Call::Open {
        slot: 0,
        path: "d".to_owned(),
        flags: "rw",
    };
    // A file system that cannot do it had the rest of the block brought in, and so a new time.
    let allocate = Call::Allocate {
        slot: 0,
        mode: "zero",
        offset: 2759,
        length: 8,
    };
    let transport = Transport::Device;
    if possible(transport) {
        attempt(transport, &[open, allocate]).unwrap();
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

fn run(transport: Transport) {
    if !possible(transport) {
        return;
    }
    let first = number("WPAR_DIFFERENTIAL_SEED").unwrap_or(1);
    let sequences = number("WPAR_DIFFERENTIAL").unwrap_or(SEQUENCES);
    for seed in (0..sequences).map(|number| first.wrapping_add(number)) {
        let mut numbers = Numbers::new(seed);
        let calls: Vec<Call> = (0..CALLS).map(|_| random_call(&mut numbers)).collect();
        if let Err(error) = attempt(transport, &calls) {
            let (calls, error) = minimise(transport, calls, error);
            let story: Vec<_> = calls.iter().map(|call| format!("{call:?}")).collect();
            let story = story.join("\n");
            panic!("{error}\nafter\n{story}\nWPAR_DIFFERENTIAL_SEED={seed}");
        }
    }
    println!("{transport:?}: {sequences} sequences from seed {first} on");
}

fn possible(transport: Transport) -> bool {
    let why = if !rustix::process::geteuid().is_root() {
        "mounting needs root"
    } else if !Path::new("/dev/fuse").exists() {
        "this machine has no /dev/fuse"
    } else if transport == Transport::Rings && !transport.request() {
        "this kernel has no FUSE over io_uring, or it cannot be turned on"
    } else {
        return true;
    };
    eprintln!("SKIPPED: {why}");
    false
}

fn attempt(transport: Transport, calls: &[Call]) -> Result<(), String> {
    let mut world = World::new(transport);
    for (number, call) in calls.iter().enumerate() {
        world
            .call(call)
            .map_err(|error| format!("call {number}, {call:?}: {error}"))?;
        if number % 20 == 19 {
            world.compare()?;
        }
    }
    world.call(&Call::Remount)?;
    world.compare()
}

/// Leaves out what the failure does not need.
fn minimise(transport: Transport, mut calls: Vec<Call>, mut error: String) -> (Vec<Call>, String) {
    let mut at = calls.len();
    while at > 0 {
        at -= 1;
        let mut fewer = calls.clone();
        fewer.remove(at);
        if let Err(still) = attempt(transport, &fewer) {
            (calls, error) = (fewer, still);
            at = at.min(calls.len());
        }
    }
    (calls, error)
}
