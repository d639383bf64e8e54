//! Which topics there are.

use super::{Error, Store};
use crate::record::Topic;

impl Store {
    /// Every topic that a writer has announced, sorted.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn topics(&self) -> Result<Vec<Topic>, Error> {
        let mut command = redis::cmd("SMEMBERS");
        let key = self.keys.topics();
        command.arg(&key);
        let names: Vec<String> = self.servers.query(&key, &command).await?;
        // What is no topic was not written by us; there is nothing to read under it.
        let mut topics: Vec<Topic> = names.iter().filter_map(|name| name.parse().ok()).collect();
        topics.sort();
        Ok(topics)
    }

    /// Adds topics to the set of all topics. It lives in another slot than they
    /// do, so writers repeat it on every connection and now and then.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn announce(&self, topics: &[Topic]) -> Result<(), Error> {
        if topics.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("SADD");
        let key = self.keys.topics();
        command.arg(&key);
        for topic in topics {
            command.arg(topic.as_str());
        }
        self.servers.query::<i64>(&key, &command).await.map(drop)
    }

    /// Takes a topic from the set of all topics.
    pub(super) async fn withdraw(&self, topic: &Topic) -> Result<(), Error> {
        let mut command = redis::cmd("SREM");
        let key = self.keys.topics();
        command.arg(&key).arg(topic.as_str());
        self.servers.query::<i64>(&key, &command).await.map(drop)
    }
}
