//! What the rules of a system copy decided about one WPAR, when it was made: its view of the source.
//!
//! Kept beside the record, because the decisions of one day must hold on the next: what was hidden
//! stays hidden even if the rules, the site's lists or the source's package data base have changed
//! since. The file is `var/lib/wpar/views/NAME.json`; it goes and stays with the WPAR's store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wpar_mountd::spec::{HiddenExtent, HiddenName, RootMark};

use super::Generation;
use super::frozen::Frozen;

/// Newest version of the format of a [`View`]. A newer one is refused, not guessed. A view has the
/// oldest version that can say what it says ([`View::needed_version`]).
pub const VIEW_VERSION: u32 = 2;

/// What a WPAR sees of its source otherwise than it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Version of its format, at most [`VIEW_VERSION`].
    pub version: u32,
    /// Names of the source that do not exist for the WPAR, besides those that are found anew at each
    /// start ([`crate::policy::exclusions`]). Sorted by path; none lies below another.
    #[serde(default)]
    pub hidden: Vec<HiddenName>,
    /// Files that were written into the WPAR's store in place of the source's, or in addition.
    #[serde(default)]
    pub written: Vec<WrittenName>,
    /// The filesets that the private list names, sorted by name and architecture; those that nobody
    /// named are not in it.
    #[serde(default)]
    pub filesets: Vec<Fileset>,
    /// What the administrator should know, one line each: what would run twice, for example.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What is still to be done when the WPAR starts for the first time.
    #[serde(default, skip_serializing_if = "Conversion::is_done")]
    pub conversion: Conversion,
    /// File systems of the running system that are part of the copy, besides that of `/`. The place
    /// in the list is part of their inode numbers: it never changes.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// File systems of the running system that are no part of it, sorted by mount point.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// What its base had on record when its root part was made or synchronized. Since version 2.
    #[serde(default, skip_serializing_if = "Synced::is_empty")]
    pub synced: Synced,
    /// What `syncwpar -D` has made of it, the last one last. Since version 2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<Generation>,
    /// The snapshots that are shown in place of the running system; `None` if that itself is. Then
    /// `hidden` has everything, also what else is found anew at each start. Since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            version: 1,
            hidden: Vec::new(),
            written: Vec::new(),
            filesets: Vec::new(),
            notes: Vec::new(),
            conversion: Conversion::default(),
            parts: Vec::new(),
            left_out: Vec::new(),
            synced: Synced::default(),
            generations: Vec::new(),
            frozen: None,
        }
    }
}

impl View {
    /// What this and `other` say of the same WPAR.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.hidden.extend(other.hidden);
        // By components: what lies below a name follows it.
        self.hidden
            .sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
        let covers = |above: &HiddenName, name: &HiddenName| {
            let rest = name.path.strip_prefix(above.path.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let all = std::mem::take(&mut self.hidden);
        for name in all {
            match self.hidden.last_mut() {
                Some(last) if covers(last, &name) => {}
                Some(last) if last.path == name.path => {
                    // The first reason stays, but the larger extent wins.
                    if name.extent == HiddenExtent::Name {
                        last.extent = HiddenExtent::Name;
                    }
                }
                _ => self.hidden.push(name),
            }
        }
        self.written.extend(other.written);
        self.filesets.extend(other.filesets);
        self.notes.extend(other.notes);
        self.parts.extend(other.parts);
        self.left_out.extend(other.left_out);
        if self.synced.is_empty() {
            self.synced = other.synced;
        }
        self.frozen = self.frozen.or(other.frozen);
        self.conversion = Conversion {
            programs: self.conversion.programs || other.conversion.programs,
            host_keys: self.conversion.host_keys || other.conversion.host_keys,
            synchronization: self.conversion.synchronization || other.conversion.synchronization,
        };
        self
    }

    /// The oldest version of the format that knows everything in this view.
    pub fn needed_version(&self) -> u32 {
        let is_older =
            self.generations.is_empty() && self.synced.is_empty() && self.frozen.is_none();
        match is_older && !self.conversion.synchronization {
            true => 1,
            false => 2,
        }
    }

    /// Whether the WPAR sees its source as it is.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// The records of a base that a root part agrees with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Synced {
    /// The packages that are visible, sorted by name and architecture.
    pub packages: Vec<SyncedPackage>,
    /// Names of the root part that are in no package's list: what scripts of packages make.
    pub made: Vec<String>,
}

impl Synced {
    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A package of a base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncedPackage {
    /// Its name.
    pub name: String,
    /// Its architecture in the words of its family; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// Its configuration files, without a leading `/`, and the digest that the package has of each;
    /// empty if it has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}

impl SyncedPackage {
    /// By what it is told from others.
    pub fn key(&self) -> String {
        format!("{}:{}", self.name, self.architecture)
    }
}

/// What is done once, inside, before the first start: nothing if that has been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conversion {
    /// Programs in `/usr/lib/wpars/wparconvert.d` are run.
    pub programs: bool,
    /// SSH host keys are made.
    pub host_keys: bool,
    /// Packages that came from the host are set up. Since version 2 of the view.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub synchronization: bool,
}

impl Conversion {
    /// Whether nothing is to be done.
    pub fn is_done(&self) -> bool {
        *self == Self::default()
    }
}

/// A file system of the running system in a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Where it is mounted, without the leading `/`.
    pub point: String,
    /// Its type.
    pub fs_type: String,
    /// Its device, as it was called then.
    pub source: String,
    /// What tells it from another one; `None` if it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<RootMark>,
    /// Whether it is a subvolume that is seen without being mounted. One that is deleted is gone like
    /// any directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nested: bool,
    /// Why it is part of the copy, in words for the administrator.
    pub reason: String,
}

/// A file system of the running system that is not in a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Where it is mounted, without the leading `/`.
    pub point: String,
    /// Why, in words for the administrator: `xfs on /dev/sdb1, not in the root volume group`.
    pub reason: String,
}

