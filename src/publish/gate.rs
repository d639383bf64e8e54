//! One back-off for all sources of the process, and one for each topic that cannot be
//! used while the others can.
//!
//! During an outage one command at a time is let through to try; all others wait. It
//! is logged once when it begins and once when it ends.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tracing::{error, info, warn};

use super::Metrics;
use crate::{
    record::Topic,
    retry::Backoff,
    store::{Error, Store},
};

/// The first delay after a failure.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// Who publishes to a topic that cannot be used tries again within the greatest delay. After
/// so many of those without a try nobody does any more, and the outage is forgotten.
const DELAYS_TO_FORGET: u32 = 100;

/// What an outage is of: one topic, or the server and so all topics.
type Scope = Option<Topic>;

#[derive(Debug)]
pub(super) struct Gate {
    address: String,
    /// Topics are on several nodes: what one of them does is the outage of a topic.
    by_topic: bool,
    cap: Duration,
    outages: Mutex<Outages>,
    /// Told whenever an outage ends, or a try ended without a result.
    changed: Notify,
    /// Counts connections: a new one is worth a try at once.
    connections: watch::Receiver<u64>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Outages {
    /// At most one for each topic that is, or was lately, published to, and one for the server.
    now: BTreeMap<Scope, Outage>,
    /// When the last one of the server ended.
    ended_at: Option<Instant>,
    /// Whether the list of topics cannot be used.
    list_is_broken: bool,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    retry_at: Instant,
    /// How many connections had been made when it was tried last.
    connections: u64,
    backoff: Backoff,
    trying: bool,
    /// Reads may work all the while: only a write that works ends it.
    of_writes: bool,
    cause: Cause,
    /// Whether it was said that somebody has to change a setting.
    is_for_operator: bool,
}

/// What is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A server, or a node of a cluster.
    Server,
    /// Data of one topic, which its server cannot use.
    Data,
}

/// What a command that worked has shown to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worked {
    Reads,
    Writes,
}

/// The leave to send one command. Has to be ended with what came of it; one that is
/// dropped before leaves the try to others.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    gate: &'a Gate,
    topic: Scope,
    entered_at: Instant,
    /// How many connections had been made then.
    connections: u64,
    /// The outage whose end it tries.
    tries: Option<Scope>,
}

/// Why a command has to wait.
struct Shut {
    scope: Scope,
    /// Until when, or until there are more connections than so many; none: until another's
    /// try has ended.
    until: Option<(Instant, u64)>,
}

impl Gate {
    pub(super) fn new(store: &Store, retry_cap_ms: u64, metrics: Metrics) -> Self {
        Self::of(store.address(), (store.is_cluster(), store.connections()), retry_cap_ms, metrics)
    }

    fn of(
        address: &str,
        (by_topic, connections): (bool, watch::Receiver<u64>),
        retry_cap_ms: u64,
        metrics: Metrics,
    ) -> Self {
        Self {
            address: address.to_owned(),
            by_topic,
            connections,
            cap: Duration::from_millis(retry_cap_ms),
            outages: Mutex::default(),
            changed: Notify::new(),
            metrics,
        }
    }

