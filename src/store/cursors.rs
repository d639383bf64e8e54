//! Durable subscriptions: the committed cursor of each, and which stream owns it.

use std::sync::LazyLock;

use redis::Script;

use super::{Error, Store, script::TopicScript};
use crate::record::{Bookmark, CommitToken, Cursor, Epoch, Offset, SubscriptionName, Topic, TopicGlob};

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| {
            let shared = concat!(include_str!("timeline.lua"), include_str!("cursors.lua"));
            Script::new(&[shared, include_str!($file)].concat())
        })
    };
}
static CLAIM: LazyLock<Script> = script!("claim_cursor.lua");
static COMMIT: LazyLock<Script> = script!("commit_cursor.lua");

/// How many questions go over the connection at once.
const QUESTIONS_AT_ONCE: usize = 500;

/// How many durable subscriptions a topic may have, and for how long one is kept that nobody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableBounds {
    /// Greatest number in a topic.
    pub max_per_topic: u32,
    /// How long one is kept that nobody uses, in milliseconds.
    pub expiry_ms: u64,
}

impl Default for DurableBounds {
    /// 1000 of them, 30 days.
    fn default() -> Self {
        Self { max_per_topic: 1000, expiry_ms: 30 * 24 * 3_600_000 }
    }
}

/// A durable subscription in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Where it goes on.
    pub bookmark: Bookmark,
    /// The stream that owns it; none: no stream has it.
    pub owner: Option<CommitToken>,
    /// When the owner claimed it, in milliseconds; grows with every claim.
    pub claimed_ms: u64,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorClaim {
    /// There is this; its owner is another one where that has claimed it since.
    Held(Held),
    /// There is no such subscription, and there was nothing to begin one with.
    Nothing,
    /// The topic has as many as it may have.
    Full,
}

/// A cursor that is to be committed.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    /// The subscription.
    pub name: &'a SubscriptionName,
    /// The stream that read it; none: the subscription has no stream.
    pub token: Option<CommitToken>,
    /// Where it goes on.
    pub cursor: &'a Cursor,
    /// Go there from anywhere, back too, and take the subscription from its owner.
    pub seeks: bool,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// This stands: the cursor, or a later one that was committed before.
    At(Bookmark),
    /// Another stream owns it; nothing was changed.
    Taken,
    /// The cursor is past everything that there is.
    Ahead {
        /// The epoch now.
        epoch: Epoch,
        /// The topic's next line.
        next: Offset,
    },
    /// There is neither such a topic nor such a subscription.
    Absent,
    /// The topic has as many subscriptions as it may have.
    Full,
}

