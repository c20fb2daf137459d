//! What dpkg's records and the configuration files become.
//!
//! Records of what comes from the host are the host's, of what stays the copy's. A configuration file
//! that nobody has changed becomes the new one; beside one that was changed the new one is put as
//! `.dpkg-new`, where dpkg finds it and keeps the old one (`.dpkg-dist`). What is not in the
//! host any more as it was packaged cannot be taken; a note says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wpar_mountd::error::FsError;
use wpar_mountd::lower::rebased::Fate;
use wpar_mountd::types::FileKind;

use super::stanza::{Conffile, Digests, conffiles, key, removed, unpacked};
use super::{Class, Plan, Situation};
use crate::model::generation::{PROGRAM, Written};
use crate::packages::Algorithm;
use crate::packages::{ConfigFile, Digest, Package};
use crate::policy::system_copy::filesets::record::dpkg_stanzas::{field, stanzas};
use crate::source::files::{Files, join};

const STATUS: &[u8] = b"var/lib/dpkg/status";
const INFO: &[u8] = b"var/lib/dpkg/info";
const TRIGGERS: &[u8] = b"var/lib/dpkg/triggers";
const FILE_TRIGGERS: &[u8] = b"var/lib/dpkg/triggers/File";
const WAITING_TRIGGERS: &[u8] = b"var/lib/dpkg/triggers/Unincorp";
const DIVERSIONS: &[u8] = b"var/lib/dpkg/diversions";
const EXTENDED: &[u8] = b"var/lib/apt/extended_states";

/// Largest file that is read.
const LONGEST: u64 = 128 << 20;

/// What is written.
#[derive(Debug, Default)]
pub struct Records {
    /// The files, in this order.
    pub written: Vec<Written>,
    /// Names that are gone.
    pub gone: Vec<Vec<u8>>,
    /// What the administrator should know.
    pub notes: Vec<String>,
}

