//! Whether the feeds hear from Redis: one line in the log when they do not, one
//! when they do again.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use crate::store;

/// How many feeds are cut off, and since when.
#[derive(Debug)]
pub(super) struct Outages {
    out: Mutex<Option<(usize, Instant)>>,
    redis_ok: watch::Sender<bool>,
}

impl Outages {
    pub(super) fn new() -> Self {
        Self { out: Mutex::new(None), redis_ok: watch::Sender::new(true) }
    }

    /// Whether no feed is cut off.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.redis_ok.subscribe()
    }

    /// One more feed is cut off; true when it is the first.
    pub(super) fn begin(&self, error: &store::Error) -> bool {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = out.is_none();
        if is_first {
            tracing::warn!(%error, "redis cannot be read; readers wait");
            self.redis_ok.send_replace(false);
        }
        let (feeds, since) = out.unwrap_or((0, Instant::now()));
        *out = Some((feeds + 1, since));
        is_first
    }

    /// One feed less is cut off.
    pub(super) fn end(&self) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        *out = match *out {
            Some((feeds, since)) if feeds > 1 => Some((feeds - 1, since)),
            Some((_, since)) => {
                let outage_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(outage_ms, "redis is read again");
                self.redis_ok.send_replace(true);
                None
            }
            None => None,
        };
    }
}
