//! A reader with the client library: it drops what is sent again as the contract says, and may be killed and go on
//! elsewhere from what it had saved.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use logrelay::{
    client::{Event, Options, Start, State, Subscription},
    record::Topic,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ledger::{Ledger, Written},
    process::PATIENCE,
};

/// Reads until it is killed.
pub(crate) struct Reader {
    topics: Vec<Topic>,
    heard: Arc<Mutex<Heard>>,
    stop: CancellationToken,
    running: JoinSet<State>,
}

/// What it has heard in all its lives.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) ledger: Ledger,
    /// How often it was told what, beside lines.
    pub(crate) told: BTreeMap<&'static str, u64>,
    /// Longest time without a line.
    pub(crate) stall: Duration,
    last: Instant,
}

impl Reader {
    /// A reader of all lines of these topics.
    pub(crate) fn start(relays: &[String], topics: &[Topic]) -> Self {
        let heard = Heard {
            ledger: Ledger::default(),
            told: BTreeMap::new(),
            stall: Duration::ZERO,
            last: Instant::now(),
        };
        let mut reader = Self {
            topics: topics.to_vec(),
            heard: Arc::new(Mutex::new(heard)),
            stop: CancellationToken::new(),
            running: JoinSet::new(),
        };
        reader.resume(relays, State::default());
        reader
    }

    /// Drops its connection in the middle of whatever it does; the new one goes on from what is left of the
    /// old one as text.
    pub(crate) async fn kill(&mut self, relays: &[String], hold: Duration) {
        self.stop.cancel();
        let state = self.running.join_next().await.unwrap().unwrap();
        let saved = serde_json::to_string(&state).unwrap();
        tokio::time::sleep(hold).await;
        self.resume(relays, serde_json::from_str(&saved).unwrap());
    }

    fn resume(&mut self, relays: &[String], state: State) {
        let options = Options {
            relays: relays.iter().map(|url| url.parse().unwrap()).collect(),
            topics: self.topics.iter().cloned().map(Into::into).collect(),
            start: Start::Earliest,
            state,
            heartbeat_interval_ms: 1000,
            connect_timeout_ms: 2000,
            retry_max_ms: 1000,
            ..Options::default()
        };
        self.stop = CancellationToken::new();
        let subscription = Subscription::new(options).unwrap();
        self.running.spawn(follow(subscription, Arc::clone(&self.heard), self.stop.clone()));
    }

    /// Waits until it has all these lines, as long as they come; whether it has.
    pub(crate) async fn has(&self, written: &[Written]) -> bool {
        let (mut lost, mut since) = (u64::MAX, Instant::now());
        loop {
            let now = self.with(|heard| heard.ledger.lost(written));
            if now == 0 {
                return true;
            }
            assert!(!self.running.is_empty());
            if now < lost {
                (lost, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it has heard so far.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.heard.lock().unwrap())
    }

    /// Ends it in good order, so that a panic of it is one of the test.
    pub(crate) async fn end(mut self) -> Heard {
        self.stop.cancel();
        timeout(PATIENCE, self.running.join_next()).await.unwrap().unwrap().unwrap();
        Arc::into_inner(self.heard).unwrap().into_inner().unwrap()
    }
}

async fn follow(mut subscription: Subscription, heard: Arc<Mutex<Heard>>, stop: CancellationToken) -> State {
    loop {
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => return subscription.state().clone(),
            event = subscription.next() => event,
        };
        match event {
            Ok(Some(event)) => heard.lock().unwrap().note(event),
            ended => panic!("a subscription ends: {ended:?}"),
        }
    }
}

impl Heard {
    fn note(&mut self, event: Event) {
        let told = match event {
            Event::Lines(lines) => {
                self.stall = self.stall.max(self.last.elapsed());
                self.last = Instant::now();
                for line in lines.iter() {
                    self.ledger.take(line.content, || {
                        format!(
                            "{}, line {} of {}",
                            lines.cursor_after(&line),
                            line.number,
                            lines.source_key()
                        )
                    });
                }
                return;
            }
            Event::Opened { .. } | Event::Joined { .. } | Event::CaughtUp(_) | Event::Heartbeat(_) => return,
            Event::Gap(jump) => {
                self.ledger.tell(|| format!("a gap though nothing is trimmed: {jump:?}"));
                "gap"
            }
            Event::Rewound(_) => "rewound",
            Event::Reset(_) => "reset",
            Event::Closing { .. } => "closing",
            Event::Disconnected { .. } => "disconnected",
        };
        *self.told.entry(told).or_default() += 1;
    }
}
