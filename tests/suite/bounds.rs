//! What a caller may take of a relay, and how it is told that this is all.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use logrelay::{
    client::{self, Event as Read},
    proto::{GetTopicRequest, SubscribeRequest, subscribe_response::Event},
};
use tokio::time::timeout;
use tonic::{Code, Request, Status, metadata::MetadataValue};
use tonic_types::StatusExt as _;

use crate::support::{
    TestRedis, eventually,
    http2::{self, Peer, frame},
    relay::{Lines, TestRelay, from_earliest, topic},
    writer::Writer,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Asserts that a call was refused for a bound.
fn is_bound(status: &Status, reason: &str, bound: &str, value: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "logrelay.v1"));
    assert_eq!(info.metadata, HashMap::from([(bound.to_owned(), value.to_owned())]));
    assert!(status.message().contains(bound) && status.message().contains(value), "{status}");
}

/// The status of a call that must not go through.
async fn refused(relay: &TestRelay, request: SubscribeRequest) -> Status {
    match relay.try_subscribe(request).await {
        Ok(_) => panic!("it was not refused"),
        Err(status) => status,
    }
}

async fn refusals(relay: &TestRelay, bound: &str) -> u64 {
    relay.metric(&format!("logrelay_serve_refused_total{{bound=\"{bound}\"}}")).await
}

async fn cuts(relay: &TestRelay, setting: &str) -> u64 {
    relay.metric(&format!("logrelay_serve_cut_total{{setting=\"{setting}\"}}")).await
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_one_that_ends_makes_room() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_connections = 2).await;
    let first = relay.subscribe(topic("app")).await;
    let mut second = relay.subscribe(topic("app")).await;
    second.opened().await;
    let status = refused(&relay, topic("app")).await;
    is_bound(&status, "TOO_MANY_CONNECTIONS", "max_connections", "2");
    drop(first);
    eventually("there is room again", async || relay.try_subscribe(topic("app")).await.is_ok()).await;
    drop(second);
    eventually("it is counted", async || {
        relay.try_metric("logrelay_serve_refused_total{bound=\"max_connections\"}").await.is_some()
    })
    .await;
}

#[tokio::test]
async fn one_address_has_no_more_connections_than_it_may() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_connections_per_peer = 1).await;
    let held = relay.subscribe(topic("app")).await;
    let status = refused(&relay, topic("app")).await;
    is_bound(&status, "TOO_MANY_CONNECTIONS", "max_connections_per_peer", "1");
    drop(held);
    eventually("there is room again", async || relay.try_subscribe(topic("app")).await.is_ok()).await;
}

#[tokio::test]
async fn a_stream_too_many_over_a_connection_is_answered_and_does_not_wait_in_silence() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_streams_per_connection = 3).await;
    let client = relay.client().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(client.clone().subscribe(topic("app")).await.unwrap());
    }
    // More than the streams that HTTP/2 allows at once: those that end make room for the next.
    let more = (0..300).map(|_| {
        let mut client = client.clone();
        async move { client.subscribe(topic("app")).await.unwrap_err() }
    });
    let refused = timeout(PATIENCE, join_all(more)).await.expect("it waits in silence");
    for status in refused {
        is_bound(&status, "TOO_MANY_STREAMS", "max_streams_per_connection", "3");
    }
    relay.subscribe(topic("app")).await.opened().await;
    drop(held.pop());
    eventually("there is room again", async || client.clone().subscribe(topic("app")).await.is_ok()).await;
    assert!(refusals(&relay, "max_streams_per_connection").await >= 300);
}

#[tokio::test]
async fn one_caller_has_no_more_subscriptions_than_it_may_over_all_its_connections() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_subscriptions_per_identity = 2).await;
    let held = [relay.subscribe(topic("app")).await, relay.subscribe(topic("app")).await];
    let status = refused(&relay, topic("app")).await;
    is_bound(&status, "TOO_MANY_SUBSCRIPTIONS", "max_subscriptions_per_identity", "2");
    drop(held);
    eventually("there is room again", async || relay.try_subscribe(topic("app")).await.is_ok()).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_by_the_name_of_its_bound() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_request_bytes = 5000).await;
    let topics = |count| SubscribeRequest { topics: vec!["x".repeat(99); count], ..Default::default() };
    let status = refused(&relay, topics(49)).await;
    assert_eq!(status.code(), Code::InvalidArgument, "it is read: {status}");
    is_bound(&refused(&relay, topics(50)).await, "REQUEST_TOO_LARGE", "max_request_bytes", "5000");
    let question = GetTopicRequest { topic: "x".repeat(5000), ..Default::default() };
    let status = relay.client().await.get_topic(question).await.unwrap_err();
    is_bound(&status, "REQUEST_TOO_LARGE", "max_request_bytes", "5000");
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_by_the_name_of_their_bound() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_header_bytes = 8192).await;
    let with = |bytes: usize| {
        let mut request = Request::new(topic("app"));
        request.metadata_mut().insert("x-long", MetadataValue::try_from("x".repeat(bytes)).unwrap());
        request
    };
    let mut client = relay.client().await;
    client.subscribe(with(7000)).await.unwrap();
    let status = client.subscribe(with(8192)).await.unwrap_err();
    is_bound(&status, "HEADERS_TOO_LARGE", "max_header_bytes", "8192");
    // What is far too large is not even read.
    let status = match client.subscribe(with(60_000)).await {
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert!(status.message().contains("431"), "{status}");
    client.subscribe(topic("app")).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_say_what_it_speaks_is_cut_off() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.header_timeout_ms = 300).await;
    let mut lines = relay.subscribe(topic("app")).await;
    lines.opened().await;
    for said in ["", "PRI * HTTP", "GET /metr"] {
        let mut peer = Peer::connect(&relay.url).await;
        peer.send(said.as_bytes()).await.unwrap();
        timeout(PATIENCE, peer.ended()).await.unwrap_or_else(|_| panic!("{said:?} is waited for"));
    }
    assert_eq!(cuts(&relay, "header_timeout_ms").await, 2, "the third one is HTTP/1.1's affair");
    Writer::new(&redis, "app").await.append(&["after"]).await;
    lines.until(1).await;
}

