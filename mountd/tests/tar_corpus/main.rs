//! A corpus: one tree with everything in it, archived by every program that there is, in each of its
//! formats. What our layer shows of each archive, and what a mount of it shows, is compared name by
//! name and fact by fact with what the same program extracts of it as root.
//!
//! A difference is in the table in `explained.rs`, with a reason, or a failure; so is an entry of that
//! table for a difference that is there no more. An ordinary run tries some ways;
//! `WPAR_CORPUS=all` all of them, `WPAR_CORPUS=NAME` those whose name begins so, and leaves the
//! archives where `WPAR_CORPUS_KEEP=DIR` says.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use wpar_mountd::fuse::session;
use wpar_mountd::lower::tar::TarLower;
use wpar_mountd::overlay::Overlay;
use wpar_mountd::wire::Transport;

mod explained;
mod facts;
mod odd;
mod source;
#[path = "../tar_support/mod.rs"]
mod tar_support;
mod ways;

use explained::Explanations;
use facts::{Tree, differences, of_directory, of_layer};
use tar_support::{have, is_root, open};
use ways::{Tool, WAYS, Way};

/// A file system in memory, which has all kinds of attributes and times of 64 bits, and is gone at
/// the end.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        rustix::mount::mount(
            "corpus",
            directory.path(),
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            c"mode=0755",
        )
        .unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// Which ways are tried.
fn wanted(name: &str, short: bool) -> bool {
    match std::env::var("WPAR_CORPUS") {
        Err(_) => short,
        Ok(all) if all == "all" => true,
        Ok(beginning) => name.starts_with(&beginning),
    }
}

/// Runs lines of shell with these variables set; what they print is the answer.
fn script(lines: &str, directory: &Path, variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("umask 022\n{lines}"));
    command
        .current_dir(directory)
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether this can run at all.
fn possible() -> bool {
    is_root() && have("setfacl") && have("bash")
}

/// What the layer shows.
fn seen(name: &str, image: &Path) -> (Tree, TarLower) {
    let layer = open(image).unwrap_or_else(|error| panic!("{name}: {error}"));
    for warning in layer.index().warnings() {
        eprintln!("{name}: {warning}");
    }
    layer.index().verify().unwrap();
    (of_layer(&layer), layer)
}

/// What a mount of the layer shows, without a store above.
fn seen_through_a_mount(layer: TarLower, scratch: &Scratch) -> Tree {
    let root = scratch.make_directory("mnt");
    let overlay = Overlay::new(Arc::new(layer), None);
    let mounted = session::mount_over(overlay, &root, Transport::Device).unwrap();
    let tree = of_directory(&root);
    drop(mounted);
    fs::remove_dir(&root).unwrap();
    tree
}

fn keep(name: &str, image: &Path) {
    if let Some(directory) = std::env::var_os("WPAR_CORPUS_KEEP") {
        fs::copy(image, Path::new(&directory).join(name)).unwrap();
    }
}

#[test]
fn what_is_shown_is_what_the_same_program_extracts() {
    if !possible() {
        return;
    }
    let mut explanations = Explanations::new();
    for way in WAYS.iter().filter(|way| wanted(way.name, way.short)) {
        if way.tool.programs().iter().all(|program| have(program)) {
            compare(way, &mut explanations);
        }
    }
    explanations.finish();
}

