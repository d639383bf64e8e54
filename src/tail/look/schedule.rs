//! When to look again, and at what. Pure.

use std::time::{Duration, Instant};

/// A look at everything takes at most a part of the time as great as this: 0.5 %.
const EVERYTHING: u32 = 200;
/// The same of what is not watched: 2 %.
const UNWATCHED: u32 = 50;
/// The same of what has changed, or is unsettled: 5 %.
const AWAITED: u32 = 20;

/// Longest between two looks of a kind, whatever they take.
const LONGEST: Duration = Duration::from_secs(30);
/// The same where something is known to have changed, or to be unsettled: who waits for that
/// may not have the file for long.
const LONGEST_AWAITED: Duration = Duration::from_secs(5);

/// What takes less is polled as often as it is wanted.
const NEGLIGIBLE: Duration = Duration::from_millis(1);

/// What a look looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    /// Folders in which something came or went.
    Changed,
    /// Folders that the system does not watch.
    Unwatched,
    /// Folders of what has to be tried again, also when nothing changes.
    Unsettled,
}

/// When each kind of look may come again.
#[derive(Debug)]
pub(super) struct Schedule {
    poll_interval: Duration,
    everything: Instant,
    /// Not before: when everything is asked for.
    everything_early: Instant,
    unwatched: Instant,
    changed: Instant,
    unsettled: Instant,
}

impl Schedule {
    pub(super) fn new(poll_interval: Duration) -> Self {
        let now = Instant::now();
        Self {
            poll_interval,
            everything: now,
            everything_early: now,
            unwatched: now,
            changed: now,
            unsettled: now,
        }
    }

    /// Everything may be looked at, now.
    pub(super) fn now(&mut self) {
        *self = Self::new(self.poll_interval);
    }

    /// A look has ended at `now`, which took `cost`.
    pub(super) fn looked(&mut self, scope: Scope, now: Instant, cost: Duration) {
        let after = |share: u32, longest: Duration| now + (cost * share).min(longest);
        let poll = |share: u32| {
            let least = now + self.poll_interval;
            if cost < NEGLIGIBLE { least } else { after(share, LONGEST).max(least) }
        };
        let awaited = after(AWAITED, LONGEST_AWAITED);
        match scope {
            Scope::Everything => {
                self.everything = poll(EVERYTHING);
                self.everything_early = awaited;
                self.unwatched = poll(UNWATCHED);
                self.changed = now;
            }
            Scope::Unwatched => self.unwatched = poll(UNWATCHED),
            Scope::Changed => self.changed = awaited,
            Scope::Unsettled => {}
        }
        if matches!(scope, Scope::Everything | Scope::Unsettled) {
            let least = now + self.poll_interval;
            self.unsettled = if cost < NEGLIGIBLE { least } else { awaited.max(least) };
        }
    }

