//! A writer that speaks to the store itself, so that a test decides what it believes.

use logrelay::{
    proto,
    record::{BatchBuilder, Details, Host, Offset, Record, SealedBatch, SourceKey, Token, Topic},
    store::{self, Append, Appended, Entry, Error, Item, Store},
};

use crate::support::TestRedis;

/// A source of a topic, where Redis has it.
pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) topic: Topic,
    pub(crate) key: SourceKey,
    pub(crate) record: Record,
}

pub(crate) fn store_of(redis: &TestRedis) -> Store {
    Store::new(store::Options::new(redis.url())).unwrap()
}

pub(crate) fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

pub(crate) fn record(position: u64, details: Details) -> Record {
    Record { token: Token::random(), position, details }
}

impl Writer {
    /// A new source of a topic, registered.
    pub(crate) async fn register(store: &Store, topic: &Topic) -> Self {
        Self::try_register(store, topic).await.unwrap()
    }

    pub(crate) async fn try_register(store: &Store, topic: &Topic) -> Result<Self, Error> {
        let key = store.new_source(topic, &host()).await?;
        let record = record(0, Details::default());
        let append = Append { source: &key, believed: None, record: &record, batch: None, before: None };
        let stored = store.append(topic, &append).await?;
        assert!(matches!(stored, Appended::Stored { .. }), "{stored:?}");
        Ok(Self { store: store.clone(), topic: topic.clone(), key, record })
    }

    /// The next `count` lines; each says its source and its number there.
    pub(crate) fn batch(&self, count: u64) -> SealedBatch {
        let (position, line) = (self.record.position, self.record.details.next_line);
        let source = proto::Source { key: self.key.to_string(), ..Default::default() };
        let mut builder = BatchBuilder::new(&source, position, line);
        for number in line..line + count {
            builder.push(format!("{} {number}", self.key).as_bytes(), 0);
        }
        builder.seal(position + 10 * count).unwrap()
    }

    pub(crate) fn record_after(&self, batch: &SealedBatch) -> Record {
        let details = Details { next_line: batch.next_line, ..self.record.details.clone() };
        record(batch.end_position, details)
    }

    /// Appends `count` lines; a success moves the writer on.
    pub(crate) async fn try_append(&mut self, count: u64) -> Result<Appended, Error> {
        let batch = self.batch(count);
        let record = self.record_after(&batch);
        let append = Append {
            source: &self.key,
            believed: Some(&self.record),
            record: &record,
            batch: Some(&batch),
            before: None,
        };
        let appended = self.store.append(&self.topic, &append).await?;
        if matches!(appended, Appended::Stored { .. }) {
            self.record = record;
        }
        Ok(appended)
    }

    /// The same where nothing else than a success is expected: the first line's offset.
    pub(crate) async fn append(&mut self, count: u64) -> u64 {
        match self.try_append(count).await.unwrap() {
            Appended::Stored { base, .. } => base.get(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn host() -> Host {
    "host".parse().unwrap()
}

/// All entries from `from` on; between them is no hole.
pub(crate) async fn entries(store: &Store, topic: &Topic, from: u64) -> Vec<Entry> {
    let (mut next, mut entries) = (Offset::new(from).unwrap(), Vec::<Entry>::new());
    loop {
        let page = store.page(topic, next, 100).await.unwrap();
        if page.is_empty() {
            return entries;
        }
        for item in page {
            let Item::Entry(entry) = item else { panic!("{item:?}") };
            assert_eq!(entry.first, next, "a hole");
            assert!(entries.last().is_none_or(|last| last.time_ms <= entry.time_ms), "time ran backwards");
            next = entry.next();
            entries.push(entry);
        }
    }
}
