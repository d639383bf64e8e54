//! When to look again, and at what. Pure.

use std::time::{Duration, Instant};

/// A look at everything takes at most a part of the time as great as this: 0.5 %.
const EVERYTHING: u32 = 200;
/// The same of what is not watched: 2 %.
const UNWATCHED: u32 = 50;
/// The same of what has changed: 5 %.
const CHANGED: u32 = 20;

/// Longest between two looks of a kind, whatever they take.
const LONGEST: Duration = Duration::from_secs(30);

/// What takes less is not worth to be put off.
const NEGLIGIBLE: Duration = Duration::from_millis(1);

/// What a look looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    /// Folders in which something came or went.
    Changed,
    /// Folders that the system does not watch.
    Unwatched,
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
}

impl Schedule {
    pub(super) fn new(poll_interval: Duration) -> Self {
        let now = Instant::now();
        Self { poll_interval, everything: now, everything_early: now, unwatched: now, changed: now }
    }

    /// A look has ended at `now`, which took `cost`.
    pub(super) fn looked(&mut self, scope: Scope, now: Instant, cost: Duration) {
        let after = |share: u32, least: Duration| {
            let pause = if cost < NEGLIGIBLE { Duration::ZERO } else { cost * share };
            now + pause.max(least).min(LONGEST.max(least))
        };
        match scope {
            Scope::Everything => {
                self.everything = after(EVERYTHING, self.poll_interval);
                self.everything_early = after(CHANGED, Duration::ZERO);
                self.unwatched = after(UNWATCHED, self.poll_interval);
                self.changed = now;
            }
            Scope::Unwatched => self.unwatched = after(UNWATCHED, self.poll_interval),
            Scope::Changed => self.changed = after(CHANGED, Duration::ZERO),
        }
    }

    /// The next look and its time, when `asked` for one, and where something is polled.
    pub(super) fn next(&self, asked: Option<Scope>, is_polled: bool) -> (Scope, Instant) {
        let asked = asked.map(|scope| match scope {
            Scope::Everything => (scope, self.everything_early),
            Scope::Changed => (scope, self.changed),
            Scope::Unwatched => (scope, self.unwatched),
        });
        let polled = is_polled.then_some((Scope::Unwatched, self.unwatched));
        let looks = [Some((Scope::Everything, self.everything)), asked, polled];
        let first = looks.into_iter().flatten().min_by_key(|(_, at)| *at);
        first.unwrap_or((Scope::Everything, self.everything))
    }
}
