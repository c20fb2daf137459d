//! The options that say how a WPAR is connected and what it may use: `-N`, `-i`, `-I`, `-r`, `-R` and
//! `-a`, the same for `mkwpar`, `chwpar` and `wparexec`.
//!
//! Each `-N` and `-I` is one object, so that its pairs are kept apart from those of the next.

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::error::{CliError, CliResult};
use crate::model::network::{Network, NetworkError, NetworkRequest, Route};
use crate::model::resources::{KEYS, ResourceError, Resources};

/// What the options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ControlArguments {
    /// The pairs of each `-N`.
    pub(super) network: Vec<Vec<String>>,
    /// `-i`.
    pub(super) routing: bool,
    /// The pairs of each `-I`.
    pub(super) routes: Vec<Vec<String>>,
    /// The pairs of all `-R`.
    pub(super) resources: Vec<String>,
    /// `-r`.
    pub(super) resolver: bool,
    /// `-a`.
    pub(super) resolve_clashes: bool,
}

/// An option of pairs.
fn pairs(id: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(id)
        .short(short)
        .long(id)
        .value_name("NAME=VALUE")
        .num_args(1..)
        .action(ArgAction::Append)
        .value_parser(ValueParser::string())
        .help(help)
}

fn flag(id: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(id)
        .short(short)
        .long(id)
        .action(ArgAction::SetTrue)
        .help(help)
}

