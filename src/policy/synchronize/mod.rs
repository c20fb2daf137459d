//! What is to be done so that a WPAR agrees with the host again.

pub mod shared;
pub mod shared_accounts;
pub mod shared_script;
pub mod shared_status;
