//! Mounts what a spec describes and serves it in the foreground until it is unmounted: for the
//! public test suites (`tests/suites`) and for a look at a store by hand.
//!
//! `cargo run -p wpar-mountd --example serve -- SPEC.json DIRECTORY`
//!
//! Says on standard output how requests come (`rings` or `device`) once it is mounted, and on
//! standard error what a daemon would log. The index of an image is made if there is none.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};
use wpar_mountd::fuse::session;
use wpar_mountd::lower::tar::{Silent, ensure_index};
use wpar_mountd::source;
use wpar_mountd::spec::{LowerSpec, MountSpec};
use wpar_mountd::wire::Transport;

/// Writes every record to standard error.
struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("{}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    log::set_logger(&Stderr).map_err(|error| error.to_string())?;
    log::set_max_level(LevelFilter::Info);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [spec, directory] = &arguments[..] else {
        return Err("usage: serve SPEC.json DIRECTORY".into());
    };
    let spec: MountSpec = serde_json::from_slice(&std::fs::read(spec)?)?;
    if let LowerSpec::Image { path, index, .. } = &spec.lower {
        let beside = index
            .parent()
            .ok_or("the index of the image has no directory")?;
        ensure_index(path, beside, &mut Silent)?;
    }
    let mounted = session::mount(source::open(&spec)?, Path::new(directory))?;
    println!(
        "{}",
        match mounted.transport() {
            Transport::Rings => "rings",
            Transport::Device => "device",
        }
    );
    while !mounted.is_finished() {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
