//! Encrypted disks: their tables would make a boot wait for them, and their keys have no use here.

use wpar_mountd::error::FsError;

use super::super::draft::Draft;
use super::TAKEN_OUT;

const TABLES: [&str; 4] = [
    "etc/crypttab",
    "etc/crypttab.initramfs",
    "etc/veritytab",
    "etc/integritytab",
];
const HEADER: &str = "# wpar: these were the encrypted disks of the system that was copied.\n";

pub(super) fn apply(draft: &mut Draft<'_>) -> Result<(), FsError> {
    for path in TABLES {
        let Some(old) = draft.text(path)? else {
            continue;
        };
        let old = String::from_utf8_lossy(&old);
        let (new, keys) = emptied(&old);
        if let Some(new) = new {
            draft.write(path, new.into_bytes(), "without the source's disks")?;
        }
        for key in keys {
            draft.hide(&key, "a key of the source's disks")?;
        }
    }
    draft.hide_contents("etc/cryptsetup-keys.d", "keys of the source's disks")
}

/// The table with every entry as a comment, if it has any, and the key files below `/etc` that it
/// names.
fn emptied(text: &str) -> (Option<String>, Vec<String>) {
    let mut keys = Vec::new();
    let mut new = HEADER.to_owned();
    let mut changed = false;
    for line in text.split_inclusive('\n') {
        let mut fields = line.split_whitespace();
        if fields.next().is_some_and(|first| !first.starts_with('#')) {
            changed = true;
            new.push_str(TAKEN_OUT);
            if let Some(key) = fields.nth(1).and_then(|key| key.strip_prefix("/etc/"))
                && !key.contains(['*', '?'])
                && !key.split('/').any(|part| matches!(part, "" | "." | ".."))
            {
                keys.push(format!("etc/{key}"));
            }
        }
        new.push_str(line);
    }
    (changed.then_some(new), keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_become_comments_and_their_keys_are_named() {
        let text = "# <target> <source> <key> <options>\n\
            sda3_crypt UUID=0a1b none luks,discard\n\
            data /dev/sdb1 /etc/keys/data.key luks\n\
            bad /dev/sdc1 /etc/../shadow luks\n\
            all /dev/sdd1 /etc/* luks\n";
        let (new, keys) = emptied(text);
        let new = new.unwrap();
        assert!(new.lines().all(|line| line.starts_with('#')), "{new}");
        assert!(new.contains("\n#wpar# data /dev/sdb1"), "{new}");
        assert_eq!(keys, ["etc/keys/data.key"]);
        assert_eq!(emptied(&new), (None, vec![]));
    }
}
