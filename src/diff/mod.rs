//! What makes two systems different: their files, and what these mean.
//!
//! Owns the comparison of two trees that are only read. Where they are from (an image, a WPAR, the
//! host) is decided by who calls; how the result is shown, too. Contents that are secret (password
//! hashes, files that not everybody may read) never leave this module.

use thiserror::Error;
use wpar_mountd::error::{FsError, FsResult};
use wpar_mountd::overlay::Overlay;

use crate::packages::{self, Detail, Family, PackageDatabase, PackageError};
use crate::source::files::Files;

pub mod accounts;
mod capability;
pub mod config;
pub mod escape;
pub mod files;
pub mod identity;
pub mod kernels;
mod owners;
pub mod packages_changed;
pub mod privileges;
mod same;
pub mod services;
#[cfg(test)]
mod tests;
mod walk;

pub use accounts::AccountChange;
pub use config::ConfigChange;
pub use files::{Aspect, FileChange};
pub use identity::IdentityChange;
pub use kernels::KernelChange;
pub use packages_changed::PackageChange;
pub use privileges::PrivilegeChange;
pub use services::ServiceChange;

use owners::Owners;

/// A part of the comparison that can be asked for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Host name, machine-id and what else a system is known by.
    Identity,
    /// Packages.
    Packages,
    /// Users, groups and their passwords.
    Users,
    /// What is started with the system.
    Services,
    /// Set-user-ID, set-group-ID and file capabilities.
    Privileges,
    /// Configuration files.
    Config,
    /// Kernels and their modules.
    Kernels,
    /// All files.
    Files,
}

impl Section {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Section; 8] = [
        Self::Identity,
        Self::Packages,
        Self::Users,
        Self::Services,
        Self::Privileges,
        Self::Config,
        Self::Kernels,
        Self::Files,
    ];

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Packages => "packages",
            Self::Users => "users",
            Self::Services => "services",
            Self::Privileges => "privileges",
            Self::Config => "config",
            Self::Kernels => "kernels",
            Self::Files => "files",
        }
    }
}

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Options {
    /// These sections.
    pub sections: Vec<Section>,
    /// Times of modification count as well.
    pub times: bool,
    /// Texts of changed configuration files are compared too.
    pub texts: bool,
    /// Both trees have the same lower with the same names hidden: what neither store has anything of
    /// is the same.
    pub same_lower: bool,
    /// One tree is a running copy of the other: what has the same number in both and was changed at
    /// the same time is the same. Nobody can choose the time of a change.
    pub same_numbers: bool,
}

impl Options {
    fn wants(&self, section: Section) -> bool {
        self.sections.contains(&section)
    }

    fn wants_walk(&self) -> bool {
        use Section::{Config, Files, Privileges};
        [Files, Config, Privileges]
            .into_iter()
            .any(|section| self.wants(section))
    }
}

/// Something that could not be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or what is looked for in it, without a leading `/`.
    pub path: Vec<u8>,
    /// Why.
    pub why: String,
}

impl Problem {
    fn new(path: &[u8], why: impl ToString) -> Self {
        Self {
            path: path.to_vec(),
            why: why.to_string(),
        }
    }
}

/// Why there is no comparison.
#[derive(Debug, Error)]
pub enum DiffError {
    /// The root directory of one of them.
    #[error("cannot read one of the systems: {0}")]
    Read(#[from] FsError),
    /// The caller wants no more of it.
    #[error("interrupted")]
    Interrupted,
}

/// What is different. Everything is sorted; what was not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Families of the package data bases of A and B.
    pub families: (Option<Family>, Option<Family>),
    /// What the systems are known by.
    pub identity: Vec<IdentityChange>,
    /// Packages.
    pub packages: Vec<PackageChange>,
    /// Users and groups.
    pub users: Vec<AccountChange>,
    /// Services.
    pub services: Vec<ServiceChange>,
    /// Privileges of files.
    pub privileges: Vec<PrivilegeChange>,
    /// Configuration files.
    pub config: Vec<ConfigChange>,
    /// Kernels.
    pub kernels: Option<KernelChange>,
    /// Files, directory by directory.
    pub files: Vec<FileChange>,
    /// What could not be compared.
    pub problems: Vec<Problem>,
}

