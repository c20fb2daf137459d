//! The identity of a new WPAR, written into its store: host name, machine-id, its own line in
//! `/etc/hosts`. Everything else of the source stays as it was copied.

use wpar_mountd::error::FsResult;

use crate::model::Hostname;

/// First line of the block in `/etc/hosts`.
const BLOCK_BEGIN: &str = "# wpar: begin";
/// Last line of the block in `/etc/hosts`.
const BLOCK_END: &str = "# wpar: end";

/// Who the WPAR is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its host name.
    pub hostname: Hostname,
    /// Its machine-id, 32 hexadecimal digits.
    pub machine_id: String,
}

/// The merged tree of a WPAR that is not mounted. Paths are relative to its root; links in them
/// are followed inside the tree and never lead out of it.
pub trait SystemTree {
    /// Whether `path` is a regular file itself, not a link to one.
    ///
    /// # Errors
    /// Those of the layers, except that the name does not exist.
    fn is_regular(&mut self, path: &str) -> FsResult<bool>;

    /// Whether `path` leads to a directory.
    ///
    /// # Errors
    /// As [`Self::is_regular`].
    fn is_directory(&mut self, path: &str) -> FsResult<bool>;

    /// Contents of the regular file that `path` leads to, `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::is_regular`].
    fn read(&mut self, path: &str) -> FsResult<Option<Vec<u8>>>;

    /// Replaces `path` by a new regular file of root's with these permissions.
    ///
    /// # Errors
    /// Those of the store.
    fn write(&mut self, path: &str, contents: &[u8], permissions: u16) -> FsResult<()>;
}

/// Gives the tree its identity.
///
/// # Errors
/// The first edit that failed.
pub fn apply(tree: &mut dyn SystemTree, identity: &Identity) -> FsResult<()> {
    // An image without /etc is no system, but may still hold a program to run.
    if tree.is_directory("etc")? {
        let host = identity.hostname.as_str();
        tree.write("etc/hostname", format!("{host}\n").as_bytes(), 0o644)?;
        let machine_id = format!("{}\n", identity.machine_id);
        tree.write("etc/machine-id", machine_id.as_bytes(), 0o444)?;
        let hosts = tree.read("etc/hosts")?.unwrap_or_default();
        tree.write(
            "etc/hosts",
            &with_hosts_block(&hosts, &identity.hostname),
            0o644,
        )?;
        // Where other distributions keep the name: only if they do.
        if tree.is_regular("etc/HOSTNAME")? {
            tree.write("etc/HOSTNAME", format!("{host}\n").as_bytes(), 0o644)?;
        }
        set_variable(tree, "etc/sysconfig/network", "HOSTNAME", host)?;
        set_variable(tree, "etc/conf.d/hostname", "hostname", host)?;
    }
    if tree.is_regular("var/lib/dbus/machine-id")? {
        let machine_id = format!("{}\n", identity.machine_id);
        tree.write("var/lib/dbus/machine-id", machine_id.as_bytes(), 0o444)?;
    }
    Ok(())
}

/// `hosts` with one marked block for the name, in place of an earlier one or at the end.
fn with_hosts_block(hosts: &[u8], name: &Hostname) -> Vec<u8> {
    let mut kept = Vec::with_capacity(hosts.len() + 128);
    let mut inside = false;
    for line in hosts.split_inclusive(|&byte| byte == b'\n') {
        let text = line.trim_ascii();
        if text == BLOCK_BEGIN.as_bytes() {
            inside = true;
        } else if inside && text == BLOCK_END.as_bytes() {
            inside = false;
        } else if !inside {
            kept.extend_from_slice(line);
        }
    }
    if kept.last().is_some_and(|&byte| byte != b'\n') {
        kept.push(b'\n');
    }
    let full = name.as_str();
    // The full name stands first: it is the canonical one to the resolver.
    let names = match full.split_once('.') {
        Some((short, _)) => format!("{full} {short}"),
        None => full.to_owned(),
    };
    kept.extend_from_slice(format!("{BLOCK_BEGIN}\n127.0.1.1 {names}\n{BLOCK_END}\n").as_bytes());
    kept
}

