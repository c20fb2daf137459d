//! Extended attributes that programs in the WPAR set, kept apart from the store's own.
//!
//! A guest's `NAME` is stored as `user.wpar.x.NAME`, whatever its namespace: nothing that a guest
//! writes can therefore be taken for a record or a redirect, and a `trusted.` or `security.`
//! attribute means nothing to the host.
//!
//! The prefix leaves 243 bytes of the 255 that a name may have. A longer name is stored in the
//! value of an attribute with a number, `user.wpar.l.0`, `user.wpar.l.1` and so on:
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 1 | length of NAME, 244 to 255 |
//! | 1 | that | NAME |
//! | then | the rest | the value |
//!
//! A name is in the one place or in the other by its length, so it cannot be in both; a number
//! means nothing, a new name gets the smallest that is free. Every change is one call of the host.
//! Who looks for a long name reads all long ones of the file: nearly always there are none.

use std::os::fd::BorrowedFd;

use crate::upper::calls::{self as fs, XattrFlags};
use rustix::io::Errno;

use super::object::read_xattr;
use crate::error::{FsError, FsResult};

const PREFIX: &[u8] = b"user.wpar.x.";
const LONG_PREFIX: &str = "user.wpar.l.";

/// Longest name and longest value of an attribute, as in the kernel.
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 1 << 16;

/// Longest name that is stored behind the prefix.
const SHORT_MAX: usize = XATTR_NAME_MAX - PREFIX.len();

