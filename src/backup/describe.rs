//! `image.data` and `wpar.data`: what an image says about itself.
//!
//! The first has AIX's stanzas as far as they mean something here, the second what `wpar` itself
//! wants to know, in the same form.

use std::path::PathBuf;

use wpar_mountd::spec::{HiddenExtent, HiddenName};

use crate::model::image_data::{ImageData, Stanza};
use crate::model::record::FileSystemSource;
use crate::model::{Source, WparRecord};

/// Name of the file in an image, without `./`.
pub const WPAR_DATA: &str = "wpar.data";
/// Version of what is written here into `wpar.data`.
pub const WPAR_DATA_VERSION: u32 = 1;

/// What is known about the system that is saved.
#[derive(Clone, Debug, Default)]
pub struct BackupFacts {
    /// Time of the backup, in seconds since 1970.
    pub seconds: u64,
    /// Host name.
    pub hostname: String,
    /// Name, release and version of the kernel.
    pub kernel: [String; 3],
    /// Kind of machine, as `x86_64`.
    pub machine: String,
    /// `ID` of os-release.
    pub id: String,
    /// `VERSION_ID` of os-release.
    pub version: Option<String>,
    /// A finer version, where a distribution keeps one.
    pub point: Option<String>,
    /// `PRETTY_NAME` of os-release.
    pub name: Option<String>,
    /// Machine-id.
    pub machine_id: Option<String>,
    /// `LANG`.
    pub language: Option<String>,
    /// File systems that are saved.
    pub file_systems: Vec<FileSystem>,
}

/// A file system that is saved.
#[derive(Clone, Debug)]
pub struct FileSystem {
    /// Where it is mounted.
    pub name: PathBuf,
    /// Its type.
    pub fs_type: String,
    /// Its device.
    pub source: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What of that is used, in bytes.
    pub used: u64,
}

/// What kind of backup an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupKind {
    /// Of the running system.
    System,
    /// Of a WPAR.
    Wpar,
    /// Of what a WPAR changed.
    Difference,
}

impl BackupKind {
    /// The word in `wpar.data`.
    pub fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Wpar => "wpar",
            Self::Difference => "difference",
        }
    }

    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::System, Self::Wpar, Self::Difference]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// `image.data` of a system.
pub fn image_data(facts: &BackupFacts) -> ImageData {
    let level = match &facts.version {
        Some(version) => format!("{} {version}", facts.id),
        None => facts.id.clone(),
    };
    let point = match &facts.point {
        Some(point) => format!("{} {point}", facts.id),
        None => level.clone(),
    };
    let [system, release, version] = &facts.kernel;
    let mut data = ImageData::default();
    data.push(
        Stanza::new("image_data")
            .field("IMAGE_TYPE", "tar")
            .field("DATE_TIME", date(facts.seconds))
            .field(
                "UNAME_INFO",
                format!(
                    "{system} {} {release} {version} {}",
                    facts.hostname, facts.machine
                ),
            )
            .field("PRODUCT_TAPE", "no")
            .field("USERVG_LIST", "")
            .field("PLATFORM", &facts.machine)
            .field("OSLEVEL", level)
            .field("OSLEVEL_R", point)
            .field("OSLEVEL_S", facts.name.as_deref().unwrap_or_default())
            .field("LPAR_ID", 0),
    );
    data.push(
        Stanza::new("logical_volume_policy")
            .field("SHRINK", "no")
            .field("EXACT_FIT", "no"),
    );
    data.push(Stanza::new("ils_data").field("LANG", facts.language.as_deref().unwrap_or("C")));
    data.push(Stanza::new("vg_data").field("VGNAME", "rootvg"));
    for system in &facts.file_systems {
        data.push(file_system(system));
    }
    data
}

fn file_system(system: &FileSystem) -> Stanza {
    // AIX counts in blocks of 512 bytes.
    Stanza::new("fs_data")
        .field("FS_NAME", system.name.display())
        .field("FS_SIZE", system.bytes / 512)
        .field("FS_MIN_SIZE", system.used / 512)
        .field("FS_TYPE", &system.fs_type)
        .field("FS_SOURCE", &system.source)
}

/// `wpar.data` of a backup. `left_out` are names that are no part of it, with the reasons.
pub fn wpar_data(kind: BackupKind, facts: &BackupFacts, left_out: &[HiddenName]) -> ImageData {
    let mut data = ImageData::default();
    data.push(
        Stanza::new("wpar_data")
            .field("VERSION", WPAR_DATA_VERSION)
            .field("TOOL", concat!("wpar ", env!("CARGO_PKG_VERSION")))
            .field("KIND", kind.word())
            .field("SECONDS", facts.seconds)
            .field("CONSISTENCY", "file")
            .field("MACHINE", &facts.machine),
    );
    for name in left_out {
        let contents = match name.extent {
            HiddenExtent::Name => "",
            HiddenExtent::Contents => "/*",
        };
        data.push(
            Stanza::new("left_out")
                .field("NAME", format!("/{}{contents}", name.path))
                .field("REASON", &name.reason),
        );
    }
    data
}

