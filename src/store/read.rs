//! Reads batches: by offset, and by the time of their append.

use std::sync::LazyLock;

use redis::Script;

use super::{BlockingConnection, Error, Item, Store, entry::read_id, reply::RawEntry};
use crate::record::{Offset, Timeline, Topic};

static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("probe.lua")));

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
        let entries: Vec<RawEntry> = self.pool.get().await?.query(&command).await?;
        self.read_items(&key, entries)
    }

    /// The next entry of each topic that has one, waiting up to `block_ms` for the
    /// first of them. Each topic stands with the next offset that is wanted.
    ///
    /// # Errors
    /// [`Error`], after which the connection is of no more use.
    pub async fn wait(
        &self,
        connection: &mut BlockingConnection,
        topics: &[(Topic, Offset)],
        block_ms: u64,
    ) -> Result<Vec<(Topic, Vec<Item>)>, Error> {
        let keys: Vec<_> = topics.iter().map(|(topic, _)| self.keys.lines(topic)).collect();
        let ids: Vec<_> = topics.iter().map(|&(_, next)| id_before(next)).collect();
        let entries = connection.read(&keys, &ids, block_ms, 1).await;
        if matches!(entries, Err(Error::Timeout { .. })) {
            self.pool.doubt_all();
        }
        let mut found = Vec::new();
        for (key, entries) in entries? {
            if let Some(index) = keys.iter().position(|known| *known == key) {
                found.push((topics[index].0.clone(), self.read_items(&key, entries)?));
            }
        }
        Ok(found)
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
        // Lines before `low` are too old; those from `high` on are not, or not there.
        let (mut low, mut high) = (timeline.first(), timeline.next());
        while low < high {
            let middle = low.plus(high.since(low) / 2);
            match self.entry_of(topic, middle).await? {
                Some((_, next, ms)) if ms < time_ms => low = next,
                Some((first, ..)) => high = first.min(middle),
                None => high = middle,
            }
        }
        Ok(high)
    }

    /// The entry that holds a line: its first offset, the offset after it, its time.
    async fn entry_of(&self, topic: &Topic, offset: Offset) -> Result<Option<(Offset, Offset, u64)>, Error> {
        let key = self.keys.lines(topic);
        let mut script = PROBE.key(&key);
        script.arg(offset.get());
        let found: Option<(String, u64)> = self.pool.get().await?.invoke(&script).await?;
        let Some((id, lines)) = found else { return Ok(None) };
        let (last, ms) = read_id(&id).ok_or_else(|| self.foreign_id(&key, &id))?;
        Ok(Some((last.plus(1).minus(lines.max(1)), last.plus(1), ms)))
    }

    fn read_items(&self, key: &str, entries: Vec<RawEntry>) -> Result<Vec<Item>, Error> {
        let read = |entry: RawEntry| {
            let id = entry.id.clone();
            Item::read(entry).ok_or_else(|| self.foreign_id(key, &id))
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
