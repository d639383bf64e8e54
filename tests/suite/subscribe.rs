//! Subscriptions: where they begin, what they send, how they end.

use logrelay::proto::{
    self, OnGap, StartedFrom, SubscribeRequest, start::Position, subscribe_response::Event,
};
use tonic::Code;

use crate::support::{
    TestRedis, eventually,
    relay::{TestRelay, from, from_cursor, from_earliest, get, reason, topic},
    writer::Writer,
};

#[tokio::test]
async fn lines_come_in_order_and_go_on_live() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(5, 3).await;
    let mut lines = relay.subscribe(from_earliest("app")).await;
    let opened = lines.opened().await;
    let expected = proto::OpenedTopic {
        topic: "app".to_owned(),
        epoch: opened.topics[0].epoch.clone(),
        first_offset: 0,
        next_offset: 15,
        cursor: format!("app@{}:0", opened.topics[0].epoch),
        started_from: StartedFrom::Earliest.into(),
    };
    assert_eq!(opened.topics, [expected]);
    lines.until(15).await;
    assert!(lines.caught_up().await.cursor.ends_with(":15"));
    writer.append_numbered(5, 2).await;
    let cursor = lines.until(25).await;
    assert!(cursor.ends_with(":25"));
    lines.are_numbered(0, 25);
}

#[tokio::test]
async fn every_start_resolves_to_its_offset() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(4, 5).await;
    let mut batch = relay.subscribe(from_earliest("app")).await;
    batch.opened().await;
    let mut times = Vec::new();
    for _ in 0..4 {
        times.push(batch.batch().await.time.unwrap());
    }
    let first_of_time = |time| 5 * times.iter().position(|&other| other == time).unwrap() as u64;
    let starts = [
        (Position::Earliest(true), 0, StartedFrom::Earliest),
        (Position::Latest(true), 20, StartedFrom::Latest),
        (Position::LastLines(7), 13, StartedFrom::LastLines),
        (Position::LastLines(u64::MAX), 0, StartedFrom::LastLines),
        (Position::LastLines(0), 20, StartedFrom::LastLines),
        (Position::Time(times[2]), first_of_time(times[2]), StartedFrom::Time),
        (
            Position::Time(prost_types::Timestamp { seconds: 253_000_000_000, nanos: 0 }),
            20,
            StartedFrom::Time,
        ),
        (Position::Time(prost_types::Timestamp { seconds: 0, nanos: 0 }), 0, StartedFrom::Time),
    ];
    for (position, offset, started_from) in starts {
        let mut lines =
            relay.subscribe(SubscribeRequest { stop_at_tail: true, ..from("app", position) }).await;
        let opened = lines.opened().await.topics.remove(0);
        assert!(opened.cursor.ends_with(&format!(":{offset}")), "{position:?}: {opened:?}");
        assert_eq!(opened.started_from(), started_from);
        let (events, end) = lines.rest().await;
        end.unwrap();
        assert!(matches!(events.last(), Some(Event::CaughtUp(_))), "{events:?}");
        lines.are_numbered(offset, 20);
    }
}

#[tokio::test]
async fn a_cursor_in_the_middle_of_a_batch_goes_on_at_another_relay() {
    let redis = TestRedis::start().await;
    let (one, other) = (TestRelay::start(&redis).await, TestRelay::start(&redis).await);
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(3, 10).await;
    let request = SubscribeRequest { max_batch_lines: 4, ..from_earliest("app") };
    let mut lines = one.subscribe(request).await;
    lines.opened().await;
    let cursor = lines.until(14).await;
    assert!(cursor.ends_with(":14"));
    drop(one);
    let mut rest = other.subscribe(from_cursor(&cursor)).await;
    rest.opened().await;
    let batch = rest.batch().await;
    assert_eq!((batch.base_offset, batch.offset_deltas), (10, (4..10).collect()));
    assert_eq!(batch.first_line, 10);
    rest.until(30).await;
    rest.are_numbered(14, 30);
    lines.are_numbered(0, 14);
}

#[tokio::test]
async fn batches_keep_the_bounds_that_were_asked_for() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    let long: Vec<_> = (0..20).map(|number| format!("{number} {}", "x".repeat(700))).collect();
    writer.append(&long).await;
    let request = SubscribeRequest { max_batch_bytes: 3000, stop_at_tail: true, ..from_earliest("app") };
    let mut lines = relay.subscribe(request).await;
    let (events, end) = lines.rest().await;
    end.unwrap();
    let batches: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Batch(batch) = event { Some(batch) } else { None })
        .collect();
    assert!(batches.len() >= 5 && batches.len() <= 10, "{}", batches.len());
    for batch in batches {
        assert!(prost::Message::encoded_len(batch) <= 3000);
    }
    let heard: Vec<_> = lines.heard.into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard, long);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_waited_for_and_begins_at_zero() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut lines = relay.subscribe(topic("late")).await;
    let opened = lines.opened().await.topics.remove(0);
    assert_eq!(opened.started_from(), StartedFrom::Absent);
    assert_eq!((opened.cursor.as_str(), opened.epoch.as_str()), ("", ""));
    let mut writer = Writer::new(&redis, "late").await;
    writer.append_numbered(2, 2).await;
    lines.until(4).await;
    lines.are_numbered(0, 4);
    // To stop at the tail of nothing is to stop.
    let nothing = SubscribeRequest { stop_at_tail: true, ..from_earliest("never") };
    let (events, end) = relay.subscribe(nothing).await.rest().await;
    end.unwrap();
    assert!(matches!(events[..], [Event::Opened(_)]), "{events:?}");
}

