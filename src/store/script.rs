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
        let mut connection = self.pool.get().await?;
        let mut reply: Vec<String> = connection.invoke(script).await?;
        match reply.first().map(String::as_str) {
            Some("ok") => Ok(Some(reply.split_off(1))),
            Some("absent" | "other-epoch") => Ok(None),
            _ => Err(self.not_master(reply.get(1).cloned())),
        }
    }
}
