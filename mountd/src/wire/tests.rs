//! Requests and answers against the layouts of `linux/fuse.h`, byte for byte.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::abi::opcode;
use super::dispatch::{Answerer, Told};
use super::reply;
use super::request::{CopyRange, Header, Operation};
use crate::error::FsError;
use crate::lower::memory::MemoryLower;
use crate::overlay::{Overlay, RenameMode, SetTime};
use crate::trail::Recorder;
use crate::types::{Attr, Caller, FileKind, Ino, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Two words of the machine's byte order that are one 64-bit number.
fn long(value: u64) -> [u32; 2] {
    let bytes = value.to_ne_bytes();
    [0, 4].map(|at| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte])))
}

fn fields(parts: &[&[u32]]) -> Vec<u8> {
    words(&parts.concat())
}

/// Every operation that has fields or a payload, with both at their exact length.
fn messages() -> Vec<(u32, Vec<u8>, &'static [u8])> {
    let (handle, offset) = (long(7), long(1 << 40));
    vec![
        (opcode::LOOKUP, vec![], b"name\0"),
        (opcode::SETATTR, words(&[0; 22]), b""),
        (opcode::STATX, words(&[0, 0, 0, 0, 0, 0xfff]), b""),
        (opcode::SYMLINK, vec![], b"name\0target\0"),
        (opcode::MKNOD, words(&[0o100_644, 0, 0o022]), b"name\0"),
        (opcode::MKDIR, words(&[0o755, 0o022]), b"name\0"),
        (opcode::TMPFILE, words(&[0o2, 0o100_600, 0o077, 0]), b""),
        (opcode::UNLINK, vec![], b"name\0"),
        (opcode::RMDIR, vec![], b"name\0"),
        (opcode::RENAME, words(&long(9)), b"old\0new\0"),
        (opcode::RENAME2, fields(&[&long(9), &[1]]), b"old\0new\0"),
        (opcode::LINK, words(&long(9)), b"name\0"),
        (opcode::READ, fields(&[&handle, &offset, &[4096]]), b""),
        (opcode::WRITE, fields(&[&handle, &offset, &[4, 1]]), b"data"),
        (opcode::FSYNC, fields(&[&handle, &[1]]), b""),
        (opcode::FSYNCDIR, fields(&[&handle, &[0]]), b""),
        (opcode::SETXATTR, words(&[5, 0]), b"user.x\0value"),
        (opcode::GETXATTR, words(&[5]), b"user.x\0"),
        (opcode::LISTXATTR, words(&[5]), b""),
        (opcode::REMOVEXATTR, vec![], b"user.x\0"),
        (opcode::READDIR, fields(&[&handle, &offset, &[4096]]), b""),
        (
            opcode::READDIRPLUS,
            fields(&[&handle, &offset, &[4096]]),
            b"",
        ),
        (
            opcode::FALLOCATE,
            fields(&[&handle, &offset, &offset, &[0]]),
            b"",
        ),
        (opcode::LSEEK, fields(&[&handle, &offset, &[3]]), b""),
        (
            opcode::COPY_FILE_RANGE,
            fields(&[&[0; 2], &[1; 2], &[2; 2], &[3; 2], &[4; 2], &[5; 2]]),
            b"",
        ),
    ]
}

#[test]
fn whatever_is_cut_off_is_an_error_and_nothing_else() {
    for (code, fields, payload) in messages() {
        assert!(
            Operation::decode(code, &fields, payload).is_ok(),
            "operation {code}"
        );
        for length in 0..fields.len() {
            let cut = Operation::decode(code, &fields[..length], payload);
            assert!(
                matches!(cut, Err(FsError::Damaged)),
                "operation {code}, fields of {length}"
            );
        }
        for length in 0..payload.len() {
            let cut = Operation::decode(code, &fields, &payload[..length]);
            assert!(
                matches!(cut, Err(FsError::Damaged)),
                "operation {code}, payload of {length}"
            );
        }
    }
    let header = words(&[40, 1, 5, 0, 1, 0, 1000, 100, 42, 0]);
    for length in 0..header.len() {
        assert_eq!(Header::decode(&header[..length]), Err(FsError::Damaged));
    }
}

