//! `Publish`, request by request: what is stored, acknowledged, dropped and refused.

use std::time::Duration;

use logrelay::{
    proto::{GetTopicRequest, Line, PositionUnit, PublishRequest, SourceInfo, SourceState},
    record::Topic,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    publishing::{Producer, first, has_each_once, line, lines, stored},
    support::{
        TestRedis, eventually,
        relay::{TestRelay, from_earliest, reason},
    },
    tailing::{Tailing, append},
};

async fn sources(relay: &TestRelay) -> Vec<SourceInfo> {
    let request = GetTopicRequest { topic: "app".to_owned(), max_sources: 0 };
    relay.client().await.get_topic(request).await.unwrap().into_inner().sources
}

/// What a stream ends with that sends this after it was opened.
async fn refusal(relay: &TestRelay, instance: u64, request: PublishRequest) -> tonic::Status {
    let producer = Producer::open(relay, first("job", instance)).await.unwrap();
    producer.send(request).await;
    producer.status().await
}

#[tokio::test]
async fn published_lines_are_read_with_all_that_belongs_to_them() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let labels = [("env".to_owned(), "prod".to_owned())];
    let opening = PublishRequest { labels: labels.clone().into(), ..first("job", 7) };
    let mut producer = Producer::open(&relay, opening).await.unwrap();
    assert_eq!(producer.next_sequence, 0);
    let rich = Line {
        content: vec![0, 255, b'\n'].into(),
        truncated_bytes: 3,
        time_unix_nano: 1_790_000_000_000_000_001,
        labels: labels.clone().into(),
    };
    producer.send(PublishRequest { lines: vec![line(0), rich.clone()], ..Default::default() }).await;
    producer.until(2).await;
    let mut reader = relay.subscribe(from_earliest("app")).await;
    reader.opened().await;
    let batch = reader.batch().await;
    let source = batch.source.clone().unwrap();
    assert_eq!(
        (source.key, source.host.as_str(), source.path),
        (producer.source.clone(), "job", String::new())
    );
    assert_eq!(source.labels, labels.into());
    assert_eq!((batch.base_offset, batch.first_line, batch.position_unit()), (0, 0, PositionUnit::Sequence));
    assert_eq!((batch.start_position, batch.end_position), (0, 2));
    assert_eq!(batch.lines, [line(0), rich]);
    producer.publish(2..5).await;
    reader.until(5).await;
    let found = sources(&relay).await;
    let told =
        (found[0].host.as_str(), found[0].path.as_str(), found[0].position, found[0].lines, found[0].lag);
    assert_eq!(told, ("job", "", 5, 5, None));
    assert_eq!(found[0].state(), SourceState::Active);
    assert_eq!(
        relay
            .client()
            .await
            .list_topics(logrelay::proto::ListTopicsRequest {})
            .await
            .unwrap()
            .into_inner()
            .topics
            .len(),
        1
    );
}

#[tokio::test]
async fn what_was_sent_before_is_dropped_and_a_hole_is_refused_with_its_numbers() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut producer = Producer::open(&relay, first("job", 7)).await.unwrap();
    producer.publish(0..10).await;
    producer.send(lines(2..6)).await;
    assert_eq!(producer.next().await.unwrap().unwrap().next_sequence, 10, "duplicates are acknowledged");
    producer.publish(5..15).await;
    producer.send(lines(16..20)).await;
    let status = producer.status().await;
    assert_eq!(reason(&status), (Code::FailedPrecondition, "SEQUENCE_GAP".to_owned()));
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!((metadata["expected"].as_str(), metadata["found"].as_str()), ("15", "16"));
    has_each_once(&redis.store(), 15).await;
}

#[tokio::test]
async fn lines_that_are_said_to_be_lost_are_left_out_of_the_numbers() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut producer = Producer::open(&relay, first("job", 7)).await.unwrap();
    producer.publish(0..2).await;
    // Without a wait between them: the hole is made when all before it is stored.
    producer.send(lines(2..4)).await;
    producer.send(PublishRequest { accept_gap: true, ..lines(9..11) }).await;
    producer.send(lines(11..12)).await;
    producer.until(12).await;
    let numbers: Vec<_> = stored(&redis.store()).await.into_iter().map(|(_, number, _)| number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 9, 10, 11]);
}