/// The packages of the host that no system can do without, by its `status`.
///
/// # Errors
/// Those of reading it.
pub fn essential(host: &dyn Files) -> Result<BTreeSet<String>, FsError> {
    let text = host.read(STATUS, LONGEST)?.unwrap_or_default();
    let is_so = |stanza: &&[u8]| field(stanza, b"essential") == Some(b"yes");
    let names = stanzas(&text).filter(is_so).map(|stanza| key(stanza).0);
    Ok(names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

/// The packages of a system that are libraries: they came with what needs them.
///
/// # Errors
/// Those of reading it.
pub fn libraries(files: &dyn Files) -> Result<BTreeSet<String>, FsError> {
    let text = files.read(STATUS, LONGEST)?.unwrap_or_default();
    let is_library = |stanza: &&[u8]| {
        let section = field(stanza, b"section").unwrap_or_default();
        let section = section.rsplit(|&byte| byte == b'/').next();
        matches!(section, Some(b"libs" | b"oldlibs"))
    };
    let names = stanzas(&text)
        .filter(is_library)
        .map(|stanza| key(stanza).0);
    Ok(names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

/// Says what is written.
///
/// # Errors
/// Those of reading the two systems.
pub fn records(
    situation: &Situation<'_>,
    plan: &Plan,
    listed: &BTreeMap<Vec<u8>, Fate>,
    copy: &dyn Files,
    host: &dyn Files,
) -> Result<Records, FsError> {
    let mut work = Work {
        copy,
        host,
        // What is the same in both has its records already.
        taken: plan
            .taken(situation)
            .filter(|(host, own)| own.is_none_or(|own| own.version != host.version))
            .collect(),
        dropped: plan.own(situation, Class::Dropped).collect(),
        records: Records::default(),
    };
    work.status()?;
    work.info()?;
    work.triggers(listed)?;
    work.diversions()?;
    work.extended_states()?;
    work.write(PROGRAM.as_bytes(), SCRIPT.as_bytes().to_vec(), 0o755);
    Ok(work.records)
}

/// Sets up what was unpacked. A service must not be started by it: nothing else runs yet.
pub(super) const SCRIPT: &str = "#!/bin/sh\n\
    # Written by wpar when this workload partition was brought to the level of its host: runs once,\n\
    # before the next start. 'dpkg --configure -a' does the same later.\n\
    export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true INUWPAR=1\n\
    policy=/usr/sbin/policy-rc.d\n\
    # One that a run left that was killed is ours, too.\n\
    if [ -e $policy ] && ! grep -qx '# wpar' $policy; then\n    policy=\nelse\n    \
    printf '#!/bin/sh\\n# wpar\\nexit 101\\n' >$policy && chmod 755 $policy\nfi\n\
    ldconfig 2>/dev/null\n\
    dpkg --configure -a --force-confdef --force-confold\nstatus=$?\n\
    [ -z \"$policy\" ] || rm -f $policy\n\
    [ $status != 0 ] || rm -f \"$0\"\nexit $status\n";

struct Work<'a> {
    copy: &'a dyn Files,
    host: &'a dyn Files,
    taken: Vec<(&'a Package, Option<&'a Package>)>,
    dropped: Vec<&'a Package>,
    records: Records,
}

impl Work<'_> {
    fn write(&mut self, path: &[u8], contents: Vec<u8>, permissions: u16) {
        self.records.written.push(Written {
            path: path.to_vec(),
            contents,
            permissions,
            like: None,
        });
    }

    fn status(&mut self) -> Result<(), FsError> {
        let ours = self.copy.read(STATUS, LONGEST)?.unwrap_or_default();
        let theirs = self.host.read(STATUS, LONGEST)?.unwrap_or_default();
        let theirs: HashMap<_, _> = stanzas(&theirs)
            .map(|stanza| (key(stanza), stanza))
            .collect();
        let mut before: HashMap<_, _> =
            stanzas(&ours).map(|stanza| (key(stanza), stanza)).collect();
        let moving = Moving {
            before: stanzas(&ours).flat_map(conffiles).collect(),
            coming: self
                .taken
                .iter()
                .filter_map(|(host, _)| theirs.get(&named(host)))
                .flat_map(|stanza| conffiles(stanza))
                .filter(|(_, file)| !file.is_obsolete)
                .map(|(path, _)| path)
                .collect(),
        };
        let mut made: HashMap<(&[u8], &[u8]), Vec<u8>> = HashMap::new();
        let mut added = Vec::new();
        for (host, own) in self.taken.clone() {
            let Some(&there) = theirs.get(&named(host)) else {
                continue;
            };
            // One that was removed, and has left its configuration, is on record too.
            let here = before.remove(&named(own.unwrap_or(host)));
            let digests = self.configuration(host, there, here, &moving)?;
            let stanza = unpacked(there, here, &digests);
            match here {
                Some(here) => {
                    made.insert(key(here), stanza);
                }
                None => added.push(stanza),
            }
        }
        let mut status = Vec::with_capacity(ours.len());
        let dropped: HashSet<_> = self.dropped.iter().map(|package| named(package)).collect();
        for stanza in stanzas(&ours) {
            let new = match dropped.contains(&key(stanza)) {
                true => Some(removed(stanza)),
                false => made.remove(&key(stanza)),
            };
            status.extend_from_slice(new.as_deref().unwrap_or(stanza));
            end_stanza(&mut status);
        }
        for stanza in added {
            status.extend(stanza);
        }
        self.write(STATUS, status, 0o644);
        Ok(())
    }

    /// Brings the configuration of a package, and says what is noted of it.
    fn configuration(
        &mut self,
        package: &Package,
        there: &[u8],
        here: Option<&[u8]>,
        moving: &Moving<'_>,
    ) -> Result<Digests, FsError> {
        let ours = here.map(conffiles).unwrap_or_default();
        let theirs = conffiles(there);
        let mut noted = Vec::new();
        for file in &package.config_files {
            let shown = [b"/", &file.path[..]].concat();
            let Some(new) = theirs.get(&shown[..]).filter(|new| !new.is_obsolete) else {
                continue;
            };
            let old = ours.get(&shown[..]);
            let old = old.or_else(|| moving.before.get(&shown[..]));
            let old = old.map(|old| old.digest);
            let digest = self.bring(package, file, new.digest, old)?;
            noted.push((shown, digest));
        }
        for (path, old) in ours {
            if !moving.coming.contains(path) {
                noted.push((path.to_vec(), [old.digest, b" obsolete"].concat()));
            }
        }
        Ok(noted)
    }

    /// Brings one configuration file, and says what digest is noted of it.
    fn bring(
        &mut self,
        package: &Package,
        file: &ConfigFile,
        new: &[u8],
        old: Option<&[u8]>,
    ) -> Result<Vec<u8>, FsError> {
        let here = self.copy.read(&file.path, LONGEST)?;
        let there = self.host.read(&file.path, LONGEST)?;
        let shown = file.path.escape_ascii().to_string();
        let pristine = there.as_ref().filter(|there| {
            file.digest
                .as_ref()
                .is_some_and(|digest| digest.is_of(there))
        });
        let is_unchanged = |contents: &[u8]| {
            let digest = old.and_then(|old| Digest::from_hex(Algorithm::Md5, old));
            digest.is_some_and(|digest| digest.is_of(contents))
        };
        let put = |path: Vec<u8>, contents: &[u8]| Written {
            path,
            contents: contents.to_vec(),
            permissions: 0o644,
            like: Some(file.path.clone()),
        };
        let (written, noted) = match (pristine, here, old) {
            // Who took it away does not want it.
            (_, None, Some(_)) => (None, new.to_vec()),
            (Some(pristine), None, None) => (Some(put(file.path.clone(), pristine)), new.to_vec()),
            (Some(pristine), Some(here), _) if is_unchanged(&here) || *pristine == here => {
                let changed = *pristine != here;
                let written = changed.then(|| put(file.path.clone(), pristine));
                (written, new.to_vec())
            }
            (Some(pristine), Some(_), _) => {
                let path = [&file.path[..], b".dpkg-new"].concat();
                (
                    Some(put(path, pristine)),
                    old.unwrap_or(b"newconffile").to_vec(),
                )
            }
            (None, Some(_), _) => {
                self.records.notes.push(format!(
                    "/{shown} of {} stays as it is: the host's was changed, or is gone",
                    package.name
                ));
                (None, old.unwrap_or(new).to_vec())
            }
            (None, None, None) => match &there {
                Some(there) => {
                    self.records.notes.push(format!(
                        "/{shown} of {} is as it is on the host, where it was changed",
                        package.name
                    ));
                    (Some(put(file.path.clone(), there)), new.to_vec())
                }
                None => (None, new.to_vec()),
            },
        };
        self.records.written.extend(written);
        Ok(noted)
    }

    /// The files in `info` of what comes from the host.
    fn info(&mut self) -> Result<(), FsError> {
        let mut owners: HashSet<Vec<u8>> = HashSet::new();
        for (host, own) in &self.taken {
            for package in own.iter().chain([host]) {
                owners.insert(package.name.clone().into_bytes());
                let both = format!("{}:{}", package.name, package.architecture);
                owners.insert(both.into_bytes());
            }
        }
        for package in &self.dropped {
            owners.insert(package.name.clone().into_bytes());
            owners.insert(format!("{}:{}", package.name, package.architecture).into_bytes());
        }
        let of_owners = |names: Vec<(Vec<u8>, FileKind)>| {
            let is_one = |name: &[u8]| {
                let dot = name.iter().rposition(|&byte| byte == b'.');
                dot.and_then(|dot| name.get(..dot))
                    .is_some_and(|owner| owners.contains(owner))
            };
            let names = names.into_iter().filter(|(name, _)| is_one(name));
            names.map(|(name, _)| name).collect::<BTreeSet<_>>()
        };
        let theirs = of_owners(self.host.names(INFO)?);
        let ours = of_owners(self.copy.names(INFO)?);
        for name in &theirs {
            let path = join(INFO, name);
            if let Some(contents) = self.host.read(&path, LONGEST)? {
                let is_script = [
                    &b".preinst"[..],
                    b".postinst",
                    b".prerm",
                    b".postrm",
                    b".config",
                ]
                .iter()
                .any(|end| name.ends_with(end));
                self.write(&path, contents, if is_script { 0o755 } else { 0o644 });
            }
        }
        for name in ours.difference(&theirs) {
            self.records.gone.push(join(INFO, name));
        }
        Ok(())
    }

    /// Who is interested in what; and what has happened by what came.
    fn triggers(&mut self, listed: &BTreeMap<Vec<u8>, Fate>) -> Result<(), FsError> {
        let names: HashSet<&[u8]> = self
            .taken
            .iter()
            .flat_map(|(host, own)| own.iter().chain([host]))
            .chain(&self.dropped)
            .map(|package| package.name.as_bytes())
            .collect();
        // `PATH PACKAGE[:ARCHITECTURE][/noawait]`, or the package alone.
        let is_taken = |line: &[u8]| {
            let word = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
            let name = word.split(|byte| b":/".contains(byte)).next();
            names.contains(name.unwrap_or_default())
        };
        let mut files: BTreeSet<Vec<u8>> = BTreeSet::new();
        for system in [self.copy, self.host] {
            let all = system.names(TRIGGERS)?;
            files.extend(all.into_iter().map(|(name, _)| name));
        }
        let mut made = Vec::new();
        for name in files {
            if matches!(&name[..], b"Lock" | b"Unincorp") {
                continue;
            }
            let path = join(TRIGGERS, &name);
            let ours = self.copy.read(&path, LONGEST)?.unwrap_or_default();
            let theirs = self.host.read(&path, LONGEST)?.unwrap_or_default();
            let stays = lines(&ours).filter(|line| !is_taken(line));
            let comes = lines(&theirs).filter(|line| is_taken(line));
            let all = stays.chain(comes);
            let new: Vec<u8> = all.flat_map(|line| [line, b"\n"].concat()).collect();
            if new != ours {
                made.push((path, new));
            }
        }
        let waiting = self.waiting(listed, &made)?;
        for (path, contents) in made {
            self.write(&path, contents, 0o644);
        }
        if !waiting.is_empty() {
            self.write(WAITING_TRIGGERS, waiting, 0o644);
        }
        Ok(())
    }

    /// The triggers of files that came or went, for dpkg to note when it is next called.
    fn waiting(
        &self,
        listed: &BTreeMap<Vec<u8>, Fate>,
        made: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<Vec<u8>, FsError> {
        let mut waiting = self
            .copy
            .read(WAITING_TRIGGERS, LONGEST)?
            .unwrap_or_default();
        let known = made.iter().find(|(path, _)| path == FILE_TRIGGERS);
        let interests = match known {
            Some((_, text)) => text.clone(),
            None => self.copy.read(FILE_TRIGGERS, LONGEST)?.unwrap_or_default(),
        };
        let paths: BTreeSet<&[u8]> = lines(&interests)
            .filter_map(|line| line.split(|&byte| byte == b' ').next())
            .collect();
        for path in paths {
            let Some(place) = path.strip_prefix(b"/") else {
                continue;
            };
            // `/lib` stands for `/usr/lib`, where it leads.
            let real = self.copy.real(place).unwrap_or_default();
            let place = real.map_or(place.to_vec(), |(real, _)| real);
            let below = [&place[..], b"/"].concat();
            let is_below = listed
                .range(below.clone()..)
                .next()
                .is_some_and(|(path, _)| path.starts_with(&below));
            if is_below || listed.contains_key(&place) {
                waiting.extend_from_slice(&[path, b" -\n"].concat());
            }
        }
        Ok(waiting)
    }

    /// Diversions of what comes from the host are made as its scripts would have.
    fn diversions(&mut self) -> Result<(), FsError> {
        let ours = self.copy.read(DIVERSIONS, LONGEST)?.unwrap_or_default();
        let theirs = self.host.read(DIVERSIONS, LONGEST)?.unwrap_or_default();
        let taken: HashSet<&[u8]> = self
            .taken
            .iter()
            .map(|(host, _)| host.name.as_bytes())
            .collect();
        let known: HashSet<&[u8]> = triples(&ours).map(|(from, ..)| from).collect();
        let mut new = ours.clone();
        for (from, to, by) in triples(&theirs) {
            if taken.contains(by) && !known.contains(from) {
                for line in [from, to, by] {
                    new.extend_from_slice(line);
                    new.push(b'\n');
                }
            }
        }
        if new != ours {
            self.write(DIVERSIONS, new, 0o644);
        }
        Ok(())
    }

    /// What was added goes when nobody needs it any more.
    fn extended_states(&mut self) -> Result<(), FsError> {
        let Some(mut states) = self.copy.read(EXTENDED, LONGEST)? else {
            return Ok(());
        };
        let mut is_changed = false;
        for (host, own) in self.taken.clone() {
            if own.is_none() {
                is_changed = true;
                end_stanza(&mut states);
                let (name, architecture) = (&host.name, &host.architecture);
                states.extend_from_slice(
                    format!("Package: {name}\nArchitecture: {architecture}\nAuto-Installed: 1\n\n")
                        .as_bytes(),
                );
            }
        }
        if is_changed {
            self.write(EXTENDED, states, 0o644);
        }
        Ok(())
    }
}

/// Configuration files by the packages that have them: one can be another package's by now, and is still
/// what it was.
struct Moving<'a> {
    /// Those of the copy.
    before: HashMap<&'a [u8], Conffile<'a>>,
    /// Those that come.
    coming: HashSet<&'a [u8]>,
}

/// By what a package is known in `status`.
fn named(package: &Package) -> (&[u8], &[u8]) {
    (package.name.as_bytes(), package.architecture.as_bytes())
}

/// Sees to it that what follows is another stanza.
fn end_stanza(text: &mut Vec<u8>) {
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    if !text.is_empty() && !text.ends_with(b"\n\n") {
        text.push(b'\n');
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

fn triples(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    let mut lines = lines(text);
    std::iter::from_fn(move || Some((lines.next()?, lines.next()?, lines.next()?)))
}