impl Difference {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.identity.is_empty()
            && self.packages.is_empty()
            && self.users.is_empty()
            && self.services.is_empty()
            && self.privileges.is_empty()
            && self.config.is_empty()
            && self.kernels.is_none()
            && self.files.is_empty()
    }

    /// What was found, or nothing, and a problem that says why.
    fn take<T: Default>(&mut self, what: &str, found: FsResult<T>) -> T {
        found.unwrap_or_else(|error| {
            self.problems.push(Problem::new(what.as_bytes(), error));
            T::default()
        })
    }

    fn read_packages(
        &mut self,
        files: &dyn Files,
        detail: Detail,
    ) -> Result<Option<PackageDatabase>, ()> {
        packages::read(files, detail).map_err(|error| {
            let (path, why) = match error {
                PackageError::Read { path, source } => (path, source.to_string()),
                PackageError::Format { path, what } => (path, what.to_owned()),
            };
            self.problems.push(Problem::new(path.as_bytes(), why));
        })
    }
}

/// Compares two systems. `go_on` is asked now and then; when it says no, that is the end.
///
/// # Errors
/// See [`DiffError`]. A single file that cannot be read is a [`Problem`] instead.
pub fn compare(
    a: &Overlay,
    b: &Overlay,
    options: &Options,
    go_on: &dyn Fn() -> bool,
) -> Result<Difference, DiffError> {
    let mut found = Difference::default();
    if options.wants(Section::Identity) {
        found.identity = found.take("etc/hostname and others", identity::compare(a, b));
    }
    if options.wants(Section::Users) {
        found.users = found.take("etc/passwd and others", accounts::compare(a, b));
    }
    if options.wants(Section::Services) {
        found.services = found.take("etc/systemd and others", services::compare(a, b));
    }
    if options.wants(Section::Kernels) {
        found.kernels = found.take("boot and lib/modules", kernels::compare(a, b));
    }
    let walked = options.wants_walk();
    if walked {
        let (files, problems) = walk::walk(a, b, options, go_on)?;
        found.files = files;
        found.problems.extend(problems);
    }
    let packages = options.wants(Section::Packages) || walked && !found.files.is_empty();
    if packages && go_on() {
        explain(a, b, options, &mut found);
    }
    if !options.wants(Section::Files) {
        found.files = Vec::new();
    }
    if go_on() {
        Ok(found)
    } else {
        Err(DiffError::Interrupted)
    }
}

/// Finds what the packages have to do with it.
fn explain(a: &Overlay, b: &Overlay, options: &Options, found: &mut Difference) {
    let detail = match found.files.is_empty() {
        true => Detail::Packages,
        false => Detail::Paths,
    };
    let (before, after) = (
        found.read_packages(a, detail),
        found.read_packages(b, detail),
    );
    let is_whole = before.is_ok() && after.is_ok();
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    found.families = (
        before.as_ref().map(|database| database.family),
        after.as_ref().map(|database| database.family),
    );
    // Without one of them all packages of the other would seem to be new.
    let changes = match is_whole {
        true => packages_changed::compare(before.as_ref(), after.as_ref()),
        false => Vec::new(),
    };
    if !found.files.is_empty() {
        let owners = (
            Owners::find(a, before.as_ref(), &found.files),
            Owners::find(b, after.as_ref(), &found.files),
        );
        owners::attribute(&mut found.files, &owners, &changes);
        if options.wants(Section::Config) {
            found.config = config::compare(a, b, &found.files, &owners, options.texts);
        }
        if options.wants(Section::Privileges) {
            found.privileges = privileges::compare(&found.files);
        }
    }
    if options.wants(Section::Packages) {
        found.packages = changes;
    }
}