#[test]
fn a_header_says_what_who_and_about_what() {
    let parts: [&[u32]; 4] = [
        &[45, opcode::LOOKUP],
        &long(77),
        &long(1 << 48),
        &[1000, 100, 42, 0],
    ];
    assert_eq!(
        Header::decode(&fields(&parts)),
        Ok(Header {
            opcode: opcode::LOOKUP,
            unique: 77,
            node: Ino(1 << 48),
            caller: Caller {
                uid: 1000,
                gid: 100
            },
        })
    );
}

#[test]
fn changes_of_attributes_are_taken_exactly() {
    let message = |valid, nanoseconds| {
        let times = [long((-2_i64).cast_unsigned()), long(5), long(0)].concat();
        let parts: [&[u32]; 7] = [
            &[valid, 0],
            &long(7),
            &long(123),
            &long(0),
            &times,
            &[nanoseconds, 1, 0, 0o104_755, 0],
            &[1000, 100, 0],
        ];
        fields(&parts)
    };
    // Mode, size, a time of access, the present as time of modification, and set-id bits to go.
    let bytes = message(1 | 8 | 0x10 | 0x20 | 0x100 | 0x800, 800_000_000);
    let Ok(Operation::SetAttr(set)) = Operation::decode(opcode::SETATTR, &bytes, b"") else {
        panic!("not a change of attributes");
    };
    assert_eq!(
        (set.permissions, set.uid, set.gid),
        (Some(0o4755), None, None)
    );
    assert_eq!(set.size, Some(123));
    let before_1970 = Timestamp {
        seconds: -2,
        nanoseconds: 800_000_000,
    };
    assert_eq!(set.atime, Some(SetTime::To(before_1970)));
    assert_eq!(set.mtime, Some(SetTime::Now));
    assert!(set.kill_privileges);
    let bytes = message(2 | 4, 0);
    let Ok(Operation::SetAttr(set)) = Operation::decode(opcode::SETATTR, &bytes, b"") else {
        panic!("not a change of attributes");
    };
    assert_eq!((set.uid, set.gid, set.size), (Some(1000), Some(100), None));
    assert!(!set.kill_privileges);
    let impossible = message(0x10, 1_000_000_000);
    let refused = Operation::decode(opcode::SETATTR, &impossible, b"");
    assert!(matches!(refused, Err(FsError::InvalidArgument)));
}

#[test]
fn fields_are_found_where_the_kernel_puts_them() {
    for (code, bytes, payload) in messages() {
        match Operation::decode(code, &bytes, payload).unwrap() {
            Operation::Read { offset, size } => assert_eq!((offset, size), (1 << 40, 4096)),
            Operation::Write {
                offset,
                kill_privileges,
                from_cache,
                data,
            } => {
                assert_eq!(
                    (offset, kill_privileges, data),
                    (1 << 40, false, &b"data"[..])
                );
                assert!(from_cache);
            }
            Operation::MakeNode {
                name,
                mode,
                umask,
                device,
            } => {
                assert_eq!(
                    (name, mode, umask, device),
                    (&b"name"[..], 0o100_644, 0o022, 0)
                );
            }
            Operation::MakeUnnamed { mode, umask } => {
                assert_eq!((mode, umask), (0o100_600, 0o077));
            }
            Operation::Rename {
                name,
                new_parent,
                new_name,
                flags,
            } => {
                assert_eq!(
                    (name, new_name, new_parent),
                    (&b"old"[..], &b"new"[..], Ino(9))
                );
                assert_eq!(flags, u32::from(code == opcode::RENAME2));
            }
            Operation::SetXattr { name, value, flags } => {
                assert_eq!((name, value, flags), (&b"user.x"[..], &b"value"[..], 0));
            }
            Operation::CopyRange(copy) => {
                let number = |word: u64| word << 32 | word;
                let expected = CopyRange {
                    from_offset: number(1),
                    to: Ino(number(2)),
                    to_offset: number(4),
                    length: number(5),
                    wide: false,
                };
                assert_eq!(copy, expected);
            }
            _ => {}
        }
    }
    let wrong = Operation::decode(4711, b"", b"").unwrap();
    assert!(matches!(wrong, Operation::Unknown));
}