#[tokio::test]
async fn a_new_source_begins_at_any_number() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut producer = Producer::open(&relay, first("job", 7)).await.unwrap();
    producer.publish(5000..5002).await;
    assert_eq!(reason(&refusal(&relay, 7, lines(5003..5004)).await).1, "SEQUENCE_GAP");
    assert_eq!(sources(&relay).await[0].lines, 2);
    let again = Producer::open(&relay, first("job", 7)).await.unwrap();
    assert_eq!((again.next_sequence, again.source), (5002, producer.source));
}

#[tokio::test]
async fn a_second_instance_is_refused_by_name_until_the_first_has_ended() {
    let redis = TestRedis::start().await;
    let relays = [TestRelay::start(&redis).await, TestRelay::start(&redis).await];
    let mut one = Producer::open(&relays[0], first("job", 1)).await.unwrap();
    one.publish(0..3).await;
    for relay in &relays {
        let Err(status) = Producer::open(relay, first("job", 2)).await else { panic!("it was admitted") };
        assert_eq!(reason(&status), (Code::FailedPrecondition, "PRODUCER_TAKEN".to_owned()));
        assert!(status.message().contains("job") && status.message().contains("app"), "{status}");
        let after = status.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!(after > Duration::ZERO && after <= Duration::from_secs(10), "{after:?}");
    }
    // Its own other streams are welcome, and so are others of its name in other topics.
    let again = Producer::open(&relays[1], first("job", 1)).await.unwrap();
    assert_eq!((again.next_sequence, &again.source), (3, &one.source));
    let elsewhere = PublishRequest { topic: "else".to_owned(), ..first("job", 2) };
    Producer::open(&relays[1], elsewhere).await.unwrap();
    again.leave().await;
    let other = Producer::open(&relays[1], first("job", 2)).await.unwrap();
    assert!(other.next_sequence == 0 && other.source != one.source);
    // The first one is told to ask again, and then who it is that has the name.
    one.send(lines(3..4)).await;
    assert_eq!(reason(&one.status().await), (Code::Aborted, "PRODUCER_MOVED".to_owned()));
    let Err(status) = Producer::open(&relays[0], first("job", 1)).await else { panic!("it was admitted") };
    assert_eq!(reason(&status).1, "PRODUCER_TAKEN");
    let found: Vec<_> = sources(&relays[0]).await.iter().map(SourceInfo::state).collect();
    assert_eq!(found, [SourceState::Active, SourceState::Gone]);
    has_each_once(&redis.store(), 3).await;
}

#[tokio::test]
async fn an_instance_that_resumes_goes_on_in_the_same_source() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let opening = |instance| PublishRequest { resume: true, ..first("job", instance) };
    let mut one = Producer::open(&relay, opening(1)).await.unwrap();
    one.publish(0..3).await;
    let source = one.source.clone();
    one.leave().await;
    let mut two = Producer::open(&relay, opening(2)).await.unwrap();
    assert_eq!((two.next_sequence, &two.source), (3, &source));
    two.publish(3..6).await;
    has_each_once(&redis.store(), 6).await;
}