/// A file that was written when the WPAR was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenName {
    /// Its path below the root, without a leading `/`.
    pub path: String,
    /// Why, in words for the administrator.
    pub reason: String,
}

/// A fileset (package) that the private list names, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fileset {
    /// Its name.
    pub name: String,
    /// Its architecture in the words of its family; empty if there is none.
    #[serde(default)]
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// Bytes that it takes, as its data base says.
    #[serde(default)]
    pub size: u64,
    /// What became of it.
    pub fate: FilesetFate,
    /// Why: which rule or list names it, or what needs it.
    pub reason: String,
}

/// What became of a fileset that the private list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilesetFate {
    /// Its files are hidden, and the package data base does not know it.
    Hidden,
    /// Its files are hidden; the data base keeps an empty record, because others depend on it.
    Ghost,
    /// It stays visible, because something visible needs it.
    Kept,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_version_2_and_older_views_have_none() {
        let old = r#"{"version": 1, "hidden": [], "conversion": {"programs": true}}"#;
        let view: View = serde_json::from_str(old).unwrap();
        assert_eq!(view.needed_version(), 1);
        let written = serde_json::to_string(&view).unwrap();
        assert!(!written.contains("generations") && !written.contains("synchronization"));
        let new = r#"{"version": 2, "conversion": {"synchronization": true}, "generations": [
            {"number": 1, "made": 1700000000, "replaced": 91, "added": 10, "kept": 12,
             "from": {"id": "debian", "version_id": "11", "architecture": "x86_64"}}]}"#;
        let view: View = serde_json::from_str(new).unwrap();
        assert_eq!(view.needed_version(), 2);
        assert!(view.conversion.synchronization && !view.conversion.is_done());
        let written = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<View>(&written).unwrap(), view);
    }

    #[test]
    fn of_two_views_nothing_is_hidden_twice() {
        let name = |path: &str, extent| HiddenName {
            path: path.to_owned(),
            extent,
            reason: path.to_owned(),
        };
        let view = |hidden| View {
            hidden,
            ..View::default()
        };
        let ours = view(vec![
            name("var/cache", HiddenExtent::Contents),
            name("a-b", HiddenExtent::Name),
        ]);
        let theirs = view(vec![
            name("var/cache/apt", HiddenExtent::Name),
            name("a", HiddenExtent::Name),
            name("a/deep", HiddenExtent::Name),
            name("var/cache", HiddenExtent::Name),
            name("var/cache-2", HiddenExtent::Name),
        ]);
        let both = ours.with(theirs);
        let paths: Vec<_> = both.hidden.iter().map(|name| name.path.as_str()).collect();
        assert_eq!(paths, ["a", "a-b", "var/cache", "var/cache-2"]);
        assert_eq!(both.hidden[2].extent, HiddenExtent::Name);
    }
}