    /// Waits for the leave to send a command: at once, but for an outage.
    pub(super) async fn enter(&self, topic: &Topic) -> Turn<'_> {
        loop {
            let changed = self.changed.notified();
            match self.ask(Some(topic)) {
                Ok(turn) => return turn,
                Err(shut) => self.wait(changed, shut).await,
            }
        }
    }

    /// The same for who has more to do than this topic, or none in particular: waits
    /// for the server, but never for the topic.
    pub(super) async fn enter_unless_shut(&self, topic: Option<&Topic>) -> Option<Turn<'_>> {
        loop {
            let changed = self.changed.notified();
            match self.ask(topic) {
                Ok(turn) => return Some(turn),
                Err(Shut { scope: Some(_), .. }) => return None,
                Err(shut) => self.wait(changed, shut).await,
            }
        }
    }

    /// Whether commands to a topic need not wait.
    pub(super) fn is_open(&self, topic: &Topic) -> bool {
        let outages = self.lock();
        !outages.now.contains_key(&None) && !outages.now.contains_key(&Some(topic.clone()))
    }

    fn ask(&self, topic: Option<&Topic>) -> Result<Turn<'_>, Shut> {
        let (topic, entered_at, connections) = (topic.cloned(), Instant::now(), *self.connections.borrow());
        let mut outages = self.lock();
        for scope in [None, topic.clone()] {
            let Some(outage) = outages.now.get_mut(&scope) else { continue };
            if outage.trying {
                return Err(Shut { scope, until: None });
            }
            if outage.retry_at > entered_at && outage.connections == connections {
                return Err(Shut { scope, until: Some((outage.retry_at, connections)) });
            }
            outage.trying = true;
            return Ok(Turn { gate: self, topic, entered_at, connections, tries: Some(scope) });
        }
        Ok(Turn { gate: self, topic, entered_at, connections, tries: None })
    }

    /// Until `changed`, a connection was made, or it is time.
    async fn wait(&self, changed: impl Future<Output = ()>, shut: Shut) {
        let Some((until, made)) = shut.until else { return changed.await };
        let mut connections = self.connections.clone();
        tokio::select! {
            () = changed => {}
            Ok(_) = connections.wait_for(|now| *now != made) => {}
            () = sleep_until(until) => {}
        }
    }

    fn ended(&self, scope: &Scope, worked: Worked) {
        let mut outages = self.lock();
        let is_over = |outage: &Outage| worked == Worked::Writes || !outage.of_writes;
        if !outages.now.get(scope).is_some_and(is_over) {
            return;
        }
        let Some(outage) = outages.now.remove(scope) else { return };
        let away_ms = u64::try_from(outage.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        match scope {
            None => {
                info!(redis = self.address, away_ms, "redis answers again");
                outages.ended_at = Some(Instant::now());
            }
            Some(topic) => info!(%topic, away_ms, "the topic can be used again"),
        }
        self.metrics.redis_up.set(outages.now.values().all(|outage| outage.cause == Cause::Data).into());
        self.changed.notify_waiters();
    }

    /// Failures of commands that were sent before an outage was known, or before its
    /// end, say nothing new.
    fn failed(&self, scope: &Scope, error: &Error, turn: &Turn<'_>) {
        let now = Instant::now();
        let mut outages = self.lock();
        if scope.is_none() && outages.ended_at.is_some_and(|end| turn.entered_at < end) {
            return;
        }
        if !outages.now.contains_key(scope) {
            let is_tried =
                |outage: &Outage| outage.trying || outage.retry_at + self.cap * DELAYS_TO_FORGET > now;
            outages.now.retain(|scope, outage| scope.is_none() || is_tried(outage));
        }
        let outage = outages.now.entry(scope.clone()).or_insert_with(|| {
            match scope {
                None => {
                    warn!(redis = self.address, %error, "redis is away: lines wait where they are");
                }
                Some(topic) if error.is_of_one_topic() => {
                    error!(%topic, %error, "the topic cannot be used: its lines wait where they are");
                }
                Some(topic) => warn!(%topic, %error, "its node is away: lines wait where they are"),
            }
            Outage {
                since: now,
                retry_at: now,
                connections: 0,
                backoff: Backoff::new(FIRST_DELAY, self.cap),
                trying: false,
                of_writes: false,
                cause: if error.is_of_one_topic() { Cause::Data } else { Cause::Server },
                is_for_operator: error.needs_an_operator(),
            }
        });
        if outage.cause == Cause::Server {
            self.metrics.redis_up.set(0);
        }
        // It may begin with a connection that ends, and go on with a wrong password.
        if error.needs_an_operator() && !std::mem::replace(&mut outage.is_for_operator, true) {
            error!(redis = self.address, %error, "redis refuses until somebody changes a setting; lines wait");
        }
        if turn.tries.as_ref() == Some(scope) || outage.retry_at == now {
            outage.retry_at = now + outage.backoff.next_delay();
            outage.connections = turn.connections;
            outage.of_writes = error.refuses_writes();
        }
    }

    /// The list of topics was used, or could not be: it has a key of its own, perhaps on a node
    /// of its own, which lines can do without.
    fn lists(&self, error: Option<&Error>) {
        let was_broken = std::mem::replace(&mut self.lock().list_is_broken, error.is_some());
        match error {
            Some(error) if !was_broken => error!(%error, "the list of topics cannot be used"),
            None if was_broken => info!("the list of topics can be used again"),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outages> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Ends the turn. None when the command has to be sent again.
    pub(super) fn end<T>(self, result: Result<T, Error>, worked: impl Fn(&T) -> Worked) -> Option<T> {
        match &result {
            Ok(value) => {
                if let Some(tried) = &self.tries {
                    self.gate.ended(tried, worked(value));
                }
                if self.topic.is_none() {
                    self.gate.lists(None);
                }
            }
            Err(error) if self.gate.by_topic || error.is_of_one_topic() => {
                if self.tries == Some(None) {
                    self.gate.ended(&None, Worked::Reads);
                }
                if self.topic.is_some() {
                    self.gate.failed(&self.topic, error, &self);
                } else {
                    self.gate.lists(Some(error));
                }
            }
            Err(error) => self.gate.failed(&None, error, &self),
        }
        result.ok()
    }

    /// Ends the turn of a command that only reads.
    pub(super) fn end_read<T>(self, result: Result<T, Error>) -> Option<T> {
        self.end(result, |_| Worked::Reads)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(scope) = &self.tries else { return };
        if let Some(outage) = self.gate.lock().now.get_mut(scope) {
            outage.trying = false;
        }
        self.gate.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