#[tokio::test]
async fn a_name_is_free_when_its_lease_has_run_out_and_the_one_before_cannot_append_any_more() {
    let redis = TestRedis::with_port(&[]).await;
    let proxy = crate::proxy::Proxy::to(redis.port()).await;
    let short = |options: &mut logrelay::serve::Options, _: &mut logrelay::hub::Options| {
        options.publish.lease_ms = 600;
    };
    let connect = logrelay::store::ConnectOptions {
        response_timeout_ms: 300,
        ..logrelay::store::ConnectOptions::new(proxy.url())
    };
    let options = logrelay::store::Options::new(proxy.url());
    let through = logrelay::store::Store::new(logrelay::store::Options { connect, ..options }).unwrap();
    let relays = [TestRelay::over(through, short).await, TestRelay::with(&redis, short).await];
    let opening = |instance| PublishRequest { resume: true, ..first("job", instance) };
    let mut one = Producer::open(&relays[0], opening(1)).await.unwrap();
    one.publish(0..3).await;
    // It is kept as long as the relay lives and hears from Redis: three signs of life a lease.
    for _ in 0..8 {
        one.next().await.unwrap();
    }
    assert!(Producer::open(&relays[1], opening(2)).await.is_err());
    proxy.mute_all();
    one.send(lines(3..5)).await;
    let mut two = None;
    eventually("the name is free", async || {
        two = Producer::open(&relays[1], opening(2)).await.ok();
        two.is_some()
    })
    .await;
    let mut two = two.unwrap();
    // What was under way may have arrived before.
    let stands = two.next_sequence;
    two.publish(stands..8).await;
    proxy.mute();
    assert_eq!(reason(&one.status().await), (Code::Aborted, "PRODUCER_MOVED".to_owned()));
    has_each_once(&redis.store(), 8).await;
}

#[tokio::test]
async fn a_producer_that_has_finished_is_gone_and_its_name_is_free() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |options, _| options.publish.max_producers = 2).await;
    for run in 0..5 {
        let mut producer = Producer::open(&relay, first(&format!("job-{run}"), 1)).await.unwrap();
        producer.publish(0..2).await;
        producer.send(PublishRequest { finished: true, ..lines(2..4) }).await;
        while producer.next().await.unwrap().is_some() {}
        assert_eq!(producer.next_sequence, 4);
    }
    assert!(sources(&relay).await.iter().all(|source| source.state() == SourceState::Gone));
    let other = Producer::open(&relay, first("job-0", 2)).await.unwrap();
    assert_eq!(other.next_sequence, 0);
    Producer::open(&relay, first("job-1", 2)).await.unwrap();
    let Err(status) = Producer::open(&relay, first("job-2", 2)).await else { panic!("it was admitted") };
    assert_eq!(reason(&status), (Code::ResourceExhausted, "TOO_MANY_PRODUCERS".to_owned()));
    assert_eq!(relay.metric("logrelay_serve_refused_total{bound=\"max_producers\"}").await, 1);
    assert!(status.message().contains("max_producers"), "{status}");
}

#[tokio::test]
async fn producers_that_are_idle_for_long_are_forgotten_and_those_that_are_not_stay() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |options, _| options.publish.max_producers = 2).await;
    let (store, app): (_, Topic) = (redis.store(), "app".parse().unwrap());
    let mut idle = Producer::open(&relay, first("idle", 1)).await.unwrap();
    idle.publish(0..2).await;
    let source = idle.source.clone();
    idle.leave().await;
    let _busy = Producer::open(&relay, first("busy", 1)).await.unwrap();
    assert_eq!(store.expire_records(&app, 0, None).await.unwrap(), 0, "where lines are kept for ever");
    assert_eq!(store.expire_records(&app, 60_000, Some(60_000)).await.unwrap(), 0);
    assert_eq!(store.expire_records(&app, 0, Some(0)).await.unwrap(), 1);
    let again = Producer::open(&relay, first("idle", 1)).await.unwrap();
    assert!(again.next_sequence == 0 && again.source != source);
    assert!(Producer::open(&relay, first("third", 1)).await.is_err(), "there is room for two");
}

#[tokio::test]
async fn a_producer_is_no_source_of_a_tailer_of_its_name() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let tailing = Tailing::start(&redis, "*.log");
    let host = tailing.sources().await;
    assert!(host.is_empty());
    append(&tailing.path("a.log"), "of a file\n");
    tailing.until_lines(1).await;
    let host = tailing.sources().await[0].split('/').next().unwrap().to_owned();
    let opening = PublishRequest { topic: tailing.topic().to_string(), ..first(&host, 1) };
    let mut producer = Producer::open(&relay, opening).await.unwrap();
    producer.publish(0..3).await;
    let records = redis.store().records(tailing.topic(), &host.parse().unwrap()).await.unwrap();
    assert_eq!(records.len(), 1);
    append(&tailing.path("a.log"), "more\n");
    tailing.until_lines(5).await;
    producer.publish(3..4).await;
}

