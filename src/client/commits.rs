//! What relays keep of a durable subscription.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Error, Subscription,
    link::{Client, answered},
    subscription::Link,
    topics::ask_any,
};
use crate::{
    proto,
    record::{Cursor, Topic},
};

/// How far a durable subscription is committed.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// Names the stream to the relays; empty before the first one is open.
    token: String,
    committed: BTreeMap<Topic, Cursor>,
}

impl Commits {
    /// A relay opened a stream, or a topic joined it.
    pub(super) fn opened(&mut self, token: String) {
        if !token.is_empty() {
            self.token = token;
        }
    }
}

impl Subscription {
    /// Has the relays keep that everything is handled that [`next`](Self::next) gave: a later
    /// subscription of this name goes on behind it. Does nothing where nothing is new, or where the
    /// subscription is not durable. After an error, and where it is cancelled, some topics may be
    /// committed.
    ///
    /// # Errors
    /// [`Error::GaveUp`] where no relay answers, or none hears from Redis: try again later, or after
    /// more lines. [`Error::Refused`] with the reason `SUBSCRIPTION_TAKEN` where another reader has
    /// taken over.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let Some(name) = &self.options.subscription else { return Ok(()) };
        let is_new = |cursor: &&Cursor| {
            let is_asked = self.options.topics.iter().any(|pattern| pattern.matches(&cursor.topic));
            is_asked && self.commits.committed.get(&cursor.topic) != Some(*cursor)
        };
        let cursors: Vec<Cursor> = self.state.cursors().filter(is_new).cloned().collect();
        if cursors.is_empty() || self.commits.token.is_empty() {
            return Ok(());
        }
        let request = proto::CommitCursorRequest {
            subscription: name.to_string(),
            cursors: cursors.iter().map(ToString::to_string).collect(),
            commit_token: self.commits.token.clone(),
            seek: false,
        };
        self.send(request).await?;
        let cursors = cursors.into_iter().map(|cursor| (cursor.topic.clone(), cursor));
        self.commits.committed.extend(cursors);
        Ok(())
    }

    /// Asks the relay that sends, and where that does not answer, any of them.
    async fn send(&self, request: proto::CommitCursorRequest) -> Result<(), Error> {
        let timeout_ms = self.options.connect_timeout_ms;
        if let Link::Up { relay, client, .. } = &self.link {
            let mut client = client.clone();
            let call = client.commit_cursor(request.clone());
            match answered(Duration::from_millis(timeout_ms), call).await {
                Ok(_) => return Ok(()),
                Err(failure) => failure.permanent(relay).map_or(Ok(()), Err)?,
            }
        }
        let ask = async |client: &mut Client| client.commit_cursor(request.clone()).await;
        ask_any(&self.options.relays, timeout_ms, ask).await.map(drop)
    }
}
