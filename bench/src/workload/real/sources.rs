//! A tree of source files, the same wherever and whenever it is made.
//!
//! Owns names and contents. Nothing in it depends on the clock, on the machine or on the order in
//! which directories are listed, so that two runs years apart do the same work.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::Fallible;
use crate::workload::real::program::set_times;

/// Files in each directory of the tree.
const PER_DIRECTORY: usize = 50;

/// The word that [`text`] puts into every hundredth file, once.
pub(crate) const NEEDLE: &str = "needle_in_the_hay";

/// Writes `count` files below `dir`, all with the same times.
pub(crate) fn write(dir: &Path, count: usize) -> Fallible<()> {
    for number in 0..count {
        let file = dir.join(name(number));
        if number.is_multiple_of(PER_DIRECTORY)
            && let Some(parent) = file.parent()
        {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, text(number, 0))?;
    }
    set_times(dir)
}

/// Files of a tree of `count` that have the [`NEEDLE`].
pub(crate) fn needles(count: usize) -> usize {
    count.div_ceil(100)
}

/// Path of a file of the tree.
pub(crate) fn name(number: usize) -> String {
    let directory = number / PER_DIRECTORY;
    format!(
        "part{:02}/unit{directory:04}/file{number:06}.c",
        directory / 20
    )
}

/// Contents of a file in one of its versions: lines like those of C, 1 to 7 kB.
pub(crate) fn text(number: usize, version: usize) -> String {
    let mut seed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ version as u64;
    let mut next = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut text = format!("/* Unit {number}, version {version}. */\n#include \"common.h\"\n\n");
    if number.is_multiple_of(100) {
        let _ = writeln!(text, "static int {NEEDLE};\n");
    }
    for function in 0..5 + next(40) {
        let _ = writeln!(
            text,
            "int unit_{number}_function_{function}(int value, const char *name)\n{{\n\
             \tfor (int i = 0; i < {}; i++)\n\t\tvalue += name[i % {}] ^ {};\n\
             \treturn value * {};\n}}\n",
            next(1000),
            1 + next(30),
            next(1 << 30),
            next(1 << 16),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_the_same_each_time() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [one.path(), two.path()] {
            write(dir, 120).unwrap();
        }
        let mut with_needle = 0;
        for number in 0..120 {
            let read = |dir: &Path| fs::read_to_string(dir.join(name(number))).unwrap();
            assert_eq!(read(one.path()), read(two.path()));
            with_needle += usize::from(read(one.path()).contains(NEEDLE));
            assert_ne!(text(number, 0), text(number, 1));
        }
        assert_eq!(with_needle, needles(120));
        assert!((500..9_000).contains(&text(7, 0).len()));
    }
}
