//! Telling an init to end by a signal, so that it arrives.
//!
//! To process 1 of a PID namespace a signal can be lost: it ignores what it has no handler for, as
//! every init does right after its `exec`; and one that it blocks waits, and is lost if it is let
//! through with no handler, as happens when a C library blocks all signals for the moment of a
//! `fork`. Nothing tells that a signal was lost: one that is not pending any more was taken or
//! dropped. So each look at the masks of the process decides anew whether to send it, and what was
//! sent is sent again after a while, for ever more seldom. To be told twice does an init no harm.
//!
//! Sending is not the work of this module: [`Telling::look`] only says when.

use std::time::{Duration, Instant};

/// Between two looks at a process.
pub(super) const RETRY: Duration = Duration::from_millis(10);

/// After so many looks at an init that seems to ignore a signal it is sent all the same: one that
/// waits in `sigtimedwait(2)`, as that of busybox does, looks like that where the kernel does not
/// show in which call a process is.
const PATIENCE: u32 = 10;

/// What an init took is not sent again before that.
const FIRST_GAP: Duration = Duration::from_secs(1);

/// The longest time between two sendings.
const LONGEST_GAP: Duration = Duration::from_secs(16);

/// What a process does about a signal at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// It waits to be taken.
    Pending,
    /// There is a handler, or it sleeps until the signal comes.
    Caught,
    /// It would wait until it is read or let through.
    Blocked,
    /// To process 1 of a PID namespace it would be lost.
    Ignored,
}

/// A signal to an init, from the first look at it on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling {
    /// The signal.
    pub(super) number: i32,
    /// What was seen at the last look, and when that was.
    last: Option<(Reception, Instant)>,
    /// As what it was sent last, and when; absent as long as it was not.
    sent: Option<(Reception, Instant)>,
    /// How often in a row it looked as if it would be lost.
    ignored: u32,
    gap: Duration,
}

impl Telling {
    /// Of the signal `number`, which was not sent yet.
    pub(super) fn new(number: i32) -> Self {
        Self {
            number,
            last: None,
            sent: None,
            ignored: 0,
            gap: FIRST_GAP,
        }
    }

    /// Whether another look is due `now`. Two that follow on each other at once tell no more than
    /// one.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.last.is_none_or(|(_, last)| now >= last + RETRY)
    }

    /// When the next look is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.last.map(|(_, last)| last + RETRY)
    }

    /// Takes note of what is `seen` at a look; whether the signal is to be sent `now`.
    pub(super) fn look(&mut self, seen: Reception, now: Instant) -> bool {
        let before = self.last.replace((seen, now)).map(|(seen, _)| seen);
        if seen != Reception::Ignored {
            self.ignored = 0;
        }
        let sent_as = self.sent.map(|(seen, _)| seen);
        let long_ago = self.sent.is_some_and(|(_, at)| now >= at + self.gap);
        let send = match seen {
            Reception::Pending => false,
            Reception::Ignored => {
                self.ignored += 1;
                self.ignored.is_multiple_of(PATIENCE)
            }
            // What is blocked at two looks is blocked on purpose.
            Reception::Blocked if before != Some(Reception::Blocked) => false,
            // As what was ignored it is lost; as what was caught, it was taken.
            Reception::Blocked => matches!(sent_as, None | Some(Reception::Ignored)) || long_ago,
            Reception::Caught => sent_as != Some(Reception::Caught) || long_ago,
        };
        if send {
            if long_ago {
                self.gap = (self.gap * 2).min(LONGEST_GAP);
            }
            self.sent = Some((seen, now));
        }
        send
    }
}

/// Whether a process sleeps in `sigtimedwait(2)`, see proc_pid_syscall(5). What it waits for there it
/// does not block meanwhile, nor has it a handler.
fn awaits_signals(pid: i32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let number = call.split_ascii_whitespace().next();
    number.and_then(|number| number.parse().ok()) == Some(libc::SYS_rt_sigtimedwait)
}

/// Looks at the signal masks of a process, see proc_pid_status(5).
pub(super) fn reception(pid: i32, signal: i32) -> Reception {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let is_in = |names: &[&str]| {
        status
            .lines()
            .filter_map(|line| line.split_once(":\t"))
            .filter(|(name, _)| names.contains(name))
            .filter_map(|(_, mask)| u64::from_str_radix(mask, 16).ok())
            .any(|mask| mask & (1 << (signal - 1)) != 0)
    };
    if is_in(&["SigPnd", "ShdPnd"]) {
        Reception::Pending
    } else if is_in(&["SigCgt"]) {
        Reception::Caught
    } else if is_in(&["SigBlk"]) {
        Reception::Blocked
    } else if awaits_signals(pid) {
        Reception::Caught
    } else {
        Reception::Ignored
    }
}

