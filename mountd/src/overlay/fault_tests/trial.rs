//! One operation, tried with every failure and every death.

use std::cell::Cell;
use std::rc::Rc;

use rustix::io::Errno;

use super::Act;
use super::snapshot::{self, Facts, Snapshot};
use super::world::{FROM, TO, Thing, World};
use crate::error::{FsError, FsResult};
use crate::upper::calls::{Call, with_plan};

/// What the host may answer.
const ERRORS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::INTR, Errno::DQUOT];

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    from: Thing,
    to: Thing,
    act: Act,
    /// Whether the kernel knows what is acted on.
    looks: bool,
    /// Whether a program has it open.
    holds: bool,
}

/// What happens undisturbed.
struct Course {
    before: Snapshot,
    after: Snapshot,
    result: FsResult<()>,
}

impl Trial {
    pub(super) fn new(from: Thing, to: Thing, act: Act) -> Self {
        Self {
            from,
            to,
            act,
            looks: true,
            holds: false,
        }
    }

    /// The same with inodes that the kernel never heard of.
    pub(super) fn unseen(self) -> Self {
        Self {
            looks: false,
            ..self
        }
    }

    /// The same with a file that is open.
    pub(super) fn held(self) -> Self {
        Self {
            holds: true,
            ..self
        }
    }

    fn world(&self) -> World {
        let mut world = World::new(&[(FROM, self.from), (TO, self.to)], self.looks);
        if self.holds {
            world.hold(FROM);
        }
        world
    }

    /// Tries everything and tells what went wrong.
    pub(super) fn run(&self) -> Vec<String> {
        let mut failures = Vec::new();
        match self.course() {
            Ok(course) => {
                self.fail_each_call(&course, &mut failures);
                self.die_at_each_call(&course, &mut failures);
            }
            Err(error) => failures.push(format!("undisturbed: {error}")),
        }
        let told = |failure: String| format!("{self:?}\n  {failure}");
        failures.into_iter().map(told).collect()
    }

    fn course(&self) -> Result<Course, String> {
        let before = snapshot::take(&mut self.world()).map_err(|error| error.to_string())?;
        let mut world = self.world();
        let result = self.act.apply(&mut world);
        let after = snapshot::take(&mut world).map_err(|error| error.to_string())?;
        if result.is_err() && before != after {
            return Err(format!(
                "answered {result:?}, {}",
                difference(&before, &after)
            ));
        }
        if let Err(error @ (FsError::Stale | FsError::Damaged | FsError::Layer(_))) = result {
            return Err(format!("answered {error:?}"));
        }
        let course = Course {
            before,
            after,
            result,
        };
        self.check_reopened(&mut world, &course, &course.after, false)?;
        Ok(course)
    }

    fn fail_each_call(&self, course: &Course, failures: &mut Vec<String>) {
        for number in 0.. {
            let mut reached = false;
            // One after the other, or all.
            let ways = (0..2).flat_map(|way| ERRORS.map(|errno| (errno, way == 0)));
            let some = |(at, _): &(usize, _)| super::tries_all() || *at == number * 5 % 8;
            for (errno, repeats) in ways.enumerate().filter(some).map(|(_, way)| way) {
                let mut world = self.world();
                let failed = Rc::new(Cell::new(None));
                let plan = fail_once(number, errno, Rc::clone(&failed));
                let result = with_plan(plan, || self.act.apply(&mut world));
                let Some(call) = failed.get() else {
                    continue;
                };
                reached = true;
                let checked = self.check_failed(world, course, result, errno, repeats);
                if let Err(failure) = checked {
                    failures.push(format!("{errno} at call {number}, {call}: {failure}"));
                }
            }
            if !reached {
                return;
            }
        }
    }