impl clap::Args for ControlArguments {
    fn augment_args(command: Command) -> Command {
        command
            .arg(pairs(
                "network",
                'N',
                "Network: interface=, address=, netmask=, address6=, prefixlen=, broadcast=, mode=, publish=",
            ))
            .arg(flag(
                "routing",
                'i',
                "Routes of its own, instead of the host's",
            ))
            .arg(pairs(
                "routes",
                'I',
                "A route of its own: rtdest=, rtgateway=, rtnetmask= or rtprefixlen=, rtinterface=",
            ))
            .arg(pairs(
                "resources",
                'R',
                "Resource controls: CPU=, memory=, totalProcesses= and others",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ControlArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let groups = |id: &str| -> Vec<Vec<String>> {
            matches
                .get_occurrences::<String>(id)
                .map(|all| all.map(|one| one.cloned().collect()).collect())
                .unwrap_or_default()
        };
        let is_set = |id: &str| matches!(matches.try_get_one::<bool>(id), Ok(Some(true)));
        Ok(Self {
            network: groups("network"),
            routing: is_set("routing"),
            routes: groups("routes"),
            resources: groups("resources").concat(),
            resolver: is_set("resolver"),
            resolve_clashes: is_set("resolve_clashes"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The options that are for making a WPAR alone, beside [`ControlArguments`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NewControlArguments {
    /// All of them.
    pub(super) controls: ControlArguments,
}

impl clap::Args for NewControlArguments {
    fn augment_args(command: Command) -> Command {
        ControlArguments::augment_args(command)
            .arg(flag(
                "resolver",
                'r',
                "Copy the host's /etc/resolv.conf, /etc/hosts and /etc/networks into it",
            ))
            .arg(
                flag(
                    "resolve_clashes",
                    'a',
                    "Leave addresses out that this host or another WPAR has",
                )
                .long("resolve"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for NewControlArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        ControlArguments::from_arg_matches(matches).map(|controls| Self { controls })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.controls.update_from_arg_matches(matches)
    }
}

pub(super) fn bad_network(error: NetworkError) -> CliError {
    CliError::usage(error.to_string())
}

fn bad_resource(error: ResourceError) -> CliError {
    CliError::usage(error.to_string())
}

/// A network with what these groups and routes add to it.
pub(super) fn network(
    before: Network,
    groups: &[Vec<String>],
    routing: bool,
    routes: &[Vec<String>],
) -> CliResult<Network> {
    let request = NetworkRequest::parse(groups).map_err(bad_network)?;
    let routes = routes
        .iter()
        .map(|pairs| Route::parse(pairs))
        .collect::<Result<Vec<_>, _>>()
        .map_err(bad_network)?;
    let mut network = before;
    network.routing |= routing;
    network
        .with(request)
        .and_then(|network| network.with_routes(routes))
        .map_err(bad_network)
}

/// Resource controls with what these pairs change.
pub(super) fn resources(before: Resources, pairs: &[String]) -> CliResult<Resources> {
    let mut resources = before;
    resources.set(pairs).map_err(bad_resource)?;
    Ok(resources)
}

impl ControlArguments {
    /// Whether anything is said.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything of the network is said.
    pub(super) fn names_network(&self) -> bool {
        !self.network.is_empty() || self.routing || !self.routes.is_empty()
    }

    /// The last word of an option, if it is none of that option's: AIX's order is that of
    /// `chwpar -R CPU=50% NAME`. With `remove`, the words are names alone.
    pub(super) fn take_stray(&mut self, remove: bool) -> Option<String> {
        let is_own = |word: &String| word.contains('=') || remove && KEYS.contains(&word.as_str());
        let pop = |words: &mut Vec<String>| match words.last() {
            Some(last) if words.len() > 1 && !is_own(last) => words.pop(),
            _ => None,
        };
        pop(&mut self.resources)
            .or_else(|| self.network.last_mut().and_then(pop))
            .or_else(|| self.routes.last_mut().and_then(pop))
    }

    /// `network` as `chwpar` changes it.
    pub(super) fn change_network(&self, before: Network, remove: bool) -> CliResult<Network> {
        if !remove {
            return network(before, &self.network, self.routing, &self.routes);
        }
        let mut after = before;
        for pairs in &self.routes {
            let gone = Route::parse_destination(pairs).map_err(bad_network)?;
            let count = after.routes.len();
            after.routes.retain(|route| route.destination != gone);
            if after.routes.len() == count {
                return Err(CliError::usage(format!(
                    "there is no route to {gone} to take away"
                )));
            }
        }
        if self.routing {
            after.routing = false;
            after.routes.clear();
        }
        let request = NetworkRequest::parse(&self.network).map_err(bad_network)?;
        request.taken_from(after).map_err(bad_network)
    }

    /// `resources` as `chwpar` changes it.
    pub(super) fn change_resources(&self, before: Resources, remove: bool) -> CliResult<Resources> {
        if !remove {
            return resources(before, &self.resources);
        }
        let mut after = before;
        after.reset(&self.resources).map_err(bad_resource)?;
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn parsed(line: &str) -> ControlArguments {
        let command = ControlArguments::augment_args(Command::new("x"));
        let matches = command
            .try_get_matches_from(line.split_whitespace())
            .unwrap();
        ControlArguments::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn each_option_is_one_object() {
        let said = parsed(
            "x -N interface=en0 address=10.0.0.1 -N interface=en1 address=10.0.1.1 -R CPU=50% \
             -R memory=1G -i -I rtdest=default rtgateway=10.0.0.9",
        );
        assert_eq!(said.network.len(), 2);
        assert_eq!(said.network[1], ["interface=en1", "address=10.0.1.1"]);
        assert_eq!(said.resources, ["CPU=50%", "memory=1G"]);
        assert!(said.routing && said.names_network());
        assert_eq!(said.routes.len(), 1);
        assert!(parsed("x").is_empty());
    }

    #[test]
    fn a_name_behind_the_values_is_found() {
        let mut said = parsed("x -R CPU=50% totalPTYs=4 wpar1");
        assert_eq!(said.take_stray(false).as_deref(), Some("wpar1"));
        assert_eq!(said.resources, ["CPU=50%", "totalPTYs=4"]);
        assert_eq!(said.take_stray(false), None);
        let mut said = parsed("x -N address=10.0.0.1 wpar1");
        assert_eq!(said.take_stray(false).as_deref(), Some("wpar1"));
        let mut said = parsed("x -R CPU totalPTYs wpar1");
        assert_eq!(said.take_stray(true).as_deref(), Some("wpar1"));
        assert_eq!(said.take_stray(true), None);
    }

    #[test]
    fn what_is_taken_away_must_be_there() {
        let before = network(
            Network::default(),
            &parsed("x -N address=10.0.0.1 -N address=10.0.0.2").network,
            false,
            &parsed("x -I rtdest=default rtgateway=10.0.0.9").routes,
        )
        .unwrap();
        assert!(before.routing);
        let away = |line: &str| parsed(line).change_network(before.clone(), true);
        assert_eq!(away("x -N address=10.0.0.1").unwrap().addresses.len(), 1);
        assert!(away("x -I rtdest=default").unwrap().routes.is_empty());
        let without = away("x -i").unwrap();
        assert!(!without.routing && without.routes.is_empty());
        let error = away("x -I rtdest=10.0.0.0/8").unwrap_err();
        assert!(error.message.contains("no route to 10.0.0.0/8"));
    }
}
