//! Files that are replaced while the relay runs: certificates, and the file of rules. What is
//! wrong with a replacement is said once, and what was there before stays.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use super::{Error, metrics::Metrics};
use crate::files::Contents;

/// Asks for a look at once. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reloader(Arc<Notify>);

impl Reloader {
    /// Everything is read again, also where it is the same.
    pub fn reload(&self) {
        self.0.notify_one();
    }
}

/// Loads and applies; says what was loaded.
pub(super) type Load = Box<dyn FnMut(&mut Contents) -> Result<String, Error> + Send>;

/// Files that are replaced together.
struct Part {
    name: &'static str,
    load: Load,
    /// What was applied, or refused.
    seen: Contents,
    /// What was there at the last look, where that is something else.
    changed: Option<Contents>,
}

/// Everything that is looked at.
pub(super) struct Reload {
    parts: Vec<Part>,
    every: Duration,
    asked: Reloader,
    metrics: Metrics,
}

impl Reload {
    pub(super) fn new(interval_ms: u64, metrics: Metrics) -> Self {
        let every = Duration::from_millis(interval_ms.max(1));
        Self { parts: Vec::new(), every, asked: Reloader::default(), metrics }
    }

    /// Adds what was loaded from `seen`.
    pub(super) fn add(&mut self, name: &'static str, seen: Contents, load: Load) {
        self.parts.push(Part { name, load, seen, changed: None });
    }

    pub(super) fn handle(&self) -> Reloader {
        self.asked.clone()
    }

    /// Looks now and then, for ever.
    pub(super) async fn run(mut self) -> Infallible {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let at_once = tokio::select! {
                _ = ticks.tick() => false,
                () = self.asked.0.notified() => true,
            };
            if at_once && self.parts.is_empty() {
                tracing::warn!(
                    "SIGHUP changes nothing: a relay reads certificates and rules again, and has none"
                );
            }
            let (mut parts, metrics) = (std::mem::take(&mut self.parts), self.metrics.clone());
            // A file may be on a disk that hangs.
            let looked = tokio::task::spawn_blocking(move || {
                for part in &mut parts {
                    part.look(at_once, &metrics);
                }
                parts
            });
            match looked.await {
                Ok(parts) => self.parts = parts,
                Err(error) => {
                    tracing::error!(%error, "certificates and rules are not read again any more");
                    return std::future::pending().await;
                }
            }
        }
    }
}

impl Part {
    /// Loads what is new: twice in a row the same, as what is just being written may be half of
    /// what it will be.
    fn look(&mut self, at_once: bool, metrics: &Metrics) {
        if !at_once {
            let now = self.seen.again();
            if now == self.seen {
                self.changed = None;
                return;
            }
            if self.changed.as_ref() != Some(&now) {
                self.changed = Some(now);
                return;
            }
        }
        let mut contents = Contents::default();
        let loaded = (self.load)(&mut contents);
        (self.seen, self.changed) = (contents, None);
        metrics.reloaded(self.name, loaded.is_ok());
        match loaded {
            Ok(what) => tracing::info!("{} read again: {what}", self.name),
            Err(error) => tracing::warn!(%error, "{} refused, they stay as they were", self.name),
        }
    }
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|part| part.name)).finish()
    }
}
