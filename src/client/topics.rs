//! One question and its answer: which topics there are.

use std::time::Duration;

use super::{
    Error, OptionsError, RelayAddress,
    error::Failure,
    link::{self, Times},
};
use crate::proto::{ListTopicsRequest, ListTopicsResponse};

/// The topics by name, from the first relay that answers; each one is asked once and given
/// `timeout_ms` to connect and as much to answer.
///
/// # Errors
/// [`Error::Refused`] where a relay refuses for good, [`Error::GaveUp`] where none answers.
pub async fn list_topics(relays: &[RelayAddress], timeout_ms: u64) -> Result<ListTopicsResponse, Error> {
    let timeout = Duration::from_millis(timeout_ms);
    let mut last = None;
    for relay in relays {
        match ask(relay, timeout).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => {
                if let Some(error) = failure.permanent(relay) {
                    return Err(error);
                }
                last = Some(format!("relay {relay} {failure}"));
            }
        }
    }
    let last = last.ok_or(OptionsError::NoRelay)?;
    Err(Error::GaveUp { failures: u32::try_from(relays.len()).unwrap_or(u32::MAX), last })
}

async fn ask(relay: &RelayAddress, timeout: Duration) -> Result<ListTopicsResponse, Failure> {
    let times = Times { connect: timeout, keep_alive: timeout, answer: timeout };
    let mut client = link::connect(relay, times).await?;
    match tokio::time::timeout(timeout, client.list_topics(ListTopicsRequest {})).await {
        Ok(response) => Ok(response?.into_inner()),
        Err(_) => Err(Failure::Silent(timeout.as_millis())),
    }
}