#[tokio::test]
async fn several_topics_come_in_one_stream_each_in_its_order() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let names: Vec<_> = (0..7).map(|number| format!("t{number}")).collect();
    let mut writers = Vec::new();
    for name in &names {
        writers.push(Writer::new(&redis, name).await);
    }
    for writer in &mut writers {
        writer.append_numbered(20, 3).await;
    }
    let request = SubscribeRequest { topics: names.clone(), stop_at_tail: true, ..from_earliest("t0") };
    let (events, end) = relay.subscribe(request).await.rest().await;
    end.unwrap();
    let mut next = std::collections::BTreeMap::new();
    let mut caught_up = 0;
    for event in events {
        match event {
            Event::Batch(batch) => {
                let next = next.entry(batch.topic).or_insert(0);
                assert_eq!(batch.base_offset, *next);
                *next += batch.lines.len() as u64;
            }
            Event::CaughtUp(_) => caught_up += 1,
            _ => {}
        }
    }
    assert_eq!(caught_up, 7);
    assert!(names.iter().all(|name| next[name] == 60), "{next:?}");
}

#[tokio::test]
async fn trimmed_lines_are_a_gap_of_the_exact_size() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(10, 10).await;
    let mut first = relay.subscribe(from_earliest("app")).await;
    first.opened().await;
    let cursor = first.batch().await.next_cursor;
    let trimmed: u64 = redis.control().await.run("XTRIM logrelay:{app}:lines MAXLEN 3").await;
    assert_eq!(trimmed, 7);
    let mut lines = relay.subscribe(from_cursor(&cursor)).await;
    assert_eq!(lines.opened().await.topics[0].cursor, cursor);
    let Event::Gap(gap) = lines.event().await else { panic!("no gap") };
    assert_eq!((gap.from_offset, gap.to_offset, gap.reason.as_str()), (10, 70, "trimmed"));
    assert!(gap.cursor.ends_with(":70"));
    lines.until(100).await;
    lines.are_numbered(70, 100);

    let request = SubscribeRequest { on_gap: OnGap::Fail.into(), ..from_cursor(&cursor) };
    let status = relay.subscribe(request).await.status().await;
    assert_eq!(reason(&status), (Code::OutOfRange, "CURSOR_TRIMMED".to_owned()));
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!(info.metadata["first_offset"], "70");
}

#[tokio::test]
async fn a_cursor_from_the_future_is_refused_after_another_look() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |_, hub| hub.ahead_wait_ms = 500).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(1, 10).await;
    let mut lines = relay.subscribe(topic("app")).await;
    let cursor = lines.opened().await.topics[0].cursor.clone();
    for ahead in [cursor.replace(":10", ":11"), "app@fffffffffff00000:3".to_owned()] {
        for stop_at_tail in [false, true] {
            let request = SubscribeRequest { stop_at_tail, ..from_cursor(&ahead) };
            let status = relay.subscribe(request).await.status().await;
            assert_eq!(reason(&status), (Code::InvalidArgument, "CURSOR_AHEAD".to_owned()));
            assert!(status.message().contains(&ahead) && status.message().contains(&cursor), "{status}");
        }
    }
    // What arrives while it looks again is no error.
    let mut waiting = relay.subscribe(from_cursor(&cursor.replace(":10", ":12"))).await;
    waiting.opened().await;
    writer.append_numbered(1, 5).await;
    waiting.until(15).await;
    waiting.are_numbered(12, 15);
}

#[tokio::test]
async fn a_wrong_request_is_refused_before_anything_begins() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_subscriptions = 1).await;
    let Err(status) = relay.try_subscribe(topic("a/b")).await else { panic!("taken") };
    assert_eq!(reason(&status), (Code::InvalidArgument, "BAD_TOPIC".to_owned()));
    let mut first = relay.subscribe(topic("app")).await;
    first.opened().await;
    let Err(status) = relay.try_subscribe(topic("app")).await else { panic!("taken") };
    assert_eq!(reason(&status), (Code::ResourceExhausted, "TOO_MANY_SUBSCRIPTIONS".to_owned()));
    drop(first);
    eventually("a seat is free again", async || relay.try_subscribe(topic("app")).await.is_ok()).await;
}

#[tokio::test]
async fn topics_are_listed_with_what_they_hold_and_who_reads_them() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    for (name, lines) in [("web", 3), ("app", 5)] {
        Writer::new(&redis, name).await.append_numbered(2, lines).await;
    }
    let mut reader = relay.subscribe(topic("web")).await;
    reader.opened().await;
    let list = relay.client().await.list_topics(proto::ListTopicsRequest {}).await.unwrap().into_inner();
    let seen: Vec<_> = list
        .topics
        .iter()
        .map(|topic| (topic.topic.as_str(), topic.first_offset, topic.next_offset, topic.readers))
        .collect();
    assert_eq!(seen, [("app", 0, 10, 0), ("web", 0, 6, 1)]);
    assert!(list.topics.iter().all(|topic| topic.stored_bytes > 0 && topic.first_time.is_some()));
}

#[tokio::test]
async fn what_is_not_grpc_is_answered_as_http() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let (status, _) = get(&relay.url, "/nothing").await;
    assert!(status.contains("404"), "{status}");
    let (status, body) = get(&relay.url, "/metrics").await;
    assert!(status.contains("200") && body.ends_with("# EOF\n"), "{status}\n{body}");
}
