//! `GetTopic`: a topic, its sources and its readers.

use std::time::Duration;

use logrelay::{
    proto::{GetTopicRequest, GetTopicResponse, SourceState as Told},
    record::{Details, Record, SourceState, Token},
    store::{Append, Appended},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    TestRedis,
    relay::{TestRelay, reason, topic},
    writer::Writer,
};

async fn get(relay: &TestRelay, topic: &str, max_sources: u32) -> Result<GetTopicResponse, Status> {
    let request = GetTopicRequest { topic: topic.to_owned(), max_sources };
    Ok(relay.client().await.get_topic(request).await?.into_inner())
}

/// Registers a source, as a tailer of `host` does; its key.
async fn register(redis: &TestRedis, topic: &str, host: &str, position: u64, details: Details) -> String {
    let (store, topic) = (redis.store(), topic.parse().unwrap());
    let source = store.new_source(&topic, &host.parse().unwrap()).await.unwrap();
    let record = Record { token: Token::random(), position, details };
    let append = Append { source: &source, believed: None, record: &record, batch: None, before: None };
    assert!(matches!(store.append(&topic, &append).await.unwrap(), Appended::Stored { .. }));
    source.to_string()
}

fn file(path: &str, size: Option<u64>, state: SourceState) -> Details {
    Details { path: path.to_owned(), size, state, next_line: 4, ..Details::default() }
}

#[tokio::test]
async fn a_topic_is_described_with_each_source_and_its_readers() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let gone = register(&redis, "app", "web", 5, file("/var/log/a.log", Some(5), SourceState::Gone)).await;
    let rotated =
        register(&redis, "app", "web", 7, file("/var/log/a.log", Some(9), SourceState::Active)).await;
    let active = register(&redis, "app", "web", 0, file("/var/log/a.log", None, SourceState::Active)).await;
    let other = register(&redis, "app", "db", 3, file("/var/log/a.log", Some(3), SourceState::Active)).await;
    Writer::new(&redis, "app").await.append_numbered(2, 5).await;
    register(&redis, "else", "web", 1, file("/x", None, SourceState::Active)).await;
    relay.subscribe(topic("app")).await.opened().await;
    let _reader = relay.subscribe(topic("app")).await;

    let found = get(&relay, "app", 0).await.unwrap();
    let info = found.topic.unwrap();
    assert_eq!((info.topic.as_str(), info.first_offset, info.next_offset), ("app", 0, 10));
    assert!(info.readers >= 1 && info.stored_bytes > 0 && info.last_time.is_some(), "{info:?}");
    assert!(!found.has_more_sources);
    let told: Vec<_> = found
        .sources
        .iter()
        .filter(|source| source.host != "test")
        .map(|source| (source.key.as_str(), source.position, source.size, source.lag, source.state()))
        .collect();
    let expected = [
        (other.as_str(), 3, Some(3), Some(0), Told::Active),
        (rotated.as_str(), 7, Some(9), Some(2), Told::Rotated),
        (active.as_str(), 0, None, None, Told::Active),
        (gone.as_str(), 5, Some(5), Some(0), Told::Gone),
    ];
    assert_eq!(told, expected);
    assert!(found.sources[0].host == "db" && found.sources[0].path == "/var/log/a.log");
    assert_eq!(found.sources[0].lines, 4);
}

#[tokio::test]
async fn a_topic_that_is_not_there_and_a_wrong_request_are_refused_with_their_reasons() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let status = get(&relay, "app", 0).await.unwrap_err();
    assert_eq!(reason(&status), (Code::NotFound, "TOPIC_NOT_FOUND".to_owned()));
    assert_eq!(status.get_details_error_info().unwrap().metadata["topic"], "app");
    for (name, max_sources, why, field) in [
        ("a/b", 0, "BAD_TOPIC", "topic"),
        ("", 0, "BAD_TOPIC", "topic"),
        ("app", 10_001, "BAD_LIMIT", "max_sources"),
    ] {
        let status = get(&relay, name, max_sources).await.unwrap_err();
        assert_eq!(reason(&status), (Code::InvalidArgument, why.to_owned()));
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations.iter().map(|found| found.field.as_str()).collect::<Vec<_>>(), [field]);
    }
}

#[tokio::test]
async fn a_topic_cannot_be_described_while_redis_is_away() {
    let mut redis = TestRedis::start().await;
    Writer::new(&redis, "app").await.append_numbered(1, 1).await;
    let relay = TestRelay::with(&redis, |serve, _| serve.redis_wait_ms = 300).await;
    redis.kill().await;
    let status = get(&relay, "app", 0).await.unwrap_err();
    assert_eq!(reason(&status), (Code::Unavailable, "REDIS_UNAVAILABLE".to_owned()));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_millis(300)));
    redis.start_again().await;
    get(&relay, "app", 0).await.unwrap();
}

#[tokio::test]
async fn an_answer_is_bounded_in_sources_and_in_bytes_and_says_that_there_are_more() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    for number in 0..6 {
        let state = if number < 3 { SourceState::Gone } else { SourceState::Active };
        register(&redis, "few", "web", 1, file(&format!("/{number}"), None, state)).await;
        let long = format!("/{number}{}", "x".repeat(1_000_000));
        register(&redis, "long", "web", 1, file(&long, None, SourceState::Active)).await;
    }
    let found = get(&relay, "few", 4).await.unwrap();
    let paths: Vec<_> = found.sources.iter().map(|source| source.path.as_str()).collect();
    assert_eq!((paths, found.has_more_sources), (vec!["/3", "/4", "/5", "/0"], true));
    let found = get(&relay, "few", 6).await.unwrap();
    assert_eq!((found.sources.len(), found.has_more_sources), (6, false));
    let found = get(&relay, "long", 0).await.unwrap();
    assert_eq!((found.sources.len(), found.has_more_sources), (3, true));
}
