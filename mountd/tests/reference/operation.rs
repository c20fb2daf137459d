//! Operations, and how random ones are made.
//!
//! An operation chooses its objects by numbers that are taken modulo what there is when it runs.
//! So most operations have something to do, and a sequence that lost a step while it is minimised
//! still means something.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wpar_mountd::overlay::{AllocateMode, CopyUp, RenameMode};
use wpar_mountd::types::{Caller, FileKind};

use crate::acl::{self, Acl};

/// One object out of all that have names and all that are held.
pub(crate) type Pick = u8;

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    /// One that is there, if there is any.
    There(u8),
    /// One that went, in the directory that it went from, whatever directory was chosen.
    Lost(u8),
    /// One of few, so that they meet.
    Any(u8),
}

/// The names of [`Name::Any`].
pub(crate) fn any_name(number: u8) -> Vec<u8> {
    match number % 7 {
        6 => vec![b'n'; 255],
        number => vec![b'a' + number],
    }
}

/// One call of the core, or something that happens around it.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create {
        dir: Pick,
        name: Name,
        kind: FileKind,
        permissions: u16,
        umask: u16,
        owner: u32,
    },
    /// The new file is held.
    CreateUnnamed {
        dir: Pick,
        permissions: u16,
        owner: u32,
    },
    Link {
        target: Pick,
        dir: Pick,
        name: Name,
    },
    /// Of something that is held, and so may have no name.
    LinkHeld {
        held: u8,
        dir: Pick,
        name: Name,
    },
    Unlink {
        dir: Pick,
        name: Name,
    },
    RemoveDirectory {
        dir: Pick,
        name: Name,
    },
    Rename {
        from: (Pick, Name),
        to: (Pick, Name),
        mode: RenameMode,
    },
    SetAttr {
        target: Pick,
        permissions: Option<u16>,
        owner: Option<(u32, u32)>,
        size: Option<u16>,
        mtime: Option<i64>,
        /// The time of modification becomes the present, whatever `mtime` says.
        now: bool,
        kill_privileges: bool,
    },
    Write {
        target: Pick,
        offset: u16,
        length: u16,
        fill: u8,
        kill_privileges: bool,
    },
    Allocate {
        target: Pick,
        offset: u16,
        length: u16,
        mode: AllocateMode,
    },
    /// From the first to the second, which may be the same file.
    CopyRange {
        from: (Pick, u16),
        to: (Pick, u16),
        length: u16,
    },
    Read {
        target: Pick,
        offset: u16,
        length: u16,
    },
    SetAcl {
        target: Pick,
        default: bool,
        acl: Acl,
    },
    RemoveAcl {
        target: Pick,
        default: bool,
    },
    SetXattr {
        target: Pick,
        name: u8,
        value: Vec<u8>,
        create: bool,
        replace: bool,
    },
    RemoveXattr {
        target: Pick,
        name: u8,
    },
    /// `rm -r`.
    RemoveTree {
        dir: Pick,
        name: Name,
    },
    /// Somebody opens it or stands in it from now on.
    Hold {
        target: Pick,
    },
    /// And no longer.
    Release {
        held: u8,
    },
    /// The kernel forgets all that nobody holds.
    ForgetAll,
    /// A program syncs it.
    Sync {
        target: Pick,
        data_only: bool,
    },
    /// All that the lower still has of it is copied.
    Complete {
        target: Pick,
    },
    /// The daemon ends and starts again.
    Reopen,
}

/// How an object of the lower is made.
#[derive(Clone, Debug)]
pub(crate) enum LowerStep {
    Directory {
        dir: Pick,
        name: u8,
        permissions: u16,
    },
    File {
        dir: Pick,
        name: u8,
        permissions: u16,
        length: u16,
        hole: u16,
    },
    Symlink {
        dir: Pick,
        name: u8,
    },
    Special {
        dir: Pick,
        name: u8,
        rdev: u32,
    },
    LowerLink {
        target: Pick,
        dir: Pick,
        name: u8,
    },
    Acl {
        target: Pick,
        default: bool,
        acl: Acl,
    },
    /// Of the root, or of anything else.
    Xattr {
        target: Pick,
        name: u8,
        root: bool,
    },
    Hide {
        target: Pick,
        contents: bool,
    },
}

