//! Appends lines to a topic as one source, without files.

use logrelay::{
    proto,
    record::{BatchBuilder, Details, Offset, Record, SourceKey, Token, Topic},
    store::{Append, Appended, Store},
};

use super::TestRedis;

/// A source that is at nobody's mercy: it appends what a test says, when it says it.
pub(crate) struct Writer {
    store: Store,
    topic: Topic,
    source: SourceKey,
    record: Record,
}

impl Writer {
    /// Registers a source in a topic.
    pub(crate) async fn new(redis: &TestRedis, topic: &str) -> Self {
        let store = redis.store();
        let topic: Topic = topic.parse().unwrap();
        store.announce(std::slice::from_ref(&topic)).await.unwrap();
        let record = Record { token: Token::random(), position: 0, details: Details::default() };
        let source = store.new_source(&topic, &"test".parse().unwrap()).await.unwrap();
        let append = Append { source: &source, believed: None, record: &record, batch: None, before: None };
        let appended = store.append(&topic, &append).await.unwrap();
        assert!(matches!(appended, Appended::Stored { .. }), "{appended:?}");
        Self { store, topic, source, record }
    }

    /// Appends lines as one batch; the offset of the first.
    pub(crate) async fn append<T: AsRef<[u8]>>(&mut self, lines: &[T]) -> Offset {
        match self.try_append(lines).await {
            Appended::Stored { base, .. } => base,
            other => panic!("{other:?}"),
        }
    }

    /// The same, whatever becomes of it.
    pub(crate) async fn try_append<T: AsRef<[u8]>>(&mut self, lines: &[T]) -> Appended {
        let source = proto::Source { key: self.source.to_string(), ..Default::default() };
        let mut builder = BatchBuilder::new(&source, self.record.position, self.record.details.next_line);
        for line in lines {
            builder.push(line.as_ref(), 0);
        }
        let bytes: usize = lines.iter().map(|line| line.as_ref().len() + 1).sum();
        let position = self.record.position + bytes as u64;
        let batch = builder.seal(position).unwrap();
        let details = Details { next_line: batch.next_line, ..self.record.details.clone() };
        let record = Record { token: Token::random(), position, details };
        let (source, believed) = (&self.source, Some(&self.record));
        let append = Append { source, believed, record: &record, batch: Some(&batch), before: None };
        let appended = self.store.append(&self.topic, &append).await.unwrap();
        if let Appended::Stored { .. } = appended {
            self.record = record;
        }
        appended
    }

    /// Appends `count` batches of `lines` lines that tell their number in the topic.
    pub(crate) async fn append_numbered(&mut self, count: u64, lines: u64) {
        for _ in 0..count {
            let next = self.record.details.next_line;
            let texts: Vec<_> = (next..next + lines).map(|number| format!("line {number}")).collect();
            self.append(&texts).await;
        }
    }

    /// Where it stands, to be put back after Redis lost the rest.
    pub(crate) fn record(&self) -> Record {
        self.record.clone()
    }

    /// The same source at another server, which knows it.
    pub(crate) fn moved_to(self, redis: &TestRedis) -> Self {
        Self { store: redis.store(), ..self }
    }

    /// Goes back to where it stood.
    pub(crate) fn go_back(&mut self, record: Record) {
        self.record = record;
    }
}