fn sample() -> Attr {
    Attr {
        kind: FileKind::CharDevice,
        permissions: 0o640,
        uid: 1000,
        gid: 100,
        rdev: 0x0010_0502,
        nlink: 2,
        size: 10,
        blocks: 8,
        atime: Timestamp {
            seconds: -1,
            nanoseconds: 1,
        },
        mtime: Timestamp {
            seconds: 2,
            nanoseconds: 3,
        },
        ctime: Timestamp {
            seconds: 4,
            nanoseconds: 5,
        },
    }
}

fn attr_words() -> Vec<u32> {
    let minus_one = [u32::MAX; 2];
    let longs = [long(6), long(10), long(8), minus_one, long(2), long(4)].concat();
    [
        &longs[..],
        &[1, 3, 5, 0o020_640, 2, 1000, 100, 0x0010_0502, 4096, 0],
    ]
    .concat()
}

#[test]
fn answers_have_the_layouts_of_the_kernel() {
    let mut buffer = [0xaa; 512];
    let day = long(86_400);
    let used = reply::attr(&mut buffer, Ino(6), &sample(), DAY).unwrap();
    assert_eq!(buffer[..used], fields(&[&day, &[0, 0], &attr_words()]));
    let used = reply::entry(&mut buffer, Some((Ino(6), &sample())), DAY).unwrap();
    let head: [&[u32]; 6] = [&long(6), &[0; 2], &day, &day, &[0, 0], &attr_words()];
    assert_eq!(buffer[..used], fields(&head));
    let used = reply::opened(&mut buffer, (Ino(6), &sample()), DAY).unwrap();
    // No handle; the kernel keeps what it remembers.
    assert_eq!(
        buffer[..used],
        [fields(&head), words(&[0, 0, 2, 0])].concat()
    );
    let used = reply::entry(&mut buffer, None, DAY).unwrap();
    assert_eq!(buffer[..used], fields(&[&[0; 4], &day, &day, &[0; 24]]));
    let birth = Timestamp {
        seconds: 9,
        nanoseconds: 8,
    };
    let used = reply::statx(&mut buffer, Ino(6), &sample(), Some(birth), DAY).unwrap();
    let mode_word = u32::from_ne_bytes(
        [0o020_640_u16.to_ne_bytes(), [0; 2]]
            .concat()
            .try_into()
            .unwrap(),
    );
    let parts: [&[u32]; 11] = [
        &[day[0], day[1], 0, 0, 0, 0, 0, 0],
        &[0xfff, 4096, 0, 0, 2, 1000, 100, mode_word],
        &[long(6), long(10), long(8), [0; 2]].concat(),
        &[u32::MAX, u32::MAX, 1, 0],
        &[long(9), [8, 0]].concat(),
        &[long(4), [5, 0]].concat(),
        &[long(2), [3, 0]].concat(),
        &[5, 0x102],
        &[0, 0],
        &[0; 28],
        &[],
    ];
    assert_eq!(buffer[..used], fields(&parts));
    assert_eq!(used, 288);
    let used = reply::header(&mut buffer, 77, -2, 0).unwrap();
    assert_eq!(
        buffer[..used],
        fields(&[&[16, (-2_i32).cast_unsigned()], &long(77)])
    );
    assert_eq!(reply::space(&mut buffer, None), Ok(80));
}

