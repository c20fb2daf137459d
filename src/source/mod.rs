//! What a WPAR is made of: an image, a directory, or the running system; and the identity that it gets.
//!
//! Sources are read here and never written. What of them is not to be seen is decided in
//! [`crate::policy`].

pub mod accounts;
pub mod aix;
pub mod below;
pub mod devices;
mod directory;
mod disk;
pub mod edits;
mod elf;
pub mod files;
pub mod generation;
pub mod host;
pub mod identity;
pub mod image;
pub mod level;
pub mod machine;
pub mod os_release;
pub mod private_lists;
pub mod privilege;
pub mod resolver;
pub mod root_part;
mod system;
pub mod tree;
