//! Users and groups that came, went or changed: passwd(5), group(5), and of shadow(5) only that a
//! password changed, never what it is.

use std::collections::BTreeMap;

use wpar_mountd::error::FsResult;

use crate::source::files::Files;

/// Largest file of accounts that is read, in bytes.
const FILE_MAX: u64 = 64 << 20;

/// Fields of passwd(5) behind name and password.
const USER_FIELDS: [&str; 5] = ["uid", "gid", "comment", "home", "shell"];

/// Fields of group(5) behind name and password.
const GROUP_FIELDS: [&str; 2] = ["gid", "members"];

/// An account that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// `user` or `group`.
    pub kind: &'static str,
    /// Its name.
    pub name: Vec<u8>,
    /// Whether A has it.
    pub before: bool,
    /// Whether B has it.
    pub after: bool,
    /// Its fields in B if it was added, in A if it was removed, else those that changed.
    pub fields: Vec<FieldChange>,
    /// What became of its password.
    pub password: Option<PasswordChange>,
}

/// A field of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Its name: `uid`, `gid`, `comment`, `home`, `shell`, `members`.
    pub name: &'static str,
    /// It in A.
    pub before: Option<Vec<u8>>,
    /// It in B.
    pub after: Option<Vec<u8>>,
}

/// What became of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordChange {
    /// Another one.
    Changed,
    /// One can log in with it no more.
    Locked,
    /// One can log in with it, and could not before.
    Unlocked,
    /// None is asked for any more.
    Removed,
}

impl PasswordChange {
    /// The words for it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Changed => "password changed",
            Self::Locked => "password locked",
            Self::Unlocked => "password unlocked",
            Self::Removed => "no password any more",
        }
    }
}

/// Name, and the fields behind name and password.
type Accounts = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

pub(super) fn compare(a: &dyn Files, b: &dyn Files) -> FsResult<Vec<AccountChange>> {
    let passwords = (passwords(a)?, passwords(b)?);
    let users = (accounts(a, b"etc/passwd")?, accounts(b, b"etc/passwd")?);
    let groups = (accounts(a, b"etc/group")?, accounts(b, b"etc/group")?);
    let mut changes = Vec::new();
    for name in names(&users) {
        let before = (users.0.get(name), passwords.0.get(name));
        let after = (users.1.get(name), passwords.1.get(name));
        let mut change = change("user", name, &USER_FIELDS, before.0, after.0);
        if let (Some(before), Some(after)) = (before.1, after.1) {
            change.password = password_change(before, after);
        }
        changes.push(change);
    }
    for name in names(&groups) {
        let (before, after) = (groups.0.get(name), groups.1.get(name));
        changes.push(change("group", name, &GROUP_FIELDS, before, after));
    }
    changes.retain(|change| {
        change.before != change.after || !change.fields.is_empty() || change.password.is_some()
    });
    Ok(changes)
}

fn names((a, b): &(Accounts, Accounts)) -> impl Iterator<Item = &Vec<u8>> {
    let new = b.keys().filter(|name| !a.contains_key(*name));
    let mut names: Vec<_> = a.keys().chain(new).collect();
    names.sort();
    names.into_iter()
}

fn change(
    kind: &'static str,
    name: &[u8],
    fields: &[&'static str],
    before: Option<&Vec<Vec<u8>>>,
    after: Option<&Vec<Vec<u8>>>,
) -> AccountChange {
    let field = |(index, name): (usize, &&'static str)| {
        let of = |side: Option<&Vec<Vec<u8>>>| side.and_then(|values| values.get(index)).cloned();
        let change = FieldChange {
            name,
            before: of(before),
            after: of(after),
        };
        (change.before != change.after).then_some(change)
    };
    AccountChange {
        kind,
        name: name.to_vec(),
        before: before.is_some(),
        after: after.is_some(),
        fields: fields.iter().enumerate().filter_map(field).collect(),
        password: None,
    }
}

/// The lines of passwd or group. Of two lines with one name the first counts, as in the C library.
fn accounts(files: &dyn Files, path: &[u8]) -> FsResult<Accounts> {
    let text = files.read(path, FILE_MAX)?.unwrap_or_default();
    let mut accounts = Accounts::new();
    for line in text.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next().unwrap_or_default();
        if name.is_empty() || name.starts_with(b"#") {
            continue;
        }
        let values = || fields.skip(1).map(<[u8]>::to_vec).collect();
        accounts.entry(name.to_vec()).or_insert_with(values);
    }
    Ok(accounts)
}

/// The passwords, as they are stored: of shadow, or of passwd where they still stand there.
fn passwords(files: &dyn Files) -> FsResult<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut passwords = BTreeMap::new();
    for path in [&b"etc/shadow"[..], b"etc/passwd"] {
        // Not everybody may read these; then nothing is said of them.
        let text = files
            .read(path, FILE_MAX)
            .ok()
            .flatten()
            .unwrap_or_default();
        for line in text.split(|&byte| byte == b'\n') {
            let mut fields = line.split(|&byte| byte == b':');
            if let (Some(name), Some(password)) = (fields.next(), fields.next()) {
                passwords.entry(name.to_vec()).or_insert(password.to_vec());
            }
        }
    }
    Ok(passwords)
}

fn password_change(before: &[u8], after: &[u8]) -> Option<PasswordChange> {
    let is_locked = |password: &[u8]| password.starts_with(b"!") || password.starts_with(b"*");
    if before == after {
        return None;
    }
    match (is_locked(before), is_locked(after)) {
        _ if after.is_empty() => Some(PasswordChange::Removed),
        (false, true) => Some(PasswordChange::Locked),
        (true, false) => Some(PasswordChange::Unlocked),
        // Two ways to say that nobody can log in.
        (true, true) if before.trim_ascii_start().len() < 4 && after.len() < 4 => None,
        _ => Some(PasswordChange::Changed),
    }
}