fn compare(way: &Way, explanations: &mut Explanations) {
    let scratch = Scratch::new();
    let source = scratch.make_directory("source");
    let (image, target) = (scratch.path("image"), scratch.make_directory("target"));
    let work = scratch.make_directory("work");
    source::make(&source);
    for name in way.without {
        let path = source.join(name);
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
    let variables = [("SRC", &*source), ("OUT", &*image), ("TMP", &*work)];
    let said = match way.tool {
        Tool::Rust => rust_archive(&source, &image),
        _ => script(way.make, &work, &variables),
    };
    assert!(image.exists(), "{}: no archive: {said}", way.name);
    keep(way.name, &image);
    let said = match way.tool.extraction() {
        // Without the option, GNU tar keeps ACLs among the other attributes, and gives them back only so.
        Some(lines) if way.tool == Tool::Gnu && !way.make.contains("--acls") => script(
            &lines.replace(" --acls", ""),
            &work,
            &[("IN", &image), ("DST", &target)],
        ),
        Some(lines) => script(lines, &work, &[("IN", &image), ("DST", &target)]),
        None => rust_extraction(&image, &target),
    };
    let theirs = of_directory(&target);
    // A tool that stops early is a difference for the table, one that did nothing is none.
    assert!(
        theirs.len() > 20,
        "{}: {} names: {said}",
        way.name,
        theirs.len()
    );
    let (ours, layer) = seen(way.name, &image);
    explanations.explain(way.name, &differences(&ours, &theirs));
    if way.short || std::env::var_os("WPAR_CORPUS").is_some() {
        let mounted = seen_through_a_mount(layer, &scratch);
        let differing = differences(&mounted, &ours);
        assert!(
            differing.is_empty(),
            "{} through a mount: {differing:#?}",
            way.name
        );
    }
    eprintln!("{}: {} names", way.name, ours.len());
}

fn rust_archive(source: &Path, image: &Path) -> String {
    let mut builder = tar::Builder::new(fs::File::create(image).unwrap());
    builder.follow_symlinks(false);
    builder.mode(tar::HeaderMode::Complete);
    builder.append_dir_all(".", source).unwrap();
    builder.finish().unwrap();
    String::new()
}

fn rust_extraction(image: &Path, target: &Path) -> String {
    let mut archive = tar::Archive::new(fs::File::open(image).unwrap());
    archive.set_unpack_xattrs(true);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_preserve_mtime(true);
    archive
        .unpack(target)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[test]
fn odd_archives_are_as_gnu_tar_extracts_them() {
    if !possible() || !have("tar") {
        return;
    }
    let mut explanations = Explanations::new();
    for odd in odd::ODD {
        let scratch = Scratch::new();
        let work = scratch.make_directory("work");
        let image = scratch.path("image");
        let said = script(odd.make, &work, &[("OUT", &image)]);
        assert!(image.exists(), "{}: no archive: {said}", odd.name);
        keep(&odd.name.replace(' ', "-"), &image);
        for tool in odd::EXTRACTED_BY {
            let target = scratch.make_directory(&format!("{tool:?}"));
            let lines = tool.extraction().unwrap();
            script(lines, &work, &[("IN", &image), ("DST", &target)]);
            let (ours, _) = seen(odd.name, &image);
            explanations.explain(odd.name, &differences(&ours, &of_directory(&target)));
        }
    }
    explanations.finish();
}

/// How an archive is packed, each way in as many pieces as the program makes of a small one, and in
/// several streams one behind the other.
const PACKERS: &[(&str, &str)] = &[
    ("gzip", "gzip -c"),
    ("zstd", "zstd -q -c"),
    ("pzstd", "pzstd -q -c"),
    ("xz", "xz -c"),
    ("pixz", "pixz -t <"),
    ("bzip2", "bzip2 -c"),
    ("lz4", "lz4 -q -c"),
    ("lz4", "lz4 -q -l -c"),
];

#[test]
fn what_is_packed_shows_what_the_plain_archive_shows() {
    if !possible() || !have("tar") {
        return;
    }
    let scratch = Scratch::new();
    let source = scratch.make_directory("source");
    source::make(&source);
    for name in source::HUGE {
        let _ = fs::remove_file(source.join(name));
    }
    let (plain, work) = (scratch.path("plain"), scratch.make_directory("work"));
    script(
        "tar --format=pax --xattrs --acls --sparse -cf $OUT -C $SRC .",
        &work,
        &[("SRC", &source), ("OUT", &plain)],
    );
    let (expected, _) = seen("plain", &plain);
    assert!(expected.len() > 20);
    for (program, command) in PACKERS {
        if !have(program) {
            continue;
        }
        for pieces in [
            format!("{command} $IN >$OUT"),
            // Streams one behind the other are one, for every program that unpacks.
            format!("split -n 5 $IN p.; for IN in p.*; do {command} $IN; done >$OUT; rm p.*"),
        ] {
            let image = scratch.path("packed");
            let said = script(&pieces, &work, &[("IN", &plain), ("OUT", &image)]);
            let (packed, _) = seen(&format!("{pieces}: {said}"), &image);
            let differing = differences(&packed, &expected);
            assert!(differing.is_empty(), "{pieces}: {differing:#?}");
            for suffix in ["", ".wparidx", ".wparidx.zst"] {
                let _ = fs::remove_file(scratch.path(&format!("packed{suffix}")));
            }
        }
    }
}
