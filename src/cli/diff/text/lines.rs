//! The lines of each section.

use std::collections::BTreeMap;
use std::fmt::Write;

use wpar_mountd::types::FileKind;

use super::count_sides;
use crate::diff::accounts::{AccountChange, FieldChange};
use crate::diff::config::{ConfigChange, ConfigState};
use crate::diff::escape;
use crate::diff::files::{Aspect, FileChange, FileState, kind_name};
use crate::diff::packages_changed::{Installed, PackageChange, PackageChangeKind};
use crate::diff::{Difference, IdentityChange, PrivilegeChange, Section, ServiceChange};

/// How many files are shown without `--files`.
const FILES_SHOWN: usize = 40;

/// The lines of a section; none if its summary says it all.
pub(super) fn lines(section: Section, found: &Difference, all_files: bool) -> String {
    match section {
        Section::Identity => found.identity.iter().map(identity).collect(),
        Section::Packages => found.packages.iter().map(package).collect(),
        Section::Users => found.users.iter().map(account).collect(),
        Section::Services => found.services.iter().map(service).collect(),
        Section::Privileges => found.privileges.iter().map(privilege).collect(),
        Section::Config => found.config.iter().map(config).collect(),
        Section::Kernels => String::new(),
        Section::Files if all_files => found.files.iter().map(file).collect(),
        Section::Files => some_files(&found.files),
    }
}

fn mark(before: bool, after: bool) -> char {
    match (before, after) {
        (false, _) => '+',
        (true, false) => '-',
        (true, true) => '~',
    }
}

/// `A -> B`, or the one that there is.
fn change(before: Option<&str>, after: Option<&str>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (one, other) => one.or(other).unwrap_or_default().to_owned(),
    }
}

fn identity(found: &IdentityChange) -> String {
    let (before, after) = (found.before.as_deref(), found.after.as_deref());
    let mark = mark(before.is_some(), after.is_some());
    // Of what is not to be told there is only that it changed.
    let value = match (before, after) {
        (Some("set"), Some("set")) => "changed".to_owned(),
        _ => change(before, after),
    };
    format!("{mark} {}: {value}\n", found.what)
}

fn package(found: &PackageChange) -> String {
    let mark = match found.kind {
        PackageChangeKind::Added => '+',
        PackageChangeKind::Removed => '-',
        PackageChangeKind::Upgraded => '>',
        PackageChangeKind::Downgraded => '<',
        PackageChangeKind::Changed => '~',
    };
    let sides = [&found.before, &found.after];
    let architectures: Vec<_> = sides.iter().filter_map(|side| side.as_ref()).collect();
    let has_one_architecture = architectures
        .windows(2)
        .all(|pair| pair[0].architecture == pair[1].architecture);
    let describe = |installed: &Installed| {
        let mut text = escape::text(&installed.version);
        if !has_one_architecture {
            let _ = write!(text, " {}", escape::text(&installed.architecture));
        }
        if !installed.is_complete {
            text.push_str(" (incomplete)");
        }
        text
    };
    let [before, after] = sides.map(|side| side.as_ref().map(describe));
    let architecture = match architectures.first() {
        Some(one) if has_one_architecture && !one.architecture.is_empty() => {
            format!(" {}", escape::text(&one.architecture))
        }
        _ => String::new(),
    };
    let versions = change(before.as_deref(), after.as_deref());
    format!(
        "{mark} {} {versions}{architecture}\n",
        escape::text(&found.name)
    )
}

fn account(found: &AccountChange) -> String {
    let mark = mark(found.before, found.after);
    let is_changed = found.before && found.after;
    let field = |field: &FieldChange| {
        let shown = |value: &[u8]| match value {
            b"" if is_changed => "nothing".to_owned(),
            value => escape::bytes(value),
        };
        let [before, after] =
            [&field.before, &field.after].map(|value| value.as_deref().map(shown));
        let empty = before
            .as_deref()
            .or(after.as_deref())
            .unwrap_or_default()
            .is_empty();
        (is_changed || !empty).then(|| {
            format!(
                "{} {}",
                field.name,
                change(before.as_deref(), after.as_deref())
            )
        })
    };
    let mut parts: Vec<_> = found.fields.iter().filter_map(field).collect();
    parts.extend(
        found
            .password
            .map(|password| password.describe().to_owned()),
    );
    let name = escape::bytes(&found.name);
    format!("{mark} {} {name}: {}\n", found.kind, parts.join(", "))
}

