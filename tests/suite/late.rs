//! Calls whose first message comes byte by byte, or not at all.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use hyper::body::{Body, Frame};
use logrelay::proto::SubscribeRequest;
use prost::Message as _;
use tokio::time::{Interval, interval, timeout};
use tonic::{Code, Status, transport::Endpoint};
use tonic_types::StatusExt as _;
use tower::{Service as _, ServiceExt as _};

use crate::support::{
    TestRedis, eventually,
    relay::{TestRelay, topic},
    writer::Writer,
};

const PATIENCE: Duration = Duration::from_secs(30);
const METHODS: [&str; 10] = [
    "Subscribe",
    "Publish",
    "ListTopics",
    "GetTopic",
    "Fetch",
    "CommitCursor",
    "GetCursor",
    "DeleteTopic",
    "TrimTopic",
    "SetRetention",
];

/// A body of which a byte comes every 20 ms, and which never ends.
struct Trickle {
    bytes: Bytes,
    every: Interval,
}

impl Body for Trickle {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        std::task::ready!(self.every.poll_tick(context));
        if self.bytes.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(self.bytes.split_to(1)))))
    }
}

/// The status of a call whose body is these bytes, one by one.
async fn status(relay: &TestRelay, method: &str, bytes: &[u8]) -> Status {
    let mut channel = Endpoint::from_shared(relay.url.clone()).unwrap().connect().await.unwrap();
    let body = Trickle { bytes: bytes.to_vec().into(), every: interval(Duration::from_millis(20)) };
    let request = Request::post(format!("{}/logrelay.v1.LogRelay/{method}", relay.url))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body))
        .unwrap();
    let answered = async {
        let response = channel.ready().await.unwrap().call(request).await.unwrap();
        let (head, mut body) = response.into_parts();
        let mut headers = head.headers;
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
        {
            if let Ok(trailers) = frame.map_err(|error| panic!("{error}")).and_then(Frame::into_trailers) {
                headers.extend(trailers);
            }
        }
        headers
    };
    let headers: HeaderMap = timeout(PATIENCE, answered).await.unwrap_or_else(|_| panic!("{method} waits"));
    Status::from_header_map(&headers).unwrap()
}

#[tokio::test]
async fn a_first_message_that_does_not_come_in_time_ends_its_call_by_the_name_of_the_bound() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.request_timeout_ms = 300).await;
    let mut lines = relay.subscribe(topic("app")).await;
    lines.opened().await;
    let long = SubscribeRequest { topics: vec!["x".repeat(200); 90], ..Default::default() }.encode_to_vec();
    let head = u32::try_from(long.len()).unwrap().to_be_bytes();
    let slow = [&[0][..], &head, &long].concat();
    for method in METHODS {
        for bytes in [&b""[..], b"\0\0", &slow] {
            let status = status(&relay, method, bytes).await;
            let info = status.get_details_error_info().unwrap_or_else(|| panic!("{method}: {status:?}"));
            assert_eq!((status.code(), info.reason.as_str()), (Code::DeadlineExceeded, "NO_REQUEST"));
            assert_eq!(info.metadata["request_timeout_ms"], "300", "{method}: {status:?}");
        }
    }
    let refused = relay.metric("logrelay_serve_refused_total{bound=\"request_timeout_ms\"}").await;
    assert_eq!(refused, 3 * METHODS.len() as u64);
    Writer::new(&redis, "app").await.append(&["after"]).await;
    lines.until(1).await;
    eventually("the others are gone", async || {
        relay.metric("logrelay_serve_subscriptions").await == 1
            && relay.metric("logrelay_serve_publishers").await == 0
    })
    .await;
}
