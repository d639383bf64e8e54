//! A connection of its own for reads that wait for new entries. Short commands go
//! through the pool.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{Value, aio::MultiplexedConnection};
use tokio::time::Instant;

use super::{
    connect::Connector,
    error::Error,
    reply::{self, KeyEntries, RawEntry},
};

/// How much longer than its block time a read may take before the connection counts
/// as dead.
pub const LIVENESS_MARGIN_MS: u64 = 2_000;

/// A connection that waits in XREAD. After an error, or a read that was dropped before
/// its end, it is of no more use: open another one.
#[derive(Debug)]
pub struct BlockingConnection {
    redis: MultiplexedConnection,
    at: String,
    id: i64,
    opened: Instant,
    reading: bool,
}

impl BlockingConnection {
    /// Opens a connection.
    ///
    /// # Errors
    /// As Redis or the system says.
    pub async fn open(connector: &Connector) -> Result<Self, Error> {
        let opened = Instant::now();
        let mut redis = connector.open("read").await?;
        let id = redis::cmd("CLIENT").arg("ID").query_async(&mut redis).await;
        let id = id.map_err(|error| connector.error(&error))?;
        Ok(Self { redis, at: connector.at().to_owned(), id, opened, reading: false })
    }

    /// The id by which Redis knows the connection, for `CLIENT UNBLOCK`.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// When it began to be opened.
    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Reads at most `count` entries of each key after the ID that stands at the same
    /// place in `ids`. When there are none, waits for the first one, but no longer than
    /// `block_ms` (0 counts as 1). Keys without entries are left out; the result is
    /// empty when the time is over or the connection was unblocked.
    ///
    /// # Errors
    /// As Redis or the connection says; [`Error::Timeout`] when nothing at all came
    /// within `block_ms` and [`LIVENESS_MARGIN_MS`].
    pub async fn read(
        &mut self,
        keys: &[String],
        ids: &[String],
        block_ms: u64,
        count: usize,
    ) -> Result<Vec<KeyEntries>, Error> {
        if std::mem::replace(&mut self.reading, true) {
            let why = "an earlier read on this connection did not end".to_owned();
            return Err(Error::Unreachable { at: self.at.clone(), why });
        }
        let block_ms = block_ms.max(1);
        let limit_ms = block_ms.saturating_add(LIVENESS_MARGIN_MS);
        self.redis.set_response_timeout(Duration::from_millis(limit_ms));
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(count).arg("BLOCK").arg(block_ms).arg("STREAMS").arg(keys).arg(ids);
        let answer: Result<Value, _> = command.query_async(&mut self.redis).await;
        let entries = answer.and_then(|value| Ok(reply::from_xread(value)?));
        let entries = entries.map_err(|error| Error::of(&self.at, limit_ms, &error));
        // An error that the server answers with is an answer.
        self.reading = !matches!(entries, Ok(_) | Err(Error::Refused { .. }));
        entries
    }

    /// The first entry of each key after the ID that stands at the same place in `ids`, where
    /// there is one; without waiting. The commands are sent together.
    pub(super) async fn poll(
        &mut self,
        keys: &[String],
        ids: &[String],
    ) -> Vec<Result<Vec<RawEntry>, Error>> {
        self.redis.set_response_timeout(Duration::from_millis(LIVENESS_MARGIN_MS));
        let reads = keys.iter().zip(ids).map(|(key, id)| {
            let (mut redis, at) = (self.redis.clone(), &self.at);
            async move {
                let mut command = redis::cmd("XREAD");
                command.arg("COUNT").arg(1).arg("STREAMS").arg(key).arg(id);
                let answer: Result<Value, _> = command.query_async(&mut redis).await;
                let entries = answer.and_then(|value| Ok(reply::from_xread(value)?));
                let entries = entries.map_err(|error| Error::of(at, LIVENESS_MARGIN_MS, &error))?;
                Ok(entries.into_iter().flat_map(|(_, entries)| entries).collect())
            }
        });
        join_all(reads).await
    }
}
