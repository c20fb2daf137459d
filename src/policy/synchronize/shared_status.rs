//! The file `status` of dpkg in a WPAR that shares `/usr`, after the packages of its base have changed.
//! Format: deb-control(5), dpkg-query(1).
//!
//! What is new or has changed is `unpacked`, for `dpkg --configure` to run its scripts; of what is gone
//! the configuration is on record, if there is any, so that `dpkg --purge` can take it away. What the
//! WPAR has on record besides is left as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::shared::{Change, Plan};
use crate::model::view::Synced;

/// Path of the file.
pub const STATUS: &str = "var/lib/dpkg/status";
/// Directory of the files about each package.
pub const INFO: &str = "var/lib/dpkg/info";

/// The new file, and the packages in it of which only configuration is left, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its text.
    pub text: Vec<u8>,
    /// Lists of the files that are left of packages that are gone: name of the file in [`INFO`] and
    /// its contents.
    pub lists: BTreeMap<String, Vec<u8>>,
}

/// The records of a WPAR that had `own`, from those of its base without what is hidden. `before` is
/// what it was synchronized with; `is_there` tells whether it has a configuration file.
pub fn status(
    base: &[u8],
    own: &[u8],
    before: &Synced,
    plan: &Plan,
    is_there: impl Fn(&str) -> bool,
) -> Status {
    let mut rest: BTreeMap<String, &[u8]> = BTreeMap::new();
    for stanza in stanzas(own) {
        rest.insert(key(stanza), stanza);
    }
    let mut made = Status::default();
    for stanza in stanzas(base).filter(|stanza| state(stanza) != b"config-files") {
        let key = key(stanza);
        let own = rest.remove(&key);
        let text = match (plan.packages.get(&key), own) {
            (Some(Change::New(_)), own) => unpacked(stanza, own.and_then(configured)),
            (Some(Change::Changed(from, _)), own) => {
                let configured = own.and_then(configured);
                unpacked(stanza, Some(configured.unwrap_or(from.as_bytes())))
            }
            (_, Some(own)) if state(own) != b"not-installed" => own.to_vec(),
            _ => stanza.to_vec(),
        };
        push(&mut made.text, &text);
    }
    let known: BTreeSet<String> = before.packages.iter().map(|one| one.key()).collect();
    for (key, stanza) in rest {
        if plan.skipped.contains(&key) || !known.contains(&key) {
            push(&mut made.text, stanza);
            continue;
        }
        let files: Vec<_> = conffiles(stanza).filter(|path| is_there(path)).collect();
        if files.is_empty() {
            continue;
        }
        push(&mut made.text, &removed(stanza));
        made.lists.insert(list_name(stanza), list(&files));
    }
    made
}

/// The text without packages of which only configuration is left.
pub fn without_removed(text: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    for stanza in stanzas(text).filter(|stanza| state(stanza) != b"config-files") {
        push(&mut kept, stanza);
    }
    kept
}

/// The stanzas of these packages alone, by name and architecture.
pub fn only(text: &[u8], keys: &BTreeSet<String>) -> Vec<u8> {
    let mut kept = Vec::new();
    for stanza in stanzas(text).filter(|stanza| keys.contains(&key(stanza))) {
        push(&mut kept, stanza);
    }
    kept
}

/// Whether a package waits for its scripts.
pub fn is_to_be_configured(text: &[u8]) -> bool {
    stanzas(text).any(|stanza| !matches!(state(stanza), b"installed" | b"config-files"))
}

fn push(text: &mut Vec<u8>, stanza: &[u8]) {
    text.extend_from_slice(stanza.trim_ascii_end());
    text.extend_from_slice(b"\n\n");
}

fn stanzas(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let end = rest.windows(2).position(|two| two == b"\n\n");
            let (stanza, after) = match end {
                Some(end) => rest.split_at(end + 2),
                None => (rest, &b""[..]),
            };
            rest = after;
            if !stanza.trim_ascii().is_empty() {
                return Some(stanza);
            }
            if rest.is_empty() {
                return None;
            }
        }
    })
}

