//! Backups of ReaR in a directory: a full one and those of what changed since.
//!
//! Relax-and-Recover names them by their time (`BACKUP_TYPE` in its `default.conf`):
//! `2026-11-27-0100-F.tar.gz` is full, `-I` has what changed since the one before, `-D` what
//! changed since the full one. Without that setting there is one, `backup.tar.gz`. These names are
//! all that says what the archives are to each other.

use std::io;
use std::path::Path;

/// Length of `2026-11-27-0100`.
const TIME: usize = 15;

/// The archives in `directory` that make up its newest state, or the one that `wanted` begins the
/// name of: the full one first. Empty if there are none.
///
/// # Errors
/// Those of reading the directory.
pub(super) fn chain(directory: &Path, wanted: Option<&str>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        if let Ok(name) = entry?.file_name().into_string()
            && (kind_of(&name).is_some() || is_single(&name))
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(choose(&names, wanted))
}

/// Of sorted names.
fn choose(names: &[String], wanted: Option<&str>) -> Vec<String> {
    let is_wanted =
        |name: &&String| wanted.is_none_or(|wanted| !wanted.is_empty() && name.starts_with(wanted));
    let dated = names.iter().filter(|name| kind_of(name).is_some());
    let Some(last) = dated.clone().rfind(is_wanted) else {
        let single = names
            .iter()
            .find(|name| is_single(name) && wanted.is_none());
        return single.cloned().into_iter().collect();
    };
    let mut chain: Vec<String> = Vec::new();
    for name in dated.take_while(|name| *name <= last) {
        match kind_of(name) {
            Some('F') => chain.clear(),
            // Of those since the full one, the last one says it all.
            Some('D') => chain.truncate(1),
            _ => {}
        }
        chain.push(name.clone());
    }
    match chain.first().and_then(|first| kind_of(first)) {
        Some('F') => chain,
        _ => Vec::new(),
    }
}

fn is_single(name: &str) -> bool {
    name == "backup.tar" || name.starts_with("backup.tar.") && !name.ends_with(".wparidx")
}

/// `F`, `I` or `D` if it is the name of a dated archive.
fn kind_of(name: &str) -> Option<char> {
    let (time, rest) = name.split_at_checked(TIME)?;
    let is_time = time.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 | 10 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let rest = rest.strip_prefix('-')?;
    let kind = rest.chars().next().filter(|kind| "FID".contains(*kind))?;
    let ending = rest.get(1..)?;
    let is_archive = ending == ".tar" || ending.starts_with(".tar.");
    (is_time && is_archive && !ending.contains(".wparidx")).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let mut names: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_state_is_a_full_backup_and_what_follows_it() {
        let day = |day: u32, kind| format!("2026-11-{day:02}-0100-{kind}.tar.gz");
        let all = [
            day(1, 'F'),
            day(2, 'I'),
            day(8, 'F'),
            day(9, 'I'),
            day(10, 'I'),
        ];
        let sorted = names(&all.join(" "));
        assert_eq!(choose(&sorted, None), all[2..]);
        assert_eq!(choose(&sorted, Some("2026-11-09")), all[2..4]);
        assert_eq!(choose(&sorted, Some("2026-11-02")), all[..2]);
        assert_eq!(choose(&sorted, Some("2026-11-03")), [""; 0]);
        let differential = [day(1, 'F'), day(2, 'D'), day(3, 'D')];
        let sorted = names(&differential.join(" "));
        assert_eq!(choose(&sorted, None), [day(1, 'F'), day(3, 'D')]);
        assert_eq!(choose(&names(&day(2, 'I')), None), [""; 0]);
    }

    #[test]
    fn only_names_of_backups_count() {
        let some = names("backup.tar.gz backup.log backup.tar.gz.wparidx README x-F.tar.gz");
        assert_eq!(choose(&some, None), ["backup.tar.gz"]);
        for name in [
            "2026-11-01-0100-F.tar.gz.wparidx",
            "2026-11-01-0100-X.tar.gz",
            "2026-11-01-010-F.tar",
            "2026-11-01-0100-F.log",
        ] {
            assert_eq!(kind_of(name), None, "{name}");
        }
        assert_eq!(kind_of("2026-11-01-0100-F.tar"), Some('F'));
    }
}