/// An attribute with a long name, and the number that it is stored under.
struct Long {
    number: u32,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Value of the guest's attribute `name`.
///
/// # Errors
/// `Damaged` for stored names that cannot be, else those of the host's file system.
pub fn get(file: BorrowedFd<'_>, name: &[u8]) -> FsResult<Option<Vec<u8>>> {
    match stored_name(name) {
        Some(stored) => read_xattr(file, &stored[..]),
        None => {
            let mut longs = long_ones(file)?.into_iter();
            let found = longs.find(|long| long.name == name);
            Ok(found.map(|long| long.value))
        }
    }
}

/// Sets the guest's attribute `name`; `flags` are `XATTR_CREATE` and `XATTR_REPLACE`.
///
/// # Errors
/// `Exists` or `NoAttribute` by the flags, `Range` for a name over 255 bytes, or those of the
/// host's file system.
pub fn set(file: BorrowedFd<'_>, name: &[u8], value: &[u8], flags: XattrFlags) -> FsResult<()> {
    match stored_name(name) {
        Some(stored) => Ok(fs::fsetxattr(file, &stored[..], value, flags)?),
        None => set_long(file, name, value, flags),
    }
}

fn set_long(file: BorrowedFd<'_>, name: &[u8], value: &[u8], flags: XattrFlags) -> FsResult<()> {
    let length = u8::try_from(name.len()).map_err(|_| FsError::Range)?;
    let longs = long_ones(file)?;
    let found = longs.iter().find(|long| long.name == name);
    let number = match found {
        Some(_) if flags.contains(XattrFlags::CREATE) => return Err(FsError::Exists),
        None if flags.contains(XattrFlags::REPLACE) => return Err(FsError::NoAttribute),
        Some(long) => long.number,
        None => (0..)
            .find(|number| longs.iter().all(|long| long.number != *number))
            .ok_or(Errno::NOSPC)?,
    };
    let stored = [&[length][..], name, value].concat();
    if stored.len() > XATTR_VALUE_MAX {
        return Err(FsError::Layer(Errno::NOSPC));
    }
    let once = match found {
        Some(_) => XattrFlags::REPLACE,
        None => XattrFlags::CREATE,
    };
    Ok(fs::fsetxattr(file, long_name(number), &stored, once)?)
}

/// Removes the guest's attribute `name`.
///
/// # Errors
/// `NoAttribute` if there is none.
pub fn remove(file: BorrowedFd<'_>, name: &[u8]) -> FsResult<()> {
    if let Some(stored) = stored_name(name) {
        return Ok(fs::fremovexattr(file, &stored[..])?);
    }
    let longs = long_ones(file)?;
    let found = longs.iter().find(|long| long.name == name);
    let number = found.ok_or(FsError::NoAttribute)?.number;
    Ok(fs::fremovexattr(file, long_name(number))?)
}

/// Names of all the guest's attributes.
///
/// # Errors
/// As [`get`].
pub fn list(file: BorrowedFd<'_>) -> FsResult<Vec<Vec<u8>>> {
    let all = all_names(file)?;
    let short = all.iter().filter_map(|name| name.strip_prefix(PREFIX));
    let mut names: Vec<_> = short.map(<[u8]>::to_vec).collect();
    names.extend(
        read_long_ones(file, &all)?
            .into_iter()
            .map(|long| long.name),
    );
    Ok(names)
}

/// Under which name an attribute is stored; `None` for one whose name is too long for that.
fn stored_name(name: &[u8]) -> Option<Vec<u8>> {
    (name.len() <= SHORT_MAX).then(|| [PREFIX, name].concat())
}

fn long_name(number: u32) -> String {
    format!("{LONG_PREFIX}{number}")
}

fn long_ones(file: BorrowedFd<'_>) -> FsResult<Vec<Long>> {
    read_long_ones(file, &all_names(file)?)
}

fn read_long_ones(file: BorrowedFd<'_>, all: &[Vec<u8>]) -> FsResult<Vec<Long>> {
    let mut longs = Vec::new();
    for stored in all {
        let Some(number) = stored.strip_prefix(LONG_PREFIX.as_bytes()) else {
            continue;
        };
        let number = std::str::from_utf8(number).ok();
        let number = number.and_then(|number| number.parse().ok());
        let number = number.filter(|&number| long_name(number).as_bytes() == stored);
        let number = number.ok_or(FsError::Damaged)?;
        let Some(stored) = read_xattr(file, &stored[..])? else {
            continue;
        };
        let (&length, rest) = stored.split_first().ok_or(FsError::Damaged)?;
        let (name, value) = rest
            .split_at_checked(length.into())
            .filter(|(name, _)| name.len() > SHORT_MAX)
            .ok_or(FsError::Damaged)?;
        longs.push(Long {
            number,
            name: name.to_vec(),
            value: value.to_vec(),
        });
    }
    Ok(longs)
}

/// All names that the host's file has, the guest's and others.
fn all_names(file: BorrowedFd<'_>) -> FsResult<Vec<Vec<u8>>> {
    let mut buffer = vec![0_u8; 512];
    let length = loop {
        match fs::flistxattr(file, &mut buffer[..]) {
            Ok(length) => break length,
            Err(Errno::RANGE) if buffer.len() < 1 << 16 => buffer.resize(1 << 16, 0),
            Err(errno) => return Err(errno.into()),
        }
    };
    let names = buffer.get(..length).unwrap_or(&[]);
    Ok(names
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    const ANY: XattrFlags = XattrFlags::empty();

    fn name(length: usize, last: u8) -> Vec<u8> {
        let mut name = b"user.".to_vec();
        name.resize(length - 1, b'n');
        name.push(last);
        name
    }

    fn listed(file: &File) -> Vec<Vec<u8>> {
        let mut names = list(file.as_fd()).unwrap();
        names.sort();
        names
    }

    fn host_names(file: &File) -> Vec<String> {
        let names = all_names(file.as_fd()).unwrap();
        let mut names: Vec<_> = names
            .into_iter()
            .map(|name| String::from_utf8(name).unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_of_any_length_is_kept_whole() {
        for length in [6, 242, 243, 244, 245, 254, 255] {
            let file = tempfile::tempfile().unwrap();
            let fd = file.as_fd();
            let (one, other) = (name(length, b'1'), name(length, b'2'));
            assert_eq!(get(fd, &one), Ok(None), "{length}");
            assert_eq!(remove(fd, &one), Err(FsError::NoAttribute));
            set(fd, &one, b"1", ANY).unwrap();
            set(fd, &other, b"", XattrFlags::CREATE).unwrap();
            assert_eq!(get(fd, &one), Ok(Some(b"1".to_vec())), "{length}");
            assert_eq!(get(fd, &other), Ok(Some(Vec::new())));
            assert_eq!(listed(&file), [one.clone(), other.clone()]);
            assert_eq!(
                set(fd, &one, b"x", XattrFlags::CREATE),
                Err(FsError::Exists)
            );
            set(fd, &one, b"changed", XattrFlags::REPLACE).unwrap();
            assert_eq!(get(fd, &one), Ok(Some(b"changed".to_vec())));
            remove(fd, &one).unwrap();
            assert_eq!(
                set(fd, &one, b"x", XattrFlags::REPLACE),
                Err(FsError::NoAttribute)
            );
            assert_eq!(listed(&file), [other]);
        }
        let file = tempfile::tempfile().unwrap();
        let too_long = name(256, b'1');
        assert_eq!(set(file.as_fd(), &too_long, b"", ANY), Err(FsError::Range));
        assert_eq!(get(file.as_fd(), &too_long), Ok(None));
    }

    #[test]
    fn names_are_bytes() {
        let file = tempfile::tempfile().unwrap();
        for name in [
            &b"user.\xff\x01"[..],
            &[b"user.", &[0xfe; 250][..]].concat(),
        ] {
            set(file.as_fd(), name, b"v", ANY).unwrap();
            assert_eq!(get(file.as_fd(), name), Ok(Some(b"v".to_vec())));
        }
        assert_eq!(listed(&file).len(), 2);
    }

    #[test]
    fn the_stored_form_never_changes() {
        let file = tempfile::tempfile().unwrap();
        let fd = file.as_fd();
        let (short, long) = (name(243, b'1'), name(244, b'1'));
        set(fd, &short, b"s", ANY).unwrap();
        set(fd, &long, b"value", ANY).unwrap();
        let prefixed = format!("user.wpar.x.{}", String::from_utf8(short).unwrap());
        assert_eq!(host_names(&file), ["user.wpar.l.0".to_owned(), prefixed]);
        let stored = read_xattr(fd, "user.wpar.l.0").unwrap().unwrap();
        assert_eq!(stored, [&[244][..], &long, b"value"].concat());
    }

    #[test]
    fn numbers_are_used_again_and_mean_nothing() {
        let file = tempfile::tempfile().unwrap();
        let fd = file.as_fd();
        for last in b'a'..=b'd' {
            set(fd, &name(255, last), &[last], ANY).unwrap();
        }
        remove(fd, &name(255, b'b')).unwrap();
        set(fd, &name(250, b'e'), b"e", ANY).unwrap();
        let numbers = [
            "user.wpar.l.0",
            "user.wpar.l.1",
            "user.wpar.l.2",
            "user.wpar.l.3",
        ];
        assert_eq!(host_names(&file), numbers);
        for last in [b'a', b'c', b'd'] {
            assert_eq!(get(fd, &name(255, last)), Ok(Some(vec![last])));
        }
        assert_eq!(get(fd, &name(250, b'e')), Ok(Some(b"e".to_vec())));
        assert_eq!(get(fd, &name(255, b'b')), Ok(None));
    }

    #[test]
    fn a_guest_cannot_name_what_is_stored() {
        let file = tempfile::tempfile().unwrap();
        let fd = file.as_fd();
        // As short names, whatever they look like, they stay behind the prefix.
        for forged in [&b"user.wpar.l.0"[..], b"user.wpar", b"user.wpar.x.user.a"] {
            set(fd, forged, b"forged", ANY).unwrap();
        }
        assert!(
            host_names(&file)
                .iter()
                .all(|name| name.starts_with("user.wpar.x.user."))
        );
        assert_eq!(listed(&file).len(), 3);
    }

    #[test]
    fn what_cannot_be_stored_is_damaged() {
        let short = [&[243][..], &[b'n'; 243]].concat();
        let cut = [&[255][..], &[b'n'; 254]].concat();
        let whole = [&[244][..], &[b'n'; 244]].concat();
        for (stored, value) in [
            ("user.wpar.l.0", &b""[..]),
            ("user.wpar.l.0", &short),
            ("user.wpar.l.0", &cut),
            ("user.wpar.l.x", &whole),
            ("user.wpar.l.00", &whole),
        ] {
            let file = tempfile::tempfile().unwrap();
            fs::fsetxattr(&file, stored, value, ANY).unwrap();
            assert_eq!(list(file.as_fd()), Err(FsError::Damaged), "{stored}");
            assert_eq!(get(file.as_fd(), &name(255, b'1')), Err(FsError::Damaged));
            assert_eq!(get(file.as_fd(), b"user.a"), Ok(None));
        }
    }
}
