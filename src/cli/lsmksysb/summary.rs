//! What `lsmksysb -l` says about an image.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::backup::describe::date;
use crate::backup::saved::Saved;
use crate::source::os_release::SystemFacts;

/// Width of the keys, as in AIX.
const KEY_WIDTH: usize = 24;

/// The fields, in AIX's order: key, its name for programs, value.
pub(super) struct Summary(pub(super) [(&'static str, &'static str, String); 8]);

impl Summary {
    /// Of an image that was made by `mksysb` or `savewpar`, what it says itself; of another
    /// archive what can be seen.
    pub(super) fn of(saved: &Saved, image: &Path) -> Self {
        let data = saved.image_data();
        let facts = SystemFacts::read(saved.tree()).unwrap_or_default();
        let seen_level = format!("{} {}", facts.id, facts.version_id)
            .trim()
            .to_owned();
        let modified = fs::metadata(image).map_or(0, |found| found.mtime());
        let or = |known: Option<&str>, seen: String| match known {
            Some(known) => known.to_owned(),
            None if seen.is_empty() => "not known".to_owned(),
            None => seen,
        };
        let level = or(data.level(), seen_level);
        let point = or(data.get("image_data", "OSLEVEL_R"), level.clone());
        let unpacked = saved.lower().index().stream_bytes();
        Self([
            (
                "VOLUME GROUP",
                "volume_group",
                or(data.get("vg_data", "VGNAME"), "rootvg".into()),
            ),
            (
                "BACKUP DATE/TIME",
                "date",
                or(data.date(), date(u64::try_from(modified).unwrap_or(0))),
            ),
            ("UNAME INFO", "uname", or(data.uname(), String::new())),
            ("BACKUP OSLEVEL", "oslevel", level),
            ("MAINTENANCE LEVEL", "maintenance_level", point),
            (
                "BACKUP SIZE (MB)",
                "size_mb",
                sizes(saved, "FS_SIZE", unpacked),
            ),
            (
                "SHRINK SIZE (MB)",
                "shrink_size_mb",
                sizes(saved, "FS_MIN_SIZE", unpacked),
            ),
            ("VG DATA ONLY", "vg_data_only", "no".to_owned()),
        ])
    }

    /// The paragraph.
    pub(super) fn paragraph(&self) -> String {
        let line = |(key, _, value): &(&str, &str, String)| {
            let key = format!("{key}:");
            format!("{key:KEY_WIDTH$}{value}\n")
        };
        self.0.iter().map(line).collect()
    }

    /// A line of names and one of values, divided by colons.
    pub(super) fn colons(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|field| field.1).collect();
        let values: Vec<_> = self.0.iter().map(|field| field.2.as_str()).collect();
        format!("#{}\n{}\n", names.join(":"), values.join(":"))
    }

    /// An object.
    pub(super) fn json(&self) -> serde_json::Value {
        let field = |field: &(&str, &str, String)| (field.1.to_owned(), field.2.clone().into());
        serde_json::Value::Object(self.0.iter().map(field).collect())
    }
}

/// Megabytes of all file systems, whose sizes are in blocks of 512 bytes; of an image that names
/// none, of `bytes`.
fn sizes(saved: &Saved, key: &str, bytes: u64) -> String {
    let of = |stanza: &crate::model::image_data::Stanza| stanza.get(key)?.parse::<u64>().ok();
    let sizes: Vec<_> = saved
        .image_data()
        .stanzas("fs_data")
        .filter_map(of)
        .collect();
    let megabytes = match sizes.is_empty() {
        true => bytes >> 20,
        false => {
            sizes
                .iter()
                .fold(0, |sum: u64, size| sum.saturating_add(*size))
                >> 11
        }
    };
    megabytes.to_string()
}