    fn check_failed(
        &self,
        mut world: World,
        course: &Course,
        result: FsResult<()>,
        errno: Errno,
        repeats: bool,
    ) -> Result<(), String> {
        let live = snapshot::take(&mut world).map_err(|error| format!("then {error}"))?;
        match result {
            Ok(()) if course.result.is_err() => return Err("it succeeded".into()),
            Ok(()) => expect(&live, &course.after)?,
            Err(error) if error.errno() == errno || Err(error) == course.result => {
                self.expect_either(course, &live)?;
            }
            Err(error) => return Err(format!("answered {error:?}")),
        }
        if !repeats {
            return self.check_reopened(&mut world, course, &live, false);
        }
        if result.is_err() && live != course.after {
            let again = self.act.apply(&mut world);
            if again != course.result {
                return Err(format!("once more: {again:?}"));
            }
            let live = snapshot::take(&mut world).map_err(|error| format!("later {error}"))?;
            expect(&live, &course.after).map_err(|error| format!("once more: {error}"))?;
            return self.check_reopened(&mut world, course, &course.after, false);
        }
        Ok(())
    }

    /// Checks that the store opened again shows `expected`, or, after a death, before or after.
    fn check_reopened(
        &self,
        world: &mut World,
        course: &Course,
        expected: &Snapshot,
        died: bool,
    ) -> Result<(), String> {
        world
            .open()
            .map_err(|error| format!("opened again: {error}"))?;
        let seen = snapshot::take(world).map_err(|error| format!("opened again: {error}"))?;
        if died {
            self.expect_either(course, &seen)
        } else {
            expect(&seen, &without_held(expected))
        }
        .map_err(|error| format!("opened again: {error}"))?;
        let miscounted = snapshot::miscounted(&seen);
        if !miscounted.is_empty() {
            return Err(format!("opened again, miscounted: {miscounted:?}"));
        }
        let leftovers = snapshot::leftovers(world, &seen);
        let remains = [Thing::FileRemains, Thing::DirectoryRemains];
        let excused = |left: &str| {
            // Nobody sees these, and they are in nobody's way.
            let torn = died || remains.contains(&self.from) || remains.contains(&self.to);
            let completed = matches!(self.act, Act::Complete);
            torn && left.ends_with("no record")
                || completed && (left.ends_with("has a state") || left.contains("/maps/"))
        };
        let left = leftovers.iter().find(|left| !excused(left));
        if let Some(left) = left {
            return Err(format!("opened again, left: {left}"));
        }
        Ok(())
    }

    fn die_at_each_call(&self, course: &Course, failures: &mut Vec<String>) {
        for number in 0.. {
            let mut world = self.world();
            let died = Rc::new(Cell::new(None));
            let result = with_plan(die(number, Rc::clone(&died)), || self.act.apply(&mut world));
            world.die();
            let Some(call) = died.get() else {
                return;
            };
            let intent = ["intent", "count"].iter().any(|name| {
                std::fs::symlink_metadata(world.store().join("work").join(name)).is_ok()
            });
            let mut checked = match result {
                // What was answered stays.
                Ok(()) => self.check_reopened(&mut world, course, &course.after, false),
                Err(_) => self.check_dead(world, course),
            };
            if intent && checked.is_ok() {
                checked = self.die_twice(number, course);
            }
            if let Err(failure) = checked {
                failures.push(format!("death at call {number}, {call}: {failure}"));
            }
        }
    }

    fn check_dead(&self, mut world: World, course: &Course) -> Result<(), String> {
        self.check_reopened(&mut world, course, &course.before, true)?;
        let seen = snapshot::take(&mut world).map_err(|error| error.to_string())?;
        let after = without_held(&course.after);
        if seen != after {
            let again = self.act.apply(&mut world);
            if again != course.result {
                return Err(format!("once more: {again:?}"));
            }
            let seen = snapshot::take(&mut world).map_err(|error| format!("later {error}"))?;
            expect(&seen, &after).map_err(|error| format!("once more: {error}"))?;
        }
        Ok(())
    }

