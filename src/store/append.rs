//! Appends a batch with its source's record, and gives keys to new sources: one script.

use std::sync::LazyLock;

use redis::Script;

use super::{Error, Store, script::TopicScript};
use crate::record::{Epoch, Host, Offset, Record, SealedBatch, SourceKey, Token, Topic};

static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("timeline.lua"), include_str!("files.lua"), include_str!("append.lua")))
});

/// One append: a batch (or none) and the record of its source.
#[derive(Debug, Clone)]
pub struct Append<'a> {
    /// The source.
    pub source: &'a SourceKey,
    /// The record that the writer believes to be stored; none: there is none.
    pub believed: Option<&'a Record>,
    /// The record after this append.
    pub record: &'a Record,
    /// The lines; none: this only stores the record.
    pub batch: Option<&'a SealedBatch>,
    /// A source of the same topic that has to stand where this token was given: its lines come
    /// before these. None: there is nothing to wait for.
    pub before: Option<(&'a SourceKey, Token)>,
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
    },
    /// The stored record is another than believed; nothing was written.
    Conflict {
        /// The epoch now.
        epoch: Epoch,
        /// What is stored; none: nothing is.
        stored: Option<Record>,
    },
    /// The source that has to be [before](Append::before) stands elsewhere; nothing was written.
    Early {
        /// The epoch now.
        epoch: Epoch,
        /// What is stored of that one; none: nothing is.
        stored: Option<Record>,
    },
    /// The file of a new source is another source already; nothing was written.
    Taken {
        /// The epoch now.
        epoch: Epoch,
        /// The other source.
        source: SourceKey,
        /// Its record.
        record: Record,
    },
}

impl Appended {
    /// The topic's epoch.
    pub fn epoch(&self) -> Epoch {
        match *self {
            Self::Stored { epoch, .. }
            | Self::Conflict { epoch, .. }
            | Self::Early { epoch, .. }
            | Self::Taken { epoch, .. } => epoch,
        }
    }
}

/// What the script answered.
struct Answer {
    status: String,
    epoch: Option<String>,
    /// The offset of the first line; of a conflict, and where the file is taken, the stored record.
    word: Option<String>,
    source: Option<String>,
}

impl Store {
    /// Appends to a topic. A repeated append, after a reply was lost, is a
    /// [`Appended::Conflict`] whose stored record bears the append's own token.
    ///
    /// # Errors
    /// [`Error`]; after [`Error::Timeout`] and [`Error::Unreachable`] it is not
    /// known whether the append was carried out.
    pub async fn append(&self, topic: &Topic, append: &Append<'_>) -> Result<Appended, Error> {
        let believed = append.believed.map(Record::believed).unwrap_or_default();
        let record = append.record.to_text();
        let mut script = self.append_script(topic, append.source.as_str(), &believed, &record);
        match append.batch {
            None => script.arg(0).arg("b").arg(""),
            Some(SealedBatch { lines, packed: Some(packed), .. }) => {
                script.arg(lines).arg("z").arg(&packed[..])
            }
            Some(SealedBatch { lines, stored, .. }) => script.arg(lines).arg("b").arg(&stored[..]),
        };
        if let Some((before, token)) = append.before {
            script.arg(before.as_str()).arg(format!("{token} "));
        }
        self.read_answer(topic, self.run_append(topic, &script).await?)
    }

    /// Stores the first record of a new source. Where its host has registered the file as another
    /// source, and it is none of `is_not`, that is [`Appended::Taken`]: so that two tailers that
    /// find a file at once have one source of it. Otherwise as [`Store::append`].
    ///
    /// # Errors
    /// As [`Store::append`].
    pub async fn register(
        &self,
        topic: &Topic,
        source: &SourceKey,
        record: &Record,
        is_not: &[SourceKey],
    ) -> Result<Appended, Error> {
        let mut script = self.append_script(topic, source.as_str(), "", &record.to_text());
        script.arg(0).arg("new");
        for other in is_not {
            script.arg(other.as_str());
        }
        self.read_answer(topic, self.run_append(topic, &script).await?)
    }

    fn read_answer(&self, topic: &Topic, answer: Answer) -> Result<Appended, Error> {
        let key = self.keys.state(topic);
        let epoch = self.read_word(&key, "epoch", answer.epoch)?;
        let record = |text: String| self.read_record(&key, &text);
        match answer.status.as_str() {
            "conflict" => Ok(Appended::Conflict { epoch, stored: answer.word.map(record).transpose()? }),
            "early" => Ok(Appended::Early { epoch, stored: answer.word.map(record).transpose()? }),
            "taken" => {
                let source = self.read_word(&key, "source", answer.source)?;
                Ok(Appended::Taken { epoch, source, record: record(answer.word.unwrap_or_default())? })
            }
            _ => {
                let base = self.read_number(&key, "base", answer.word.as_deref())?;
                let base = Offset::new(base).map_err(|e| self.corrupt(&key, e))?;
                Ok(Appended::Stored { epoch, base })
            }
        }
    }

    /// A key for a new source of a host, which was never given before. A repeated call
    /// gives another one; what is stored is only that it was given.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn new_source(&self, topic: &Topic, host: &Host) -> Result<SourceKey, Error> {
        let mut script = self.append_script(topic, &format!("{host}/"), "", "");
        let answer = self.run_append(topic, script.arg(0).arg("b").arg("")).await?;
        self.read_word(&self.keys.state(topic), "source", answer.source)
    }

    /// The script with its first arguments: number of lines, field and payload follow.
    fn append_script(
        &self,
        topic: &Topic,
        source: &str,
        believed: &str,
        record: &str,
    ) -> TopicScript<'static> {
        let mut script = self.topic_script(&APPEND, topic);
        script.arg(source).arg(believed).arg(record);
        script
    }

    async fn run_append(&self, topic: &Topic, script: &TopicScript<'_>) -> Result<Answer, Error> {
        let (key, durability) = (&script.key, self.durability);
        let reply: Vec<Option<String>> = self.servers.invoke_durably(key, &script.script, durability).await?;
        let mut reply = reply.into_iter();
        let mut word = || reply.next().flatten();
        let (status, epoch) = (word().unwrap_or_default(), word());
        match status.as_str() {
            "ok" | "conflict" | "early" | "taken" => {
                let (word, _ms, source) = (word(), word(), word());
                Ok(Answer { status, epoch, word, source })
            }
            "not-master" => Err(self.not_master(&script.key, epoch)),
            other => {
                let why = format!("the append script answered {other:?}");
                Err(self.corrupt(&self.keys.state(topic), why))
            }
        }
    }

    /// The error of a server that may be the wrong one by now: its name may lead to
    /// another one, so the next command goes over a new connection.
    pub(super) fn not_master(&self, key: &str, role: Option<String>) -> Error {
        self.servers.retire(key);
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
