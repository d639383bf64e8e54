//! Lets subscriptions end in good order before the port closes.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Status;

use super::status;

/// Shared by everything that has to be told. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    began: CancellationToken,
    subscriptions: TaskTracker,
}

impl Drain {
    pub(super) fn new() -> Self {
        Self { began: CancellationToken::new(), subscriptions: TaskTracker::new() }
    }

    /// Tells all subscriptions to end.
    pub(super) fn begin(&self) {
        self.subscriptions.close();
        self.began.cancel();
    }

    /// Ends when it was told.
    pub(super) async fn told(&self) {
        self.began.cancelled().await;
    }

    /// Whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.began.is_cancelled()
    }

    /// Ends when all subscriptions have ended, after [`begin`](Self::begin).
    pub(super) async fn ended(&self) {
        self.subscriptions.wait().await;
    }

    /// The owner of the subscriptions' tasks.
    pub(super) fn subscriptions(&self) -> &TaskTracker {
        &self.subscriptions
    }
}

/// What a stream that ends for that is told.
pub(super) fn shutting_down() -> Status {
    let message = "the relay shuts down: ask another one".to_owned();
    status::unavailable("SHUTTING_DOWN", message, retry_after())
}

/// When a caller should come back: not all in the same moment.
pub(super) fn retry_after() -> Duration {
    Duration::from_millis(fastrand::u64(100..2000))
}
