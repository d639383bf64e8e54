//! Every field of every request with what it should not have: what is refused says the code, the
//! reason and the field, and what is allowed is served. Each call has a file of rows, a request
//! each.

mod administer;
mod cursors;
mod deleted;
mod fetch;
mod publish;
mod row;
mod subscribe;
mod unary;

use std::time::Duration;

use logrelay::proto::{Filter, GetTopicRequest, Matcher, SubscribeRequest, matcher::Op};
use prost::Message as _;
use tokio::time::timeout;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use self::{
    row::answer,
    subscribe::{SUBSCRIBE, good, served, wrong},
};
use crate::{
    outage::Logs,
    support::{TestRedis, relay::TestRelay, writer::Writer},
};

/// What all clients take of headers.
const HEADER_BYTES: u32 = 8192;

/// A relay with a topic; the cursor of its tail.
async fn prepare(redis: &TestRedis) -> (TestRelay, Channel, String) {
    let relay = TestRelay::with(redis, |_, hub| hub.ahead_wait_ms = 100).await;
    Writer::new(redis, "app").await.append_numbered(2, 5).await;
    let mut lines = relay.subscribe(good()).await;
    let cursor = lines.opened().await.topics.remove(0).cursor.replace(":0", ":10");
    let endpoint = Endpoint::from_shared(relay.url.clone()).unwrap();
    let channel = endpoint.http2_max_header_list_size(HEADER_BYTES).connect().await.unwrap();
    (relay, channel, cursor)
}

#[tokio::test]
async fn every_field_of_every_request_is_served_or_refused_by_its_name() {
    let redis = TestRedis::start().await;
    let (relay, channel, cursor) = prepare(&redis).await;
    let rows = [
        subscribe::rows(&cursor),
        unary::rows(),
        cursors::rows(&cursor),
        fetch::rows(&cursor),
        administer::rows(&cursor),
        publish::rows(),
    ];
    for row in rows.iter().flatten() {
        row.check(&channel).await;
    }
    // What was deleted changes for nobody but its readers.
    for row in deleted::rows(&deleted::prepare(&redis, &relay).await) {
        row.check(&channel).await;
    }
    // And it serves those who come after them.
    served("what is right", |_| ()).check(&channel).await;
    // What is not known is left alone: it may be of a newer client.
    let mut newer = served("a field of the future", |_| ());
    newer.bytes.extend_from_slice(b"\xf2\x3f\x01x");
    newer.check(&channel).await;
}

#[tokio::test]
async fn requests_that_are_changed_at_random_are_served_or_refused_as_wrong() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let redis = TestRedis::start().await;
    let (_relay, channel, cursor) = prepare(&redis).await;
    let filter = Filter {
        matchers: vec![Matcher { op: 3, value: "line [0-9]+".to_owned(), ignore_case: false }],
        hosts: vec!["*".to_owned()],
        ..Filter::default()
    };
    let request = SubscribeRequest { cursors: vec![cursor], filter: Some(filter), ..good() };
    let requests = [
        (SUBSCRIBE, request.encode_to_vec()),
        ("GetTopic", GetTopicRequest { topic: "app".to_owned(), max_sources: 3 }.encode_to_vec()),
    ];
    for _ in 0..500 {
        let (rpc, mut bytes) = requests[random.usize(..2)].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.insert(at, random.u8(..)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        // Where it does not stop at the tail any more, it goes on for ever.
        let Ok(Err(status)) = timeout(Duration::from_millis(50), answer(&channel, rpc, bytes.clone())).await
        else {
            continue;
        };
        let known =
            [Code::InvalidArgument, Code::NotFound, Code::ResourceExhausted, Code::FailedPrecondition];
        assert!(known.contains(&status.code()), "{rpc} {bytes:02x?}: {status:?}");
    }
    served("what is right", |_| ()).check(&channel).await;
}

#[tokio::test]
async fn no_log_shows_a_filter_however_much_is_logged() {
    let redis = TestRedis::start().await;
    let (logs, _guard) = Logs::capture_all();
    let (_relay, channel, _) = prepare(&redis).await;
    let matches = |value: &str| Filter {
        matchers: vec![Matcher { op: Op::Matches.into(), value: value.to_owned(), ignore_case: false }],
        ..Filter::default()
    };
    served("a filter", |r| r.filter = Some(matches("hush.*"))).check(&channel).await;
    let bad = Some(matches("hush("));
    wrong("BAD_FILTER", "filter.matchers[0].value", "a bad filter", |r| r.filter = bad).check(&channel).await;
    assert!(logs.count("subscribed") > 0 && logs.count("hush") == 0, "{}", logs.text());
}
