//! Runs a script on the keys of one topic, which only a master answers.

use redis::{Script, ScriptInvocation};

use super::{Error, Store};
use crate::record::Topic;

impl Store {
    /// A script with the keys that `timeline.lua` names; its arguments follow.
    pub(super) fn topic_script<'a>(&self, script: &'a Script, topic: &Topic) -> ScriptInvocation<'a> {
        let mut script = script.key(self.keys.lines(topic));
        script.key(self.keys.state(topic));
        script
    }

    /// What a script answered after `ok`; none when it answered that there is no such topic,
    /// or that its epoch is another.
    pub(super) async fn run_on_master(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<Option<Vec<String>>, Error> {
        let mut reply = self.run_script(script).await?;
        Ok((reply.first().is_some_and(|word| word == "ok")).then(|| reply.split_off(1)))
    }

    /// What a script answered on a master: a word that says what it did, and what belongs to that.
    pub(super) async fn run_script(&self, script: &ScriptInvocation<'_>) -> Result<Vec<String>, Error> {
        let mut connection = self.pool.get().await?;
        let reply: Vec<String> = connection.invoke(script).await?;
        match reply.first().map(String::as_str) {
            None | Some("not-master") => Err(self.not_master(reply.get(1).cloned())),
            Some(_) => Ok(reply),
        }
    }
}
