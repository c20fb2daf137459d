//! apk: `lib/apk/db/installed`, stanzas of lines `LETTER:VALUE`. Format: apk-package(5) and the
//! page "Apk spec" of Alpine's wiki.

use super::{
    Algorithm, Budget, ConfigFile, Dependency, Detail, Digest, Family, PATH_MAX, Package,
    PackageDatabase, PackageError, Relation, TEXT_MAX, TooMuch, is_path, lines, number, read_file,
    text,
};
use crate::source::files::{Files, join};

/// Where it is, with or without a merged `/usr`.
const PLACES: [&[u8]; 2] = [b"lib/apk/db/installed", b"usr/lib/apk/db/installed"];

pub(super) fn read(
    files: &dyn Files,
    detail: Detail,
) -> Result<Option<PackageDatabase>, PackageError> {
    for place in PLACES {
        if let Some(installed) = read_file(files, place, TEXT_MAX)? {
            let found = parse(&installed, detail).map_err(|too_much| too_much.of(place))?;
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Reads the data base `installed`.
fn parse(installed: &[u8], detail: Detail) -> Result<PackageDatabase, TooMuch> {
    let mut budget = Budget::default();
    let mut database = PackageDatabase {
        family: Family::Apk,
        packages: Vec::new(),
        damaged: 0,
    };
    let mut stanza = Stanza::default();
    for line in lines(installed).chain([&b""[..]]) {
        match line {
            b"" => stanza.finish(&mut database),
            [letter, b':', value @ ..] => stanza.line(*letter, value, detail, &mut budget)?,
            _ => stanza.is_damaged = true,
        }
    }
    Ok(database)
}

#[derive(Default)]
struct Stanza {
    package: Package,
    directory: Vec<u8>,
    /// The directory cannot be: what is in it is nowhere.
    is_lost: bool,
    is_begun: bool,
    is_damaged: bool,
}

impl Stanza {
    fn line(
        &mut self,
        letter: u8,
        value: &[u8],
        detail: Detail,
        budget: &mut Budget,
    ) -> Result<(), TooMuch> {
        self.is_begun = true;
        let package = &mut self.package;
        match letter {
            b'P' => {
                budget.spend(size_of::<Package>())?;
                package.name = text(value);
            }
            b'V' => package.version = text(value),
            b'A' => package.architecture = text(value),
            b'T' => package.summary = text(value),
            b'I' => package.size = number(value),
            b'D' => self.relate(Relation::Requires, value, budget)?,
            b'p' => self.relate(Relation::Provides, value, budget)?,
            b'i' => self.relate(Relation::InstallIf, value, budget)?,
            b'r' => self.relate(Relation::Replaces, value, budget)?,
            b'F' | b'R' | b'Z' if detail == Detail::Packages => {}
            b'F' if !is_path(value) => (self.is_lost, self.is_damaged) = (true, true),
            b'F' => {
                self.is_lost = false;
                budget.spend(value.len())?;
                self.directory = value.to_vec();
                if !value.is_empty() {
                    package.paths.push(value.to_vec());
                }
            }
            b'R' if self.is_lost => {}
            b'R' if self.directory.len() + value.len() >= PATH_MAX || !is_path(value) => {
                self.is_damaged = true;
            }
            b'R' => {
                budget.spend(self.directory.len() + value.len())?;
                package.paths.push(join(&self.directory, value));
            }
            b'Z' => self.digest(value, budget)?,
            _ => {}
        }
        Ok(())
    }

    /// Words of a line; `!name` in requirements is a conflict.
    fn relate(
        &mut self,
        relation: Relation,
        value: &[u8],
        budget: &mut Budget,
    ) -> Result<(), TooMuch> {
        for word in value
            .split(|&byte| byte == b' ')
            .filter(|word| !word.is_empty())
        {
            let (relation, word) = match word.strip_prefix(b"!") {
                Some(rest) if relation == Relation::Requires => (Relation::Conflicts, rest),
                _ => (relation, word),
            };
            budget.spend(word.len())?;
            let on = text(word);
            self.package.dependencies.push(Dependency { relation, on });
        }
        Ok(())
    }

    /// The digest of the file named last. What lies in `etc` is configuration, by the rule `+etc` of
    /// apk-protected_paths(5).
    fn digest(&mut self, value: &[u8], budget: &mut Budget) -> Result<(), TooMuch> {
        let Some(path) = self
            .package
            .paths
            .last()
            .filter(|path| path.starts_with(b"etc/"))
        else {
            return Ok(());
        };
        budget.spend(path.len())?;
        let digest = value
            .strip_prefix(b"Q1")
            .and_then(|base64| Digest::from_base64(Algorithm::Sha1, base64));
        self.package.config_files.push(ConfigFile {
            path: path.clone(),
            digest,
        });
        Ok(())
    }

    fn finish(&mut self, database: &mut PackageDatabase) {
        let stanza = std::mem::take(self);
        if stanza.is_damaged || stanza.is_begun && stanza.package.name.is_empty() {
            database.damaged += 1;
        }
        if !stanza.package.name.is_empty() {
            database.packages.push(stanza.package);
        }
    }
}
