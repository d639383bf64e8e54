//! One page of lines, for those who keep no subscription.

use super::{Error, RelayAddress, link::Client, topics::ask_any};
use crate::proto::{FetchRequest, FetchResponse};

/// The page that is asked for, from the first relay that answers; each one is asked once and given
/// `timeout_ms` to connect and as much to answer. The cursors of the answer lead to the next pages.
///
/// # Errors
/// [`Error::Refused`] where there is no such topic or line, [`Error::GaveUp`] where none answers.
pub async fn fetch(
    relays: &[RelayAddress],
    request: &FetchRequest,
    timeout_ms: u64,
) -> Result<FetchResponse, Error> {
    let ask = async |client: &mut Client| client.fetch(request.clone()).await;
    ask_any(relays, timeout_ms, ask).await
}
