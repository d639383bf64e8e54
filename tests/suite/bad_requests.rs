//! Every field of every request with what it should not have: what is refused says the code, the
//! reason, the field, its value and what would be right, and what is allowed is served. Each call
//! has a file of rows, a request each; a field that has none fails.

mod administer;
mod cursors;
mod deleted;
mod fetch;
mod fields;
mod filter;
mod publish;
mod row;
mod start;
mod subscribe;
mod topic;

use std::{collections::BTreeMap, time::Duration};

use logrelay::proto::{
    CommitCursorRequest, DeleteTopicRequest, Filter, GetCursorRequest, GetTopicRequest, ListTopicsRequest,
    Matcher, SetRetentionRequest, SubscribeRequest, TrimTopicRequest, matcher::Op,
    trim_topic_request::Before,
};
use prost::Message as _;
use tokio::time::timeout;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use self::{
    row::{Row, answer, check_all},
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

/// The table; `cursor` is the one of the tail of `app`, which has ten lines.
fn rows(cursor: &str) -> Vec<Row> {
    [
        subscribe::rows(cursor),
        fetch::rows(cursor),
        topic::rows(),
        cursors::rows(cursor),
        administer::rows(cursor),
        publish::rows(),
    ]
    .concat()
}

#[tokio::test]
async fn every_field_of_every_request_is_served_or_refused_by_its_name() {
    let redis = TestRedis::start().await;
    let (relay, channel, cursor) = prepare(&redis).await;
    let rows = rows(&cursor);
    fields::are_all_there(&rows);
    check_all(&rows, &channel).await;
    // What was deleted changes for nobody but its readers.
    check_all(&deleted::rows(&deleted::prepare(&redis, &relay).await), &channel).await;
    // And it serves those who come after them.
    served("what is right", |_| ()).check(&channel).await;
    // What is not known is left alone: it may be of a newer client.
    let mut newer = served("a field of the future", |_| ());
    newer.bytes.extend_from_slice(b"\xf2\x3f\x01x");
    newer.check(&channel).await;
}

#[tokio::test]
async fn every_field_that_cannot_be_read_is_refused_by_its_name() {
    let redis = TestRedis::start().await;
    let (_relay, channel, cursor) = prepare(&redis).await;
    let topic = || "app".to_owned();
    let (cursors, subscription) = (vec![cursor], "s".to_owned());
    let (get, set) = (GetTopicRequest { topic: topic(), max_sources: 0 }, SetRetentionRequest::default());
    let held = GetCursorRequest { subscription: subscription.clone(), topics: vec![topic()] };
    let commit = CommitCursorRequest { subscription, cursors, ..CommitCursorRequest::default() };
    let requests = BTreeMap::from([
        (SUBSCRIBE, good().encode_to_vec()),
        ("Publish", publish::good().encode_to_vec()),
        ("Fetch", fetch::good().encode_to_vec()),
        ("ListTopics", ListTopicsRequest {}.encode_to_vec()),
        ("GetTopic", get.encode_to_vec()),
        ("CommitCursor", commit.encode_to_vec()),
        ("GetCursor", held.encode_to_vec()),
        ("DeleteTopic", DeleteTopicRequest { topic: topic(), on_active_sources: 1 }.encode_to_vec()),
        ("TrimTopic", TrimTopicRequest { topic: topic(), before: Some(Before::Offset(0)) }.encode_to_vec()),
        ("SetRetention", SetRetentionRequest { topic: topic(), ..set }.encode_to_vec()),
    ]);
    check_all(&fields::wrong_kinds(&requests), &channel).await;
    served("what is right", |_| ()).check(&channel).await;
    // Nothing was done by halves.
    let untouched = GetTopicRequest { topic: "published".to_owned(), max_sources: 0 };
    let untouched = Row::served("GetTopic", "what nobody published", &untouched);
    untouched.refused(Code::NotFound, "TOPIC_NOT_FOUND").check(&channel).await;
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
