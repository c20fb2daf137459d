//! Kernels and trees of modules, as numbers: a WPAR runs on the host's anyway.

use std::collections::BTreeSet;

use wpar_mountd::error::FsResult;
use wpar_mountd::types::FileKind;

use crate::source::files::Files;

/// Kernels that are different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelChange {
    /// Kernels and trees of modules of A.
    pub before: KernelCount,
    /// Those of B.
    pub after: KernelCount,
}

/// How many a system has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCount {
    /// Kernels in `boot`.
    pub kernels: usize,
    /// Directories in `lib/modules`.
    pub modules: usize,
}

pub(super) fn compare(a: &dyn Files, b: &dyn Files) -> FsResult<Option<KernelChange>> {
    let (before, after) = (names(a)?, names(b)?);
    let count = |names: &[BTreeSet<Vec<u8>>; 2]| KernelCount {
        kernels: names[0].len(),
        modules: names[1].len(),
    };
    Ok((before != after).then(|| KernelChange {
        before: count(&before),
        after: count(&after),
    }))
}

fn names(files: &dyn Files) -> FsResult<[BTreeSet<Vec<u8>>; 2]> {
    let is_kernel = |(name, kind): &(Vec<u8>, FileKind)| {
        *kind == FileKind::Regular && (name.starts_with(b"vmlinu") || name.starts_with(b"kernel-"))
    };
    let is_directory = |(_, kind): &(Vec<u8>, FileKind)| *kind == FileKind::Directory;
    let kernels = files.names(b"boot")?.into_iter().filter(is_kernel);
    let modules = files
        .names(b"lib/modules")?
        .into_iter()
        .filter(is_directory);
    Ok([
        kernels.map(|(name, _)| name).collect(),
        modules.map(|(name, _)| name).collect(),
    ])
}