/// A lower, what is done above it, and how closely it is watched.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) lower: Vec<LowerStep>,
    pub(crate) operations: Vec<Operation>,
    /// Whether the lower is a directory of the host; otherwise it is in memory.
    pub(crate) on_host: bool,
    /// Whether store and host directory are where temporary files are; otherwise they are in
    /// memory, if that can hold them.
    pub(crate) on_disk: bool,
    /// Which files are copied block by block.
    pub(crate) copy_up: CopyUp,
    /// Whether the kernel keeps what it looked up, or forgets it after each operation.
    pub(crate) keep: bool,
    /// Whether the whole tree is compared after each operation, or only at the end: comparing
    /// looks everything up, which may cover a mistake.
    pub(crate) watch: bool,
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        3 => any::<u8>().prop_map(Name::There),
        1 => any::<u8>().prop_map(Name::Lost),
        2 => (0..7_u8).prop_map(Name::Any),
    ]
}

fn permissions() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![
        0o644, 0o755, 0o4755, 0o2755, 0o2644, 0o6711, 0o1777, 0o000,
    ])
}

fn kind() -> impl Strategy<Value = FileKind> {
    use FileKind::{BlockDevice, CharDevice, Directory, Fifo, Regular, Socket, Symlink};
    prop_oneof![
        5 => Just(Regular),
        4 => Just(Directory),
        1 => prop::sample::select(vec![Symlink, Fifo, Socket, CharDevice, BlockDevice]),
    ]
}

fn rename_mode() -> impl Strategy<Value = RenameMode> {
    prop_oneof![
        4 => Just(RenameMode::Replace),
        1 => Just(RenameMode::NoReplace),
        2 => Just(RenameMode::Exchange),
        2 => (any::<bool>(), 0..3_u32).prop_map(|(replace, owner)| RenameMode::Whiteout {
            caller: Caller { uid: owner, gid: owner + 10 },
            replace,
        }),
    ]
}

fn size() -> impl Strategy<Value = u16> {
    prop_oneof![0..20_u16, 0..10_000_u16]
}

fn change_of_names() -> impl Strategy<Value = Operation> {
    let create = (
        any::<Pick>(),
        name(),
        kind(),
        permissions(),
        any::<bool>(),
        0..3_u32,
    )
        .prop_map(|(dir, name, kind, permissions, masked, owner)| {
            let umask = if masked { 0o027 } else { 0 };
            Operation::Create {
                dir,
                name,
                kind,
                permissions,
                umask,
                owner,
            }
        });
    let create_unnamed =
        (any::<Pick>(), permissions(), 0..3_u32).prop_map(|(dir, permissions, owner)| {
            Operation::CreateUnnamed {
                dir,
                permissions,
                owner,
            }
        });
    let link_held = (any::<u8>(), any::<Pick>(), name())
        .prop_map(|(held, dir, name)| Operation::LinkHeld { held, dir, name });
    let link = (any::<Pick>(), any::<Pick>(), name())
        .prop_map(|(target, dir, name)| Operation::Link { target, dir, name });
    let unlink = (any::<Pick>(), name()).prop_map(|(dir, name)| Operation::Unlink { dir, name });
    let remove =
        (any::<Pick>(), name()).prop_map(|(dir, name)| Operation::RemoveDirectory { dir, name });
    let rename = (
        (any::<Pick>(), name()),
        (any::<Pick>(), name()),
        rename_mode(),
    )
        .prop_map(|(from, to, mode)| Operation::Rename { from, to, mode });
    let remove_tree =
        (any::<Pick>(), name()).prop_map(|(dir, name)| Operation::RemoveTree { dir, name });
    prop_oneof![
        4 => create,
        2 => link,
        1 => create_unnamed,
        2 => link_held,
        3 => unlink,
        2 => remove,
        1 => remove_tree,
        5 => rename,
    ]
}

