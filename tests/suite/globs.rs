//! Patterns of topics in a subscription: what they match at first, and what joins later.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use logrelay::{
    proto::{
        OpenedTopic, StartedFrom, SubscribeRequest, TrimTopicRequest, start::Position,
        subscribe_response::Event, trim_topic_request::Before,
    },
    serve::Options,
};
use tokio::time::Instant;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    TestRedis, eventually,
    relay::{Lines, TestRelay, from, from_earliest, reason, topic},
    writer::Writer,
};

/// Nobody but subscriptions with patterns asks for the set of topics.
fn alone(serve: &mut Options) {
    serve.retention.interval_ms = 3_600_000;
}

fn beating(request: SubscribeRequest) -> SubscribeRequest {
    SubscribeRequest { heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }), ..request }
}

async fn write(redis: &TestRedis, name: &str, batches: u64) -> Writer {
    let mut writer = Writer::new(redis, name).await;
    writer.append_numbered(batches, 2).await;
    writer
}

fn names(topics: &[OpenedTopic]) -> Vec<&str> {
    topics.iter().map(|topic| topic.topic.as_str()).collect()
}

/// Reads until each of these topics has so many lines: every line of it from offset 0 on, once,
/// and only after it was opened.
async fn read_all(lines: &mut Lines, mut opened: Vec<String>, wanted: &[(&str, u64)]) -> Vec<OpenedTopic> {
    let mut next = BTreeMap::<String, u64>::new();
    let mut joined = Vec::new();
    while wanted.iter().any(|&(name, count)| next.get(name).copied().unwrap_or(0) < count) {
        match lines.event().await {
            Event::Batch(batch) => {
                assert!(opened.contains(&batch.topic), "{} was not opened", batch.topic);
                let next = next.entry(batch.topic).or_default();
                assert_eq!(batch.base_offset, *next);
                *next += batch.lines.len() as u64;
            }
            Event::Opened(more) => {
                opened.extend(names(&more.topics).into_iter().map(str::to_owned));
                joined.extend(more.topics);
            }
            Event::CaughtUp(_) => {}
            event => panic!("{event:?}"),
        }
    }
    assert!(next.iter().all(|(name, _)| wanted.iter().any(|(other, _)| other == name)), "{next:?}");
    joined
}

#[tokio::test]
async fn a_pattern_reads_the_topics_that_are_there_each_once() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    for name in ["web.2", "web.1", "web", "db"] {
        write(&redis, name, 3).await;
    }
    let topics = ["web.*", "web.1", "*.2", "absent"].map(str::to_owned).into();
    let mut lines = relay.subscribe(SubscribeRequest { topics, ..from_earliest("") }).await;
    let opened = lines.opened().await.topics;
    assert_eq!(names(&opened), ["web.1", "absent", "web.2"]);
    let started: Vec<_> = opened.iter().map(OpenedTopic::started_from).collect();
    assert_eq!(started, [StartedFrom::Earliest, StartedFrom::Absent, StartedFrom::Earliest]);
    read_all(&mut lines, vec!["web.1".to_owned(), "web.2".to_owned()], &[("web.1", 6), ("web.2", 6)]).await;
}

#[tokio::test]
async fn a_topic_that_is_born_joins_from_its_first_line_whatever_the_start_is() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut old = write(&redis, "web.old", 3).await;
    for position in [Position::Latest(true), Position::LastLines(1), Position::Earliest(true)] {
        let new = format!("web.{}", fastrand::u64(..));
        let mut lines = relay.subscribe(from("web.*", position)).await;
        let opened = lines.opened().await.topics;
        assert!(opened.iter().all(|topic| topic.topic != new));
        // Only what is born now is looked at.
        while lines.heard.len() < 6 && position == Position::Earliest(true) {
            lines.event().await;
        }
        write(&redis, "else", 1).await;
        write(&redis, &new, 3).await;
        let joined = loop {
            match lines.event().await {
                Event::Opened(joined) => break joined.topics,
                Event::Batch(batch) => assert_ne!(batch.topic, new),
                _ => {}
            }
        };
        assert_eq!(names(&joined), [new.as_str()]);
        assert!(matches!(joined[0].started_from(), StartedFrom::Absent | StartedFrom::Earliest));
        lines.heard.clear();
        let mut heard = 0;
        while heard < 6 {
            if let Event::Batch(batch) = lines.event().await
                && batch.topic == new
            {
                assert_eq!(batch.base_offset, heard);
                heard += batch.lines.len() as u64;
            }
        }
    }
    // And those that were there before go on.
    let mut lines = relay.subscribe(topic("web.o*")).await;
    lines.opened().await;
    old.append_numbered(1, 2).await;
    lines.until(8).await;
    lines.are_numbered(6, 8);
}

