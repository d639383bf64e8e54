//! Keeps every topic within its age and its size. All relays of a Redis do it in turn: who
//! holds the lock trims, and appends do not wait for it.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;

use super::metrics::Metrics;
use crate::{
    record::{Offset, Topic},
    store::{self, Resolved, Store, Trimmed},
};

/// What the lock is called.
const WORK: &str = "retention";
/// How many topics are trimmed at once.
const AT_ONCE: usize = 4;
/// The lock is held for so many rounds, so that its holder keeps it while it lives.
const ROUNDS_HELD: u64 = 3;
/// How long the records of sources that are gone are kept, where lines are kept for ever:
/// a failover may make them needed again.
const KEEP_RECORDS_MS: u64 = 24 * 3_600_000;
/// Records are looked through once in so many rounds.
const ROUNDS_PER_EXPIRY: u64 = 12;

/// How much is kept of topics that have no retention of their own. Zero is no bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionOptions {
    /// Greatest age of a line in milliseconds, by the time of its append.
    pub max_age_ms: u64,
    /// Greatest stored size of a topic, in bytes.
    pub max_bytes: u64,
    /// Greatest stored size of all topics together, in bytes.
    pub total_bytes: u64,
    /// How often topics are looked at, in milliseconds.
    pub interval_ms: u64,
}

impl Default for RetentionOptions {
    /// A day, and 1 GiB a topic.
    fn default() -> Self {
        Self { max_age_ms: 24 * 3_600_000, max_bytes: 1 << 30, total_bytes: 0, interval_ms: 5000 }
    }
}

/// How much of one topic is kept; the greatest number is no bound.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    age_ms: u64,
    bytes: u64,
}

impl RetentionOptions {
    /// The bounds of a topic: its own, or else these.
    fn bounds_of(&self, found: &Resolved) -> Bounds {
        let bound = |own: Option<u64>, default: u64| match own.unwrap_or(default) {
            0 => u64::MAX,
            bound => bound,
        };
        let own = found.retention;
        Bounds { age_ms: bound(own.max_age_ms, self.max_age_ms), bytes: bound(own.max_bytes, self.max_bytes) }
    }
}

/// The part of a relay that trims.
#[derive(Debug)]
pub(super) struct Retention {
    store: Store,
    options: RetentionOptions,
    metrics: Metrics,
    /// Names this relay to the lock.
    token: String,
}

impl Retention {
    pub(super) fn new(store: Store, options: RetentionOptions, metrics: Metrics) -> Self {
        Self { store, options, metrics, token: format!("{:016x}", fastrand::u64(..)) }
    }