#[cfg(test)]
mod tests {
    use super::Reception::{Blocked, Caught, Ignored, Pending};
    use super::*;
    use crate::sys::signals::{SignalDescriptor, send_to_thread};

    const SIGNAL: i32 = 37;

    /// What is sent at each of the looks, of which one comes every 10 ms.
    fn told(looks: &[Reception]) -> Vec<bool> {
        let (begin, mut telling) = (Instant::now(), Telling::new(SIGNAL));
        let mut step = 0;
        let mut look = |&seen: &Reception| {
            let now = begin + RETRY * step;
            step += 1;
            assert!(telling.is_due(now));
            telling.look(seen, now)
        };
        looks.iter().map(&mut look).collect()
    }

    /// Numbers of the looks at which the signal was sent.
    fn sendings(looks: &[Reception]) -> Vec<usize> {
        let told = told(looks).into_iter().enumerate();
        told.filter_map(|(number, sent)| sent.then_some(number))
            .collect()
    }

    fn repeat(parts: &[(Reception, usize)]) -> Vec<Reception> {
        let parts = parts.iter();
        parts.flat_map(|&(seen, times)| vec![seen; times]).collect()
    }

    #[test]
    fn an_init_is_told_when_it_is_ready_to_hear_it() {
        assert_eq!(sendings(&repeat(&[(Caught, 50)])), [0]);
        assert_eq!(sendings(&repeat(&[(Blocked, 50)])), [1]);
        assert_eq!(sendings(&repeat(&[(Ignored, 4), (Blocked, 50)])), [5]);
        assert_eq!(sendings(&repeat(&[(Ignored, 4), (Caught, 50)])), [4]);
        // A passing moment.
        let passing = [(Ignored, 2), (Blocked, 1), (Ignored, 2), (Caught, 9)];
        assert_eq!(sendings(&repeat(&passing)), [5]);
        // It waits to be taken, and was.
        let taken = [(Blocked, 2), (Pending, 30), (Blocked, 50)];
        assert_eq!(sendings(&repeat(&taken)), [1]);
        // It sleeps in sigtimedwait(2), which looks as if the signal would be lost.
        assert_eq!(sendings(&repeat(&[(Ignored, 25)])), [9, 19]);
    }

    #[test]
    fn an_init_that_did_not_listen_yet_at_the_tenth_look_is_told_again() {
        assert_eq!(sendings(&repeat(&[(Ignored, 10), (Blocked, 50)])), [9, 11]);
        assert_eq!(sendings(&repeat(&[(Ignored, 10), (Caught, 50)])), [9, 10]);
    }

    #[test]
    fn a_signal_that_was_lost_unseen_is_sent_again() {
        // Blocked by a fork at both looks; let through, and lost, in between two others.
        let lost = sendings(&repeat(&[(Blocked, 500)]));
        assert_eq!(lost, [1, 101, 301]);
        let seldom = sendings(&vec![Caught; 20_000]);
        let gaps: Vec<_> = seldom.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(
            gaps.starts_with(&[100, 200, 400, 800, 1600, 1600]),
            "{gaps:?}"
        );
    }

    #[test]
    fn two_looks_at_once_are_one() {
        let (begin, mut telling) = (Instant::now(), Telling::new(SIGNAL));
        assert!(telling.is_due(begin));
        assert!(!telling.look(Blocked, begin));
        assert!(!telling.is_due(begin));
        assert!(!telling.is_due(begin + RETRY / 2));
        assert_eq!(telling.due(), Some(begin + RETRY));
        assert!(telling.is_due(begin + RETRY));
    }

    #[test]
    fn a_signal_is_blocked_then_pending_until_it_is_read() {
        // The mask is that of a thread, which the kernel shows under its own number.
        let thread = rustix::thread::gettid();
        let look = || reception(thread.as_raw_nonzero().get(), SIGNAL);
        assert_eq!(look(), Ignored);
        let signals = SignalDescriptor::new(&[SIGNAL]).unwrap();
        assert_eq!(look(), Blocked);
        signals.raise(SIGNAL).unwrap();
        assert_eq!(look(), Pending);
        assert_eq!(signals.next(), Some(SIGNAL));
        assert_eq!(look(), Blocked);
        drop(signals);
        assert_eq!(look(), Ignored);
    }

    #[test]
    fn who_sleeps_until_the_signal_comes_hears_it() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let signals = SignalDescriptor::new(&[SIGNAL]).unwrap();
            let thread = rustix::thread::gettid();
            sender.send(thread.as_raw_nonzero().get()).unwrap();
            signals.await_one(SIGNAL).unwrap();
        });
        let thread = receiver.recv().unwrap();
        while reception(thread, SIGNAL) != Caught {
            std::thread::yield_now();
        }
        send_to_thread(thread, SIGNAL).unwrap();
        waiting.join().unwrap();
    }
}