#[tokio::test]
async fn what_exists_when_a_call_begins_is_never_taken_for_new() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    // While this one runs, what is known of the topics is up to a second old.
    let mut first = relay.subscribe(topic("t*")).await;
    first.opened().await;
    for number in 0..20 {
        let name = format!("t{number}");
        write(&redis, &name, 1).await;
        let mut lines = relay.subscribe(topic("t*")).await;
        let opened = lines.opened().await.topics;
        let found = opened.iter().find(|topic| topic.topic == name).unwrap();
        assert_eq!(found.started_from(), StartedFrom::Latest);
        assert!(found.cursor.ends_with(":2"), "{found:?}");
    }
}

#[tokio::test]
async fn a_pattern_of_nothing_waits_also_while_redis_is_away() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut lines = relay.subscribe(beating(topic("web.*"))).await;
    assert_eq!(lines.opened().await.topics, []);
    assert!(lines.heartbeat().await.redis_ok);
    redis.kill().await;
    while lines.heartbeat().await.redis_ok {}
    let mut late = relay.subscribe(beating(topic("web.*"))).await;
    assert!(!late.heartbeat().await.redis_ok);
    redis.start_again().await;
    assert_eq!(late.opened().await.topics, []);
    write(&redis, "web.1", 3).await;
    for mut lines in [lines, late] {
        while !lines.heartbeat().await.redis_ok {}
        let joined = read_all(&mut lines, Vec::new(), &[("web.1", 6)]).await;
        assert_eq!(names(&joined), ["web.1"]);
    }
}

#[tokio::test]
async fn a_subscription_that_stops_at_the_tail_has_the_topics_that_are_there() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let stopping = SubscribeRequest { stop_at_tail: true, ..from_earliest("web.*") };
    let (events, end) = relay.subscribe(stopping.clone()).await.rest().await;
    end.unwrap();
    assert!(matches!(&events[..], [Event::Opened(opened)] if opened.topics.is_empty()), "{events:?}");
    for name in ["web.1", "web.2"] {
        write(&redis, name, 2).await;
    }
    let mut lines = relay.subscribe(stopping).await;
    let (_, end) = lines.rest().await;
    end.unwrap();
    assert_eq!(lines.heard.len(), 8);
}

#[tokio::test]
async fn a_cursor_goes_on_in_a_topic_that_is_in_no_list_any_more() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = write(&redis, "web.1", 3).await;
    let mut lines = relay.subscribe(from_earliest("web.*")).await;
    let cursor = lines.opened().await.topics[0].cursor.replace(":0", ":4");
    lines.until_caught_up().await;
    let removed: u64 = redis.control().await.run("SREM logrelay:topics web.1").await;
    assert_eq!(removed, 1);
    let request = SubscribeRequest { cursors: vec![cursor.clone()], ..topic("web.*") };
    let mut resumed = relay.subscribe(request).await;
    assert_eq!(resumed.opened().await.topics[0].cursor, cursor);
    // A lane that runs is not ended either, nor begun twice when the topic is announced again.
    Writer::new(&redis, "web.1").await;
    writer.append_numbered(2, 2).await;
    lines.until(10).await;
    lines.are_numbered(0, 10);
    resumed.until(10).await;
    resumed.are_numbered(4, 10);
    write(&redis, "web.2", 1).await;
    assert_eq!(names(&lines.opened().await.topics), ["web.2"]);
}

