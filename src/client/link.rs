//! One connection to one relay, and the call on it.

use std::time::Duration;

use tonic::{
    Response, Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::{RelayAddress, error::Failure};
use crate::proto::{SubscribeRequest, SubscribeResponse, log_relay_client::LogRelayClient};

/// HTTP/2 windows: what a relay may send before the reader takes it. The protocol's
/// 64 KiB would hold a fast relay back to one batch a round trip.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
/// A batch comes in a few frames; the protocol's 16 KiB would make it twenty.
const FRAME_BYTES: u32 = 256 << 10;

/// The times of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// For the connection to be there.
    pub(super) connect: Duration,
    /// Between two HTTP/2 pings.
    pub(super) keep_alive: Duration,
    /// For a first answer.
    pub(super) answer: Duration,
}

/// Connects to a relay.
pub(super) async fn connect(relay: &RelayAddress, times: Times) -> Result<LogRelayClient<Channel>, Failure> {
    let channel = Endpoint::from(relay.uri().clone())
        .connect_timeout(times.connect)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(times.keep_alive)
        .keep_alive_timeout(times.keep_alive)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .connect()
        .await?;
    Ok(LogRelayClient::new(channel))
}

/// Connects to a relay and makes the call; the connection is good for other calls, too.
pub(super) async fn subscribe(
    relay: RelayAddress,
    times: Times,
    request: SubscribeRequest,
) -> Result<(LogRelayClient<Channel>, Streaming<SubscribeResponse>), Failure> {
    let mut client = connect(&relay, times).await?;
    let stream = answered(times.answer, client.subscribe(request)).await?;
    Ok((client, stream))
}

/// The answer to a call, which has so long to come.
pub(super) async fn answered<T>(
    within: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(within, call).await {
        Ok(response) => Ok(response?.into_inner()),
        Err(_) => Err(Failure::Silent(within.as_millis())),
    }
}