/// Sets the shell variable `key` in `path`, if that is a file that sets it already.
fn set_variable(tree: &mut dyn SystemTree, path: &str, key: &str, value: &str) -> FsResult<()> {
    if !tree.is_regular(path)? {
        return Ok(());
    }
    let Some(old) = tree.read(path)? else {
        return Ok(());
    };
    let mut new = Vec::with_capacity(old.len() + value.len());
    for line in old.split_inclusive(|&byte| byte == b'\n') {
        let sets = line
            .trim_ascii_start()
            .strip_prefix(key.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b'='));
        if sets {
            new.extend_from_slice(format!("{key}=\"{value}\"\n").as_bytes());
        } else {
            new.extend_from_slice(line);
        }
    }
    if new == old {
        Ok(())
    } else {
        tree.write(path, &new, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Files by path; a directory is what a path lies in.
    #[derive(Default)]
    struct Files(BTreeMap<String, Vec<u8>>);

    impl SystemTree for Files {
        fn is_regular(&mut self, path: &str) -> FsResult<bool> {
            Ok(self.0.contains_key(path))
        }

        fn is_directory(&mut self, path: &str) -> FsResult<bool> {
            Ok(self
                .0
                .keys()
                .any(|file| file.starts_with(&format!("{path}/"))))
        }

        fn read(&mut self, path: &str) -> FsResult<Option<Vec<u8>>> {
            Ok(self.0.get(path).cloned())
        }

        fn write(&mut self, path: &str, contents: &[u8], _permissions: u16) -> FsResult<()> {
            self.0.insert(path.to_owned(), contents.to_vec());
            Ok(())
        }
    }

    fn identity(name: &str) -> Identity {
        Identity {
            hostname: Hostname::new(name).unwrap(),
            machine_id: "ab".repeat(16),
        }
    }

    fn applied(files: &[(&str, &str)], name: &str) -> BTreeMap<String, String> {
        let mut tree = Files::default();
        for (path, text) in files {
            tree.0.insert((*path).to_owned(), text.as_bytes().to_vec());
        }
        apply(&mut tree, &identity(name)).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        tree.0
            .into_iter()
            .map(|(path, bytes)| (path, text(bytes)))
            .collect()
    }

    #[test]
    fn a_debian_system_gets_name_id_and_line() {
        let files = applied(
            &[
                ("etc/hostname", "source\n"),
                ("etc/machine-id", "0\n"),
                ("etc/hosts", "127.0.0.1 localhost"),
                ("var/lib/dbus/machine-id", "0\n"),
                ("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
            ],
            "wpar1",
        );
        assert_eq!(files["etc/hostname"], "wpar1\n");
        assert_eq!(files["etc/machine-id"], format!("{}\n", "ab".repeat(16)));
        assert_eq!(files["var/lib/dbus/machine-id"], files["etc/machine-id"]);
        assert_eq!(
            files["etc/hosts"],
            "127.0.0.1 localhost\n# wpar: begin\n127.0.1.1 wpar1\n# wpar: end\n"
        );
        assert_eq!(files["etc/passwd"], "root:x:0:0::/root:/bin/sh\n");
        assert_eq!(files.len(), 5, "nothing else appears");
    }

    #[test]
    fn the_block_is_replaced_not_repeated() {
        let once = with_hosts_block(b"1.2.3.4 a\n", &Hostname::new("one").unwrap());
        let mut edited = once.clone();
        edited.extend_from_slice(b"5.6.7.8 b\n");
        let twice = with_hosts_block(&edited, &Hostname::new("www.example.org").unwrap());
        assert_eq!(
            String::from_utf8(twice).unwrap(),
            "1.2.3.4 a\n5.6.7.8 b\n# wpar: begin\n127.0.1.1 www.example.org www\n# wpar: end\n"
        );
    }

    #[test]
    fn other_distributions_keep_the_name_elsewhere() {
        let files = applied(
            &[
                ("etc/passwd", ""),
                ("etc/HOSTNAME", "old\n"),
                ("etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=old\n"),
                ("etc/conf.d/hostname", "# HOSTNAME=no\nhostname='old'\n"),
            ],
            "new",
        );
        assert_eq!(files["etc/HOSTNAME"], "new\n");
        assert_eq!(
            files["etc/sysconfig/network"],
            "NETWORKING=yes\nHOSTNAME=\"new\"\n"
        );
        assert_eq!(
            files["etc/conf.d/hostname"],
            "# HOSTNAME=no\nhostname=\"new\"\n"
        );
    }

    #[test]
    fn a_tree_without_etc_is_left_alone() {
        let files = applied(&[("bin/tool", "x")], "w1");
        assert_eq!(files.len(), 1);
    }
}
