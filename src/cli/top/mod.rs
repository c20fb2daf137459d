//! `wpar top` and `wpar metrics`: what the WPARs use, for people and for programs.

use std::fmt::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use serde::Serialize;

use super::context::{Context, parse_name};
use super::error::{CliError, CliResult};
use super::exit::Exit;
use super::lifecycle;
use super::output;
use super::verbs::{Arguments, Verb, Words};
use crate::launch::{Usage, usage};
use crate::model::WparName;
use crate::registry::Registry;

mod metrics;

pub(super) use metrics::METRICS;

pub(super) const VERB: Verb = Verb::own::<TopArguments>(Words {
    name: "top",
    about: "Show what workload partitions use, again and again",
    description: "Shows of each WPAR that runs: processor time in percent of one processor, that of its \
        file system, memory and its limit, processes and threads and their limit, and what its network \
        received and sent in a second. The list is shown anew until Ctrl-C; with --once it is shown once, \
        and measured over one interval. What the host does not count is shown as '-'.",
    examples: &[
        ("Watch all", "wpar top"),
        ("Watch two, every five seconds", "wpar top -t 5 web1 db1"),
        ("Once, for a program", "wpar top --once --json"),
    ],
    compatibility: "An addition; in AIX, topas -@ shows the same.",
});

/// Beginning of what clears a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// How long a wait lasts between two looks at whether the command is to end.
const GLANCE: Duration = Duration::from_millis(50);

/// Arguments of `wpar top`.
#[derive(Debug, clap::Args)]
pub(super) struct TopArguments {
    /// Names of WPARs [default: all that run]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Seconds between two lists
    #[arg(short = 't', long = "interval", value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,

    /// Show the list once
    #[arg(long = "once")]
    once: bool,

    /// As JSON: a list of objects
    #[arg(long = "json", requires = "once")]
    json: bool,
}

/// What a WPAR used at one moment.
#[derive(Clone, Debug)]
struct Sample {
    name: WparName,
    usage: Usage,
    at: Instant,
}

/// What is shown of a WPAR.
#[derive(Debug, Serialize)]
struct Line<'a> {
    name: &'a str,
    /// Of one processor.
    cpu_percent: Option<f64>,
    file_system_percent: Option<f64>,
    received_per_second: Option<f64>,
    sent_per_second: Option<f64>,
    #[serde(flatten)]
    usage: &'a Usage,
}

impl Arguments for TopArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        context.require_root()?;
        let names = self
            .names
            .iter()
            .map(|name| parse_name(name))
            .collect::<CliResult<Vec<_>>>()?;
        let registry = context.registry_to_read();
        for name in &names {
            lifecycle::record(&registry, name)?;
        }
        let mut before = samples(&registry, &names)?;
        // The first list would have nothing to compare with.
        let mut interval = match self.once {
            true => Duration::from_secs(self.interval.min(1)),
            false => Duration::from_millis(300),
        };
        loop {
            if !wait(context, interval) {
                return Ok(Exit::Success);
            }
            let now = samples(&registry, &names)?;
            let lines: Vec<_> = now.iter().map(|sample| line(sample, &before)).collect();
            let text = match self.json {
                true => {
                    serde_json::to_string_pretty(&lines).map_err(|error| {
                        CliError::new(format!("cannot write the list as JSON: {error}"))
                    })? + "\n"
                }
                false => table(&lines),
            };
            if self.once {
                output::print(&text)?;
                return Ok(Exit::Success);
            }
            output::print(&format!("{CLEAR}{text}"))?;
            before = now;
            interval = Duration::from_secs(self.interval);
        }
    }
}

/// Waits; false if the command is to end.
fn wait(context: &Context, time: Duration) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if context.interrupts.pending() {
            return false;
        }
        sleep(GLANCE.min(end.saturating_duration_since(Instant::now())));
    }
    !context.interrupts.pending()
}

