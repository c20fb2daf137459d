//! What a WPAR is, in plain values: names, states, records, copy controls, limits.
//!
//! Pure: nothing in here reads a file, asks the kernel or knows a command line. Every rule that
//! AIX states about a value stands here, once, with its test.

pub mod abi;
mod amount;
pub mod base;
pub mod consistency;
pub mod copy_controls;
pub mod device_export;
pub mod edit;
pub mod frozen;
pub mod generation;
pub mod hostname;
pub mod ids;
pub mod image_data;
pub mod level;
pub mod name;
pub mod network;
pub mod pattern;
pub mod privileges;
pub mod record;
pub mod resources;
pub mod space_limits;
pub mod spec_file;
pub mod state;
pub mod view;

pub use base::{Base, BaseSystem, PackageFingerprint};
pub use consistency::Consistency;
pub use copy_controls::CopyControls;
pub use device_export::{DeviceName, DeviceRequest};
pub use edit::{Edit, Put};
pub use frozen::Frozen;
pub use generation::Generation;
pub use hostname::Hostname;
pub use ids::IdRange;
pub use image_data::ImageData;
pub use level::Level;
pub use name::WparName;
pub use network::{Network, NetworkRequest};
pub use privileges::Privileges;
pub use record::{Owner, Source, WparKind, WparRecord};
pub use resources::Resources;
pub use space_limits::{FileSystemAttributes, SpaceLimits};
pub use spec_file::SpecFile;
pub use state::{Facts, WparState};
pub use view::View;