#[tokio::test]
async fn bad_input_of_every_field_is_refused_by_its_name() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |options, _| options.publish.max_line_bytes = 1000).await;
    let big = "x".repeat(20_000);
    let wrong = [
        (PublishRequest { topic: "a/b".into(), ..first("job", 1) }, "topic", "BAD_TOPIC"),
        (PublishRequest { topic: String::new(), ..first("job", 1) }, "topic", "BAD_TOPIC"),
        (first("a job", 1), "producer", "BAD_PRODUCER"),
        (first("", 1), "producer", "BAD_PRODUCER"),
        (first("job", 0), "instance", "BAD_INSTANCE"),
        (
            PublishRequest { labels: [("a".into(), big.clone())].into(), ..first("job", 1) },
            "labels",
            "BAD_LABELS",
        ),
        (PublishRequest { sequence: u64::MAX, ..first("job", 1) }, "sequence", "BAD_SEQUENCE"),
    ];
    for (request, field, expected) in wrong {
        let Err(status) = Producer::open(&relay, request).await else { panic!("{field} was taken") };
        assert_eq!(reason(&status), (Code::InvalidArgument, expected.to_owned()));
        let fields: Vec<_> =
            status.get_details_bad_request().unwrap().field_violations.into_iter().map(|v| v.field).collect();
        assert_eq!(fields, [field], "{status}");
    }
    let large = PublishRequest { lines: vec![line_of(&"x".repeat(5 << 20))], ..first("job", 1) };
    let Err(status) = Producer::open(&relay, large).await else { panic!("it was taken") };
    assert_eq!(reason(&status), (Code::InvalidArgument, "REQUEST_TOO_LARGE".to_owned()));
    let one = |line: Line| PublishRequest { lines: vec![line_of("a"), line], ..Default::default() };
    let label = |value: String| Line { labels: [("a".into(), value)].into(), ..line_of("b") };
    let wrong = [
        (PublishRequest { topic: "app".into(), ..lines(0..1) }, "topic", "ALREADY_OPEN"),
        (PublishRequest { resume: true, ..lines(0..1) }, "resume", "ALREADY_OPEN"),
        (PublishRequest { sequence: 1 << 53, ..lines(0..1) }, "sequence", "BAD_SEQUENCE"),
        (one(line_of(&"x".repeat(1001))), "lines[1].content", "LINE_TOO_LONG"),
        (one(label(big)), "lines[1].labels", "BAD_LABELS"),
        (
            PublishRequest { lines: vec![Line::default(); 65_537], ..Default::default() },
            "lines",
            "TOO_MANY_LINES",
        ),
        (one(line_of(&"x".repeat(5 << 20))), "request", "REQUEST_TOO_LARGE"),
    ];
    for (request, field, expected) in wrong {
        let status = refusal(&relay, 1, request).await;
        assert_eq!(reason(&status), (Code::InvalidArgument, expected.to_owned()), "{status}");
        assert!(status.message().starts_with(field), "{status}");
    }
    assert_eq!(stored(&redis.store()).await, []);
}

fn line_of(content: &str) -> Line {
    Line { content: content.to_owned().into(), ..Default::default() }
}

#[tokio::test]
async fn more_publishers_than_a_relay_may_have_are_refused() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |options, _| options.publish.max_publishers = 1).await;
    let producer = Producer::open(&relay, first("job", 1)).await.unwrap();
    let Err(status) = Producer::open(&relay, first("else", 1)).await else { panic!("it was admitted") };
    assert_eq!(reason(&status), (Code::ResourceExhausted, "TOO_MANY_PUBLISHERS".to_owned()));
    producer.leave().await;
    eventually("there is room", async || Producer::open(&relay, first("else", 1)).await.is_ok()).await;
}
