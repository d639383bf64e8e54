//! Removes what is too old or too much: lines from the old end of a topic, and records of
//! sources that are gone. What may go is decided elsewhere.

use std::sync::LazyLock;

use redis::Script;

use super::{
    Error, Store,
    keys::{ALL_RECORD_FIELDS, source_of_field},
};
use crate::record::{Epoch, Offset, Record, SourceState, Topic};

static TRIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("timeline.lua"), include_str!("trim.lua"))));
static EXPIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("timeline.lua"), include_str!("files.lua"), include_str!("expire.lua")))
});

/// How many entries one call removes at most, nearly: freeing them takes some tenths of a
/// millisecond, for which appends wait.
const ENTRIES_PER_CALL: usize = 1000;

/// What a call of [`Store::trim`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trimmed {
    /// So many entries went; the first offset now, and whether that is all.
    To {
        /// The first offset that can still be read.
        first: Offset,
        /// How many entries were removed.
        entries: u64,
        /// Whether there is no more to be removed.
        is_done: bool,
        /// How many lines were gone that no relay has trimmed; said to one caller.
        lost_lines: u64,
    },
    /// The topic has begun another epoch since the offset was looked up, or is not there
    /// any more: nothing was removed.
    OtherEpoch,
}

impl Store {
    /// Removes the lines before `to`, as far as whole batches are before it: some at a
    /// time, so that nobody waits. `epoch` is that of the timeline in which `to` was found.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn trim(&self, topic: &Topic, epoch: Epoch, to: Offset) -> Result<Trimmed, Error> {
        let key = self.keys.lines(topic);
        let mut script = self.topic_script(&TRIM, topic);
        script.arg(epoch.to_string()).arg(to.get()).arg(ENTRIES_PER_CALL);
        let reply = self.run_on_master(&script).await?;
        let Some(reply) = reply else { return Ok(Trimmed::OtherEpoch) };
        let number = |name, index: usize| self.read_number(&key, name, reply.get(index).map(String::as_str));
        Ok(Trimmed::To {
            first: Offset::new(number("first", 0)?).map_err(|e| self.corrupt(&key, e))?,
            entries: number("removed", 1)?,
            is_done: number("done", 2)? == 1,
            lost_lines: number("lost", 3)?,
        })
    }

    /// Forgets the records of sources that are gone, `keep_ms` after a call saw that for the
    /// first time; returns how many. And those of producers whose name nobody has held for
    /// `idle_ms`; none: never. A topic that has no lines and no sources
    /// left is taken from the list; where it stood stays.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn expire_records(
        &self,
        topic: &Topic,
        keep_ms: u64,
        idle_ms: Option<u64>,
    ) -> Result<u64, Error> {
        let key = self.keys.state(topic);
        let (mut at, mut expired) = (0_u64, 0);
        loop {
            let (next, pairs) = self.scan_fields(&key, ALL_RECORD_FIELDS, at).await?;
            at = next;
            let mut script = self.topic_script(&EXPIRE, topic);
            script.arg(keep_ms).arg(idle_ms.unwrap_or_default());
            let mut are_any = false;
            for (field, text) in pairs {
                // What cannot be read is not ours to remove.
                let (Some(source), Ok(record)) = (source_of_field(&field), Record::parse(&text)) else {
                    continue;
                };
                let may_be_idle = record.details.is_producer && idle_ms.is_some();
                if record.details.state == SourceState::Gone || may_be_idle {
                    script.arg(source.as_str()).arg(record.believed());
                    are_any = true;
                }
            }
            let is_last = at == 0;
            if are_any || is_last {
                let reply = self.run_on_master(&script).await?.unwrap_or_default();
                expired += self.read_number(&key, "expired", reply.first().map(String::as_str))?;
                if is_last && reply.get(1).is_some_and(|word| word == "1") {
                    self.withdraw(topic).await?;
                }
            }
            if is_last {
                return Ok(expired);
            }
        }
    }

    /// Whether the holder of `token` may do the work that is called `name`: one at a time,
    /// for `hold_ms` from this call on.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn take_lock(&self, name: &str, token: &str, hold_ms: u64) -> Result<bool, Error> {
        let key = self.keys.lock(name);
        let mut take = redis::cmd("SET");
        take.arg(&key).arg(token).arg("NX").arg("PX").arg(hold_ms);
        if self.servers.query::<Option<String>>(&key, &take).await?.is_some() {
            return Ok(true);
        }
        let holder: Option<String> = self.servers.query(&key, redis::cmd("GET").arg(&key)).await?;
        if holder.as_deref() != Some(token) {
            return Ok(false);
        }
        // Somebody else may have got it since: then two do the work once, which does no harm.
        let mut hold = redis::cmd("PEXPIRE");
        hold.arg(&key).arg(hold_ms);
        self.servers.query::<bool>(&key, &hold).await
    }

    /// The clock of the server, of a cluster that of one of its nodes, in unix milliseconds.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn time_ms(&self) -> Result<u64, Error> {
        let key = self.keys.topics();
        let (seconds, micros): (u64, u64) = self.servers.query(&key, &redis::cmd("TIME")).await?;
        Ok(seconds * 1000 + micros / 1000)
    }
}
