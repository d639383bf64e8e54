//! The health of one pooled connection, and the PINGs that keep the server from
//! closing it. Replaces nothing: that is the pool's part.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bb8::ManageConnection as _;
use bb8_redis::RedisConnectionManager;
use redis::aio::MultiplexedConnection;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// What is known of a connection without asking the server.
#[derive(Debug)]
pub(super) struct Health {
    born: Instant,
    last_answer_ms: AtomicU64,
    in_flight: AtomicBool,
    broken: AtomicBool,
    /// Woken when the connection breaks.
    pool: Arc<Notify>,
}

impl Health {
    pub(super) fn new(pool: Arc<Notify>) -> Self {
        Self {
            born: Instant::now(),
            last_answer_ms: AtomicU64::new(0),
            in_flight: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            pool,
        }
    }

    /// A command is about to be sent. Until [`Health::answered`] or
    /// [`Health::mark_broken`] the connection is not fit for another caller.
    pub(super) fn sent(&self) {
        self.in_flight.store(true, Ordering::Relaxed);
    }

    /// The answer to the command has come, be it an error.
    pub(super) fn answered(&self) {
        self.in_flight.store(false, Ordering::Relaxed);
        self.heard();
    }

    pub(super) fn mark_broken(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.pool.notify_one();
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Whether the next caller may have the connection.
    pub(super) fn is_fit(&self) -> bool {
        !self.is_broken() && !self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the server has answered at this time or later.
    pub(super) fn heard_since(&self, time: Instant) -> bool {
        self.last_answer() >= time
    }

    fn heard(&self) {
        let now_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_answer_ms.store(now_ms, Ordering::Relaxed);
    }

    fn last_answer(&self) -> Instant {
        self.born + Duration::from_millis(self.last_answer_ms.load(Ordering::Relaxed))
    }
}

/// Sends a PING whenever the connection has been silent for `interval`, until it breaks.
pub(super) async fn keep_alive(
    health: Arc<Health>,
    mut connection: MultiplexedConnection,
    pinger: RedisConnectionManager,
    interval: Duration,
) {
    while !health.is_broken() {
        let due = health.last_answer() + interval;
        if Instant::now() < due {
            sleep_until(due).await;
        } else if pinger.is_valid(&mut connection).await.is_ok() {
            health.heard();
        } else {
            health.mark_broken();
        }
    }
}

/// How long a connection may be silent: `keepalive_ms`, or a third of the server's own
/// idle `timeout` (0: it has none) where that is shorter.
pub(super) fn interval(keepalive_ms: u64, server_timeout_s: u64) -> Duration {
    let third_ms = match server_timeout_s {
        0 => u64::MAX,
        seconds => seconds.saturating_mul(1000) / 3,
    };
    Duration::from_millis(keepalive_ms.min(third_ms).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_stays_below_the_timeout_of_the_server() {
        assert_eq!(interval(10_000, 0), Duration::from_secs(10));
        assert_eq!(interval(10_000, 2), Duration::from_millis(666));
        assert_eq!(interval(10_000, 300), Duration::from_secs(10));
        assert_eq!(interval(0, 300), Duration::from_millis(1));
        assert_eq!(interval(500, u64::MAX), Duration::from_millis(500));
    }

    #[tokio::test]
    async fn a_connection_is_unfit_between_command_and_answer_and_for_ever_once_broken() {
        let pool = Arc::new(Notify::new());
        let health = Health::new(Arc::clone(&pool));
        assert!(health.is_fit());
        health.sent();
        assert!(!health.is_fit());
        health.answered();
        assert!(health.is_fit());
        health.mark_broken();
        health.answered();
        assert!(!health.is_fit());
        pool.notified().await;
    }
}
