//! Runs a script on the keys of one topic, or on another key, which only a master answers.

use redis::{Script, ScriptInvocation, ToRedisArgs};

use super::{Error, Store};
use crate::record::Topic;

/// A script with the keys of a topic, to which its arguments are added.
pub(super) struct TopicScript<'a> {
    /// One of the keys: where it is, all of them are.
    pub(super) key: String,
    pub(super) script: ScriptInvocation<'a>,
}

impl TopicScript<'_> {
    /// Adds a key, of the same topic.
    pub(super) fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        self.script.key(key);
        self
    }

    /// Adds an argument.
    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.script.arg(argument);
        self
    }
}

impl Store {
    /// A script with the keys that `timeline.lua` names; its arguments follow.
    pub(super) fn topic_script<'a>(&self, script: &'a Script, topic: &Topic) -> TopicScript<'a> {
        let key = self.keys.lines(topic);
        let mut script = script.key(&key);
        script.key(self.keys.state(topic));
        TopicScript { key, script }
    }

    /// What a script answered after `ok`; none when it answered that there is no such topic,
    /// or that its epoch is another.
    pub(super) async fn run_on_master(&self, script: &TopicScript<'_>) -> Result<Option<Vec<String>>, Error> {
        let mut reply = self.run_script(script).await?;
        Ok((reply.first().is_some_and(|word| word == "ok")).then(|| reply.split_off(1)))
    }

    /// What a script answered on a master: a word that says what it did, and what belongs to that.
    pub(super) async fn run_script(&self, script: &TopicScript<'_>) -> Result<Vec<String>, Error> {
        let reply: Vec<String> = self.servers.invoke(&script.key, &script.script).await?;
        match reply.first().map(String::as_str) {
            None | Some("not-master") => Err(self.not_master(&script.key, reply.get(1).cloned())),
            Some(_) => Ok(reply),
        }
    }
}