    /// The next look and its time, when `asked` for one, where something is polled, and where
    /// something `is_waiting` to be tried again.
    pub(super) fn next(&self, asked: Option<Scope>, is_polled: bool, is_waiting: bool) -> (Scope, Instant) {
        let asked = asked.map(|scope| match scope {
            Scope::Everything => (scope, self.everything_early),
            Scope::Changed => (scope, self.changed),
            Scope::Unwatched => (scope, self.unwatched),
            Scope::Unsettled => (scope, self.unsettled),
        });
        let polled = is_polled.then_some((Scope::Unwatched, self.unwatched));
        let waiting = is_waiting.then_some((Scope::Unsettled, self.unsettled));
        let looks = [Some((Scope::Everything, self.everything)), asked, polled, waiting];
        let first = looks.into_iter().flatten().min_by_key(|(_, at)| *at);
        first.unwrap_or((Scope::Everything, self.everything))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(1);

    fn after(scope: Scope, cost_ms: u64) -> (Schedule, Instant) {
        let mut schedule = Schedule::new(POLL);
        let now = Instant::now();
        schedule.looked(Scope::Everything, now, Duration::ZERO);
        schedule.looked(scope, now, Duration::from_millis(cost_ms));
        (schedule, now)
    }

    fn pause(scope: Scope, cost_ms: u64, asked: Option<Scope>, is_polled: bool) -> (Scope, u128) {
        let (schedule, now) = after(scope, cost_ms);
        let (next, at) = schedule.next(asked, is_polled, false);
        (next, (at - now).as_millis())
    }

    #[test]
    fn everything_is_looked_at_every_poll_interval_or_as_seldom_as_its_cost_demands() {
        for (cost_ms, pause_ms) in
            [(0, 1000), (1, 1000), (5, 1000), (10, 2000), (100, 20_000), (9000, 30_000)]
        {
            assert_eq!(pause(Scope::Everything, cost_ms, None, false), (Scope::Everything, pause_ms));
        }
    }

    #[test]
    fn looks_of_a_large_tree_become_seldom_however_short_the_poll_interval_is() {
        let mut schedule = Schedule::new(Duration::from_millis(10));
        let now = Instant::now();
        for (cost_us, pause_ms) in [(10, 10), (999, 10), (1000, 200), (5000, 1000), (50_000, 10_000)] {
            schedule.looked(Scope::Everything, now, Duration::from_micros(cost_us));
            let (_, at) = schedule.next(None, false, false);
            assert_eq!((at - now).as_millis(), pause_ms, "{cost_us} µs");
        }
    }

    #[test]
    fn what_is_not_watched_is_looked_at_more_often_but_not_for_more_than_its_share() {
        for (cost_ms, pause_ms) in [(10, 1000), (100, 5000), (500, 25_000), (9000, 30_000)] {
            let (next, paused) = pause(Scope::Everything, cost_ms, None, true);
            assert!(paused <= pause_ms, "{next:?} {paused}");
        }
        assert_eq!(pause(Scope::Everything, 100, None, true), (Scope::Unwatched, 5000));
    }

    #[test]
    fn what_changes_is_looked_at_at_once_and_a_flood_of_changes_for_no_more_than_its_share() {
        assert_eq!(pause(Scope::Everything, 50, Some(Scope::Changed), false), (Scope::Changed, 0));
        assert_eq!(pause(Scope::Changed, 0, Some(Scope::Changed), false), (Scope::Changed, 0));
        assert_eq!(pause(Scope::Changed, 1, Some(Scope::Changed), false), (Scope::Changed, 20));
        assert_eq!(pause(Scope::Changed, 10, Some(Scope::Changed), false), (Scope::Changed, 200));
        assert_eq!(pause(Scope::Everything, 50, Some(Scope::Everything), false), (Scope::Everything, 1000));
    }

    #[test]
    fn what_is_unsettled_or_has_changed_waits_for_seconds_at_most_whatever_a_look_takes() {
        for (cost_ms, pause_ms) in [(0, 1000), (10, 1000), (100, 2000), (500, 5000), (9000, 5000)] {
            let (schedule, now) = after(Scope::Unsettled, cost_ms);
            let (next, at) = (schedule.unsettled, schedule.everything);
            assert_eq!((next - now).as_millis(), pause_ms);
            assert_eq!(schedule.next(None, true, true).1, next.min(at));
        }
        assert_eq!(pause(Scope::Everything, 9000, None, true), (Scope::Everything, 30_000));
        let (schedule, now) = after(Scope::Everything, 9000);
        assert_eq!(schedule.next(None, true, true), (Scope::Unsettled, now + LONGEST_AWAITED));
        assert_eq!(pause(Scope::Everything, 9000, Some(Scope::Everything), false), (Scope::Everything, 5000));
    }

    #[test]
    fn a_poll_interval_above_the_longest_pause_is_kept() {
        let mut schedule = Schedule::new(Duration::from_secs(60));
        let now = Instant::now();
        schedule.looked(Scope::Everything, now, Duration::from_secs(9));
        assert_eq!(schedule.next(None, true, false), (Scope::Everything, now + Duration::from_secs(60)));
    }
}