impl Store {
    /// Makes a stream the owner of a durable subscription of a topic. `claimed_ms` is zero for a
    /// new claim, which always succeeds; else it is the time of an earlier one, which is renewed
    /// unless there is a later one. `opening` is held where there is no cursor yet.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn claim_cursor(
        &self,
        topic: &Topic,
        name: &SubscriptionName,
        (token, claimed_ms): (CommitToken, u64),
        opening: Option<&Bookmark>,
        bounds: DurableBounds,
    ) -> Result<CursorClaim, Error> {
        let opening = opening.map(ToString::to_string).unwrap_or_default();
        let mut script = self.cursors_script(&CLAIM, topic);
        script.arg(name.as_str()).arg(token.to_string()).arg(claimed_ms).arg(opening);
        script.arg(bounds.max_per_topic).arg(bounds.expiry_ms);
        let reply = self.run_script(&script).await?;
        match reply.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok", cursor, owner, claimed_ms] => {
                self.read_held(topic, &[cursor, owner, claimed_ms]).map(CursorClaim::Held)
            }
            ["none"] => Ok(CursorClaim::Nothing),
            ["full"] => Ok(CursorClaim::Full),
            _ => Err(self.strange_cursors(topic, &reply.join(" "))),
        }
    }

    /// Commits a cursor of a durable subscription. One that is behind what is committed changes
    /// nothing, unless it seeks.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn commit(&self, commit: &Commit<'_>, bounds: DurableBounds) -> Result<Committed, Error> {
        let Commit { name, token, cursor, seeks } = *commit;
        let topic = &cursor.topic;
        let token = token.map_or_else(|| "-".to_owned(), |token| token.to_string());
        let mut script = self.cursors_script(&COMMIT, topic);
        script.arg(name.as_str()).arg(token).arg(cursor.to_string());
        script.arg(cursor.epoch.to_string()).arg(cursor.offset.get()).arg(u8::from(seeks));
        script.arg(bounds.max_per_topic).arg(bounds.expiry_ms);
        let reply = self.run_script(&script).await?;
        let strange = || self.strange_cursors(topic, &reply.join(" "));
        match reply.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["ok", cursor] => cursor.parse().map(Committed::At).map_err(|_| strange()),
            ["taken"] => Ok(Committed::Taken),
            ["absent"] => Ok(Committed::Absent),
            ["full"] => Ok(Committed::Full),
            ["ahead", epoch, next] => {
                let next = next.parse().ok().and_then(|next| Offset::new(next).ok());
                let (epoch, next) = epoch.parse().ok().zip(next).ok_or_else(strange)?;
                Ok(Committed::Ahead { epoch, next })
            }
            _ => Err(strange()),
        }
    }

    /// These durable subscriptions in their order, all asked for at once; none where there is no
    /// such subscription. What is wrong with one topic alone is its own result.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn held(
        &self,
        wanted: &[(Topic, SubscriptionName)],
    ) -> Result<Vec<Result<Option<Held>, Error>>, Error> {
        let mut found = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(QUESTIONS_AT_ONCE) {
            let questions = some.iter().map(|(topic, name)| {
                let key = self.keys.cursors(topic);
                let mut command = redis::cmd("HGET");
                command.arg(&key).arg(name.as_str());
                (key, command)
            });
            let texts = self.servers.query_all::<Option<String>>(questions.collect()).await?;
            for ((topic, _), text) in some.iter().zip(texts) {
                let read = |text: String| self.read_held(topic, &text.split(' ').collect::<Vec<_>>());
                found.push(text.and_then(|text| text.map(read).transpose()));
            }
        }
        Ok(found)
    }

    /// The patterns that a durable subscription read last.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn patterns(&self, name: &SubscriptionName) -> Result<Vec<TopicGlob>, Error> {
        let key = self.keys.patterns(name);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        let text: Option<String> = self.servers.query(&key, &command).await?;
        // What is no pattern was not written by us.
        Ok(text.unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Keeps the patterns that a durable subscription reads, for `expiry_ms` from now on.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set_patterns(
        &self,
        name: &SubscriptionName,
        globs: &[TopicGlob],
        expiry_ms: u64,
    ) -> Result<(), Error> {
        let text = globs.iter().map(TopicGlob::as_str).collect::<Vec<_>>().join("\n");
        let key = self.keys.patterns(name);
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(text).arg("PX").arg(expiry_ms);
        self.servers.query(&key, &command).await
    }

    fn cursors_script<'a>(&self, script: &'a Script, topic: &Topic) -> TopicScript<'a> {
        let mut script = self.topic_script(script, topic);
        script.key(self.keys.cursors(topic));
        script
    }

    /// Reads cursor, owner and time of the claim; what stands behind is not looked at.
    fn read_held(&self, topic: &Topic, words: &[&str]) -> Result<Held, Error> {
        let strange = || self.strange_cursors(topic, &words.join(" "));
        let [cursor, owner, claimed_ms, ..] = words else { return Err(strange()) };
        let bookmark: Bookmark = cursor.parse().map_err(|_| strange())?;
        if bookmark.cursor().is_some_and(|cursor| cursor.topic != *topic) {
            return Err(strange());
        }
        let owner = if *owner == "-" { None } else { Some(owner.parse().map_err(|_| strange())?) };
        Ok(Held { bookmark, owner, claimed_ms: claimed_ms.parse().map_err(|_| strange())? })
    }

    fn strange_cursors(&self, topic: &Topic, text: &str) -> Error {
        let text: String = text.chars().take(120).collect();
        self.corrupt(&self.keys.cursors(topic), format!("{text:?} is no durable subscription"))
    }
}
