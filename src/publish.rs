//! ② Lines become appended batches.
//!
//! A source pushes its lines into a [`Group`]; what the group holds is sealed and
//! appended as soon as the append before it is confirmed (group commit). The
//! [`Publisher`] carries an append through outages and lost replies, and compares
//! what sources believe with what Redis keeps, so that a quiet source notices a
//! failover too. A program that has no file gets a [`Seat`] under its producer's name. It
//! knows nothing of files.

mod audit;
mod gate;
mod group;
mod metrics;
mod packer;
mod producer;
mod roster;

use std::{
    slice,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use self::{
    gate::{Gate, Worked},
    packer::Packer,
    roster::Roster,
};
pub use self::{
    group::Group,
    metrics::Metrics,
    packer::Packing,
    producer::{Admission, Applicant, Seat},
    roster::{Challenge, Predecessor, Standing},
};
use crate::{
    record::{Details, Host, Record, SealedBatch, SourceKey, Token, Topic},
    retry::Backoff,
    store::{Append, Appended, Store},
};

/// The first delay before the list of topics is asked for again.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// Bounds of publishing.
#[derive(Debug, Clone)]
pub struct Options {
    /// Greatest size of a batch, in bytes of encoded lines; one line may exceed it.
    pub max_batch_bytes: usize,
    /// Greatest number of lines in a batch.
    pub max_batch_lines: u32,
    /// Batches of at least so many bytes are packed by zstd, for less work and memory of
    /// Redis; `usize::MAX` packs none. A few lines are not worth it.
    pub compress_min_bytes: usize,
    /// Bytes that all sources together may have read and not yet appended.
    pub budget_bytes: u32,
    /// How often the records are compared with Redis, in milliseconds.
    pub audit_interval_ms: u64,
    /// Greatest delay between tries while Redis is away, in milliseconds.
    pub retry_cap_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_batch_bytes: 256 * 1024,
            max_batch_lines: 4096,
            compress_min_bytes: 4 * 1024,
            budget_bytes: 64 * 1024 * 1024,
            audit_interval_ms: 2000,
            retry_cap_ms: 5000,
        }
    }
}

/// Appends the batches of many sources. Cheap to clone; the clones share one
/// budget and one back-off.
#[derive(Debug, Clone)]
pub struct Publisher {
    store: Store,
    options: Arc<Options>,
    gate: Arc<Gate>,
    roster: Arc<Roster>,
    budget: Arc<Semaphore>,
    packer: Arc<Packer>,
    metrics: Metrics,
}

/// What came of a registration.
#[derive(Debug)]
pub enum Registered {
    /// The source is new.
    New(Arc<Standing>),
    /// Somebody else has registered the file, as this source.
    Taken(Arc<Standing>),
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored, by this try or by one whose reply was lost.
    Stored,
    /// Redis has the source at another place: it has to go on from there.
    Elsewhere(Record),
    /// Redis knows nothing of the source: it was wiped, or forgot the registration.
    Forgotten,
    /// Redis has forgotten something of the source before this one, which hears of it: that has
    /// to be stored first.
    Early,
}

impl Publisher {
    /// A publisher to this store. [`Publisher::audit`] has to run beside it.
    pub fn new(store: Store, options: Options, metrics: Metrics) -> Self {
        Self {
            gate: Arc::new(Gate::new(&store, options.retry_cap_ms, metrics.clone())),
            roster: Arc::default(),
            budget: Arc::new(Semaphore::new(options.budget_bytes as usize)),
            packer: Arc::new(Packer::new(options.compress_min_bytes)),
            options: Arc::new(options),
            store,
            metrics,
        }
    }