/// The stanza of `wpar.data` about the WPAR that was saved.
pub fn wpar_stanza(record: &WparRecord) -> Stanza {
    let word = |flag: bool| if flag { "yes" } else { "no" };
    let limit = |limit: Option<u64>| limit.map_or_else(String::new, |limit| limit.to_string());
    let stanza = Stanza::new("wpar")
        .field("NAME", &record.name)
        .field("HOSTNAME", &record.hostname)
        .field("UUID", &record.uuid)
        .field(
            "PRESERVE_PRIVATE",
            word(record.copy_controls.preserve_private),
        )
        .field("PRESERVE_WPARS", word(record.copy_controls.preserve_wpars))
        .field("SIZE", limit(record.limits.size))
        .field("INODES", limit(record.limits.inodes));
    let stanza = match record.versioned {
        true => stanza.field("VERSIONED", "yes"),
        false => stanza,
    };
    let stanza = match record.auto {
        true => stanza.field("AUTO", "yes"),
        false => stanza,
    };
    // Its addresses stay where it was saved; what it may use goes with it.
    let stanza = match record.resources.is_default() {
        true => stanza,
        false => stanza.field("RESOURCES", &record.resources),
    };
    let settings = record.privileges.settings().join(" ");
    let devices: Vec<_> = record.devices.iter().map(ToString::to_string).collect();
    let script = record.script.as_ref();
    let script = script.map_or_else(String::new, |path| path.display().to_string());
    let stanza = [
        ("PRIVILEGES", settings),
        ("DEVICES", devices.join(" ")),
        ("SCRIPT", script),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .fold(stanza, |stanza, (key, value)| stanza.field(key, value));
    match &record.source {
        Source::Host => stanza.field("SOURCE", "host"),
        Source::Fresh => stanza.field("SOURCE", "packages"),
        Source::Tree { path, .. } => stanza
            .field("SOURCE", "directory")
            .field("IMAGE", path.display()),
        Source::Image {
            path, fingerprint, ..
        }
        | Source::FileSystem(FileSystemSource {
            path, fingerprint, ..
        }) => stanza
            .field("SOURCE", "image")
            .field("IMAGE", path.display())
            .field("IMAGE_BYTES", fingerprint.bytes)
            .field(
                "IMAGE_TIME",
                format!("{}.{:09}", fingerprint.modified, fingerprint.nanoseconds),
            ),
    }
}

/// A time in the form of `date`, in UTC: `Fri Nov 27 23:48:42 UTC 2026`.
pub fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // The arithmetic of the calendar is humantime's: `2026-11-27T23:48:42Z`.
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let number = |from: usize| text.get(from..from + 2).unwrap_or("00");
    let month = number(5).parse().unwrap_or(1_usize);
    let month = MONTHS
        .get(month.saturating_sub(1))
        .copied()
        .unwrap_or("???");
    let weekday = DAYS[(seconds / 86_400 % 7) as usize];
    let day = number(8).trim_start_matches('0');
    let year = text.get(..4).unwrap_or("????");
    let clock = text.get(11..19).unwrap_or("00:00:00");
    format!("{weekday} {month} {day:>2} {clock} UTC {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_date() {
        for (seconds, text) in [
            (0, "Thu Jan  1 00:00:00 UTC 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
            (1_795_823_322, "Fri Nov 27 23:48:42 UTC 2026"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn image_data_has_the_stanzas_of_aix() {
        let facts = BackupFacts {
            seconds: 0,
            hostname: "web1".into(),
            kernel: ["Linux".into(), "6.12".into(), "#1".into()],
            machine: "x86_64".into(),
            id: "debian".into(),
            version: Some("12".into()),
            point: Some("12.5".into()),
            file_systems: vec![FileSystem {
                name: "/".into(),
                fs_type: "ext4".into(),
                source: "/dev/sda1".into(),
                bytes: 10 << 30,
                used: 1 << 30,
            }],
            ..BackupFacts::default()
        };
        let text = image_data(&facts).to_string();
        assert_eq!(
            text,
            "image_data:\n\tIMAGE_TYPE= tar\n\tDATE_TIME= Thu Jan  1 00:00:00 UTC 1970\n\
             \tUNAME_INFO= Linux web1 6.12 #1 x86_64\n\tPRODUCT_TAPE= no\n\tUSERVG_LIST= \n\
             \tPLATFORM= x86_64\n\tOSLEVEL= debian 12\n\tOSLEVEL_R= debian 12.5\n\tOSLEVEL_S= \n\
             \tLPAR_ID= 0\n\nlogical_volume_policy:\n\tSHRINK= no\n\tEXACT_FIT= no\n\n\
             ils_data:\n\tLANG= C\n\nvg_data:\n\tVGNAME= rootvg\n\nfs_data:\n\tFS_NAME= /\n\
             \tFS_SIZE= 20971520\n\tFS_MIN_SIZE= 2097152\n\tFS_TYPE= ext4\n\tFS_SOURCE= /dev/sda1\n"
        );
    }
}
