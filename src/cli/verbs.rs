//! The table of verbs.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::context::Context;
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::{
    chwpar, clogin, cp, diff, explain, generate, hydrate, index, install_links, logs, lsmksysb,
    lswpar, mksysb, mkszfile, mkwpar, mount, oci, oslevel, pause, rc, rebootwpar, restwpar, rmwpar,
    savewpar, startwpar, stopwpar, syncwpar, top, umount, wparexec,
};

/// One verb.
#[derive(Debug)]
pub struct Verb {
    /// Its name, also that of a link to the program.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What it does, in full.
    pub description: &'static str,
    /// Examples: what for, and the command.
    pub examples: &'static [(&'static str, &'static str)],
    /// How it differs from AIX, and what was added.
    pub compatibility: &'static str,
    /// Whether it is for users.
    pub public: bool,
    /// Whether `install-links` makes a link for it.
    pub linked: bool,
    pub(super) augment: fn(Command) -> Command,
    pub(super) run: fn(&Context, &ArgMatches) -> CliResult<Exit>,
}

/// The arguments of a verb, which know how to do it.
pub(super) trait Arguments: Args + FromArgMatches {
    /// Does it.
    fn run(self, context: &Context) -> CliResult<Exit>;
}

/// What the table says about a verb in words.
pub(super) struct Words {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) description: &'static str,
    pub(super) examples: &'static [(&'static str, &'static str)],
    pub(super) compatibility: &'static str,
}

impl Verb {
    /// A verb of AIX.
    pub(super) const fn aix<A: Arguments>(words: Words) -> Self {
        let Words {
            name,
            about,
            description,
            examples,
            compatibility,
        } = words;
        Self {
            name,
            about,
            description,
            examples,
            compatibility,
            public: true,
            linked: true,
            augment: A::augment_args,
            run: run::<A>,
        }
    }

    /// A verb of `wpar` alone.
    pub(super) const fn own<A: Arguments>(words: Words) -> Self {
        Self {
            linked: false,
            ..Self::aix::<A>(words)
        }
    }

    /// A verb that is no part of the promise to users.
    pub(super) const fn internal<A: Arguments>(words: Words) -> Self {
        Self {
            public: false,
            ..Self::own::<A>(words)
        }
    }
}

fn run<A: Arguments>(context: &Context, matches: &ArgMatches) -> CliResult<Exit> {
    let arguments =
        A::from_arg_matches(matches).map_err(|error| CliError::usage(error.to_string()))?;
    arguments.run(context)
}

/// All verbs, in the order of the help.
pub static ALL: &[Verb] = &[
    mkwpar::VERB,
    startwpar::VERB,
    stopwpar::VERB,
    rebootwpar::VERB,
    rc::VERB,
    pause::PAUSE,
    pause::RESUME,
    rmwpar::VERB,
    lswpar::VERB,
    chwpar::VERB,
    syncwpar::VERB,
    oslevel::VERB,
    clogin::VERB,
    cp::VERB,
    logs::LOGS,
    logs::ERRORS,
    wparexec::VERB,
    mount::VERB,
    umount::VERB,
    oci::VERB,
    index::VERB,
    mksysb::VERB,
    mkszfile::VERB,
    lsmksysb::VERB,
    savewpar::VERB,
    restwpar::VERB,
    diff::VERB,
    explain::VERB,
    hydrate::VERB,
    top::VERB,
    top::METRICS,
    install_links::VERB,
    generate::MANUAL,
    generate::COMPLETIONS,
];

/// The verb of that name.
pub fn find(name: &str) -> Option<&'static Verb> {
    ALL.iter().find(|verb| verb.name == name)
}

/// The verb that the program is when it is called by that name.
pub(super) fn find_public(name: &str) -> Option<&'static Verb> {
    find(name).filter(|verb| verb.linked)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_definition_is_sound() {
        crate::cli::whole().debug_assert();
        for verb in super::ALL {
            crate::cli::single(verb).debug_assert();
        }
    }

    #[test]
    fn every_verb_for_users_has_examples_and_says_how_it_compares() {
        for verb in super::ALL.iter().filter(|verb| verb.public) {
            assert!(!verb.examples.is_empty(), "{}", verb.name);
            assert!(!verb.compatibility.is_empty(), "{}", verb.name);
        }
    }
}
