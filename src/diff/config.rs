//! Configuration files that are different: what lies in `etc`, and what packages say is theirs.

use std::time::Duration;

use similar::TextDiff;
use wpar_mountd::types::FileKind;

use super::escape;
use super::files::{Aspect, FileChange, FileState};
use super::owners::Owners;
use crate::packages::ConfigFile;
use crate::source::files::Files;

/// Largest file whose text is compared, in bytes.
const TEXT_MAX: u64 = 64 << 10;

/// Time after which a difference need not be the shortest one any more: texts can be made so that this
/// takes for ever.
const TIME_MAX: Duration = Duration::from_millis(500);

/// Largest file whose digest is made, in bytes.
const DIGEST_MAX: u64 = 16 << 20;

/// Shown elsewhere in a better form, or made from other files.
const ELSEWHERE: [&[u8]; 12] = [
    b"etc/passwd",
    b"etc/passwd-",
    b"etc/group",
    b"etc/group-",
    b"etc/shadow",
    b"etc/shadow-",
    b"etc/subuid-",
    b"etc/subgid-",
    b"etc/hostname",
    b"etc/machine-id",
    b"etc/ld.so.cache",
    b"etc/mtab",
];

/// Against its package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigState {
    /// As in the package.
    Packaged,
    /// Other than in the package.
    Edited,
    /// No package says what it was like.
    Unknown,
}

impl ConfigState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Packaged => "packaged",
            Self::Edited => "edited",
            Self::Unknown => "unknown",
        }
    }
}

/// A configuration file that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Its path, without a leading `/`.
    pub path: Vec<u8>,
    /// What it is in A; `None` if it is not there.
    pub before: Option<ConfigState>,
    /// What it is in B.
    pub after: Option<ConfigState>,
    /// The package that it belongs to.
    pub package: Option<String>,
    /// How its text differs, line by line, safe to be shown.
    pub text: Option<String>,
}

pub(super) fn compare(
    a: &dyn Files,
    b: &dyn Files,
    files: &[FileChange],
    (before, after): &(Owners<'_>, Owners<'_>),
    texts: bool,
) -> Vec<ConfigChange> {
    let mut changes = Vec::new();
    for file in files.iter().filter(|file| differs(file)) {
        let config = (before.config(&file.path), after.config(&file.path));
        let is_config = config.0.is_some() || config.1.is_some() || is_local(file);
        // That a package brings its configuration along is no news.
        let is_news = file.before.is_some() && file.after.is_some() || !file.explained;
        if !is_config || !is_news || is_elsewhere(&file.path) {
            continue;
        }
        let before = Side::read(a, file, file.before.as_ref(), config.0);
        let after = Side::read(b, file, file.after.as_ref(), config.1);
        let wanted = texts
            && [&before, &after]
                .into_iter()
                .flatten()
                .all(Side::is_showable);
        changes.push(ConfigChange {
            path: file.path.clone(),
            text: wanted
                .then(|| unified(before.as_ref(), after.as_ref()))
                .flatten(),
            before: before.map(|side| side.state),
            after: after.map(|side| side.state),
            package: file.package.clone(),
        });
    }
    changes
}

/// Whether it is a regular file that came, went, or has other contents.
fn differs(file: &FileChange) -> bool {
    let is_regular = file
        .state()
        .is_some_and(|state| state.kind == FileKind::Regular);
    is_regular && (file.aspects.is_empty() || file.has(Aspect::Content) || file.has(Aspect::Type))
}

fn is_local(file: &FileChange) -> bool {
    file.path.starts_with(b"etc/") || file.path.starts_with(b"usr/local/etc/")
}

fn is_elsewhere(path: &[u8]) -> bool {
    ELSEWHERE.contains(&path)
        || path.starts_with(b"etc/ssh/ssh_host_")
        || path.starts_with(b"etc/gshadow")
}

/// A configuration file on one side.
struct Side {
    state: ConfigState,
    /// What it holds, unless that is not for everybody's eyes.
    contents: Option<Vec<u8>>,
}

impl Side {
    fn read(
        files: &dyn Files,
        file: &FileChange,
        state: Option<&FileState>,
        config: Option<&ConfigFile>,
    ) -> Option<Self> {
        const READABLE_BY_ALL: u16 = 0o004;
        let state = state?;
        // One that cannot be read, or is huge, is not known.
        let contents = files.read(&file.path, DIGEST_MAX).ok().flatten();
        let digest = config.and_then(|config| config.digest.as_ref());
        let known = match (&contents, digest) {
            (Some(contents), Some(digest)) if digest.is_of(contents) => ConfigState::Packaged,
            (Some(_), Some(_)) => ConfigState::Edited,
            _ => ConfigState::Unknown,
        };
        let is_open = state.permissions & READABLE_BY_ALL != 0
            && state.kind == FileKind::Regular
            && state.size <= TEXT_MAX;
        Some(Self {
            state: known,
            contents: contents.filter(|_| is_open),
        })
    }

    fn is_showable(&self) -> bool {
        self.contents
            .as_ref()
            .is_some_and(|contents| !contents.contains(&0))
    }
}

/// The difference of two texts with three lines around each change; `None` if there is none.
fn unified(before: Option<&Side>, after: Option<&Side>) -> Option<String> {
    let text = |side: Option<&Side>| {
        let contents = side
            .and_then(|side| side.contents.as_deref())
            .unwrap_or_default();
        String::from_utf8_lossy(contents).into_owned()
    };
    let (before, after) = (text(before), text(after));
    let difference = TextDiff::configure()
        .timeout(TIME_MAX)
        .diff_lines(&before, &after);
    let mut unified = difference.unified_diff();
    let unified = unified
        .context_radius(3)
        .missing_newline_hint(true)
        .to_string();
    let shown: Vec<_> = unified.lines().map(escape::line).collect();
    (!shown.is_empty()).then(|| shown.join("\n"))
}
