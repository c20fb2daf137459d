//! The objects of the JSON, as `docs/diff-json.md` describes them.

use serde::Serialize;

use crate::packages::Family;

#[derive(Serialize)]
pub(super) struct Document {
    pub(super) version: u32,
    pub(super) a: SystemObject,
    pub(super) b: SystemObject,
    pub(super) same: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) identity: Option<Vec<IdentityObject>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) packages: Option<PackagesObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) users: Option<Vec<AccountObject>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) services: Option<Vec<ServiceObject>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) privileges: Option<Vec<PrivilegeObject>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<Vec<ConfigObject>>,
    /// Null if they are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kernels: Option<Option<KernelsObject>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<Vec<FileObject>>,
    pub(super) problems: Vec<ProblemObject>,
}

#[derive(Serialize)]
pub(super) struct SystemObject {
    /// As it was named.
    pub(super) name: String,
    /// `host`, `wpar`, `image`, `directory`.
    pub(super) kind: &'static str,
    pub(super) runs: bool,
    pub(super) id: String,
    pub(super) version_id: String,
    pub(super) pretty_name: String,
    pub(super) architecture: Option<&'static str>,
    pub(super) init: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct IdentityObject {
    pub(super) what: String,
    /// Of what is not told: `set`.
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

#[derive(Serialize)]
pub(super) struct PackagesObject {
    /// `dpkg`, `rpm`, `apk`, `pacman`, of A and of B.
    pub(super) families: [Option<Family>; 2],
    pub(super) changes: Vec<PackageObject>,
}

#[derive(Serialize)]
pub(super) struct PackageObject {
    pub(super) name: String,
    /// `added`, `removed`, `upgraded`, `downgraded`, `changed`.
    pub(super) change: &'static str,
    pub(super) before: Option<InstalledObject>,
    pub(super) after: Option<InstalledObject>,
}

#[derive(Serialize)]
pub(super) struct InstalledObject {
    pub(super) version: String,
    pub(super) architecture: String,
    pub(super) complete: bool,
}

#[derive(Serialize)]
pub(super) struct AccountObject {
    /// `user` or `group`.
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// `added`, `removed`, `changed`.
    pub(super) change: &'static str,
    pub(super) fields: Vec<FieldObject>,
    /// `changed`, `locked`, `unlocked`, `removed`; never a password.
    pub(super) password: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct FieldObject {
    pub(super) name: &'static str,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ServiceObject {
    /// `systemd`, `openrc`, `sysvinit`.
    pub(super) manager: &'static str,
    pub(super) name: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

#[derive(Serialize)]
pub(super) struct PrivilegeObject {
    pub(super) path: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    /// Its contents are others, and no changed package explains that.
    pub(super) contents: bool,
    pub(super) package: Option<String>,
}

#[derive(Serialize)]
pub(super) struct ConfigObject {
    pub(super) path: String,
    /// `packaged`, `edited`, `unknown`.
    pub(super) before: Option<&'static str>,
    pub(super) after: Option<&'static str>,
    pub(super) package: Option<String>,
    /// Unified, with `-v`, if everybody may read the file.
    pub(super) text: Option<String>,
}

#[derive(Serialize)]
pub(super) struct KernelsObject {
    pub(super) before: KernelCountObject,
    pub(super) after: KernelCountObject,
}

#[derive(Serialize)]
pub(super) struct KernelCountObject {
    pub(super) kernels: usize,
    pub(super) modules: usize,
}

#[derive(Serialize)]
pub(super) struct FileObject {
    pub(super) path: String,
    /// `added`, `removed`, `changed`.
    pub(super) change: &'static str,
    /// `type`, `content`, `target`, `device`, `mode`, `owner`, `attributes`, `links`, `time`.
    pub(super) aspects: Vec<&'static str>,
    pub(super) before: Option<FileStateObject>,
    pub(super) after: Option<FileStateObject>,
    pub(super) package: Option<String>,
    /// Whether a change of that package explains it.
    pub(super) explained: bool,
}

#[derive(Serialize)]
pub(super) struct FileStateObject {
    pub(super) kind: &'static str,
    /// Octal.
    pub(super) mode: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) mtime: TimeObject,
}

#[derive(Serialize)]
pub(super) struct TimeObject {
    /// Since 1970.
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

#[derive(Serialize)]
pub(super) struct ProblemObject {
    pub(super) path: String,
    pub(super) why: String,
}