fn lines(stanza: &[u8]) -> impl Iterator<Item = &[u8]> {
    stanza.split(|&byte| byte == b'\n')
}

/// The value of a field in its line.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let rest = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}

fn field<'a>(stanza: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(stanza).find_map(|line| value(line, name))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn key(stanza: &[u8]) -> String {
    let name = text(field(stanza, b"Package"));
    format!("{name}:{}", text(field(stanza, b"Architecture")))
}

/// The last word of the field `Status`.
fn state(stanza: &[u8]) -> &[u8] {
    let words = field(stanza, b"Status").unwrap_or(b"install ok installed");
    words
        .rsplit(|&byte| byte == b' ')
        .next()
        .unwrap_or_default()
}

/// The version whose scripts ran last, of a package that is not wholly there.
fn configured(stanza: &[u8]) -> Option<&[u8]> {
    match state(stanza) {
        b"installed" => field(stanza, b"Version"),
        _ => field(stanza, b"Config-Version"),
    }
}

/// The stanza with another status and `Config-Version`, without the fields that do not go with it.
fn with_status(stanza: &[u8], status: &[u8], configured: Option<&[u8]>) -> Vec<u8> {
    let mut made = Vec::with_capacity(stanza.len() + 64);
    for line in lines(stanza.trim_ascii_end()) {
        let is = |name: &[u8]| value(line, name).is_some();
        if is(b"Config-Version") || is(b"Triggers-Pending") || is(b"Triggers-Awaited") {
            continue;
        }
        if is(b"Status") {
            made.extend([b"Status: ", status, b"\n"].concat());
            continue;
        }
        made.extend_from_slice(line);
        made.push(b'\n');
        if is(b"Version")
            && let Some(configured) = configured
        {
            made.extend([b"Config-Version: ", configured, b"\n"].concat());
        }
    }
    made
}

fn unpacked(stanza: &[u8], configured: Option<&[u8]>) -> Vec<u8> {
    let wanted = field(stanza, b"Status").unwrap_or_default();
    let is_held = wanted.starts_with(b"hold ");
    let status: &[u8] = match is_held {
        true => b"hold ok unpacked",
        false => b"install ok unpacked",
    };
    with_status(stanza, status, configured)
}

fn removed(stanza: &[u8]) -> Vec<u8> {
    let configured = configured(stanza).map(<[u8]>::to_vec);
    with_status(stanza, b"deinstall ok config-files", configured.as_deref())
}

/// Paths of the field `Conffiles`, without a leading `/`.
fn conffiles(stanza: &[u8]) -> impl Iterator<Item = String> {
    let mut is_in = false;
    lines(stanza).filter_map(move |line| {
        if !line.starts_with(b" ") {
            is_in = value(line, b"Conffiles").is_some();
            return None;
        }
        let path = line.trim_ascii().split(|&byte| byte == b' ').next()?;
        let path = path.strip_prefix(b"/").filter(|_| is_in)?;
        String::from_utf8(path.to_vec()).ok()
    })
}

/// A list of these files and the directories above them.
fn list(files: &[String]) -> Vec<u8> {
    let mut paths = BTreeSet::new();
    for file in files {
        let above = file.match_indices('/').filter_map(|(at, _)| file.get(..at));
        paths.extend(above);
        paths.insert(file);
    }
    let mut text = b"/.\n".to_vec();
    for path in paths {
        text.extend([b"/", path.as_bytes(), b"\n"].concat());
    }
    text
}