fn service(found: &ServiceChange) -> String {
    let mark = mark(found.before.is_some(), found.after.is_some());
    let value = change(found.before.as_deref(), found.after.as_deref());
    format!("{mark} {}: {value}\n", escape::bytes(&found.name))
}

fn privilege(found: &PrivilegeChange) -> String {
    let mark = mark(found.before.is_some(), found.after.is_some());
    let value = match found.before == found.after {
        true => found.after.clone().unwrap_or_default(),
        false => change(found.before.as_deref(), found.after.as_deref()),
    };
    let contents = if found.contents {
        ", contents changed"
    } else {
        ""
    };
    let package = owner(found.package.as_deref());
    format!("{mark} {}: {value}{contents}{package}\n", path(&found.path))
}

fn config(found: &ConfigChange) -> String {
    let mark = mark(found.before.is_some(), found.after.is_some());
    let states = match (found.before, found.after) {
        (Some(ConfigState::Unknown) | None, Some(ConfigState::Unknown) | None) => String::new(),
        (Some(before), Some(after)) if before == after => format!(": {}", after.name()),
        (before, after) => {
            let (before, after) = (before.map(ConfigState::name), after.map(ConfigState::name));
            format!(": {}", change(before, after))
        }
    };
    let package = owner(found.package.as_deref());
    let mut text = format!("{mark} {}{states}{package}\n", path(&found.path));
    for line in found.text.iter().flat_map(|text| text.lines()) {
        let _ = writeln!(text, "    {line}");
    }
    text
}

fn owner(package: Option<&str>) -> String {
    package.map_or_else(String::new, |name| format!(" ({})", escape::text(name)))
}

fn path(path: &[u8]) -> String {
    format!("/{}", escape::bytes(path))
}

/// Files that changed packages explain by number, of the others the first ones.
fn some_files(files: &[FileChange]) -> String {
    let mut packages: BTreeMap<&str, Vec<&FileChange>> = BTreeMap::new();
    let mut others = Vec::new();
    for file in files {
        match (&file.package, file.explained) {
            (Some(package), true) => packages.entry(package).or_default().push(file),
            (None, true) => packages.entry("package data base").or_default().push(file),
            _ => others.push(file),
        }
    }
    let mut out = String::new();
    for (package, files) in packages {
        let counts = count_sides(&files, |file| (file.before.is_some(), file.after.is_some()));
        let _ = writeln!(out, "  {}: {counts}", escape::text(package));
    }
    out.extend(others.iter().take(FILES_SHOWN).map(|found| file(found)));
    if others.len() > FILES_SHOWN {
        let rest = others.len() - FILES_SHOWN;
        let _ = writeln!(out, "  and {rest} more; --files shows all");
    }
    out
}

fn file(found: &FileChange) -> String {
    let mark = mark(found.before.is_some(), found.after.is_some());
    let mut text = format!("{mark} {}", path(&found.path));
    if let (Some(before), Some(after)) = (&found.before, &found.after) {
        let aspects = found.aspects.iter().map(|&how| aspect(how, before, after));
        let _ = write!(text, ": {}", aspects.collect::<Vec<_>>().join(", "));
    } else if let Some(state) = found.state()
        && state.kind != FileKind::Regular
    {
        let _ = write!(text, ": {}", kind_name(state.kind));
    }
    text.push('\n');
    text
}

/// How a file differs, with both values where they are short.
fn aspect(aspect: Aspect, before: &FileState, after: &FileState) -> String {
    let values = match aspect {
        Aspect::Type => (
            kind_name(before.kind).to_owned(),
            kind_name(after.kind).to_owned(),
        ),
        Aspect::Content if before.size != after.size => {
            (before.size.to_string(), after.size.to_string() + " bytes")
        }
        Aspect::Mode => (
            format!("{:04o}", before.permissions),
            format!("{:04o}", after.permissions),
        ),
        Aspect::Owner => (
            format!("{}:{}", before.uid, before.gid),
            format!("{}:{}", after.uid, after.gid),
        ),
        _ => return aspect.name().to_owned(),
    };
    format!("{} {} -> {}", aspect.name(), values.0, values.1)
}
