//! Users and groups of two systems, by name: numbers from one mean others in another.

use std::collections::HashMap;

use wpar_mountd::error::FsResult;

use super::files::Files;

/// Numbers up to this are the same in every system of a distribution.
const LAST_STATIC: u32 = 99;

/// Longest list of accounts that is read.
const LONGEST: u64 = 16 << 20;

/// From the numbers of one system to those of another.
#[derive(Debug, Default)]
pub struct Translation {
    users: HashMap<u32, Option<u32>>,
    groups: HashMap<u32, Option<u32>>,
}

impl Translation {
    /// From those of `from` to those of `to`.
    ///
    /// # Errors
    /// Those of reading the lists.
    pub fn new(from: &dyn Files, to: &dyn Files) -> FsResult<Self> {
        Ok(Self {
            users: translate(from, to, b"etc/passwd")?,
            groups: translate(from, to, b"etc/group")?,
        })
    }

    /// The number of a user; `None` for one that the other system does not have.
    pub fn user(&self, number: u32) -> Option<u32> {
        translated(&self.users, number)
    }

    /// The number of a group.
    pub fn group(&self, number: u32) -> Option<u32> {
        translated(&self.groups, number)
    }
}

fn translated(known: &HashMap<u32, Option<u32>>, number: u32) -> Option<u32> {
    match number <= LAST_STATIC {
        true => Some(number),
        false => known.get(&number).copied().flatten(),
    }
}

fn translate(from: &dyn Files, to: &dyn Files, path: &[u8]) -> FsResult<HashMap<u32, Option<u32>>> {
    let there = to.read(path, LONGEST)?.unwrap_or_default();
    let there: HashMap<_, _> = accounts(&there).collect();
    let here = from.read(path, LONGEST)?.unwrap_or_default();
    let pairs = accounts(&here).map(|(name, number)| (number, there.get(name).copied()));
    Ok(pairs.collect())
}

/// Lines `NAME:PASSWORD:NUMBER:...`.
fn accounts(text: &[u8]) -> impl Iterator<Item = (&[u8], u32)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next()?;
        let number = std::str::from_utf8(fields.nth(1)?).ok()?;
        Some((name, number.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use wpar_mountd::lower::memory::MemoryLower;
    use wpar_mountd::overlay::Overlay;

    fn system(group: &str) -> Overlay {
        let tree = MemoryLower::builder()
            .file("etc/passwd", "root:x:0:0::/root:/bin/sh\nbroken\n")
            .file("etc/group", group);
        Overlay::new(Arc::new(tree.build().unwrap()), None)
    }

    #[test]
    fn a_group_keeps_its_name_and_not_its_number() {
        let from = system("shadow:x:42:\ncrontab:x:101:\n_ssh:x:102:\n");
        let to = system("shadow:x:42:\n_ssh:x:101:\n");
        let translation = Translation::new(&from, &to).unwrap();
        assert_eq!(translation.group(42), Some(42));
        assert_eq!(translation.group(102), Some(101));
        assert_eq!(translation.group(101), None, "there is no crontab");
        assert_eq!(translation.user(0), Some(0));
    }
}
