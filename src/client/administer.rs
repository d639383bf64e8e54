//! What administrators ask of a relay. Each question can be asked again.

use super::{Error, RelayAddress, link::Client, topics::ask_any};
use crate::{
    proto::{
        DeleteTopicRequest, DeleteTopicResponse, OnActiveSources, Retention, SetRetentionRequest,
        TrimTopicRequest, TrimTopicResponse, trim_topic_request::Before,
    },
    record::Topic,
};

/// Deletes a topic, asked for as in [`list_topics`](super::list_topics).
///
/// # Errors
/// As there; [`Error::Refused`] where there is no such topic, and with the reason `TOPIC_IN_USE`
/// where sources may have more lines and `on_active` refuses that.
pub async fn delete_topic(
    relays: &[RelayAddress],
    topic: &Topic,
    on_active: OnActiveSources,
    timeout_ms: u64,
) -> Result<DeleteTopicResponse, Error> {
    let question = DeleteTopicRequest { topic: topic.to_string(), on_active_sources: on_active.into() };
    ask_any(relays, timeout_ms, async |client: &mut Client| client.delete_topic(question.clone()).await).await
}

/// Removes the lines of a topic before a place, asked for as in [`list_topics`](super::list_topics).
///
/// # Errors
/// As there; [`Error::Refused`] where there is no such topic or place.
pub async fn trim_topic(
    relays: &[RelayAddress],
    topic: &Topic,
    before: Before,
    timeout_ms: u64,
) -> Result<TrimTopicResponse, Error> {
    let question = TrimTopicRequest { topic: topic.to_string(), before: Some(before) };
    ask_any(relays, timeout_ms, async |client: &mut Client| client.trim_topic(question.clone()).await).await
}

/// Sets how much of a topic is kept, asked for as in [`list_topics`](super::list_topics).
///
/// # Errors
/// As there; [`Error::Refused`] where there is no such topic.
pub async fn set_retention(
    relays: &[RelayAddress],
    topic: &Topic,
    retention: Retention,
    timeout_ms: u64,
) -> Result<(), Error> {
    let question = SetRetentionRequest { topic: topic.to_string(), retention: Some(retention) };
    let ask = async |client: &mut Client| client.set_retention(question.clone()).await;
    ask_any(relays, timeout_ms, ask).await.map(drop)
}
