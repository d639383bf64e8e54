//! Lets streams end in good order: those of a relay that stops before its port closes,
//! those of a connection before it is given up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

use super::status;

/// Callers that were sent away come back over so much time each: taking one up again costs
/// less than that.
const SPREAD_MS_PER_STREAM: u64 = 1;
/// The least that they are spread over.
const LEAST_SPREAD_MS: u64 = 100;

/// Shared by everything that has to be told. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    began: CancellationToken,
    subscriptions: TaskTracker,
    /// How many subscriptions there were when it began.
    told: Arc<AtomicUsize>,
}

impl Drain {
    pub(super) fn new() -> Self {
        let (began, subscriptions) = (CancellationToken::new(), TaskTracker::new());
        Self { began, subscriptions, told: Arc::default() }
    }

    /// Tells all subscriptions to end.
    pub(super) fn begin(&self) {
        self.told.store(self.subscriptions.len(), Ordering::Relaxed);
        self.subscriptions.close();
        self.began.cancel();
    }

    /// Whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.began.is_cancelled()
    }

    /// When a caller should come back after it has begun.
    pub(super) fn retry_after(&self) -> Duration {
        spread(self.told.load(Ordering::Relaxed))
    }

    /// What a call is told after it has begun.
    pub(super) fn shutting_down(&self) -> Status {
        let message = "the relay shuts down: ask another one".to_owned();
        status::unavailable("SHUTTING_DOWN", message, self.retry_after())
    }

    /// Ends when all subscriptions have ended, after [`begin`](Self::begin).
    pub(super) async fn ended(&self) {
        self.subscriptions.wait().await;
    }

    /// The owner of the subscriptions' tasks.
    pub(super) fn subscriptions(&self) -> &TaskTracker {
        &self.subscriptions
    }

    /// What tells the streams of one connection.
    pub(super) fn of_connection(&self) -> Leave {
        Leave { told: self.began.child_token(), drain: self.clone(), streams: Arc::default() }
    }
}

/// Tells the streams of one connection to end: when the relay stops, or that connection does.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Leave {
    told: CancellationToken,
    drain: Drain,
    /// How many streams are told.
    streams: Arc<AtomicUsize>,
}

impl Leave {
    /// Tells the streams of this connection, of which there are so many.
    pub(super) fn begin(&self, streams: usize) {
        self.streams.store(streams, Ordering::Relaxed);
        self.told.cancel();
    }

    /// Ends when they were told.
    pub(super) async fn told(&self) {
        self.told.cancelled().await;
    }

    /// Why, and when a caller should come back.
    pub(super) fn why(&self) -> (&'static str, Duration) {
        if self.drain.has_begun() {
            return ("the relay shuts down", self.drain.retry_after());
        }
        let retry_after = spread(self.streams.load(Ordering::Relaxed));
        ("the connection has reached its greatest age", retry_after)
    }

    /// The same as the end of a call.
    pub(super) fn status(&self) -> Status {
        if self.drain.has_begun() {
            return self.drain.shutting_down();
        }
        let (why, retry_after) = self.why();
        status::unavailable("CONNECTION_AGED", format!("{why}: call again over a new one"), retry_after)
    }
}

/// When one of so many callers should come back: not all in the same moment.
fn spread(streams: usize) -> Duration {
    let most = u64::try_from(streams).unwrap_or(u64::MAX).saturating_mul(SPREAD_MS_PER_STREAM);
    Duration::from_millis(fastrand::u64(0..=most.max(LEAST_SPREAD_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_callers_come_back_over_more_time_than_few() {
        let seed = fastrand::get_seed();
        let longest = |streams| (0..200).map(|_| spread(streams)).max().unwrap();
        assert!(longest(1) <= Duration::from_millis(100), "seed {seed}");
        let many = longest(5000);
        assert!((2500..=5000).contains(&many.as_millis()), "{many:?}, seed {seed}");
    }

    #[tokio::test]
    async fn a_connection_that_leaves_tells_no_other_one_and_a_relay_that_stops_tells_all() {
        let drain = Drain::new();
        let (old, young) = (drain.of_connection(), drain.of_connection());
        old.begin(3);
        assert!(old.told.is_cancelled() && !young.told.is_cancelled() && !drain.has_begun());
        assert!(old.why().0.contains("age"));
        drain.begin();
        young.told().await;
        assert!(young.why().0.contains("shuts down"));
    }
}