#[tokio::test]
async fn a_connection_that_never_answers_is_cut_off() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.keepalive_ms = 200).await;
    let mut peer = Peer::connect(&relay.url).await;
    peer.send(&http2::open_greeting()).await.unwrap();
    peer.send(&http2::subscribe(1, &topic("app"))).await.unwrap();
    timeout(PATIENCE, peer.ended()).await.expect("it is waited for");
    eventually("its subscription has ended", async || {
        relay.metric("logrelay_serve_subscriptions").await == 0
    })
    .await;
}

/// Sends frames that carry nothing until it is cut off, while another caller gets its lines.
async fn flood(what: impl Fn(u32) -> Vec<u8>) {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_control_frames_per_second = 100).await;
    let mut writer = Writer::new(&redis, "app").await;
    let mut lines = relay.subscribe(from_earliest("app")).await;
    lines.opened().await;
    let mut peer = Peer::connect(&relay.url).await;
    peer.send(&http2::open_greeting()).await.unwrap();
    let flooding = async {
        for number in 0.. {
            if peer.send(&what(number)).await.is_err() {
                break;
            }
        }
        peer.ended().await;
    };
    timeout(PATIENCE, flooding).await.expect("it may go on and on");
    assert_eq!(cuts(&relay, "max_control_frames_per_second").await, 1);
    writer.append_numbered(10, 10).await;
    lines.until(100).await;
    lines.are_numbered(0, 100);
}

#[tokio::test]
async fn a_flood_of_pings_is_cut_off() {
    flood(|_| frame(http2::PING, 0, 0, &[0; 8])).await;
}

#[tokio::test]
async fn a_flood_of_settings_is_cut_off() {
    flood(|_| frame(http2::SETTINGS, 0, 0, &[])).await;
}

#[tokio::test]
async fn a_flood_of_calls_that_are_reset_at_once_is_cut_off() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut lines = relay.subscribe(topic("app")).await;
    lines.opened().await;
    let mut peer = Peer::connect(&relay.url).await;
    peer.send(&http2::open_greeting()).await.unwrap();
    let flooding = async {
        for number in 0.. {
            let stream = 2 * number + 1;
            let reset = frame(http2::RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            let call = [http2::subscribe(stream, &topic("app")), reset].concat();
            if peer.send(&call).await.is_err() {
                break;
            }
        }
        peer.ended().await;
    };
    timeout(PATIENCE, flooding).await.expect("it may go on and on");
    Writer::new(&redis, "app").await.append(&["after"]).await;
    lines.until(1).await;
    drop(lines);
    eventually("no subscription is left", async || relay.metric("logrelay_serve_subscriptions").await == 0)
        .await;
}

#[tokio::test]
async fn streams_of_an_old_connection_are_told_to_go_on_elsewhere_and_its_channel_too() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_connection_age_ms = 500).await;
    let client = relay.client().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let stream = client.clone().subscribe(topic("app")).await.unwrap().into_inner();
        streams.push(Lines::new(stream));
    }
    for lines in &mut streams {
        let (events, end) = lines.rest().await;
        end.unwrap();
        let Some(Event::Closing(closing)) = events.last() else { panic!("no closing: {events:?}") };
        assert!(closing.reason.contains("greatest age") && closing.retry_after.is_some(), "{closing:?}");
    }
    // The same channel has another connection now.
    let stream = client.clone().subscribe(topic("app")).await.unwrap().into_inner();
    Lines::new(stream).opened().await;
}

#[tokio::test]
async fn a_reader_over_connections_that_grow_old_gets_every_line_once() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_connection_age_ms = 200).await;
    let options = client::Options {
        relays: vec![relay.url.parse().unwrap()],
        topics: vec!["app".parse().unwrap()],
        start: client::Start::Earliest,
        retry_first_ms: 1,
        ..client::Options::default()
    };
    let mut subscription = client::Subscription::new(options).unwrap();
    let mut writer = Writer::new(&redis, "app").await;
    let (mut next, mut closings) = (0, 0);
    while closings < 5 || next < 100 {
        writer.append_numbered(1, 1).await;
        match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap() {
            Read::Lines(lines) => {
                for line in lines.iter() {
                    assert_eq!(line.content, format!("line {next}").as_bytes());
                    next += 1;
                }
            }
            Read::Closing { .. } => closings += 1,
            Read::Disconnected { why, .. } => panic!("it was cut: {why}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_old_connection_that_takes_nothing_is_cut_off_when_its_grace_is_over() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| {
        serve.max_connection_age_ms = 500;
        serve.connection_grace_ms = 300;
    })
    .await;
    Writer::new(&redis, "app").await.append(&["x".repeat(100)]).await;
    let mut peer = Peer::connect(&relay.url).await;
    peer.send(&http2::greeting(0)).await.unwrap();
    peer.send(&http2::subscribe(1, &from_earliest("app"))).await.unwrap();
    timeout(PATIENCE, peer.ended()).await.expect("it is waited for");
    eventually("its subscription has ended", async || {
        relay.metric("logrelay_serve_subscriptions").await == 0
    })
    .await;
    assert_eq!(cuts(&relay, "connection_grace_ms").await, 1);
}
