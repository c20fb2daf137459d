//! How far the index of an image is, for people who look on.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use wpar_mountd::lower::tar::Progress;

use super::context::Context;

/// An index that is ready sooner is not worth a bar.
const BAR_AFTER: Duration = Duration::from_millis(300);

/// One that takes longer is worth a line where there is no bar.
const LINE_AFTER: Duration = Duration::from_secs(2);

/// A bar on the terminal, or one line at the end; and the ear for Ctrl-C.
#[derive(Debug)]
pub(super) struct IndexProgress<'a> {
    context: &'a Context,
    started: Instant,
    terminal: bool,
    total: u64,
    entries: u64,
    bar: Option<ProgressBar>,
}

impl<'a> IndexProgress<'a> {
    /// Nothing is shown yet.
    pub(super) fn new(context: &'a Context) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            context,
            started: Instant::now(),
            terminal,
            total: 0,
            entries: 0,
            bar: None,
        }
    }

    /// Says that the index was made, if that took its time.
    pub(super) fn report(&self) {
        let took = self.started.elapsed();
        if self.entries > 0 && took >= LINE_AFTER {
            self.context.note(format_args!(
                "indexed {} entries in {}; the image needs that only once",
                HumanCount(self.entries),
                HumanDuration(took)
            ));
        }
    }
}

impl Progress for IndexProgress<'_> {
    fn start(&mut self, total_bytes: u64) {
        self.total = total_bytes;
    }

    fn advance(&mut self, bytes_done: u64, entries: u64) {
        self.entries = entries;
        if self.terminal && self.started.elapsed() >= BAR_AFTER {
            let verb = self.context.verb;
            let known = self.total > 0;
            let bar = self.bar.get_or_insert_with(|| bar(verb, known));
            if known {
                bar.set_length(self.total);
            }
            bar.set_position(bytes_done);
            bar.set_message(format!("{} entries", HumanCount(entries)));
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn interrupted(&self) -> bool {
        self.context.interrupts.pending()
    }
}

/// A bar, or a counter where the end is not known.
fn bar(verb: &str, known: bool) -> ProgressBar {
    let template = if known {
        "{prefix}: indexing [{bar:30}] {percent:>3}% {bytes}/{total_bytes} ({bytes_per_sec}) {msg} {eta}"
    } else {
        "{prefix}: indexing {spinner} {bytes} ({bytes_per_sec}) {msg}"
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_prefix(verb.to_owned())
}
