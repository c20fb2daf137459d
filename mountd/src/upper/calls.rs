//! The one way from here, and from the core, to the host's file system.
//!
//! Used as `fs` in place of `rustix::fs`, whose functions have the same names and mean the same.
//! In a test each call first asks the *plan* of its thread, which may let it fail or watch it; so
//! what happens when the host fails, or everything ends, is tried at every call that there is (see
//! `overlay/fault_tests`). In the daemon each function is the call and nothing else.
//!
//! Reading a directory is one call here, [`read_dir`].

use std::ffi::CString;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::path::Arg;

pub(crate) use rustix::fs::{
    Advice, AtFlags, CWD, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags,
    SeekFrom, Stat, StatVfs, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags,
};

#[cfg(test)]
pub(crate) use plan::{Call, with_plan};

/// Declares functions that ask the plan and then do as the one of `rustix` with the same name. The
/// first argument is the file, or the directory, that the call is about.
macro_rules! calls {
    ($changes:literal: $(
        $module:ident::$name:ident($file:ident: $file_type:ty $(, $argument:ident: $type:ty)*)
            -> $result:ty;
    )*) => {$(
        #[doc = concat!("See `rustix::", stringify!($module), "::", stringify!($name), "`.")]
        ///
        /// # Errors
        /// Those of the host's file system.
        #[inline]
        pub(crate) fn $name($file: $file_type $(, $argument: $type)*) -> Result<$result, Errno> {
            ask(stringify!($name), $changes, &$file)?;
            rustix::$module::$name($file $(, $argument)*)
        }
    )*};
}

calls! { false:
    fs::statat(dir: impl AsFd, path: impl Arg, flags: AtFlags) -> Stat;
    fs::fstat(file: impl AsFd) -> Stat;
    fs::fstatvfs(file: impl AsFd) -> StatVfs;
    fs::readlinkat(dir: impl AsFd, path: impl Arg, reuse: Vec<u8>) -> CString;
    fs::fgetxattr(file: impl AsFd, name: impl Arg, value: &mut [u8]) -> usize;
    fs::flistxattr(file: impl AsFd, names: &mut [u8]) -> usize;
    fs::flock(file: impl AsFd, operation: FlockOperation) -> ();
    fs::seek(file: impl AsFd, to: SeekFrom) -> u64;
    fs::fadvise(file: impl AsFd, offset: u64, length: Option<NonZeroU64>, advice: Advice) -> ();
    io::pread(file: impl AsFd, buffer: &mut [u8], offset: u64) -> usize;
}

calls! { true:
    fs::mkdirat(dir: impl AsFd, path: impl Arg, mode: Mode) -> ();
    fs::unlinkat(dir: impl AsFd, path: impl Arg, flags: AtFlags) -> ();
    fs::linkat(
        dir: impl AsFd, path: impl Arg, to: impl AsFd, to_path: impl Arg, flags: AtFlags
    ) -> ();
    fs::renameat(dir: impl AsFd, path: impl Arg, to: impl AsFd, to_path: impl Arg) -> ();
    fs::renameat_with(
        dir: impl AsFd, path: impl Arg, to: impl AsFd, to_path: impl Arg, flags: RenameFlags
    ) -> ();
    fs::fsetxattr(file: impl AsFd, name: impl Arg, value: &[u8], flags: XattrFlags) -> ();
    fs::fremovexattr(file: impl AsFd, name: impl Arg) -> ();
    fs::futimens(file: impl AsFd, times: &Timestamps) -> ();
    fs::ftruncate(file: impl AsFd, length: u64) -> ();
    fs::fallocate(file: impl AsFd, mode: FallocateFlags, offset: u64, length: u64) -> ();
    fs::ioctl_ficlone(file: impl AsFd, source: impl AsFd) -> ();
    fs::fsync(file: impl AsFd) -> ();
    fs::fdatasync(file: impl AsFd) -> ();
    fs::syncfs(file: impl AsFd) -> ();
}

/// See `rustix::fs::openat`.
///
/// # Errors
/// Those of the host's file system.
#[inline]
pub(crate) fn openat(
    dir: impl AsFd,
    path: impl Arg,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    ask("openat", flags.contains(OFlags::CREATE), &dir)?;
    rustix::fs::openat(dir, path, flags, mode)
}

