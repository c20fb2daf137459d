//! Packs a directory as AIX' `backup -i` would, to try the reader with.
//!
//! `cargo run -p wpar-mountd --example aix_backup -- DIRECTORY FILE [packed]` writes FILE; with
//! `packed`, every file that gets shorter by it is packed. No substitute for AIX: ACLs are left out,
//! files of 4 GiB and more cannot be stored, and everything is held in memory.

use std::error::Error;
use std::fs;
use std::path::Path;

#[path = "../tests/aix_support/directory.rs"]
mod directory;
#[path = "../tests/aix_support/writer.rs"]
mod writer;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [directory, file, rest @ ..] = &arguments[..] else {
        return Err("usage: aix_backup DIRECTORY FILE [packed]".into());
    };
    let packed = rest.first().is_some_and(|word| word == "packed");
    let (bytes, entries) = directory::backup(Path::new(directory), packed)?;
    println!("{entries} entries, {} bytes", bytes.len());
    fs::write(file, bytes)?;
    Ok(())
}
