//! Appends a batch, and registers a source: one script, one round trip.

use std::sync::LazyLock;

use redis::Script;

use super::{Error, Store};
use crate::record::{Epoch, Offset, Record, SealedBatch, SourceKey, Topic};

static APPEND: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("timeline.lua"), include_str!("append.lua"))));

/// One append: a batch (or none) and the record of its source.
#[derive(Debug, Clone)]
pub struct Append<'a> {
    /// The source's key, or `<host>/` to be given one.
    pub source: &'a str,
    /// The record that the writer believes to be stored; none: there is none.
    pub believed: Option<&'a Record>,
    /// The record after this append.
    pub record: &'a Record,
    /// The lines; none: this only stores the record.
    pub batch: Option<&'a SealedBatch>,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is stored.
    Stored {
        /// The epoch that it was stored in.
        epoch: Epoch,
        /// The offset of its first line, or of the topic's next line where it had none.
        base: Offset,
        /// The source's key.
        source: SourceKey,
    },
    /// The stored record is another than believed; nothing was written.
    Conflict {
        /// The epoch now.
        epoch: Epoch,
        /// What is stored; none: nothing is.
        stored: Option<Record>,
    },
}

impl Store {
    /// Appends to a topic. A repeated append, after a reply was lost, is a
    /// [`Appended::Conflict`] whose stored record bears the append's own token.
    ///
    /// # Errors
    /// [`Error`]; after [`Error::Timeout`] and [`Error::Unreachable`] it is not
    /// known whether the append was carried out.
    pub async fn append(&self, topic: &Topic, append: &Append<'_>) -> Result<Appended, Error> {
        let mut script = APPEND.key(self.keys.lines(topic));
        script.key(self.keys.state(topic)).arg(append.source);
        script.arg(append.believed.map(Record::believed).unwrap_or_default());
        script.arg(append.record.to_text());
        match append.batch {
            Some(batch) => script.arg(batch.lines).arg("b").arg(&batch.stored[..]),
            None => script.arg(0).arg("b").arg(""),
        };
        let reply: Vec<Option<String>> = self.pool.get().await?.invoke(&script).await?;
        let mut reply = reply.into_iter();
        let mut word = || reply.next().flatten();
        let status = word().unwrap_or_default();
        if status == "not-master" {
            return Err(self.not_master(word()));
        }
        let key = self.keys.state(topic);
        let epoch = self.read_word(&key, "epoch", word())?;
        match status.as_str() {
            "ok" => {
                let base = self.read_number(&key, "base", word().as_deref())?;
                let base = Offset::new(base).map_err(|e| self.corrupt(&key, e))?;
                word();
                Ok(Appended::Stored { epoch, base, source: self.read_word(&key, "source", word())? })
            }
            "conflict" => {
                let stored = word().map(|text| Record::parse(&text)).transpose();
                Ok(Appended::Conflict { epoch, stored: stored.map_err(|e| self.corrupt(&key, e))? })
            }
            other => Err(self.corrupt(&key, format!("the append script answered {other:?}"))),
        }
    }

    pub(super) fn not_master(&self, role: Option<String>) -> Error {
        Error::NotMaster { at: self.address().to_owned(), role: role.unwrap_or_default() }
    }

    fn read_word<T>(&self, key: &str, name: &str, word: Option<String>) -> Result<T, Error>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        let word = word.unwrap_or_default();
        word.parse().map_err(|e| self.corrupt(key, format!("{name} {word:?}: {e}")))
    }

    pub(super) fn read_number(&self, key: &str, name: &str, word: Option<&str>) -> Result<u64, Error> {
        let word = word.unwrap_or_default();
        word.parse().map_err(|e| self.corrupt(key, format!("{name} {word:?}: {e}")))
    }
}
