//! Says where a topic stands.

use std::sync::LazyLock;

use redis::Script;

use super::{Error, OwnRetention, Store};
use crate::record::{Offset, Timeline, Topic};

static RESOLVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("timeline.lua"), include_str!("resolve.lua"))));

/// Where a topic stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Its epochs, and between which offsets there are lines.
    pub timeline: Timeline,
    /// Stored size of the lines that can be read, in bytes.
    pub stored_bytes: u64,
    /// When the first line that can be read was appended, in unix milliseconds; zero: there is none.
    pub first_ms: u64,
    /// When the last line was appended; zero: never.
    pub last_ms: u64,
    /// How many lines went that no relay has trimmed: Redis evicted them, or somebody removed them
    /// by hand. Until [`Store::trim`] has said so.
    pub lost_lines: u64,
    /// How much of it is kept.
    pub retention: OwnRetention,
}

impl Store {
    /// Where a topic stands; none when there is no such topic. Begins a new epoch
    /// when the server has changed since the last append.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn resolve(&self, topic: &Topic) -> Result<Option<Resolved>, Error> {
        let script = self.topic_script(&RESOLVE, topic);
        let Some(reply) = self.run_on_master(&script).await? else { return Ok(None) };
        let key = self.keys.state(topic);
        let number = |name, index: usize| self.read_number(&key, name, reply.get(index).map(String::as_str));
        let offset = |name, index| Offset::new(number(name, index)?).map_err(|e| self.corrupt(&key, e));
        let bound = |name, index: usize| match reply.get(index).map(String::as_str) {
            None | Some("") => Ok(None),
            text => self.read_number(&key, name, text).map(Some),
        };
        let epochs = reply.first().map(String::as_str).unwrap_or_default();
        let timeline = Timeline::parse(epochs, offset("first", 1)?, offset("next", 2)?)
            .map_err(|e| self.corrupt(&key, e))?;
        Ok(Some(Resolved {
            timeline,
            stored_bytes: number("bytes", 3)?,
            first_ms: number("first_ms", 4)?,
            last_ms: number("last_ms", 5)?,
            lost_lines: number("lost", 8)?,
            retention: OwnRetention {
                max_age_ms: bound("max_age_ms", 6)?,
                max_bytes: bound("max_bytes", 7)?,
            },
        }))
    }
}
