//! Data bases of chance: whatever they say, the rules end, and hide nothing but names below the root.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use wpar_mountd::filter::HiddenNames;
use wpar_mountd::lower::memory::MemoryLower;
use wpar_mountd::overlay::Overlay;

use super::*;
use crate::model::{CopyControls, Hostname};

/// Words of which the files are made.
const WORDS: &[&str] = &[
    "Package: ",
    "Status: install ok installed",
    "Architecture: amd64",
    "Version: 1",
    "Depends: ",
    "Provides: ",
    "grub-common",
    "linux-image-1",
    "mdadm",
    "cron",
    "a",
    " | ",
    ", ",
    " (>= 1)",
    "\n",
    "\n\n",
    "/.",
    "/boot",
    "/boot/vmlinuz-1",
    "/etc/grub.d",
    "/lib/x",
    "/usr/lib/x",
    "/..",
    "//",
    "/",
    ":",
    "/noawait",
    "auto",
    " ",
    "\u{fffd}",
    "\0",
    "P:",
    "D:",
    "F:",
    "R:",
    "%NAME%",
    "%DEPENDS%",
    "%FILES%",
    "!",
    "*",
    "[",
    "#",
];

const FILES: &[&str] = &[
    "var/lib/dpkg/status",
    "var/lib/dpkg/diversions",
    "var/lib/dpkg/statoverride",
    "var/lib/dpkg/info/grub-common.list",
    "var/lib/dpkg/info/linux-image-1.list",
    "var/lib/dpkg/info/cron.list",
    "var/lib/dpkg/triggers/File",
    "var/lib/dpkg/triggers/x",
    "var/lib/dpkg/alternatives/x",
    "var/lib/apt/extended_states",
    "lib/apk/db/installed",
    "lib/apk/db/triggers",
    "etc/apk/world",
    "var/lib/pacman/local/linux-1/desc",
    "var/lib/pacman/local/linux-1/files",
    "etc/pacman.conf",
    "etc/wpars/private.d/x.list",
    "var/lib/rpm/rpmdb.sqlite",
];

fn text() -> impl Strategy<Value = String> {
    vec(proptest::sample::select(WORDS), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_data_base_is_survived(
        files in vec((proptest::sample::select(FILES), text()), 0..12),
        has_packages in any::<bool>(),
    ) {
        let mut seen = std::collections::BTreeMap::from([("usr/lib/x", "x".to_owned()), ("boot/made", String::new())]);
        if has_packages {
            let stanza = |name: &str| format!("Package: {name}\nVersion: 1\nArchitecture: amd64\n\n");
            seen.insert("var/lib/dpkg/status", stanza("grub-common") + &stanza("cron") + &stanza("linux-image-1"));
        }
        for (path, text) in files {
            seen.insert(path, text);
        }
        let mut builder = MemoryLower::builder();
        for (path, text) in &seen {
            builder = builder.file(path, text);
        }
        let lower = Arc::new(builder.build().unwrap());
        let files = Overlay::new(Arc::clone(&lower) as _, None);
        let decisions = decide(&Situation { resolver: None,
            files: &files,
            of_running_system: false,
            controls: CopyControls::default(),
            hostname: &Hostname::new("wpar1").unwrap(),
            private_lists: &[],
        }).unwrap();
        // The daemon takes the rules, and they are compact.
        prop_assert!(HiddenNames::new(&decisions.view.hidden, &*lower).is_ok());
        let paths: Vec<_> = decisions.view.hidden.iter().map(|rule| &*rule.path).collect();
        for two in paths.windows(2) {
            let is_below = two[1].strip_prefix(two[0]).is_some_and(|rest| rest.starts_with('/'));
            prop_assert!(two[0] < two[1] && !is_below, "{two:?}");
        }
    }
}
