//! One back-off for all sources of the process.
//!
//! While Redis is away, one command at a time is let through to try; all others
//! wait. The outage is logged once when it begins and once when it ends.

use std::{sync::Mutex, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tracing::{error, info, warn};

use super::{Metrics, is_of_the_topic};
use crate::{record::Topic, retry::Backoff, store::Error};

/// The first delay after a failure.
const FIRST_DELAY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Gate {
    address: String,
    cap: Duration,
    outage: Mutex<Option<Outage>>,
    /// Told whenever the outage ends, or a try ended without a result.
    changed: Notify,
    metrics: Metrics,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    retry_at: Instant,
    backoff: Backoff,
    trying: bool,
}

/// The leave to send one command. Has to be ended with what came of it.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    gate: &'a Gate,
    topic: &'a Topic,
    is_try: bool,
}

impl Gate {
    pub(super) fn new(address: &str, retry_cap_ms: u64, metrics: Metrics) -> Self {
        Self {
            address: address.to_owned(),
            cap: Duration::from_millis(retry_cap_ms),
            outage: Mutex::new(None),
            changed: Notify::new(),
            metrics,
        }
    }

    /// Waits for the leave to send a command: at once, but for an outage.
    pub(super) async fn enter<'a>(&'a self, topic: &'a Topic) -> Turn<'a> {
        loop {
            let changed = self.changed.notified();
            let wait_until = match &mut *self.lock() {
                None => return Turn { gate: self, topic, is_try: false },
                Some(outage) if !outage.trying && outage.retry_at <= Instant::now() => {
                    outage.trying = true;
                    return Turn { gate: self, topic, is_try: true };
                }
                Some(outage) if outage.trying => None,
                Some(outage) => Some(outage.retry_at),
            };
            match wait_until {
                Some(at) => tokio::select! { () = changed => {}, () = sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    fn succeeded(&self) {
        let ended = self.lock().take();
        if let Some(outage) = ended {
            let away_ms = u64::try_from(outage.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(redis = self.address, away_ms, "redis answers again");
            self.metrics.redis_up.set(1);
            self.changed.notify_waiters();
        }
    }

    fn failed(&self, error: &Error) {
        let now = Instant::now();
        let mut guard = self.lock();
        let outage = guard.get_or_insert_with(|| {
            warn!(redis = self.address, %error, "redis is away: waiting, the files keep the lines");
            self.metrics.redis_up.set(0);
            Outage { since: now, retry_at: now, backoff: Backoff::new(FIRST_DELAY, self.cap), trying: false }
        });
        // Failures of commands that were sent before the outage was known say nothing new.
        if outage.trying || outage.retry_at <= now {
            outage.retry_at = now + outage.backoff.next_delay();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Ends the turn. None when the command has to be sent again.
    pub(super) async fn end<T>(self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.gate.succeeded();
                Some(value)
            }
            Err(error) if is_of_the_topic(&error) => {
                // The connection is well: this topic waits alone, the others go on.
                let (gate, topic) = (self.gate, self.topic);
                drop(self);
                gate.succeeded();
                error!(%topic, %error, "the topic cannot be used");
                sleep(gate.cap).await;
                None
            }
            Err(error) => {
                self.gate.failed(&error);
                None
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_try {
            if let Some(outage) = &mut *self.gate.lock() {
                outage.trying = false;
            }
            self.gate.changed.notify_waiters();
        }
    }
}
