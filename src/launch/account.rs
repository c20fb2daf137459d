//! A user of a WPAR, out of the files `/etc/passwd` and `/etc/group` inside.
//!
//! Read after the root was changed. The files are the WPAR's: they may be anything.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::error::{Doing, LaunchError};

/// The most that is read of one file.
const LONGEST: u64 = 16 * 1024 * 1024;
/// The most groups of one user (`NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: PathBuf,
    pub(super) shell: PathBuf,
}

impl Account {
    /// Looks up `name`.
    ///
    /// # Errors
    /// If there is no such user. Root is there without the files, too.
    pub(super) fn find(name: &str) -> Result<Self, LaunchError> {
        let users = read("/etc/passwd")
            .or_else(missing_is_empty)
            .doing("read /etc/passwd inside")?;
        let groups = read("/etc/group")
            .or_else(missing_is_empty)
            .doing("read /etc/group inside")?;
        let account = parse(name, &users, &groups);
        let account = account.or_else(|| (name == "root").then(Self::bare_root));
        account.ok_or_else(|| {
            LaunchError::other(format!(
                "there is no user {name} in /etc/passwd of the WPAR"
            ))
        })
    }

    fn bare_root() -> Self {
        Self {
            name: "root".to_owned(),
            uid: 0,
            gid: 0,
            groups: vec![0],
            home: PathBuf::from("/root"),
            shell: PathBuf::from("/bin/sh"),
        }
    }
}

/// Reads a regular file; anything else, such as a FIFO that would block, is refused.
fn read(path: &str) -> io::Result<String> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn missing_is_empty(error: io::Error) -> io::Result<String> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(String::new())
    } else {
        Err(error)
    }
}

/// See passwd(5) and group(5).
fn parse(name: &str, users: &str, groups: &str) -> Option<Account> {
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name) && fields.len() == 7)?;
    let gid = fields.get(3)?.parse().ok()?;
    let mut memberships = vec![gid];
    for line in groups.lines() {
        let mut fields = line.split(':');
        let (number, members) = (fields.nth(2), fields.next().unwrap_or_default());
        if let Some(number) = number.and_then(|number| number.parse().ok())
            && members.split(',').any(|member| member == name)
            && !memberships.contains(&number)
            && memberships.len() < MOST_GROUPS
        {
            memberships.push(number);
        }
    }
    let or =
        |text: &str, default: &str| PathBuf::from(if text.is_empty() { default } else { text });
    Some(Account {
        name: name.to_owned(),
        uid: fields.get(2)?.parse().ok()?,
        gid,
        groups: memberships,
        home: or(fields.get(5)?, "/"),
        shell: or(fields.get(6)?, "/bin/sh"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nbad:x:1\nann:x:1000:1000::/home/ann:\n\
                         eve:x:-1:5:::\n";
    const GROUPS: &str = "root:x:0:\nadm:x:4:syslog,ann\nann:x:1000:ann\nx:x:notanumber:ann\n";

    #[test]
    fn users_come_with_their_groups_and_defaults() {
        let ann = parse("ann", USERS, GROUPS).unwrap();
        assert_eq!((ann.uid, ann.gid, ann.groups), (1000, 1000, vec![1000, 4]));
        assert_eq!(
            (ann.home, ann.shell),
            ("/home/ann".into(), "/bin/sh".into())
        );
        let root = parse("root", USERS, GROUPS).unwrap();
        assert_eq!(
            (root.uid, root.groups, root.shell),
            (0, vec![0], "/bin/bash".into())
        );
    }

    #[test]
    fn lines_that_are_no_users_are_none() {
        for name in ["bad", "eve", "nobody", ""] {
            assert_eq!(parse(name, USERS, GROUPS), None, "{name}");
        }
    }
}