/// What the list of a package is called.
fn list_name(stanza: &[u8]) -> String {
    let name = text(field(stanza, b"Package"));
    match field(stanza, b"Multi-Arch") {
        Some(b"same") => format!("{name}:{}.list", text(field(stanza, b"Architecture"))),
        _ => format!("{name}.list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::view::SyncedPackage;

    fn stanza(name: &str, status: &str, version: &str, more: &str) -> String {
        format!(
            "Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n{more}\n"
        )
    }

    const INSTALLED: &str = "install ok installed";

    fn before(names: &[&str]) -> Synced {
        let package = |name: &&str| SyncedPackage {
            name: (*name).to_owned(),
            architecture: "amd64".to_owned(),
            version: "1".to_owned(),
            ..SyncedPackage::default()
        };
        Synced {
            packages: names.iter().map(package).collect(),
            made: Vec::new(),
        }
    }

    fn made(base: &[String], own: &[String], packages: &[(&str, Change)]) -> (String, Status) {
        let plan = Plan {
            packages: packages
                .iter()
                .map(|(name, change)| (format!("{name}:amd64"), change.clone()))
                .collect(),
            ..Plan::default()
        };
        let known = before(&["same", "changed", "waiting", "gone", "bare"]);
        let made = status(
            base.concat().as_bytes(),
            own.concat().as_bytes(),
            &known,
            &plan,
            |path| path == "etc/gone/conf",
        );
        (String::from_utf8(made.text.clone()).unwrap(), made)
    }

    #[test]
    fn each_package_has_the_state_that_its_scripts_need() {
        let conf = "Conffiles:\n /etc/gone/conf 0123\n /etc/gone/away 4567 obsolete\n";
        let base = [
            stanza("same", INSTALLED, "1", ""),
            stanza("changed", INSTALLED, "2", "Depends: same\n"),
            stanza("new", INSTALLED, "7", ""),
            stanza("waiting", INSTALLED, "3", ""),
            stanza("left", "deinstall ok config-files", "1", ""),
        ];
        let own = [
            stanza("same", INSTALLED, "1", ""),
            stanza("changed", INSTALLED, "1", ""),
            stanza("waiting", "install ok unpacked", "2", "Config-Version: 1\n"),
            stanza("gone", INSTALLED, "1", conf),
            stanza("bare", INSTALLED, "1", ""),
            stanza("local", INSTALLED, "5", ""),
        ];
        let (text, status) = made(
            &base,
            &own,
            &[
                ("changed", Change::Changed("1".into(), "2".into())),
                ("new", Change::New("7".into())),
                ("waiting", Change::Changed("2".into(), "3".into())),
                ("gone", Change::Gone("1".into())),
                ("bare", Change::Gone("1".into())),
            ],
        );
        let unpacked = "install ok unpacked";
        let with = |name, version, configured: &str, more: &str| {
            stanza(
                name,
                unpacked,
                &format!("{version}\nConfig-Version: {configured}"),
                more,
            )
        };
        let expected = [
            stanza("same", INSTALLED, "1", ""),
            with("changed", "2", "1", "Depends: same\n"),
            stanza("new", unpacked, "7", ""),
            with("waiting", "3", "1", ""),
            stanza(
                "gone",
                "deinstall ok config-files",
                "1\nConfig-Version: 1",
                conf,
            ),
            stanza("local", INSTALLED, "5", ""),
        ];
        assert_eq!(text, expected.concat());
        assert_eq!(
            status.lists,
            BTreeMap::from([(
                "gone.list".to_owned(),
                b"/.\n/etc\n/etc/gone\n/etc/gone/conf\n".to_vec()
            )])
        );
        assert!(is_to_be_configured(&status.text));
    }

    #[test]
    fn what_the_wpar_did_itself_stays_on_record() {
        let base = [stanza("same", INSTALLED, "1", "")];
        let own = [
            stanza(
                "same",
                "install ok triggers-pending",
                "1",
                "Triggers-Pending: x\n",
            ),
            stanza("local", INSTALLED, "5", ""),
        ];
        let (text, _) = made(&base, &own, &[]);
        assert_eq!(text, own.concat());
        assert!(!is_to_be_configured(base.concat().as_bytes()));
    }

    #[test]
    fn any_text_is_read() {
        for text in [
            "",
            "\n\n\n",
            "nonsense",
            "Package: x",
            "\n\nPackage: x\n\n\n\n",
        ] {
            let made = status(
                text.as_bytes(),
                text.as_bytes(),
                &Synced::default(),
                &Plan::default(),
                |_| true,
            );
            assert!(made.lists.is_empty());
        }
        assert_eq!(
            without_removed(b"Package: x\nStatus: deinstall ok config-files\n"),
            b""
        );
    }
}
