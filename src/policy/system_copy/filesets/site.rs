//! What the site says about private filesets: files `*.list` with one shell pattern to a line.
//!
//! `!pattern` means never private and is stronger than any other line of any file; `#` begins a
//! comment. A package can name itself with a file of its own in `usr/lib/wpars/private.d`.

use wpar_mountd::error::FsError;

use super::pattern::Pattern;
use super::places;
use crate::source::files::{Files, join};

/// Where an image has its own.
const PLACES: [&[u8]; 2] = [b"usr/lib/wpars/private.d", b"etc/wpars/private.d"];

/// Longest file that is read.
const FILE_MAX: u64 = 1 << 20;

/// Most lines of all files together that are used.
const LINES_MAX: usize = 1000;

/// A file of the site, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFile {
    /// Its path, for messages.
    pub path: String,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// What all files say.
#[derive(Debug, Default)]
pub(super) struct Site {
    private: Vec<(Pattern, String)>,
    never: Vec<Pattern>,
    /// What could not be used, one line each.
    pub(super) notes: Vec<String>,
}

impl Site {
    /// The files of the host, which were read already, and those of the source.
    ///
    /// # Errors
    /// Those of reading the source.
    pub(super) fn read(host: &[ListFile], files: &dyn Files) -> Result<Self, FsError> {
        let mut site = Self::default();
        for file in host {
            site.add(&file.path, &file.contents);
        }
        for place in PLACES {
            for (name, _) in places::names(files, place)? {
                if !name.ends_with(b".list") {
                    continue;
                }
                let path = join(place, &name);
                let shown = format!("/{}", path.escape_ascii());
                match files.read(&path, FILE_MAX) {
                    Ok(Some(contents)) => site.add(&shown, &contents),
                    Ok(None) => {}
                    Err(error) => site
                        .notes
                        .push(format!("{shown} of the source was passed over: {error}")),
                }
            }
        }
        site.notes.sort();
        site.notes.dedup();
        Ok(site)
    }

    fn add(&mut self, path: &str, contents: &[u8]) {
        for (number, line) in contents.split(|&byte| byte == b'\n').enumerate() {
            let number = number + 1;
            let text = String::from_utf8_lossy(line);
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            if self.private.len() + self.never.len() >= LINES_MAX {
                self.notes
                    .push(format!("{path}: line {number} and what follows is passed over: there are more lines than any site has"));
                return;
            }
            let (is_never, pattern) = match text.strip_prefix('!') {
                Some(rest) => (true, rest.trim_start()),
                None => (false, text),
            };
            match Pattern::new(pattern) {
                Ok(pattern) if is_never => self.never.push(pattern),
                Ok(pattern) => self.private.push((pattern, path.to_owned())),
                Err(why) => self.notes.push(format!(
                    "{path}: line {number}, '{}', is passed over: {why}",
                    text.escape_debug()
                )),
            }
        }
    }

    /// Whether the site wants a fileset visible.
    pub(super) fn is_never_private(&self, name: &str) -> bool {
        self.never.iter().any(|pattern| pattern.matches(name))
    }

    /// Why the site says that a fileset is private.
    pub(super) fn reason(&self, name: &str) -> Option<String> {
        let mut all = self.private.iter();
        let (pattern, path) = all.find(|(pattern, _)| pattern.matches(name))?;
        Some(format!("{path} says '{}'", pattern.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wpar_mountd::lower::memory::MemoryLower;
    use wpar_mountd::overlay::Overlay;

    use super::*;

    #[test]
    fn lines_of_host_and_image_count_and_bad_ones_are_named() {
        let builder = MemoryLower::builder()
            .file(
                "usr/lib/wpars/private.d/agent.list",
                "site-agent # names itself\n",
            )
            .file("etc/wpars/private.d/10.list", "!lvm2\nmonitor-*\n[bad\n")
            .file("etc/wpars/private.d/10.list.bak", "everything\n");
        let files = Overlay::new(Arc::new(builder.build().unwrap()), None);
        let host = [ListFile {
            path: "/etc/wpars/private.d/site.list".to_owned(),
            contents: b"# ours\n\nlvm2\ntwo words\n".to_vec(),
        }];
        let site = Site::read(&host, &files).unwrap();
        assert_eq!(
            site.reason("site-agent").as_deref(),
            Some("/usr/lib/wpars/private.d/agent.list says 'site-agent'")
        );
        assert!(site.reason("monitor-disks").is_some());
        assert!(site.is_never_private("lvm2"));
        assert_eq!(site.reason("everything"), None);
        assert_eq!(
            site.notes,
            [
                "/etc/wpars/private.d/10.list: line 3, '[bad', is passed over: a '[' has no ']'",
                "/etc/wpars/private.d/site.list: line 4, 'two words', is passed over: names of \
                 packages have no blanks, slashes or control characters",
            ]
        );
    }
}
