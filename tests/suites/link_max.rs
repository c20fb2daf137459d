//! Lets pjdfstest know how many names an inode may have. Built as a library and preloaded:
//! `pathconf` of the C library has a table of file systems it knows, FUSE is not among them, and
//! `link::link_count_max` is skipped then. The number is in the environment, `WPAR_LINK_MAX`.

use std::ffi::{c_char, c_int, c_long};

const PC_LINK_MAX: c_int = 0;

/// Stands in for `pathconf(3)`; only `_PC_LINK_MAX` is asked for by the suite.
#[unsafe(no_mangle)]
pub extern "C" fn pathconf(_path: *const c_char, name: c_int) -> c_long {
    if name != PC_LINK_MAX {
        return -1;
    }
    let value = std::env::var("WPAR_LINK_MAX").ok();
    value.and_then(|value| value.parse().ok()).unwrap_or(-1)
}