/// See `rustix::fs::symlinkat`.
///
/// # Errors
/// Those of the host's file system.
#[inline]
pub(crate) fn symlinkat(target: impl Arg, dir: impl AsFd, path: impl Arg) -> Result<(), Errno> {
    ask("symlinkat", true, &dir)?;
    rustix::fs::symlinkat(target, dir, path)
}

/// See `rustix::fs::copy_file_range`.
///
/// # Errors
/// Those of the host's file system.
#[inline]
pub(crate) fn copy_file_range(
    from: impl AsFd,
    from_offset: Option<&mut u64>,
    to: impl AsFd,
    to_offset: Option<&mut u64>,
    length: usize,
) -> Result<usize, Errno> {
    ask("copy_file_range", true, &to)?;
    rustix::fs::copy_file_range(from, from_offset, to, to_offset, length)
}

/// See `rustix::io::pwrite`. One that the plan lets fail has written a part in whole pages, as one
/// that finds no more space has.
///
/// # Errors
/// Those of the host's file system.
#[inline]
pub(crate) fn pwrite(file: impl AsFd, data: &[u8], offset: u64) -> Result<usize, Errno> {
    if let Err(errno) = ask("pwrite", true, &file) {
        let part = (data.len() / 2) & !0xfff;
        rustix::io::pwrite(file, data.get(..part).unwrap_or(&[]), offset)?;
        return Err(errno);
    }
    rustix::io::pwrite(file, data, offset)
}

/// The entries of a directory.
///
/// # Errors
/// Those of the host's file system.
#[inline]
pub(crate) fn read_dir(dir: impl AsFd) -> Result<Dir, Errno> {
    ask("read_dir", false, &dir)?;
    Dir::read_from(dir)
}

#[cfg(not(test))]
#[inline(always)]
fn ask(_: &'static str, _: bool, _: &impl AsFd) -> Result<(), Errno> {
    Ok(())
}

#[cfg(test)]
fn ask(name: &'static str, changes: bool, file: &impl AsFd) -> Result<(), Errno> {
    plan::ask(&Call {
        name,
        changes,
        file: file.as_fd(),
    })
}

#[cfg(test)]
mod plan {
    use std::cell::RefCell;
    use std::os::fd::BorrowedFd;

    use rustix::io::Errno;

    /// A call that is about to be made.
    #[derive(Debug)]
    pub(crate) struct Call<'a> {
        pub(crate) name: &'static str,
        /// Whether it changes anything, or makes it durable.
        pub(crate) changes: bool,
        /// What it is about.
        pub(crate) file: BorrowedFd<'a>,
    }

    type Plan = Box<dyn FnMut(&Call<'_>) -> Result<(), Errno>>;

    thread_local! {
        static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
    }

    pub(super) fn ask(call: &Call<'_>) -> Result<(), Errno> {
        PLAN.with_borrow_mut(|plan| plan.as_mut().map_or(Ok(()), |plan| plan(call)))
    }

    /// Runs `body` with `plan` asked before each call of this thread.
    pub(crate) fn with_plan<T>(
        plan: impl FnMut(&Call<'_>) -> Result<(), Errno> + 'static,
        body: impl FnOnce() -> T,
    ) -> T {
        PLAN.set(Some(Box::new(plan)));
        let result = body();
        PLAN.set(None);
        result
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// A call that goes another way would be one that no test lets fail.
    #[test]
    fn every_call_to_the_store_goes_through_here() {
        let mut seen = 0;
        for part in ["upper", "upper/blocks", "upper/quota", "overlay"] {
            let part = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(part);
            for file in std::fs::read_dir(part).unwrap() {
                let path = file.unwrap().path();
                let is_code = path.extension().is_some_and(|extension| extension == "rs");
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let is_test = name == "fuzzing.rs" || name.ends_with("tests.rs");
                if !is_code || name == "calls.rs" || is_test {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for way in ["rustix::fs", "rustix::io::p", "Dir::read_from"] {
                    assert!(!text.contains(way), "{} uses {way}", path.display());
                }
                seen += 1;
            }
        }
        assert!(seen > 25, "{seen} files");
    }
}
