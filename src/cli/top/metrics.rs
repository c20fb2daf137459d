//! `wpar metrics`: the text that Prometheus reads (exposition format 0.0.4).

use std::fmt::Write;

use super::super::context::Context;
use super::super::error::CliResult;
use super::super::exit::Exit;
use super::super::verbs::{Arguments, Verb, Words};
use super::super::{lifecycle, output};
use crate::launch::{Usage, usage};

pub(in crate::cli) const METRICS: Verb = Verb::own::<MetricsArguments>(Words {
    name: "metrics",
    about: "Print what workload partitions use, for Prometheus",
    description: "Prints the state of every WPAR and what those that run use, in the text format of \
        Prometheus: for the textfile collector of its node exporter, or any program that serves it. \
        What the host does not count is left out.",
    examples: &[(
        "For the node exporter, once a minute",
        "wpar metrics >/var/lib/node_exporter/wpar.prom.$$; mv /var/lib/node_exporter/wpar.prom.$$ /var/lib/node_exporter/wpar.prom",
    )],
    compatibility: "An addition.",
});

/// Arguments of `wpar metrics`: none.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MetricsArguments {}

/// One metric: name, type, help, value.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&Usage) -> Option<f64>,
}

fn number(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn seconds(microseconds: Option<u64>) -> Option<f64> {
    number(microseconds).map(|value| value / 1e6)
}

const ALL: [Metric; 11] = [
    Metric {
        name: "wpar_cpu_seconds_total",
        kind: "counter",
        help: "Processor time of its processes.",
        value: |usage| seconds(usage.cpu_microseconds),
    },
    Metric {
        name: "wpar_file_system_cpu_seconds_total",
        kind: "counter",
        help: "Processor time of its file system.",
        value: |usage| seconds(usage.file_system_microseconds),
    },
    Metric {
        name: "wpar_disk_read_bytes_total",
        kind: "counter",
        help: "Bytes read from disks by its file system.",
        value: |usage| number(usage.disk_read_bytes),
    },
    Metric {
        name: "wpar_disk_written_bytes_total",
        kind: "counter",
        help: "Bytes written to disks by its file system.",
        value: |usage| number(usage.disk_written_bytes),
    },
    Metric {
        name: "wpar_memory_bytes",
        kind: "gauge",
        help: "Memory, with what is cached of its files.",
        value: |usage| number(usage.memory_bytes),
    },
    Metric {
        name: "wpar_memory_limit_bytes",
        kind: "gauge",
        help: "The most memory that it may have, if that is limited.",
        value: |usage| number(usage.memory_limit_bytes),
    },
    Metric {
        name: "wpar_tasks",
        kind: "gauge",
        help: "Processes and threads.",
        value: |usage| number(usage.tasks),
    },
    Metric {
        name: "wpar_tasks_limit",
        kind: "gauge",
        help: "The most processes and threads that there may be, if that is limited.",
        value: |usage| number(usage.tasks_limit),
    },
    Metric {
        name: "wpar_network_receive_bytes_total",
        kind: "counter",
        help: "Bytes that it received.",
        value: |usage| number(usage.received_bytes),
    },
    Metric {
        name: "wpar_network_transmit_bytes_total",
        kind: "counter",
        help: "Bytes that it sent.",
        value: |usage| number(usage.sent_bytes),
    },
    Metric {
        name: "wpar_start_time_seconds",
        kind: "gauge",
        help: "When it was started, in seconds since 1970.",
        value: |usage| Some(usage.started_at as f64),
    },
];

impl Arguments for MetricsArguments {
    fn run(self, context: &Context) -> CliResult<Exit> {
        context.require_root()?;
        let registry = context.registry_to_read();
        let layout = registry.layout();
        let mut states = Vec::new();
        let mut usages = Vec::new();
        for name in registry.names()? {
            // One that is damaged is lswpar's to complain about.
            let Ok(Some(record)) = registry.load(&name) else {
                continue;
            };
            let sight = lifecycle::look(&registry, &record, false);
            states.push((name.to_string(), sight.state.letter()));
            if sight.observation.init.is_some()
                && let Some(usage) = usage(&layout.run_dir(&name), &layout.link(&name))
            {
                usages.push((name.to_string(), usage));
            }
        }
        output::print(&text(&states, &usages))?;
        Ok(Exit::Success)
    }
}

/// The names have no letter that the format would have to escape.
fn text(states: &[(String, char)], usages: &[(String, Usage)]) -> String {
    let mut text = String::from(
        "# HELP wpar_state State of the workload partition, by AIX's letter.\n\
         # TYPE wpar_state gauge\n",
    );
    // Writing to a string does not fail.
    for (name, state) in states {
        let _ = writeln!(text, "wpar_state{{wpar=\"{name}\",state=\"{state}\"}} 1");
    }
    for metric in &ALL {
        let Metric {
            name, kind, help, ..
        } = metric;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (wpar, usage) in usages {
            if let Some(value) = (metric.value)(usage) {
                let _ = writeln!(text, "{name}{{wpar=\"{wpar}\"}} {value}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_prometheus() {
        let usage = Usage {
            cpu_microseconds: Some(1_500_000),
            memory_bytes: Some(4096),
            started_at: 1_700_000_000,
            ..Usage::default()
        };
        let states = [("web1".to_owned(), 'A'), ("db1".to_owned(), 'D')];
        let text = text(&states, &[("web1".to_owned(), usage)]);
        for line in [
            "wpar_state{wpar=\"db1\",state=\"D\"} 1",
            "# TYPE wpar_cpu_seconds_total counter",
            "wpar_cpu_seconds_total{wpar=\"web1\"} 1.5",
            "wpar_memory_bytes{wpar=\"web1\"} 4096",
            "wpar_start_time_seconds{wpar=\"web1\"} 1700000000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        // What is not counted is not there.
        assert!(!text.contains("wpar_tasks{"));
        let kinds = text
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .count();
        assert_eq!(kinds, ALL.len() + 1);
    }
}
