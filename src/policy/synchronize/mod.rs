//! What `syncwpar` does to bring a WPAR to the level of the host.
//!
//! [`own`] is for a copy with a `/usr` of its own. Nothing here changes anything: a plan, or what is in
//! the way of one.

pub mod own;
