//! The differences for programs. Names and values here are a promise: `docs/diff-json.md`.
//!
//! One object: `version` (1; a field that is added does not change it), `a` and `b` (the systems),
//! `same`, then a member for each section that was asked for, and `problems`. Strings that come
//! from a system are escaped as [`crate::diff::escape`] says, so that each stands for one row of
//! bytes. `before` is what A has, `after` what B has, null what one of them has not.

use wpar_mountd::types::Timestamp;

use super::operand::System;
use crate::cli::error::{CliError, CliResult};
use crate::diff::accounts::PasswordChange;
use crate::diff::config::ConfigState;
use crate::diff::files::{Aspect, FileChange, FileState, kind_name};
use crate::diff::kernels::KernelCount;
use crate::diff::packages_changed::{Installed, PackageChangeKind};
use crate::diff::{Difference, Section, escape};

mod objects;

use objects::{
    AccountObject, ConfigObject, Document, FieldObject, FileObject, FileStateObject,
    IdentityObject, InstalledObject, KernelCountObject, KernelsObject, PackageObject,
    PackagesObject, PrivilegeObject, ProblemObject, ServiceObject, SystemObject, TimeObject,
};

pub(super) fn render(
    systems: &[System; 2],
    found: &Difference,
    sections: &[Section],
) -> CliResult<String> {
    let [a, b] = systems;
    let wants = |section| sections.contains(&section);
    let document = Document {
        version: 1,
        a: system(a),
        b: system(b),
        same: found.is_empty(),
        identity: wants(Section::Identity).then(|| identity(found)),
        packages: wants(Section::Packages).then(|| packages(found)),
        users: wants(Section::Users).then(|| users(found)),
        services: wants(Section::Services).then(|| services(found)),
        privileges: wants(Section::Privileges).then(|| privileges(found)),
        config: wants(Section::Config).then(|| config(found)),
        kernels: wants(Section::Kernels).then(|| kernels(found)),
        files: wants(Section::Files).then(|| found.files.iter().map(file).collect()),
        problems: problems(found),
    };
    let text = serde_json::to_string_pretty(&document)
        .map_err(|error| CliError::new(format!("cannot write the differences as JSON: {error}")))?;
    Ok(text + "\n")
}

fn system(system: &System) -> SystemObject {
    let facts = &system.facts;
    SystemObject {
        name: system.name.clone(),
        kind: system.kind,
        runs: system.runs,
        id: escape::text(&facts.id),
        version_id: escape::text(&facts.version_id),
        pretty_name: escape::text(&facts.pretty_name),
        architecture: facts.architecture,
        init: facts.init,
    }
}

fn word(before: bool, after: bool) -> &'static str {
    match (before, after) {
        (false, _) => "added",
        (true, false) => "removed",
        (true, true) => "changed",
    }
}

fn identity(found: &Difference) -> Vec<IdentityObject> {
    let object = |change: &crate::diff::IdentityChange| IdentityObject {
        what: change.what.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
    };
    found.identity.iter().map(object).collect()
}

fn packages(found: &Difference) -> PackagesObject {
    let installed = |installed: &Installed| InstalledObject {
        version: escape::text(&installed.version),
        architecture: escape::text(&installed.architecture),
        complete: installed.is_complete,
    };
    let object = |change: &crate::diff::PackageChange| PackageObject {
        name: escape::text(&change.name),
        change: match change.kind {
            PackageChangeKind::Added => "added",
            PackageChangeKind::Removed => "removed",
            PackageChangeKind::Upgraded => "upgraded",
            PackageChangeKind::Downgraded => "downgraded",
            PackageChangeKind::Changed => "changed",
        },
        before: change.before.as_ref().map(installed),
        after: change.after.as_ref().map(installed),
    };
    PackagesObject {
        families: [found.families.0, found.families.1],
        changes: found.packages.iter().map(object).collect(),
    }
}

fn users(found: &Difference) -> Vec<AccountObject> {
    let field = |field: &crate::diff::accounts::FieldChange| FieldObject {
        name: field.name,
        before: field.before.as_deref().map(escape::bytes),
        after: field.after.as_deref().map(escape::bytes),
    };
    let object = |change: &crate::diff::AccountChange| AccountObject {
        kind: change.kind,
        name: escape::bytes(&change.name),
        change: word(change.before, change.after),
        fields: change.fields.iter().map(field).collect(),
        password: change.password.map(|password| match password {
            PasswordChange::Changed => "changed",
            PasswordChange::Locked => "locked",
            PasswordChange::Unlocked => "unlocked",
            PasswordChange::Removed => "removed",
        }),
    };
    found.users.iter().map(object).collect()
}

fn services(found: &Difference) -> Vec<ServiceObject> {
    let object = |change: &crate::diff::ServiceChange| ServiceObject {
        manager: change.manager,
        name: escape::bytes(&change.name),
        before: change.before.clone(),
        after: change.after.clone(),
    };
    found.services.iter().map(object).collect()
}

fn privileges(found: &Difference) -> Vec<PrivilegeObject> {
    let object = |change: &crate::diff::PrivilegeChange| PrivilegeObject {
        path: escape::bytes(&change.path),
        before: change.before.clone(),
        after: change.after.clone(),
        contents: change.contents,
        package: change.package.as_deref().map(escape::text),
    };
    found.privileges.iter().map(object).collect()
}

fn config(found: &Difference) -> Vec<ConfigObject> {
    let object = |change: &crate::diff::ConfigChange| ConfigObject {
        path: escape::bytes(&change.path),
        before: change.before.map(ConfigState::name),
        after: change.after.map(ConfigState::name),
        package: change.package.as_deref().map(escape::text),
        text: change.text.clone(),
    };
    found.config.iter().map(object).collect()
}

fn kernels(found: &Difference) -> Option<KernelsObject> {
    let count = |count: &KernelCount| KernelCountObject {
        kernels: count.kernels,
        modules: count.modules,
    };
    found.kernels.as_ref().map(|change| KernelsObject {
        before: count(&change.before),
        after: count(&change.after),
    })
}

fn file(file: &FileChange) -> FileObject {
    let state = |state: &FileState| FileStateObject {
        kind: kind_name(state.kind),
        mode: format!("{:04o}", state.permissions),
        uid: state.uid,
        gid: state.gid,
        size: state.size,
        mtime: time(state.mtime),
    };
    FileObject {
        path: escape::bytes(&file.path),
        change: word(file.before.is_some(), file.after.is_some()),
        aspects: file.aspects.iter().copied().map(Aspect::name).collect(),
        before: file.before.as_ref().map(state),
        after: file.after.as_ref().map(state),
        package: file.package.as_deref().map(escape::text),
        explained: file.explained,
    }
}

fn time(time: Timestamp) -> TimeObject {
    TimeObject {
        seconds: time.seconds,
        nanoseconds: time.nanoseconds,
    }
}

fn problems(found: &Difference) -> Vec<ProblemObject> {
    let object = |problem: &crate::diff::Problem| ProblemObject {
        path: escape::bytes(&problem.path),
        why: problem.why.clone(),
    };
    found.problems.iter().map(object).collect()
}