#[tokio::test]
async fn more_topics_than_the_bound_end_a_subscription_with_its_name() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| serve.max_topics = 3).await;
    for name in ["web.1", "web.2"] {
        write(&redis, name, 1).await;
    }
    let topics = ["web.*", "other"].map(str::to_owned).to_vec();
    let mut lines = relay.subscribe(SubscribeRequest { topics, ..topic("") }).await;
    assert_eq!(lines.opened().await.topics.len(), 3);
    write(&redis, "web.3", 1).await;
    let running = lines.status().await;
    let at_open = relay
        .subscribe(SubscribeRequest { topics: ["web.*", "other"].map(str::to_owned).to_vec(), ..topic("") });
    for status in [running, at_open.await.status().await] {
        assert_eq!(reason(&status), (Code::ResourceExhausted, "TOO_MANY_TOPICS".to_owned()));
        assert_eq!(status.get_details_error_info().unwrap().metadata["max_topics"], "3");
        assert!(status.message().starts_with("4 topics"), "{status}");
    }
    let refused = relay.metric("logrelay_serve_refused_total{bound=\"max_topics\"}").await;
    assert_eq!(refused, 2);
    // Three are as many as there may be.
    assert_eq!(relay.subscribe(topic("web.*")).await.opened().await.topics.len(), 3);
}

#[tokio::test]
async fn lines_of_a_new_topic_that_were_trimmed_before_its_reader_came_are_a_gap() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut control = redis.control().await;
    // Born with lines that are gone: it gets its name when it has lost them.
    write(&redis, "prepared", 3).await;
    let trim = TrimTopicRequest { topic: "prepared".to_owned(), before: Some(Before::Offset(4)) };
    relay.client().await.trim_topic(trim).await.unwrap();
    let mut awaits = relay.subscribe(topic("web.1")).await;
    assert_eq!(awaits.opened().await.topics[0].started_from(), StartedFrom::Absent);
    let mut matches = relay.subscribe(topic("web.*")).await;
    matches.opened().await;
    let rename = "for _, kind in ipairs({'lines', 'state'}) do \
                  redis.call('RENAME', 'logrelay:{prepared}:' .. kind, 'logrelay:{web.1}:' .. kind) end";
    control.send(redis::cmd("EVAL").arg(rename).arg(0)).await;
    control.run::<()>("SADD logrelay:topics web.1").await;
    let joined = matches.opened().await.topics;
    assert_eq!((names(&joined), joined[0].first_offset), (vec!["web.1"], 4));
    for mut lines in [awaits, matches] {
        let Event::Gap(gap) = lines.event().await else { panic!("no gap") };
        assert_eq!((gap.from_offset, gap.to_offset, gap.reason.as_str()), (0, 4, "trimmed"));
        lines.until(6).await;
        lines.are_numbered(4, 6);
    }
}

#[tokio::test]
async fn a_thousand_subscriptions_with_patterns_cost_one_question() {
    const SUBSCRIPTIONS: usize = 1000;
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |serve, _| alone(serve)).await;
    let mut control = redis.control().await;
    eventually("nobody asks", async || control.calls("smembers").await == 0).await;
    let clients = join_all((0..20).map(|_| relay.client())).await;
    let began = Instant::now();
    let opened = join_all((0..SUBSCRIPTIONS).map(|number| {
        let client = clients[number % clients.len()].clone();
        async {
            let mut lines = Lines::ask(client, topic("web.*")).await.unwrap();
            lines.opened().await;
            lines
        }
    }));
    let mut all = opened.await;
    // Those that come together share a question, and there is one in 50 ms at most.
    let asked = control.calls("smembers").await;
    assert!(u128::from(asked) <= began.elapsed().as_millis() / 50 + 2, "{asked} in {:?}", began.elapsed());
    let (quiet, before) = (Instant::now(), control.calls("smembers").await);
    write(&redis, "web.1", 1).await;
    join_all(all.iter_mut().map(|lines| lines.until(2))).await;
    let asked = control.calls("smembers").await - before;
    assert!(asked >= 1 && asked <= quiet.elapsed().as_secs() + 2, "{asked} in {:?}", quiet.elapsed());
    drop(all);
    eventually("nobody is subscribed", async || relay.metric("logrelay_serve_subscriptions").await == 0)
        .await;
    // The one that was due is asked still.
    let after = control.calls("smembers").await;
    let mut lines = relay.subscribe(beating(topic("name"))).await;
    lines.opened().await;
    for _ in 0..3 {
        lines.heartbeat().await;
    }
    assert!(control.calls("smembers").await <= after + 1);
}
