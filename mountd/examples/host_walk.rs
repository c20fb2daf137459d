//! What walking a directory of this host costs through the layer, and what it keeps in memory.
//!
//! `cargo run --release -p wpar-mountd --example host_walk -- /usr`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wpar_mountd::error::FsResult;
use wpar_mountd::lower::host::HostLower;
use wpar_mountd::lower::{LowerLayer, LowerNode};
use wpar_mountd::types::{EntryName, FileKind};

fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(
        std::env::args_os()
            .nth(1)
            .ok_or("usage: host_walk DIRECTORY")?,
    );
    let native = walk_native(&path)?;
    let lower = HostLower::open(&path)?;
    for round in ["cold table", "warm table"] {
        let before = resident()?;
        let start = Instant::now();
        let nodes = walk(&lower)?;
        let taken = start.elapsed();
        let count = nodes.len().max(1) as f64;
        println!(
            "{round}: {} names, {:.2} us/name",
            nodes.len(),
            taken.as_micros() as f64 / count
        );
        // The list of nodes is the example's own.
        let own = nodes.capacity() * size_of::<LowerNode>();
        let grown = resident()?.saturating_sub(before + own);
        println!(
            "  {} nodes known, {:.1} bytes resident per node more than before",
            lower.known_nodes(),
            grown as f64 / lower.known_nodes().max(1) as f64
        );
        let start = Instant::now();
        for &node in &nodes {
            lower.attr(node)?;
        }
        println!(
            "  attributes by number: {:.2} us",
            start.elapsed().as_micros() as f64 / count
        );
    }
    let start = Instant::now();
    let again = walk_native(&path)?;
    let taken = start.elapsed();
    println!(
        "native: {again} names ({native} before), {:.2} us/name",
        taken.as_micros() as f64 / again.max(1) as f64
    );
    Ok(())
}

/// Every name below the root, each looked up, as a program in the WPAR would do it.
fn walk(lower: &HostLower) -> FsResult<Vec<LowerNode>> {
    let mut nodes = Vec::new();
    let mut directories = vec![LowerNode::ROOT];
    while let Some(dir) = directories.pop() {
        let mut names = Vec::new();
        lower.entries(dir, &mut |entry| names.push(entry.name.to_vec()))?;
        for name in &names {
            if let Some((node, attr)) = lower.lookup(dir, EntryName::new(name)?)? {
                nodes.push(node);
                if attr.kind == FileKind::Directory {
                    directories.push(node);
                }
            }
        }
    }
    Ok(nodes)
}

/// The same with the standard library.
fn walk_native(path: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    let mut directories = vec![path.to_owned()];
    while let Some(dir) = directories.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            count += 1;
            if entry.metadata()?.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(count)
}

/// Resident bytes of this process.
fn resident() -> Result<usize, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split(' ').nth(1).ok_or("no resident size")?.parse()?;
    Ok(pages * rustix::param::page_size())
}
