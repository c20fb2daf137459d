//! Requests of any bytes, answered by a real core.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use super::abi::opcode;
use super::dispatch::{Answerer, Told};
use super::request::Header;
use crate::fuzzing::{Input, scratch};
use crate::lower::LowerLayer;
use crate::lower::memory::MemoryLower;
use crate::overlay::{CopyUp, Overlay};
use crate::source;
use crate::trail::Recorder;
use crate::types::{Caller, Ino};
use crate::upper::UpperStore;

const BUFFER: usize = 16 << 10;

/// Longest range that space is asked for: more would only fill the memory.
const RANGE: u64 = 1 << 20;

/// One request after the other; each of an operation, an inode, the length of its fields, fields,
/// the length of its payload, payload.
pub(crate) fn requests(data: &[u8]) {
    scratch::emptied(|directory| {
        let lower: Arc<dyn LowerLayer> = Arc::new(lower());
        let root = source::root_of(&*lower).unwrap();
        let store = UpperStore::open(&directory.join("store"), &root, lower.first_free()).unwrap();
        let copy_up = CopyUp {
            whole: 1000,
            whole_of_living: 1000,
            block_size: 512,
        };
        let overlay = Overlay::new(lower, Some(store)).with_copy_up(copy_up);
        let recorder = Recorder::default();
        let answerer = Answerer {
            overlay: &overlay,
            remember: Duration::from_secs(1),
            recorder: &recorder,
            again: data.len().is_multiple_of(2),
        };
        let mut input = Input::new(data);
        let mut buffer = vec![0; BUFFER];
        let mut staging = vec![0; BUFFER];
        while !input.is_empty() {
            request(&answerer, &mut input, &mut buffer, &mut staging);
        }
        let _ = recorder.finish(&overlay);
    });
}

fn request(answerer: &Answerer<'_>, input: &mut Input<'_>, buffer: &mut [u8], staging: &mut [u8]) {
    let opcode = u32::from(input.byte());
    let node = match input.byte() {
        255 => input.u64(),
        node => node.into(),
    };
    let header = Header {
        opcode,
        unique: 1,
        node: Ino(node),
        caller: Caller { uid: 1, gid: 2 },
    };
    let mut fields = input.piece().to_vec();
    let payload = input.piece();
    bound(opcode, &mut fields);
    buffer[..payload.len()].copy_from_slice(payload);
    let told = answerer.answer(&header, &fields, buffer, payload.len(), staging);
    if let Ok(Told::InPlace(length) | Told::Staged(length)) = told {
        assert!(length <= buffer.len(), "an answer longer than its buffer");
    }
    if header.opcode == opcode::LOOKUP {
        answerer.overlay.forget(header.node, 1);
    }
}

/// Makes lengths small that a file system in memory would really give.
fn bound(opcode: u32, fields: &mut [u8]) {
    let at = match opcode {
        opcode::FALLOCATE => 16,
        opcode::COPY_FILE_RANGE | opcode::COPY_FILE_RANGE_64 => 40,
        _ => return,
    };
    if let Some(field) = fields.get_mut(at..at + 8) {
        let length = u64::from_ne_bytes(field.try_into().unwrap());
        // What no file can have is refused at once.
        if length < 1 << 62 {
            field.copy_from_slice(&(length % RANGE).to_ne_bytes());
        }
    }
}

fn lower() -> MemoryLower {
    MemoryLower::builder()
        .file("dir/file", b"text")
        .file("dir/sub/deep", b"deep")
        .file("linked", b"linked")
        .hard_link("linked", "dir/again")
        .file("big", vec![b'x'; 5000])
        .symlink("link", "dir/file")
        .build()
        .unwrap()
}

/// A conversation for each kind of request.
pub(crate) fn conversations() -> Vec<Vec<u8>> {
    let one = |(code, fields, payload): (u32, Vec<u8>, &[u8])| {
        let mut all = Vec::new();
        for node in [1, 2, 3, 6, 8] {
            all.extend([code as u8, node, fields.len() as u8]);
            all.extend(&fields);
            all.push(payload.len() as u8);
            all.extend(payload);
        }
        all
    };
    let mut seeds: Vec<_> = messages().into_iter().map(one).collect();
    seeds.push(seeds.concat());
    seeds
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Requests with fields and payload of the length that they have; `[0; 2]` is a handle.
fn messages() -> Vec<(u32, Vec<u8>, &'static [u8])> {
    let acl = b"system.posix_acl_default\0\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x02\0\x07\0\
                \xe8\x03\0\0\x04\0\x05\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff\
                \x20\0\0\0\xff\xff\xff\xff";
    vec![
        (opcode::LOOKUP, vec![], b"dir\0"),
        (opcode::LOOKUP, vec![], b"big\0"),
        (opcode::SETATTR, words(&[0xff; 22]), b""),
        (opcode::STATX, words(&[0, 0, 0, 0, 0, 0xfff]), b""),
        (opcode::SYMLINK, vec![], b"a\0target\0"),
        (opcode::MKNOD, words(&[0o100_644, 0, 0o022]), b"b\0"),
        (opcode::MKDIR, words(&[0o755, 0o022]), b"c\0"),
        (opcode::UNLINK, vec![], b"file\0"),
        (opcode::RMDIR, vec![], b"sub\0"),
        (opcode::RENAME2, words(&[1, 0, 0, 0]), b"file\0new\0"),
        (opcode::LINK, words(&[3, 0]), b"l\0"),
        (opcode::READ, words(&[0, 0, 10, 0, 4096]), b""),
        (opcode::WRITE, words(&[0, 0, 700, 0, 4, 1]), b"data"),
        (opcode::FSYNC, words(&[0, 0, 1]), b""),
        (opcode::SETXATTR, words(&[5, 0]), b"user.x\0value"),
        (opcode::SETXATTR, words(&[44, 0]), acl),
        (opcode::GETXATTR, words(&[64]), b"user.x\0"),
        (opcode::LISTXATTR, words(&[0]), b""),
        (opcode::REMOVEXATTR, vec![], b"user.x\0"),
        (opcode::READDIRPLUS, words(&[0, 0, 0, 0, 4096]), b""),
        (opcode::FALLOCATE, words(&[0, 0, 600, 0, 100, 0, 3]), b""),
        (opcode::LSEEK, words(&[0, 0, 5, 0, 3]), b""),
        (
            opcode::COPY_FILE_RANGE,
            words(&[0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 100, 0, 0, 0]),
            b"",
        ),
    ]
}