fn change_of_inodes() -> impl Strategy<Value = Operation> {
    let set_attr = (
        any::<Pick>(),
        option::of(permissions()),
        option::of((0..3_u32, 0..3_u32)),
        option::of(size()),
        option::of(-5..5_i64),
        prop::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(
            |(target, permissions, owner, size, mtime, now, kill_privileges)| Operation::SetAttr {
                target,
                permissions,
                owner,
                size,
                mtime,
                now,
                kill_privileges,
            },
        );
    let write = (any::<Pick>(), size(), size(), 1..255_u8, any::<bool>()).prop_map(
        |(target, offset, length, fill, kill_privileges)| Operation::Write {
            target,
            offset,
            length,
            fill,
            kill_privileges,
        },
    );
    let modes = vec![
        AllocateMode::Grow,
        AllocateMode::KeepSize,
        AllocateMode::PunchHole,
        AllocateMode::Zero,
        AllocateMode::ZeroKeepSize,
    ];
    let allocate = (
        any::<Pick>(),
        size(),
        1..9000_u16,
        prop::sample::select(modes),
    )
        .prop_map(|(target, offset, length, mode)| Operation::Allocate {
            target,
            offset,
            length,
            mode,
        });
    let set_xattr = (
        any::<Pick>(),
        0..6_u8,
        vec(any::<u8>(), 0..20),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(target, name, value, create, replace)| Operation::SetXattr {
                target,
                name,
                value,
                create: create && replace,
                replace: replace && !create,
            },
        );
    let remove_xattr =
        (any::<Pick>(), 0..6_u8).prop_map(|(target, name)| Operation::RemoveXattr { target, name });
    let file_end = || (any::<Pick>(), size());
    let copy_range = (file_end(), file_end(), size())
        .prop_map(|(from, to, length)| Operation::CopyRange { from, to, length });
    let set_acl = (any::<Pick>(), any::<bool>(), acl::any()).prop_map(|(target, default, acl)| {
        Operation::SetAcl {
            target,
            default,
            acl,
        }
    });
    let remove_acl = (any::<Pick>(), any::<bool>())
        .prop_map(|(target, default)| Operation::RemoveAcl { target, default });
    prop_oneof![
        6 => set_attr,
        8 => write,
        3 => allocate,
        4 => set_xattr,
        2 => remove_xattr,
        3 => copy_range,
        3 => set_acl,
        1 => remove_acl,
    ]
}

fn around() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => any::<Pick>().prop_map(|target| Operation::Hold { target }),
        1 => any::<u8>().prop_map(|held| Operation::Release { held }),
        1 => Just(Operation::ForgetAll),
        2 => Just(Operation::Reopen),
        2 => (any::<Pick>(), any::<bool>())
            .prop_map(|(target, data_only)| Operation::Sync { target, data_only }),
        1 => any::<Pick>().prop_map(|target| Operation::Complete { target }),
        2 => (any::<Pick>(), size(), size())
            .prop_map(|(target, offset, length)| Operation::Read { target, offset, length }),
    ]
}

fn lower_step() -> impl Strategy<Value = LowerStep> {
    let place = || (any::<Pick>(), 0..7_u8);
    prop_oneof![
        4 => (place(), permissions()).prop_map(|((dir, name), permissions)| {
            LowerStep::Directory { dir, name, permissions }
        }),
        4 => (place(), permissions(), size(), size()).prop_map(
            |((dir, name), permissions, length, hole)| {
                LowerStep::File { dir, name, permissions, length, hole }
            }
        ),
        1 => place().prop_map(|(dir, name)| LowerStep::Symlink { dir, name }),
        1 => (place(), 0..0x400_u32)
            .prop_map(|((dir, name), rdev)| LowerStep::Special { dir, name, rdev }),
        3 => (any::<Pick>(), place())
            .prop_map(|(target, (dir, name))| LowerStep::LowerLink { target, dir, name }),
        1 => (any::<Pick>(), any::<bool>(), acl::any())
            .prop_map(|(target, default, acl)| LowerStep::Acl { target, default, acl }),
        1 => (any::<Pick>(), 0..6_u8, any::<u8>()).prop_map(|(target, name, root)| {
            LowerStep::Xattr { target, name, root: root % 8 == 7 }
        }),
        1 => (any::<Pick>(), any::<bool>())
            .prop_map(|(target, contents)| LowerStep::Hide { target, contents }),
    ]
}

/// Often all files but empty ones are copied block by block, in blocks of any size.
fn copy_up() -> impl Strategy<Value = CopyUp> {
    let limits = prop::sample::select(vec![0, 0, 10, 3000, 1 << 20]);
    let sizes = prop::sample::select(vec![16, 64, 512, 4096]);
    (limits, sizes).prop_map(|(whole, block_size)| CopyUp {
        whole,
        whole_of_living: whole,
        block_size,
    })
}

/// Random cases.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let operation = prop_oneof![5 => change_of_names(), 4 => change_of_inodes(), 2 => around()];
    let parts = (
        vec(lower_step(), 0..25),
        vec(operation, 1..40),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.03),
        copy_up(),
        any::<bool>(),
        any::<bool>(),
    );
    parts.prop_map(
        |(lower, operations, on_host, on_disk, copy_up, keep, watch)| Case {
            lower,
            operations,
            on_host,
            on_disk,
            copy_up,
            keep,
            watch,
        },
    )
}
