//! What administrators do to a topic: delete it, or say how much of it is kept.

use std::sync::LazyLock;

use redis::Script;

use super::{
    Error, Store,
    keys::{ALL_RECORD_FIELDS, source_of_field},
};
use crate::record::{Offset, Topic};

static DELETE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("timeline.lua"), include_str!("delete.lua"))));
static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("timeline.lua"), include_str!("files.lua"), include_str!("forget.lua")))
});
static RETENTION: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("timeline.lua"), include_str!("retention.lua"))));

/// How much of a topic is kept, where that is not the default of the relays. Zero is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnRetention {
    /// Greatest age of a line, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// Greatest stored size, in bytes.
    pub max_bytes: Option<u64>,
}

/// What a deletion removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// How many lines.
    pub lines: u64,
    /// How many durable subscriptions.
    pub subscriptions: u64,
    /// The offset of the topic's next line.
    pub next: Offset,
}

impl Store {
    /// Removes the lines of a topic with its durable subscriptions and its own retention, in one
    /// step. Where it stood and the records of its sources stay. None where there is no such topic.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete_lines(&self, topic: &Topic) -> Result<Option<Deleted>, Error> {
        let key = self.keys.state(topic);
        let mut script = self.topic_script(&DELETE, topic);
        script.key(self.keys.cursors(topic));
        let Some(reply) = self.run_on_master(&script).await? else { return Ok(None) };
        let number = |name, index: usize| self.read_number(&key, name, reply.get(index).map(String::as_str));
        let next = Offset::new(number("next", 2)?).map_err(|e| self.corrupt(&key, e))?;
        Ok(Some(Deleted { lines: number("lines", 0)?, subscriptions: number("subscriptions", 1)?, next }))
    }

    /// Forgets all sources of a topic, and who has the names of its producers; returns how many
    /// sources. A file that a tailer still follows is a new one to it then, and is sent again from
    /// its first position.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn forget_sources(&self, topic: &Topic) -> Result<u64, Error> {
        let key = self.keys.state(topic);
        let (mut at, mut forgotten) = (0_u64, 0);
        loop {
            let (next, pairs) = self.scan_fields(&key, ALL_RECORD_FIELDS, at).await?;
            let sources: Vec<_> = pairs.iter().filter_map(|(field, _)| source_of_field(field)).collect();
            if !sources.is_empty() {
                let mut script = self.topic_script(&FORGET, topic);
                for source in &sources {
                    script.arg(source.as_str());
                }
                let reply = self.run_on_master(&script).await?.unwrap_or_default();
                forgotten += self.read_number(&key, "forgotten", reply.first().map(String::as_str))?;
            }
            if next == 0 {
                return Ok(forgotten);
            }
            at = next;
        }
    }

    /// Sets how much of a topic is kept; false where there is no such topic.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set_retention(&self, topic: &Topic, retention: OwnRetention) -> Result<bool, Error> {
        let mut script = self.topic_script(&RETENTION, topic);
        for bound in [retention.max_age_ms, retention.max_bytes] {
            script.arg(bound.map(|bound| bound.to_string()).unwrap_or_default());
        }
        Ok(self.run_on_master(&script).await?.is_some())
    }
}
