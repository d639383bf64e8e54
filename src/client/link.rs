//! One connection to one relay, and the call on it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Streaming,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use super::{RelayAddress, credentials::Bearer, error::Failure};
use crate::proto::{
    PublishRequest, PublishResponse, SubscribeRequest, SubscribeResponse, log_relay_client::LogRelayClient,
};

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

/// Calls over one connection.
pub(super) type Client = LogRelayClient<InterceptedService<Channel, Bearer>>;

/// Connects to a relay.
pub(super) async fn connect(relay: &RelayAddress, times: Times) -> Result<Client, Failure> {
    let credentials = relay.credentials();
    let bearer = credentials.bearer(relay)?;
    let mut endpoint = Endpoint::from(relay.uri().clone())
        .connect_timeout(times.connect)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(times.keep_alive)
        .keep_alive_timeout(times.keep_alive)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES);
    if let Some(tls) = credentials.tls(relay)? {
        endpoint = endpoint.tls_config(tls)?;
    }
    Ok(LogRelayClient::with_interceptor(endpoint.connect().await?, bearer))
}

/// Connects to a relay and makes the call.
pub(super) async fn subscribe(
    relay: RelayAddress,
    times: Times,
    request: SubscribeRequest,
) -> Result<Streaming<SubscribeResponse>, Failure> {
    let mut client = connect(&relay, times).await?;
    match tokio::time::timeout(times.answer, client.subscribe(request)).await {
        Ok(response) => Ok(response?.into_inner()),
        Err(_) => Err(Failure::Silent(times.answer.as_millis())),
    }
}

/// Connects to a relay and makes the call, whose first request this is; the others go into
/// the sender.
pub(super) async fn publish(
    relay: RelayAddress,
    times: Times,
    first: PublishRequest,
) -> Result<(mpsc::Sender<PublishRequest>, Streaming<PublishResponse>), Failure> {
    let mut client = connect(&relay, times).await?;
    let (requests, stream) = mpsc::channel(1);
    // There is room for it.
    requests.try_send(first).map_err(|_| Failure::Ended)?;
    match tokio::time::timeout(times.answer, client.publish(ReceiverStream::new(stream))).await {
        Ok(response) => Ok((requests, response?.into_inner())),
        Err(_) => Err(Failure::Silent(times.answer.as_millis())),
    }
}
