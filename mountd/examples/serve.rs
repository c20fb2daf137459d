//! Mounts what a spec describes and serves it in the foreground until it is unmounted: for the
//! public test suites and for a look at a store by hand.
//!
//! `cargo run -p wpar-mountd --example serve -- SPEC.json DIRECTORY`

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use wpar_mountd::fuse::session;
use wpar_mountd::source;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [spec, directory] = &arguments[..] else {
        return Err("usage: serve SPEC.json DIRECTORY".into());
    };
    let spec = serde_json::from_slice(&std::fs::read(spec)?)?;
    let mounted = session::mount(source::open(&spec)?, Path::new(directory))?;
    while !mounted.is_finished() {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