#[test]
fn a_rename_is_what_its_flags_say_together() {
    let caller = Caller { uid: 1, gid: 2 };
    let whiteout = |replace| RenameMode::Whiteout { caller, replace };
    for (flags, mode) in [
        (0, Some(RenameMode::Replace)),
        (1, Some(RenameMode::NoReplace)),
        (2, Some(RenameMode::Exchange)),
        (4, Some(whiteout(true))),
        (5, Some(whiteout(false))),
        (3, None),
        (6, None),
        (7, None),
        (8, None),
    ] {
        assert_eq!(super::dispatch::rename_mode(flags, caller), mode, "{flags}");
    }
}

#[test]
fn an_answer_that_does_not_fit_is_refused() {
    for room in [0, 1, 103] {
        let mut buffer = vec![0; room];
        assert_eq!(
            reply::attr(&mut buffer, Ino(6), &sample(), DAY),
            Err(FsError::Range)
        );
    }
    assert_eq!(reply::data(&mut [0; 3], b"four"), Err(FsError::Range));
}

#[test]
fn requests_are_answered_from_the_tree() {
    let lower = MemoryLower::builder()
        .file("file", "0123456789")
        .build()
        .unwrap();
    let overlay = Overlay::new(Arc::new(lower), None);
    let answerer = Answerer {
        overlay: &overlay,
        remember: DAY,
        recorder: &Recorder::default(),
        again: false,
    };
    let mut buffer = vec![0; 8192];
    let mut staging = vec![0; 8192];
    let mut ask = |code, node, fields: &[u8], payload: &[u8]| {
        buffer[..payload.len()].copy_from_slice(payload);
        let caller = Caller { uid: 0, gid: 0 };
        let header = Header {
            opcode: code,
            unique: 1,
            node,
            caller,
        };
        let told = answerer.answer(&header, fields, &mut buffer, payload.len(), &mut staging)?;
        if let Told::Staged(_) = told {
            assert_eq!(buffer[..payload.len()], *payload, "still needed");
        }
        Ok::<_, Errno>(match told {
            Told::InPlace(used) => buffer[..used].to_vec(),
            Told::Staged(used) => staging[..used].to_vec(),
        })
    };
    let found = ask(opcode::LOOKUP, Ino::ROOT, b"", b"file\0").unwrap();
    assert_eq!(found.len(), 128);
    let node = Ino(u64::from_ne_bytes(found[..8].try_into().unwrap()));
    let absent = ask(opcode::LOOKUP, Ino::ROOT, b"", b"none\0").unwrap();
    assert_eq!(absent[..8], [0; 8]);
    let read = fields(&[&[0; 2], &long(4), &[3]]);
    assert_eq!(ask(opcode::READ, node, &read, b""), Ok(b"456".to_vec()));
    let all = fields(&[&[0; 2], &[0; 2], &[4096]]);
    // `.`, `..` and one name of four bytes.
    assert_eq!(
        ask(opcode::READDIR, Ino::ROOT, &all, b"").unwrap().len(),
        3 * 32
    );
    assert_eq!(
        ask(opcode::READDIRPLUS, Ino::ROOT, &all, b"")
            .unwrap()
            .len(),
        3 * 160
    );
    let two = fields(&[&[0; 2], &[0; 2], &[95]]);
    assert_eq!(
        ask(opcode::READDIR, Ino::ROOT, &two, b"").unwrap().len(),
        2 * 32
    );
    for (code, name, errno) in [
        (opcode::IOCTL, &b""[..], Errno::NOTTY),
        (4711, b"", Errno::NOSYS),
        (opcode::LOOKUP, b"a/b\0", Errno::INVAL),
        (opcode::LOOKUP, b"no end", Errno::IO),
        (opcode::UNLINK, b"file\0", Errno::ROFS),
    ] {
        assert_eq!(
            ask(code, Ino::ROOT, b"", name),
            Err(errno),
            "operation {code}"
        );
    }
}
