//! One question and its answer: which topics there are, and what one of them is.

use std::time::Duration;

use tonic::{Response, Status};

use super::{
    Error, OptionsError, RelayAddress,
    error::Failure,
    link::{self, Client, Times},
    turn::{Ask, Turn},
};
use crate::{
    proto::{GetTopicRequest, GetTopicResponse, ListTopicsRequest, ListTopicsResponse},
    record::Topic,
};

/// The topics by name, from the first relay that answers; each one is asked once and given
/// `timeout_ms` to connect and as much to answer.
///
/// # Errors
/// [`Error::Refused`] where a relay refuses for good, [`Error::GaveUp`] where none answers.
pub async fn list_topics(relays: &[RelayAddress], timeout_ms: u64) -> Result<ListTopicsResponse, Error> {
    ask_any(relays, timeout_ms, async |client| client.list_topics(ListTopicsRequest {}).await).await
}

/// A topic and where its sources stand (`max_sources` of them at most; 0: as many as the relay
/// likes), asked for as in [`list_topics`].
///
/// # Errors
/// As there; [`Error::Refused`] where there is no such topic.
pub async fn get_topic(
    relays: &[RelayAddress],
    topic: &Topic,
    max_sources: u32,
    timeout_ms: u64,
) -> Result<GetTopicResponse, Error> {
    let question = GetTopicRequest { topic: topic.to_string(), max_sources };
    ask_any(relays, timeout_ms, async |client| client.get_topic(question.clone()).await).await
}

/// Asks each relay once, until one answers.
///
/// # Errors
/// As [`list_topics`].
pub(super) async fn ask_any<T>(
    relays: &[RelayAddress],
    timeout_ms: u64,
    ask: impl AsyncFn(&mut Client) -> Result<Response<T>, Status>,
) -> Result<T, Error> {
    let timeout = Duration::from_millis(timeout_ms);
    let mut last = None;
    let mut turn = Turn::new(relays);
    for one in relays.iter().filter_map(|_| turn.next()) {
        let relay = one.relay.clone();
        match ask_one(one, timeout, &ask).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => {
                if let Some(error) = failure.permanent(&relay) {
                    return Err(error);
                }
                last = Some(format!("relay {relay} {failure}"));
            }
        }
    }
    let last = last.ok_or(OptionsError::NoRelay)?;
    Err(Error::GaveUp { failures: u32::try_from(relays.len()).unwrap_or(u32::MAX), last })
}

async fn ask_one<T>(
    one: Ask,
    timeout: Duration,
    ask: &impl AsyncFn(&mut Client) -> Result<Response<T>, Status>,
) -> Result<T, Failure> {
    let times = Times { connect: timeout, keep_alive: timeout, answer: timeout };
    let mut client = link::connect(&one, times).await?;
    link::answered(timeout, ask(&mut client)).await
}