    /// The daemon that completes what the first one left dies as well, at each of its calls.
    fn die_twice(&self, number: usize, course: &Course) -> Result<(), String> {
        for second in 0.. {
            let mut world = self.world();
            let died = Rc::new(Cell::new(None));
            let plan = die(number, Rc::clone(&died));
            let _ = with_plan(plan, || self.act.apply(&mut world));
            world.die();
            died.set(None);
            let opened = with_plan(die(second, Rc::clone(&died)), || world.open());
            if died.get().is_none() {
                return Ok(());
            }
            if opened.is_ok() {
                world.die();
            }
            self.check_dead(world, course)
                .map_err(|error| format!("second death at call {second}: {error}"))?;
        }
        Ok(())
    }

    fn expect_either(&self, course: &Course, seen: &Snapshot) -> Result<(), String> {
        let (before, after) = if seen.keys().any(|path| path.starts_with("held")) {
            (course.before.clone(), course.after.clone())
        } else {
            (without_held(&course.before), without_held(&course.after))
        };
        if *seen == before || *seen == after {
            return Ok(());
        }
        if self.act.may_tear() && is_torn(seen, &before, &after) {
            return Ok(());
        }
        Err(format!(
            "neither before, {}\n  nor after, {}",
            difference(&before, seen),
            difference(&after, seen)
        ))
    }
}

/// Call number `number` of all fails.
fn fail_once(
    number: usize,
    errno: Errno,
    failed: Rc<Cell<Option<&'static str>>>,
) -> impl FnMut(&Call<'_>) -> Result<(), Errno> {
    let mut made = 0;
    move |call| {
        made += 1;
        if made - 1 == number {
            failed.set(Some(call.name));
            return Err(errno);
        }
        Ok(())
    }
}

/// From call number `number` of those that change something on, none is made.
pub(super) fn die(
    number: usize,
    died: Rc<Cell<Option<&'static str>>>,
) -> impl FnMut(&Call<'_>) -> Result<(), Errno> {
    let mut made = 0;
    move |call| {
        if died.get().is_some() {
            return Err(Errno::IO);
        }
        if call.changes {
            made += 1;
            if made - 1 == number {
                died.set(Some(call.name));
                return Err(Errno::IO);
            }
        }
        Ok(())
    }
}

fn without_held(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.retain(|path, _| !path.starts_with("held"));
    snapshot
}

fn expect(seen: &Snapshot, expected: &Snapshot) -> Result<(), String> {
    if seen == expected {
        Ok(())
    } else {
        Err(difference(expected, seen))
    }
}

fn difference(expected: &Snapshot, seen: &Snapshot) -> String {
    let paths = expected.keys().chain(seen.keys());
    let differing = paths
        .filter(|path| expected.get(*path) != seen.get(*path))
        .map(|path| {
            format!(
                "{path}: {:?} expected {:?}",
                seen.get(path),
                expected.get(path)
            )
        });
    differing
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether what differs is one inode, each fact of which is as before or as after.
fn is_torn(seen: &Snapshot, before: &Snapshot, after: &Snapshot) -> bool {
    let Some(target) = before.get(&format!("/{FROM}")) else {
        return false;
    };
    seen.len() == before.len()
        && seen.iter().all(|(path, now)| {
            let (Some(old), Some(new)) = (before.get(path), after.get(path)) else {
                return false;
            };
            now == old || (now.number == target.number && is_mixture(now, old, new))
        })
}

fn is_mixture(now: &Facts, old: &Facts, new: &Facts) -> bool {
    let lengths = old.data.len().min(new.data.len())..=old.data.len().max(new.data.len());
    let data = lengths.contains(&now.data.len())
        && now.data.iter().enumerate().all(|(at, byte)| {
            let known = [old.data.get(at), new.data.get(at)];
            known.contains(&Some(byte)) || (*byte == 0 && at >= old.data.len())
        });
    data && now.number == old.number
        && now.kind == old.kind
        && now.rdev == old.rdev
        && now.nlink == old.nlink
        && [old.owner, new.owner].contains(&now.owner)
        && [old.permissions, new.permissions].contains(&now.permissions)
        && [old.mtime, new.mtime, None].contains(&now.mtime)
        && now.xattrs.iter().all(|(name, value)| {
            [old.xattrs.get(name), new.xattrs.get(name)].contains(&Some(value))
        })
}
