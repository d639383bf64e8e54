//! Says where a topic stands.

use std::sync::LazyLock;

use redis::Script;

use super::{Error, Store};
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
}

impl Store {
    /// Where a topic stands; none when there is no such topic. Begins a new epoch
    /// when the server has changed since the last append.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn resolve(&self, topic: &Topic) -> Result<Option<Resolved>, Error> {
        let mut script = RESOLVE.key(self.keys.lines(topic));
        script.key(self.keys.state(topic));
        let mut connection = self.pool.get().await?;
        let reply: Vec<String> = connection.invoke(&script).await?;
        match reply.first().map(String::as_str) {
            Some("ok") => {}
            Some("absent") => return Ok(None),
            _ => return Err(self.not_master(&connection, reply.get(1).cloned())),
        }
        let key = self.keys.state(topic);
        let number = |name, index: usize| self.read_number(&key, name, reply.get(index).map(String::as_str));
        let offset = |name, index| Offset::new(number(name, index)?).map_err(|e| self.corrupt(&key, e));
        let epochs = reply.get(1).map(String::as_str).unwrap_or_default();
        let timeline = Timeline::parse(epochs, offset("first", 2)?, offset("next", 3)?)
            .map_err(|e| self.corrupt(&key, e))?;
        Ok(Some(Resolved {
            timeline,
            stored_bytes: number("bytes", 4)?,
            first_ms: number("first_ms", 5)?,
            last_ms: number("last_ms", 6)?,
        }))
    }
}
