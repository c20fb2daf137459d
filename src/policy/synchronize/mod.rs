//! What `syncwpar` does to bring a WPAR to the level of the host.
//!
//! [`own`] is for a copy with a `/usr` of its own, [`shared`] for a WPAR that shares it. Nothing here
//! changes anything: a plan, or what is in the way of one.

pub mod own;
pub mod shared;
pub mod shared_accounts;
pub mod shared_script;
pub mod shared_status;
