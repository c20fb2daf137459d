//! Files that change while they are read.

use wpar_mountd::lower::tar::save::{Contents, DataRange};

use super::*;

/// A file that changes between looks as a script says.
struct Restless {
    looks: Vec<(u64, i64)>,
    byte: u8,
}

fn attr(size: u64, seconds: i64) -> Attr {
    let time = Timestamp {
        seconds,
        nanoseconds: 0,
    };
    Attr {
        kind: FileKind::Regular,
        permissions: 0o644,
        uid: 0,
        gid: 0,
        rdev: 0,
        nlink: 1,
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
    }
}

impl Contents for Restless {
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let size = self.looks.first().map_or(0, |look| look.0);
        let count = buffer.len().min(size.saturating_sub(offset) as usize);
        buffer[..count].fill(self.byte);
        Ok(count)
    }
}

impl OpenFile for Restless {
    fn attr(&mut self) -> io::Result<Attr> {
        if self.looks.len() > 1 {
            self.looks.remove(0);
            self.byte += 1;
        }
        Ok(attr(self.looks[0].0, self.looks[0].1))
    }

    fn data_ranges(&mut self, size: u64) -> io::Result<Vec<DataRange>> {
        Ok(vec![DataRange {
            offset: 0,
            length: size,
        }])
    }
}

#[derive(Default)]
struct Quiet;

impl Watcher for Quiet {
    fn entry(&mut self, _path: &[u8], _size: u64) {}
    fn advance(&mut self, _entries: u64, _bytes: u64) {}
    fn interrupted(&self) -> bool {
        false
    }
}

fn read(looks: &[(u64, i64)]) -> (Vec<u8>, Attr, Vec<String>) {
    let mut quiet = Quiet;
    let mut saver = Saver::new(None, PathBuf::new(), Selection::default(), &mut quiet);
    let first = attr(looks[0].0, looks[0].1);
    let found = Found {
        path: b"./f",
        attr: &first,
        identity: (1, 2),
        target: &[],
        xattrs: &[],
    };
    let mut file = Restless {
        looks: looks.to_vec(),
        byte: b'a',
    };
    let settled = saver.read_small(&found, &mut file).unwrap();
    (saver.buffer, settled, saver.outcome.torn)
}

#[test]
fn a_file_that_stands_still_is_read_once() {
    let (bytes, attr, torn) = read(&[(5, 1), (5, 1)]);
    assert_eq!((bytes.as_slice(), attr.size), (&b"aaaaa"[..], 5));
    assert!(torn.is_empty());
}

#[test]
fn a_file_that_changes_is_read_again() {
    let (bytes, attr, torn) = read(&[(5, 1), (7, 2), (7, 2)]);
    assert_eq!((bytes.as_slice(), attr.size), (&b"bbbbbbb"[..], 7));
    assert!(torn.is_empty());
    let (bytes, attr, torn) = read(&[(5, 1), (2, 2), (2, 2)]);
    assert_eq!((bytes.as_slice(), attr.size), (&b"bb"[..], 2));
    assert!(torn.is_empty());
}

#[test]
fn a_file_that_never_stands_still_is_listed() {
    let (_, _, torn) = read(&[(5, 1), (5, 2), (5, 3), (5, 4), (5, 5), (5, 6)]);
    assert_eq!(torn, ["/f"]);
}

#[test]
fn device_numbers_are_taken_apart_as_the_kernel_does() {
    assert_eq!(device(0x103), (1, 3));
    assert_eq!(device(0x10_082c), (8, 300));
}
