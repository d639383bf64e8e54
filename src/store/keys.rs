//! What the keys in Redis are called.

use std::{fmt::Display, sync::Arc};

use crate::record::{Host, SourceKey, SubscriptionName, Topic};

/// Names keys. All keys of a topic carry the hash tag `{<topic>}`, so that they
/// share a slot in Redis Cluster.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The stream: an entry a batch.
    pub(super) fn lines(&self, topic: &Topic) -> String {
        self.of_topic(topic, "lines")
    }

    /// The hash: next offset, epochs, and the record of every source.
    pub(super) fn state(&self, topic: &Topic) -> String {
        self.of_topic(topic, "state")
    }

    /// The hash: the committed cursor of every durable subscription.
    pub(super) fn cursors(&self, topic: &Topic) -> String {
        self.of_topic(topic, "cursors")
    }

    fn of_topic(&self, topic: &Topic, what: &str) -> String {
        [&*self.prefix, ":{", topic.as_str(), "}:", what].concat()
    }

    /// The patterns of topics that a durable subscription reads, one a line.
    pub(super) fn patterns(&self, name: &SubscriptionName) -> String {
        format!("{}:patterns:{name}", self.prefix)
    }

    /// The set of all topics.
    pub(super) fn topics(&self) -> String {
        format!("{}:topics", self.prefix)
    }

    /// The hash: an input of the tailers of a host or group each.
    pub(super) fn inputs(&self, of: &str) -> String {
        format!("{}:inputs:{of}", self.prefix)
    }

    /// Who does a work of which there is to be one at a time.
    pub(super) fn lock(&self, name: &str) -> String {
        format!("{}:lock:{name}", self.prefix)
    }
}

/// The field of a source's record in its topic's state.
pub(super) fn record_field(source: &impl Display) -> String {
    format!("s:{source}")
}

/// The pattern that finds the fields of all records of a host.
pub(super) fn record_fields_of(host: &Host) -> String {
    format!("s:{host}/*")
}

/// The pattern that finds the fields of all records.
pub(super) const ALL_RECORD_FIELDS: &str = "s:*";

/// The source whose record a field holds.
pub(super) fn source_of_field(field: &str) -> Option<SourceKey> {
    field.strip_prefix("s:")?.parse().ok()
}
