//! Keeps idle processors from sleeping while requests come one after another.
//!
//! Who asks and who answers run in turns, so one of two processors is idle at any moment, and the
//! kernel's scheduler likes to wake the one that runs next over there. If that processor sleeps,
//! its wake-up costs more than the request: on a virtual machine, 40 us a trip instead of 10. The
//! kernel has an interface to say that this matters, PM QoS (`Documentation/power/pm_qos_interface.rst`);
//! the wish holds while a descriptor is open, so nothing stays behind whatever becomes of us.
//!
//! It costs power, on all processors: it is asked for only while requests really come fast, and
//! taken back some milliseconds after. `WPAR_CPU_LATENCY=no` in the environment never asks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::utils::CachePadded;

/// Environment variable that, being `no`, lets processors sleep as they like.
pub(super) const VARIABLE: &str = "WPAR_CPU_LATENCY";

const DEVICE: &str = "/dev/cpu_dma_latency";
const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";

/// Time between two looks while requests come, and how many make it a hurry: 2,000 a second,
/// below which the wake-ups are too small a part of the time.
const LOOK: Duration = Duration::from_millis(5);
const HURRY: u64 = 10;
/// At the beginning there is no look: a mount is made to be used, and its first user waits for
/// everything.
const BEGINNING: Duration = Duration::from_millis(100);
/// Looks without a hurry after which the wish is taken back, and nobody looks until the next request.
const PATIENCE: u32 = 4;

/// The wish not to have one (`PM_QOS_DEFAULT_VALUE`).
const NO_WISH: i32 = -1;

/// Counts requests, one counter for each thread that answers them.
#[derive(Debug)]
struct Counters {
    of_threads: Vec<CachePadded<AtomicU64>>,
    /// Nobody looks: the next request has to wake the thread that does.
    resting: AtomicBool,
    ended: AtomicBool,
}

impl Counters {
    fn sum(&self) -> u64 {
        let values = self.of_threads.iter();
        values.fold(0, |sum, value| {
            sum.wrapping_add(value.load(Ordering::Relaxed))
        })
    }
}

/// The counter of one thread.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    all: Arc<Counters>,
    this: usize,
    keeper: thread::Thread,
}

impl Counter {
    /// A request has come.
    pub(super) fn count(&self) {
        if let Some(value) = self.all.of_threads.get(self.this) {
            value.fetch_add(1, Ordering::Relaxed);
        }
        if self.all.resting.load(Ordering::Relaxed)
            && self.all.resting.swap(false, Ordering::Relaxed)
        {
            self.keeper.unpark();
        }
    }
}

/// The thread that looks at the counters. The wish ends with it.
#[derive(Debug)]
pub(super) struct Keeper {
    all: Arc<Counters>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Begins to look, if processors can and may be kept awake.
    pub(super) fn start(threads: usize) -> Option<Self> {
        if std::env::var_os(VARIABLE).is_some_and(|value| value == "no") {
            return None;
        }
        let device = OpenOptions::new().write(true).open(DEVICE);
        let started = device.and_then(|device| Self::over(device, wish(), threads));
        started
            .inspect_err(|error| log::debug!("cannot keep processors awake: {DEVICE}: {error}"))
            .ok()
    }

    fn over(device: File, wish: i32, threads: usize) -> io::Result<Self> {
        let all = Arc::new(Counters {
            of_threads: (0..threads).map(|_| CachePadded::default()).collect(),
            // The first request must not cut the beginning short.
            resting: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let counters = Arc::clone(&all);
        let thread = thread::Builder::new()
            .name("latency".to_owned())
            .spawn(move || keep(&counters, device, wish))?;
        Ok(Self { all, thread })
    }

    /// The counter for the thread with this number.
    pub(super) fn counter(&self, this: usize) -> Counter {
        Counter {
            all: Arc::clone(&self.all),
            this,
            keeper: self.thread.thread().clone(),
        }
    }

    /// Takes the wish back for good.
    pub(super) fn end(self) {
        self.all.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            log::error!("the thread that keeps processors awake broke down");
        }
    }
}

/// How long a wake-up may take, in microseconds. Hardware has a light sleep within that. The
/// driver for virtual machines counts none for what takes the host tens of them: there, no sleep.
fn wish() -> i32 {
    match fs::read_to_string(DRIVER) {
        Ok(driver) if driver.trim() == "haltpoll" => 0,
        _ => 2,
    }
}

fn keep(all: &Counters, mut device: File, wish: i32) {
    let mut held = false;
    let mut hold = |wanted: bool| {
        if wanted != held {
            held = wanted;
            let value = if wanted { wish } else { NO_WISH };
            if let Err(error) = device.write_all(&value.to_ne_bytes()) {
                log::debug!("cannot keep processors awake: {error}");
            }
        }
    };
    hold(true);
    thread::park_timeout(BEGINNING);
    let (mut seen, mut quiet) = (all.sum(), 0);
    while !all.ended.load(Ordering::Relaxed) {
        if quiet < PATIENCE {
            thread::sleep(LOOK);
        } else {
            hold(false);
            all.resting.store(true, Ordering::Relaxed);
            while all.resting.load(Ordering::Relaxed) && !all.ended.load(Ordering::Relaxed) {
                thread::park();
            }
        }
        let now = all.sum();
        if now.wrapping_sub(seen) >= HURRY {
            hold(true);
            quiet = 0;
        } else {
            // A first request after a rest is one to look after as well.
            quiet = if quiet < PATIENCE { quiet + 1 } else { 0 };
        }
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn value(from: &mut impl Read) -> i32 {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes).unwrap();
        i32::from_ne_bytes(bytes)
    }

    #[test]
    fn processors_are_kept_awake_as_long_as_requests_come() {
        let (mut wishes, device) = io::pipe().unwrap();
        let device = File::from(std::os::fd::OwnedFd::from(device));
        let keeper = Keeper::over(device, 0, 2).unwrap();
        let counters = [keeper.counter(0), keeper.counter(1)];
        assert_eq!(value(&mut wishes), 0, "at the beginning");
        assert_eq!(value(&mut wishes), NO_WISH);
        for _ in 0..3 {
            let hurry = Arc::new(AtomicBool::new(true));
            let asked = Arc::clone(&hurry);
            let of_thread = counters.clone();
            let busy = thread::spawn(move || {
                while asked.load(Ordering::Relaxed) {
                    of_thread.iter().for_each(Counter::count);
                }
            });
            assert_eq!(value(&mut wishes), 0);
            hurry.store(false, Ordering::Relaxed);
            busy.join().unwrap();
            assert_eq!(value(&mut wishes), NO_WISH);
        }
        keeper.end();
        assert_eq!(wishes.read(&mut [0; 4]).unwrap(), 0, "the device is closed");
    }

    #[test]
    fn a_request_now_and_then_wakes_nobody_up() {
        let (mut wishes, device) = io::pipe().unwrap();
        let device = File::from(std::os::fd::OwnedFd::from(device));
        let keeper = Keeper::over(device, 0, 1).unwrap();
        let counter = keeper.counter(0);
        assert_eq!(value(&mut wishes), 0, "at the beginning");
        assert_eq!(value(&mut wishes), NO_WISH);
        for _ in 0..5 {
            counter.count();
            thread::sleep(LOOK);
        }
        keeper.end();
        assert_eq!(
            wishes.read(&mut [0; 4]).unwrap(),
            0,
            "nothing more was wished"
        );
    }
}