/// What these use now, or all if none is named; those that do not run are left out.
fn samples(registry: &Registry, names: &[WparName]) -> CliResult<Vec<Sample>> {
    let all = match names {
        [] => registry.names()?,
        names => names.to_vec(),
    };
    if !registry.is_this_boot() {
        return Ok(Vec::new());
    }
    let layout = registry.layout();
    let sample = |name: WparName| {
        let usage = usage(&layout.run_dir(&name), &layout.link(&name))?;
        let at = Instant::now();
        Some(Sample { name, usage, at })
    };
    Ok(all.into_iter().filter_map(sample).collect())
}

fn line<'a>(now: &'a Sample, earlier: &[Sample]) -> Line<'a> {
    let before = earlier
        .iter()
        .find(|sample| sample.name == now.name && sample.usage.started_at == now.usage.started_at);
    let rate = |value: fn(&Usage) -> Option<u64>| {
        let before = before?;
        let seconds = now.at.duration_since(before.at).as_secs_f64();
        // A daemon that took over, and a new wire, count from zero.
        let more = value(&now.usage)?.checked_sub(value(&before.usage)?)?;
        (seconds > 0.0).then(|| more as f64 / seconds)
    };
    let percent = |rate: Option<f64>| rate.map(|rate| (rate / 1000.0).round() / 10.0);
    Line {
        name: now.name.as_str(),
        cpu_percent: percent(rate(|usage| usage.cpu_microseconds)),
        file_system_percent: percent(rate(|usage| usage.file_system_microseconds)),
        received_per_second: rate(|usage| usage.received_bytes).map(f64::round),
        sent_per_second: rate(|usage| usage.sent_bytes).map(f64::round),
        usage: &now.usage,
    }
}

/// Columns under a heading.
fn table(lines: &[Line<'_>]) -> String {
    let percent = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |p| format!("{p:.1}"));
    let bytes = |value: Option<u64>| {
        value.map_or_else(|| "-".to_owned(), |bytes| HumanBytes(bytes).to_string())
    };
    let per_second = |value: Option<f64>| bytes(value.map(|rate| rate as u64));
    let count =
        |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(4);
    let width = width.max(4);
    let mut text = format!(
        "{:width$} {:>6} {:>6} {:>11} {:>11} {:>6} {:>6} {:>11} {:>11}\n",
        "NAME", "CPU%", "FS%", "MEMORY", "LIMIT", "TASKS", "LIMIT", "RECEIVED/s", "SENT/s"
    );
    for line in lines {
        let usage = line.usage;
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:width$} {:>6} {:>6} {:>11} {:>11} {:>6} {:>6} {:>11} {:>11}",
            line.name,
            percent(line.cpu_percent),
            percent(line.file_system_percent),
            bytes(usage.memory_bytes),
            bytes(usage.memory_limit_bytes),
            count(usage.tasks),
            count(usage.tasks_limit),
            per_second(line.received_per_second),
            per_second(line.sent_per_second),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, at: Instant, cpu: u64, started_at: u64) -> Sample {
        Sample {
            name: WparName::new(name).unwrap(),
            usage: Usage {
                cpu_microseconds: Some(cpu),
                memory_bytes: Some(3 << 20),
                tasks: Some(12),
                tasks_limit: Some(4096),
                started_at,
                ..Usage::default()
            },
            at,
        }
    }

    #[test]
    fn rates_are_of_the_same_life_and_what_is_not_counted_is_a_dash() {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(2);
        let before = [
            sample("web1", begin, 1_000_000, 7),
            sample("db1", begin, 5, 7),
        ];
        let now = sample("web1", end, 2_500_000, 7);
        let shown = line(&now, &before);
        assert_eq!(shown.cpu_percent, Some(75.0));
        assert_eq!(shown.sent_per_second, None);
        let text = table(&[shown]);
        let cells: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "web1", "75.0", "-", "3.00", "MiB", "-", "12", "4096", "-", "-"
            ]
        );
        // Restarted in between.
        let restarted = sample("db1", end, 4, 8);
        assert_eq!(line(&restarted, &before).cpu_percent, None);
    }
}
