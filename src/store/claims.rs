//! Who appends under a producer's name. Who may is decided elsewhere.

use std::sync::LazyLock;

use redis::Script;

use super::{Error, Store, script::TopicScript};
use crate::record::{Claim, Host, Instance, Record, SourceKey, Topic};

static CLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("timeline.lua"), include_str!("claim.lua"))));

/// No claim looks like this: who believes in it is told what there is.
const NOTHING_BELIEVED: &str = "?";

/// Who has a producer's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The claim; none: nobody has the name.
    pub claim: Option<Claim>,
    /// The record of the claim's source; none: it is lost.
    pub record: Option<Record>,
    /// The clock of the server, in unix milliseconds.
    pub now_ms: u64,
}

/// A change of who has a producer's name, if everything is as believed.
#[derive(Debug, Clone)]
pub struct ClaimChange<'a> {
    /// The claim as it should be now; none: there is none.
    pub believed: Option<&'a Claim>,
    /// The source and who appends to it from now on; none: nobody has the name any more.
    pub to: Option<(&'a SourceKey, Instance)>,
    /// For how many milliseconds from now nobody else may have the name.
    pub lease_ms: u64,
    /// The most claims that the topic may have with this one.
    pub max_producers: u32,
    /// Records that are written with it: the source, the record that is believed to be stored
    /// (none: there is none), and the new one.
    pub records: Vec<(&'a SourceKey, Option<&'a Record>, &'a Record)>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time is passed on, and a record is most of it")]
pub enum Claimed {
    /// It is made; the claim now.
    Done(Option<Claim>),
    /// Something was not as believed; nothing was written.
    Conflict(Holder),
    /// The topic has as many claims as it may have; nothing was written.
    TooMany,
}

impl Store {
    /// Who has a producer's name in a topic.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn holder(&self, topic: &Topic, producer: &Host) -> Result<Holder, Error> {
        let mut script = self.topic_script(&CLAIM, topic);
        script.arg(producer.as_str()).arg(NOTHING_BELIEVED).arg("").arg("").arg(0).arg(0);
        match self.run_claim(topic, &script).await? {
            Claimed::Conflict(holder) => Ok(holder),
            other => Err(self.corrupt(&self.keys.state(topic), format!("{other:?} of a question"))),
        }
    }

    /// Changes who has a producer's name in a topic. A repeated call, after a reply was lost,
    /// is a [`Claimed::Conflict`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn claim(
        &self,
        topic: &Topic,
        producer: &Host,
        change: &ClaimChange<'_>,
    ) -> Result<Claimed, Error> {
        let mut script = self.topic_script(&CLAIM, topic);
        script.arg(producer.as_str()).arg(change.believed.map(ToString::to_string).unwrap_or_default());
        match change.to {
            Some((source, instance)) => script.arg(source.as_str()).arg(instance.to_string()),
            None => script.arg("").arg(""),
        };
        script.arg(change.lease_ms).arg(change.max_producers);
        for (source, believed, record) in &change.records {
            script.arg(source.as_str());
            script.arg(believed.map(Record::believed).unwrap_or_default()).arg(record.to_text());
        }
        self.run_claim(topic, &script).await
    }

    async fn run_claim(&self, topic: &Topic, script: &TopicScript<'_>) -> Result<Claimed, Error> {
        let key = self.keys.state(topic);
        let reply: Vec<String> = self.servers.invoke(&script.key, &script.script).await?;
        let word = |index: usize| reply.get(index).map(String::as_str).unwrap_or_default();
        let claim = |text: &str| match text {
            "" => Ok(None),
            text => text.parse::<Claim>().map(Some).map_err(|error| self.corrupt(&key, error)),
        };
        match word(0) {
            "ok" => Ok(Claimed::Done(claim(word(1))?)),
            "full" => Ok(Claimed::TooMany),
            "found" => {
                let now_ms = self.read_number(&key, "time", Some(word(1)))?;
                let record = Some(word(3)).filter(|text| !text.is_empty());
                let record = record.map(|text| self.read_record(&key, text)).transpose()?;
                Ok(Claimed::Conflict(Holder { claim: claim(word(2))?, record, now_ms }))
            }
            _ => Err(self.not_master(&script.key, reply.get(1).cloned())),
        }
    }
}
