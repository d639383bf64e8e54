//! A relay that plays a script, for the tests of the client only.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _, future::BoxFuture, stream};
use http::{Request, Response};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    body::Body,
    server::{Grpc, NamedService, ServerStreamingService},
};
use tonic_prost::ProstCodec;

use super::RelayAddress;
use crate::proto::{self, SubscribeRequest, SubscribeResponse, subscribe_response::Event};

/// What the relay does in one call.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Send(Box<Event>),
    Fail(Status),
    /// Says nothing any more; without it the stream ends with OK.
    Hang,
}

/// A relay that plays one script a call, and refuses calls past the last one.
#[derive(Debug)]
pub(super) struct FakeRelay {
    address: SocketAddr,
    played: Arc<Played>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Played {
    scripts: Mutex<Vec<Vec<Step>>>,
    requests: Mutex<Vec<SubscribeRequest>>,
}

impl FakeRelay {
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let played = Arc::new(Played { scripts: Mutex::new(scripts), requests: Mutex::default() });
        let service = Service(Arc::clone(&played));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = tonic::transport::Server::builder().add_service(service);
            serving.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { address, played, _server: server }
    }

    pub(super) fn address(&self) -> RelayAddress {
        self.address.to_string().parse().unwrap()
    }

    /// The calls so far.
    pub(super) fn requests(&self) -> Vec<SubscribeRequest> {
        self.played.requests.lock().unwrap().clone()
    }
}

#[derive(Clone)]
struct Service(Arc<Played>);

impl NamedService for Service {
    const NAME: &'static str = "logrelay.v1.LogRelay";
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).server_streaming(service, request).await) })
    }
}

impl ServerStreamingService<SubscribeRequest> for Service {
    type Response = SubscribeResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;
    type Future = std::future::Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<SubscribeRequest>) -> Self::Future {
        self.0.requests.lock().unwrap().push(request.into_inner());
        let mut scripts = self.0.scripts.lock().unwrap();
        if scripts.is_empty() {
            return std::future::ready(Err(Status::unavailable("the script is over")));
        }
        let stream = stream::iter(scripts.remove(0)).then(|step| async {
            match step {
                Step::Send(event) => Ok(SubscribeResponse { event: Some(*event) }),
                Step::Fail(status) => Err(status),
                Step::Hang => std::future::pending().await,
            }
        });
        std::future::ready(Ok(tonic::Response::new(Box::pin(stream))))
    }
}

pub(super) const EPOCH: &str = "00000000000000aa";
pub(super) const NEXT_EPOCH: &str = "00000000000000bb";

pub(super) fn send(event: Event) -> Step {
    Step::Send(Box::new(event))
}

pub(super) fn opened(topic: &str, cursor: &str) -> Step {
    let topic = proto::OpenedTopic { topic: topic.into(), cursor: cursor.into(), ..Default::default() };
    send(Event::Opened(proto::Opened { topics: vec![topic], ..Default::default() }))
}

/// A batch of `app` with as many lines as `numbers`; its first line is line `first_line` of the source,
/// and each line's content is `<source>:<number>`.
pub(super) fn batch(epoch: &str, base_offset: u64, source: &str, numbers: std::ops::Range<u64>) -> Step {
    let lines: Vec<_> = numbers
        .clone()
        .map(|number| proto::Line { content: format!("{source}:{number}").into(), ..Default::default() })
        .collect();
    send(Event::Batch(proto::Batch {
        topic: "app".into(),
        epoch: epoch.into(),
        base_offset,
        next_cursor: format!("app@{epoch}:{}", base_offset + lines.len() as u64),
        source: Some(proto::Source { key: source.into(), ..Default::default() }),
        first_line: numbers.start,
        lines,
        ..Default::default()
    }))
}

pub(super) fn rewound(from_offset: u64, to_offset: u64) -> Step {
    let cursor = format!("app@{EPOCH}:{to_offset}");
    send(Event::Rewound(proto::Rewound {
        topic: "app".into(),
        from_offset,
        to_offset,
        cursor,
        reason: "LOST".into(),
    }))
}

pub(super) fn closing(reason: &str, retry_after_ms: i32) -> Step {
    let retry_after = prost_types::Duration { seconds: 0, nanos: retry_after_ms * 1_000_000 };
    let closing = proto::Closing { reason: reason.into(), retry_after: Some(retry_after), taken_over: false };
    send(Event::Closing(closing))
}