    /// Trims now and then, for ever.
    pub(super) async fn run(&self) -> Infallible {
        let (interval, mut round) = (Duration::from_millis(self.options.interval_ms.max(10)), 0_u64);
        loop {
            // Relays that were started together do not ask for the lock together.
            sleep(interval.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            let hold_ms = self.options.interval_ms.saturating_mul(ROUNDS_HELD);
            let done = match self.store.take_lock(WORK, &self.token, hold_ms).await {
                Ok(true) => self.round(round.is_multiple_of(ROUNDS_PER_EXPIRY)).await.map(|()| round += 1),
                other => other.map(drop),
            };
            if let Err(error) = done {
                tracing::debug!(%error, "retention waits");
            }
        }
    }

    /// Looks at every topic once. A topic that cannot be read is no reason to leave others
    /// alone.
    async fn round(&self, expires: bool) -> Result<(), store::Error> {
        self.metrics.retention_rounds.inc();
        let now_ms = self.store.time_ms().await?;
        let topics = self.store.topics().await?;
        let looked = stream::iter(topics).map(|topic| async move {
            let found = self.store.resolve(&topic).await;
            (topic, found)
        });
        let looked: Vec<_> = looked.buffered(AT_ONCE).collect().await;
        let mut topics = Vec::new();
        for (topic, found) in looked {
            match found {
                Ok(found) => topics.extend(found.map(|found| (topic, found))),
                Err(error) => tracing::debug!(%topic, %error, "retention cannot read a topic"),
            }
        }
        let bounds: Vec<_> = topics.iter().map(|(_, found)| self.options.bounds_of(found)).collect();
        let sizes =
            topics.iter().zip(&bounds).map(|((_, found), bounds)| found.stored_bytes.min(bounds.bytes));
        let level = level(sizes.collect(), self.options.total_bytes);
        let work = stream::iter(topics.into_iter().zip(bounds));
        let work = work.for_each_concurrent(AT_ONCE, |((topic, found), mut bounds)| async move {
            bounds.bytes = bounds.bytes.min(level);
            let kept = self.keep(&topic, &found, now_ms, bounds).await;
            let forgot = if expires { self.expire(&topic, bounds).await } else { Ok(()) };
            if let Err(error) = kept.and(forgot) {
                tracing::debug!(%topic, %error, "retention cannot trim a topic");
            }
        });
        work.await;
        Ok(())
    }

    /// Trims a topic to its bounds.
    async fn keep(
        &self,
        topic: &Topic,
        found: &Resolved,
        now_ms: u64,
        bounds: Bounds,
    ) -> Result<(), store::Error> {
        let mut to = found.timeline.first();
        let oldest_ms = now_ms.saturating_sub(bounds.age_ms);
        if found.first_ms < oldest_ms && found.stored_bytes > 0 {
            to = to.max(self.store.offset_at(topic, oldest_ms, &found.timeline).await?);
        }
        if found.stored_bytes > bounds.bytes {
            to = to.max(self.store.offset_within(topic, bounds.bytes, found).await?);
        }
        if to > found.timeline.first() || found.lost_lines > 0 {
            self.trim(topic, found, to).await
        } else {
            Ok(())
        }
    }

    async fn trim(&self, topic: &Topic, found: &Resolved, to: Offset) -> Result<(), store::Error> {
        let before = found.timeline.first();
        loop {
            // Of another epoch it is looked at again in the next round.
            let Trimmed::To { first, is_done, lost_lines, .. } =
                self.store.trim(topic, found.timeline.epoch(), to).await?
            else {
                return Ok(());
            };
            if lost_lines > 0 {
                self.metrics.lost_lines.inc_by(lost_lines);
                tracing::error!(%topic, lines = lost_lines, "lines are gone from redis that nobody has trimmed: evicted, or removed by hand");
            }
            if is_done {
                let lines = first.since(before);
                self.metrics.trimmed_lines.inc_by(lines);
                tracing::debug!(%topic, lines, first = first.get(), "trimmed");
                return Ok(());
            }
        }
    }

    async fn expire(&self, topic: &Topic, bounds: Bounds) -> Result<(), store::Error> {
        // Where lines are kept for ever, a producer may go on for ever.
        let (keep_ms, idle_ms) = match bounds.age_ms {
            u64::MAX => (KEEP_RECORDS_MS, None),
            age => (age, Some(age)),
        };
        let expired = self.store.expire_records(topic, keep_ms, idle_ms).await?;
        self.metrics.expired_records.inc_by(expired);
        Ok(())
    }
}

/// The greatest size that a topic may have, so that topics of these sizes have no more than
/// `total_bytes` together (zero: no bound): the largest give way first.
fn level(mut sizes: Vec<u64>, total_bytes: u64) -> u64 {
    if total_bytes == 0 {
        return u64::MAX;
    }
    sizes.sort_unstable();
    let mut left = total_bytes;
    for (at, size) in sizes.iter().enumerate() {
        let even = left / (sizes.len() - at) as u64;
        if *size > even {
            return even;
        }
        left -= size;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sizes_keep_the_bound_and_nobody_gives_more_than_is_needed(
            sizes in prop::collection::vec(0..10_000_u64, 0..20), total_bytes in 0..40_000_u64,
        ) {
            let most = level(sizes.clone(), total_bytes);
            let kept: u64 = sizes.iter().map(|size| *size.min(&most)).sum();
            prop_assert!(total_bytes == 0 || kept <= total_bytes);
            // One byte more for each of those that were cut would be too much.
            if most < u64::MAX {
                let cut = sizes.iter().filter(|size| **size > most).count() as u64;
                prop_assert!(cut > 0 && kept + cut > total_bytes);
            }
        }
    }
}
