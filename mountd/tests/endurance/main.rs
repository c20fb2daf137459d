//! What a mount must stand for long, or when its own ground moves: a million inodes, a store that
//! vanishes, a lower that contains the mount itself, two mounts of one image.
//!
//! Each daemon is a process of its own, so that its memory can be measured and a hang be ended.
//! Needs root and `/dev/fuse`; says so when it is skipped. The large run:
//! `WPAR_MANY_FILES=1000000 cargo test --release -p wpar-mountd --test endurance many`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod itself;
mod many;
mod mount;
mod store;
mod twice;