    /// Room for `bytes` more that are read and not yet appended; waits until there
    /// is. More than the whole budget is counted as the whole budget.
    pub async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.options.budget_bytes);
        Arc::clone(&self.budget).acquire_many_owned(bytes).await.ok()
    }

    /// Makes a topic known to those who ask for all of them, before there is a line that nobody
    /// would find. Waits as long as Redis is away. Where it fails, it is left to the audit, which
    /// repeats it.
    pub async fn announce(&self, topic: &Topic) {
        if let Some(turn) = self.gate.enter_unless_shut(None).await {
            turn.end(self.store.announce(slice::from_ref(topic)).await, |()| Worked::Writes);
        }
    }

    /// Stores the first record of a new source, whose key Redis gives; none while this
    /// topic cannot be used, though others can. Its file is none of the sources `is_not`, and may
    /// be one that another tailer has registered meanwhile. Waits as long as Redis is away.
    pub async fn register(
        &self,
        topic: &Topic,
        host: &Host,
        details: Details,
        is_not: &[SourceKey],
    ) -> Option<Registered> {
        let record = Record { token: Token::random(), position: details.start, details };
        loop {
            let turn = self.gate.enter_unless_shut(Some(topic)).await?;
            let Some(source) = turn.end(self.store.new_source(topic, host).await, |_| Worked::Writes) else {
                continue;
            };
            let append =
                Append { source: &source, believed: None, record: &record, batch: None, before: None };
            match self.until_answered(topic, &append, Some(is_not)).await {
                Ok(()) => return Some(Registered::New(self.stand(topic, source, record))),
                Err(Appended::Taken { source, record, .. }) => {
                    return Some(Registered::Taken(self.stand(topic, source, record)));
                }
                Err(_) => {}
            }
        }
    }

    /// Takes up a source that Redis knows.
    pub fn stand(&self, topic: &Topic, key: SourceKey, record: Record) -> Arc<Standing> {
        self.roster.add(topic, key, record)
    }

    /// The records of all sources of a host in a topic; none while this topic cannot be
    /// used, though others can. Waits as long as Redis is away.
    pub async fn records(&self, topic: &Topic, host: &Host) -> Option<Vec<(SourceKey, Record)>> {
        loop {
            let turn = self.gate.enter_unless_shut(Some(topic)).await?;
            if let Some(records) = turn.end_read(self.store.records(topic, host).await) {
                return Some(records);
            }
        }
    }

    /// What Redis has of these sources now, in their order; none where it does not answer, or
    /// cannot for this topic. Waits as long as Redis is known to be away.
    pub async fn stored(&self, topic: &Topic, keys: &[SourceKey]) -> Option<Vec<Option<Record>>> {
        let turn = self.gate.enter_unless_shut(Some(topic)).await?;
        turn.end_read(self.store.records_of(topic, keys).await)
    }

    /// All topics that a writer has announced. Waits as long as Redis is away.
    pub async fn topics(&self) -> Vec<Topic> {
        let mut backoff = Backoff::new(FIRST_LOOK, Duration::from_millis(self.options.retry_cap_ms));
        loop {
            let Some(turn) = self.gate.enter_unless_shut(None).await else { return Vec::new() };
            if let Some(topics) = turn.end_read(self.store.topics().await) {
                return topics;
            }
            // Where the list alone cannot be used, the gate is open.
            sleep(backoff.next_delay()).await;
        }
    }

    /// Begins to make a batch ready to be appended, beside what its source does meanwhile.
    pub fn pack(&self, batch: SealedBatch) -> Packing {
        self.packer.pack(batch)
    }

    /// Appends a batch of a source, or only its record, after the one that
    /// `standing` has confirmed; on success that becomes `record`. Tries as long as
    /// Redis is away. A source has one append under way at a time.
    pub async fn append(&self, standing: &Standing, record: Record, batch: Option<Packing>) -> Outcome {
        self.append_behind(None, standing, record, batch).await
    }

    /// The same, only if the source before this one stands where it is taken to stand. Else that
    /// one [is challenged](Standing::is_challenged).
    pub async fn append_behind(
        &self,
        before: Option<Predecessor>,
        standing: &Standing,
        mut record: Record,
        batch: Option<Packing>,
    ) -> Outcome {
        let batch = match batch {
            Some(packing) => Some(packing.done().await),
            None => None,
        };
        if batch.is_some() {
            record.details.appended_ms = unix_ms();
        }
        let believed = Some(standing.confirmed());
        self.append_after(standing, believed, record, batch.as_ref(), before.as_ref()).await
    }

    /// Stores the record of a source that Redis has forgotten, under its old key.
    pub async fn register_again(&self, standing: &Standing, record: Record) -> Outcome {
        self.append_after(standing, None, record, None, None).await
    }

    async fn append_after(
        &self,
        standing: &Standing,
        believed: Option<Record>,
        record: Record,
        batch: Option<&SealedBatch>,
        before: Option<&Predecessor>,
    ) -> Outcome {
        let (source, believed) = (standing.key(), believed.as_ref());
        let named = before.map(|before| (before.standing.key(), before.token));
        let append = Append { source, believed, record: &record, batch, before: named };
        let outcome = self.carry(standing.topic(), &append, before).await;
        match &outcome {
            Outcome::Stored => {
                self.metrics.appended(batch);
                standing.confirm(record);
            }
            Outcome::Elsewhere(_) | Outcome::Forgotten | Outcome::Early => {
                self.metrics.conflicts.inc();
            }
        }
        outcome
    }

    /// Sends an append until it is known what became of it.
    async fn carry(&self, topic: &Topic, append: &Append<'_>, before: Option<&Predecessor>) -> Outcome {
        match self.until_answered(topic, append, None).await {
            Ok(()) => Outcome::Stored,
            Err(Appended::Conflict { stored: Some(stored), .. }) => Outcome::Elsewhere(stored),
            Err(Appended::Early { stored, .. }) => {
                if let Some(Predecessor { standing, token }) = before {
                    standing.challenge(Challenge { token: *token, stored });
                }
                Outcome::Early
            }
            Err(_) => Outcome::Forgotten,
        }
    }

    /// Sends an append until Redis has answered; an error is the answer that it is not stored. That
    /// of a new source says which ones it is not.
    async fn until_answered(
        &self,
        topic: &Topic,
        append: &Append<'_>,
        is_not: Option<&[SourceKey]>,
    ) -> Result<(), Appended> {
        // Our own token: an earlier try had succeeded, and its reply was lost.
        let is_repeated = |appended: &Appended| match appended {
            Appended::Conflict { stored: Some(stored), .. } => stored.token == append.record.token,
            _ => false,
        };
        let is_stored =
            |appended: &Appended| matches!(appended, Appended::Stored { .. }) || is_repeated(appended);
        let worked = |appended: &Appended| if is_stored(appended) { Worked::Writes } else { Worked::Reads };
        loop {
            let turn = self.gate.enter(topic).await;
            let sent = match is_not {
                Some(is_not) => self.store.register(topic, append.source, append.record, is_not).await,
                None => self.store.append(topic, append).await,
            };
            let Some(appended) = turn.end(sent, worked) else { continue };
            self.roster.saw_epoch(topic, appended.epoch());
            if is_repeated(&appended) {
                self.metrics.repeated_appends.inc();
            }
            return if is_stored(&appended) { Ok(()) } else { Err(appended) };
        }
    }

    /// Whether Redis takes lines of this topic now, as far as is known: it is there, and not full.
    pub fn takes_lines(&self, topic: &Topic) -> bool {
        self.gate.is_open(topic)
    }

    /// Waits until a source [is challenged](Standing::is_challenged). For one who waits.
    pub async fn challenged(&self) {
        self.roster.challenged().await;
    }

    /// The store that it writes to.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The bounds that it keeps.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// All sources that stand now, for status and metrics.
    pub fn standings(&self) -> Vec<Arc<Standing>> {
        self.roster.all()
    }
}

/// The time of this host; none before 1970.
fn unix_ms() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
