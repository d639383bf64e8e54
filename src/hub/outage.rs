//! Whether the feeds hear from Redis: one line in the log when they do not, one when only
//! somebody can help, one when they do again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use crate::store;

/// What is known of the feeds that are cut off.
#[derive(Debug)]
pub(super) struct Outages {
    now: Mutex<Option<Outage>>,
    redis_ok: watch::Sender<bool>,
}

#[derive(Debug)]
struct Outage {
    /// How many are cut off.
    feeds: usize,
    since: Instant,
    /// Whether it was said that somebody has to change a setting.
    is_for_operator: bool,
}

impl Outages {
    pub(super) fn new() -> Self {
        Self { now: Mutex::new(None), redis_ok: watch::Sender::new(true) }
    }

    /// Whether no feed is cut off.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.redis_ok.subscribe()
    }

    /// One more feed is cut off; true when it is the first.
    pub(super) fn begin(&self, error: &store::Error) -> bool {
        let mut now = self.lock();
        if let Some(outage) = &mut *now {
            outage.feeds += 1;
            outage.hears(error);
            return false;
        }
        tracing::warn!(%error, "redis cannot be read; readers wait");
        self.redis_ok.send_replace(false);
        let is_for_operator = error.needs_an_operator();
        *now = Some(Outage { feeds: 1, since: Instant::now(), is_for_operator });
        true
    }

    /// A feed that is cut off still is.
    pub(super) fn goes_on(&self, error: &store::Error) {
        if let Some(outage) = &mut *self.lock() {
            outage.hears(error);
        }
    }

    /// One feed less is cut off.
    pub(super) fn end(&self) {
        let mut now = self.lock();
        let Some(outage) = &mut *now else { return };
        outage.feeds -= 1;
        if outage.feeds == 0 {
            let outage_ms = u64::try_from(outage.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(outage_ms, "redis is read again");
            self.redis_ok.send_replace(true);
            *now = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Outage>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outage {
    /// An outage may begin with a connection that ends, and go on with a wrong password.
    fn hears(&mut self, error: &store::Error) {
        if error.needs_an_operator() && !std::mem::replace(&mut self.is_for_operator, true) {
            tracing::error!(%error, "redis refuses until somebody changes a setting; readers wait");
        }
    }
}
