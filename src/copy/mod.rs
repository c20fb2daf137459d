//! Files on their way between the host, WPARs and tar streams: what `wpar cp` moves.
//!
//! A source (`tree_source`, `archive_source`) gives one entry after the other, a sink (`tree_sink`,
//! `archive`) takes them, and `transfer` stands between.
//!
//! * No process enters a WPAR. Each path of one is resolved by the kernel below a descriptor of its
//!   root (`place`), and below the directory that is copied no link is followed at all.
//! * Owners in an entry are numbers as they are seen inside; `ids` has the difference, at both ends.
//! * What crosses to another system passes `custody`: no device becomes real anywhere, nothing of a
//!   WPAR runs with another user's rights on the host.
//! * A file is there as a whole or not at all: it gets its name when it is complete.

mod archive;
mod archive_source;
mod attributes;
mod custody;
mod entry;
mod guise;
mod ids;
mod place;
mod transfer;
mod tree_sink;
mod tree_source;

pub(crate) use archive::ArchiveSink;
pub(crate) use archive_source::ArchiveSource;
pub(crate) use custody::Way;
pub(crate) use ids::Ids;
pub(crate) use place::{Place, last_name};
pub(crate) use transfer::{CopyError, Outcome, Source, Transfer};
pub(crate) use tree_sink::TreeSink;
pub(crate) use tree_source::TreeSource;
