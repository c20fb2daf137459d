//! Ctrl-C while an image is indexed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Root, code};

/// Entries of the archive: enough that its index takes much longer than a signal.
const ENTRIES: u32 = 400_000;

/// Writes an archive of many empty files.
fn write_large_archive(path: &Path) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    let mut header = tar::Header::new_ustar();
    for number in 0..ENTRIES {
        header
            .set_path(format!("d{}/f{number}", number % 1000))
            .unwrap();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        out.write_all(header.as_bytes()).unwrap();
    }
    out.write_all(&[0; 1024]).unwrap();
    out.flush().unwrap();
}

/// Whether the process has the file open.
fn has_open(pid: u32, path: &Path) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|file| file == path)
}

#[test]
fn an_interrupted_index_leaves_nothing() {
    let Some(root) = Root::privileged() else {
        return;
    };
    let image = root.beside("large.tar");
    write_large_archive(&image);
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = root
            .wpar(["mkwpar", "-t", "-n", "w1", "-B"])
            .arg(&image)
            .spawn();
        while !has_open(child.id(), &image) {
            assert_eq!(
                child.try_wait().unwrap(),
                None,
                "it ended before it opened the image"
            );
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(output.status), status);
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "mkwpar: interrupted; what was begun is undone\n"
        );
        assert!(output.stdout.is_empty());
        assert!(root.leftovers().is_empty(), "{:?}", root.leftovers());
        let names: Vec<_> = fs::read_dir(root.beside(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "root")
            .collect();
        assert_eq!(names, ["large.tar"], "no index, whole or half");
    }
    root.run("lswpar").check();
}
