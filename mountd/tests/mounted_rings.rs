//! The merged tree through a real mount whose requests travel over `io_uring`.

#![allow(clippy::unwrap_used)]

mod mounted_cases;

const TRANSPORT: wpar_mountd::wire::Transport = wpar_mountd::wire::Transport::Rings;
