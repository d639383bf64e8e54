//! Reads batches: by offset, and by the time of their append.

use std::sync::LazyLock;

use redis::Script;

use super::{BlockingConnection, Error, Item, NodeId, Resolved, Store, entry::read_id, reply::RawEntry};
use crate::record::{Offset, Timeline, Topic};

static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("probe.lua")));

/// An entry without its lines.
#[derive(Debug, Clone, Copy)]
struct Outline {
    first: Offset,
    next: Offset,
    time_ms: u64,
    /// Stored bytes that the topic ever had before it.
    bytes_before: u64,
}

impl Store {
    /// At most `count` entries of a topic, from the one on that holds the line
    /// `from`; fewer only where there are no more.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Corrupt`] where the stream has IDs that are none of ours.
    pub async fn page(&self, topic: &Topic, from: Offset, count: usize) -> Result<Vec<Item>, Error> {
        let key = self.keys.lines(topic);
        let mut command = redis::cmd("XRANGE");
        command.arg(&key).arg(format!("{from}-0")).arg("+").arg("COUNT").arg(count);
        let entries: Vec<RawEntry> = self.servers.query(&key, &command).await?;
        self.read_items(&key, entries)
    }

    /// At most `count` entries of a topic that end before the line `before`, the last one first;
    /// fewer only where there are no more.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Corrupt`] where the stream has IDs that are none of ours.
    pub async fn page_before(&self, topic: &Topic, before: Offset, count: usize) -> Result<Vec<Item>, Error> {
        // Redis takes nothing that ends before the very first ID for an error.
        if before == Offset::ZERO {
            return Ok(Vec::new());
        }
        let key = self.keys.lines(topic);
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&key).arg(format!("({before}-0")).arg("-").arg("COUNT").arg(count);
        let entries: Vec<RawEntry> = self.servers.query(&key, &command).await?;
        self.read_items(&key, entries)
    }

    /// The next entry of each topic that has one, waiting up to `block_ms` for the
    /// first of them. Each topic stands with the next offset that is wanted.
    ///
    /// # Errors
    /// [`Error`], after which the connection is of no more use.
    pub async fn wait(
        &self,
        node: NodeId,
        connection: &mut BlockingConnection,
        topics: &[(Topic, Offset)],
        block_ms: u64,
    ) -> Result<Vec<(Topic, Vec<Item>)>, Error> {
        let keys: Vec<_> = topics.iter().map(|(topic, _)| self.keys.lines(topic)).collect();
        let ids: Vec<_> = topics.iter().map(|&(_, next)| id_before(next)).collect();
        let entries = connection.read(&keys, &ids, block_ms, 1).await;
        if let (Err(error), Some(key)) = (&entries, keys.first()) {
            self.servers.read_failed(key, node, error);
        }
        let mut found = Vec::new();
        for (key, entries) in entries? {
            if let Some(index) = keys.iter().position(|known| *known == key) {
                found.push((topics[index].0.clone(), self.read_items(&key, entries)?));
            }
        }
        Ok(found)
    }

    /// The next entry of each topic that has one, without waiting; for topics that one read
    /// cannot hold. The answers are in the order of the topics.
    ///
    /// # Errors
    /// [`Error`] of the connection, which is then of no more use; what is wrong with one topic
    /// is its own answer.
    pub async fn poll(
        &self,
        node: NodeId,
        connection: &mut BlockingConnection,
        topics: &[(Topic, Offset)],
    ) -> Result<Vec<Result<Vec<Item>, Error>>, Error> {
        let keys: Vec<_> = topics.iter().map(|(topic, _)| self.keys.lines(topic)).collect();
        let ids: Vec<_> = topics.iter().map(|&(_, next)| id_before(next)).collect();
        let mut items = Vec::with_capacity(keys.len());
        for (key, answer) in keys.iter().zip(connection.poll(&keys, &ids).await) {
            if let Err(error) = &answer {
                self.servers.read_failed(key, node, error);
            }
            items.push(match answer {
                Ok(entries) => self.read_items(key, entries),
                Err(error @ Error::Refused { .. }) => Err(error),
                Err(error) => return Err(error),
            });
        }
        Ok(items)
    }

    /// The offset of the first line that was appended at `time_ms` (unix
    /// milliseconds) or later; the next offset when there is none.
    ///
    /// Found by bisection: times never run backwards along a stream. A probe
    /// returns an ID and no lines.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn offset_at(&self, topic: &Topic, time_ms: u64, timeline: &Timeline) -> Result<Offset, Error> {
        self.first_where(topic, timeline, |entry| entry.time_ms >= time_ms).await
    }

    /// The first offset from which on at most `max_bytes` (stored) of the lines are there
    /// that [`Resolved`] tells of; a batch is not divided.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn offset_within(
        &self,
        topic: &Topic,
        max_bytes: u64,
        resolved: &Resolved,
    ) -> Result<Offset, Error> {
        let timeline = &resolved.timeline;
        let excess = resolved.stored_bytes.saturating_sub(max_bytes);
        let oldest = self.entry_of(topic, timeline.first()).await?;
        let Some(oldest) = oldest.filter(|_| excess > 0) else { return Ok(timeline.first()) };
        let from = oldest.bytes_before.saturating_add(excess);
        self.first_where(topic, timeline, |entry| entry.bytes_before >= from).await
    }

    /// The first offset whose entry `is_late`, by bisection: of entries one after the
    /// other, those behind the first late one are late too.
    async fn first_where(
        &self,
        topic: &Topic,
        timeline: &Timeline,
        is_late: impl Fn(&Outline) -> bool,
    ) -> Result<Offset, Error> {
        // Lines before `low` are too early; those from `high` on are late, or not there.
        let (mut low, mut high) = (timeline.first(), timeline.next());
        while low < high {
            let middle = low.plus(high.since(low) / 2);
            match self.entry_of(topic, middle).await? {
                Some(entry) if is_late(&entry) => high = entry.first.min(middle),
                Some(entry) => low = entry.next,
                None => high = middle,
            }
        }
        Ok(high)
    }

    /// The entry that holds a line, or the next one after it.
    async fn entry_of(&self, topic: &Topic, offset: Offset) -> Result<Option<Outline>, Error> {
        let key = self.keys.lines(topic);
        let mut script = PROBE.key(&key);
        script.arg(offset.get());
        let found: Option<(String, u64, u64, u64)> = self.servers.invoke(&key, &script).await?;
        let Some((id, lines, bytes, own_bytes)) = found else { return Ok(None) };
        let (last, time_ms) = read_id(&id).ok_or_else(|| self.foreign_id(&key, &id))?;
        let next = last.plus(1);
        let bytes_before = bytes.saturating_sub(own_bytes);
        Ok(Some(Outline { first: next.minus(lines.max(1)), next, time_ms, bytes_before }))
    }

    fn read_items(&self, key: &str, entries: Vec<RawEntry>) -> Result<Vec<Item>, Error> {
        let read = |entry: RawEntry| {
            let id = entry.id.clone();
            Item::read(entry, &self.memory).ok_or_else(|| self.foreign_id(key, &id))
        };
        entries.into_iter().map(read).collect()
    }

    fn foreign_id(&self, key: &str, id: &str) -> Error {
        self.corrupt(key, format!("an entry has the ID {id:?}, not <offset>-<unix ms>"))
    }
}

/// The greatest ID before the entry that holds the line `next`.
fn id_before(next: Offset) -> String {
    match next.get() {
        0 => "0-0".to_owned(),
        next => format!("{}-{}", next - 1, u64::MAX),
    }
}
