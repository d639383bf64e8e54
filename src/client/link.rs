//! One connection to one relay, and the call on it.

use std::time::Duration;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    client::Grpc,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint, Uri},
};

use super::{
    credentials::Bearer,
    dial::{dial, look_up},
    error::Failure,
    incoming::{Incoming, IncomingCodec},
    turn::Ask,
};
use crate::proto::{PublishRequest, PublishResponse, SubscribeRequest, log_relay_client::LogRelayClient};

const SUBSCRIBE: &str = "/logrelay.v1.LogRelay/Subscribe";

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

/// Calls over one connection, each with the token.
type Calls = InterceptedService<Channel, Bearer>;

/// The calls of the contract over one connection.
pub(super) type Client = LogRelayClient<Calls>;

/// Connects to a relay.
pub(super) async fn connect(ask: &Ask, times: Times) -> Result<Client, Failure> {
    calls(ask, times).await.map(LogRelayClient::new)
}

async fn calls(ask: &Ask, times: Times) -> Result<Calls, Failure> {
    let (relay, credentials) = (&ask.relay, ask.relay.credentials());
    let bearer = credentials.bearer(relay)?;
    let mut endpoint = Endpoint::from(relay.uri().clone())
        .connect_timeout(times.connect)
        .http2_keep_alive_interval(times.keep_alive)
        .keep_alive_timeout(times.keep_alive)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES);
    if let Some(tls) = credentials.tls(relay)? {
        endpoint = endpoint.tls_config(tls)?;
    }
    let ask = ask.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let ask = ask.clone();
        async move { dial(ask, look_up).await.map(TokioIo::new) }
    });
    let channel = endpoint.connect_with_connector(connector).await?;
    Ok(InterceptedService::new(channel, bearer))
}

/// Connects to a relay and makes the call; the connection is good for other calls, too.
pub(super) async fn subscribe(
    ask: Ask,
    times: Times,
    request: SubscribeRequest,
) -> Result<(Client, Streaming<Incoming>), Failure> {
    let calls = calls(&ask, times).await?;
    let mut call = Grpc::new(calls.clone());
    let answer = async {
        call.ready().await.map_err(|error| Status::from_error(error.into()))?;
        // Not as the generated client does it, which would decode every line.
        let path = PathAndQuery::from_static(SUBSCRIBE);
        call.server_streaming(Request::new(request), path, IncomingCodec::default()).await
    };
    let stream = answered(times.answer, answer).await?;
    Ok((LogRelayClient::new(calls), stream))
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

/// Connects to a relay and makes the call, whose first request this is; the others go into
/// the sender.
pub(super) async fn publish(
    ask: Ask,
    times: Times,
    first: PublishRequest,
) -> Result<(mpsc::Sender<PublishRequest>, Streaming<PublishResponse>), Failure> {
    let mut client = connect(&ask, times).await?;
    let (requests, stream) = mpsc::channel(1);
    // There is room for it.
    requests.try_send(first).map_err(|_| Failure::Ended)?;
    let responses = answered(times.answer, client.publish(ReceiverStream::new(stream))).await?;
    Ok((requests, responses))
}
