//! Topics that are deleted, trimmed, or kept for as long as somebody said.

use logrelay::{
    proto::{
        CommitCursorRequest, DeleteTopicRequest, DeleteTopicResponse, GetCursorRequest, GetTopicRequest,
        ListTopicsRequest, OnActiveSources, Retention, SetRetentionRequest, SubscribeRequest, TopicInfo,
        TrimTopicRequest, TrimTopicResponse, subscribe_response::Event, trim_topic_request::Before,
    },
    serve::RetentionOptions,
    store::Store,
};
use tonic::{Code, Status};

use crate::{
    retention::mark_gone,
    support::{
        TestRedis, eventually,
        relay::{Lines, TestRelay, from_cursor, from_earliest, reason},
        writer::Writer,
    },
    tailing::Tailing,
    writing,
};

async fn delete(
    relay: &TestRelay,
    topic: &str,
    on_active: OnActiveSources,
) -> Result<DeleteTopicResponse, Status> {
    let request = DeleteTopicRequest { topic: topic.to_owned(), on_active_sources: on_active.into() };
    Ok(relay.client().await.delete_topic(request).await?.into_inner())
}

async fn trim(relay: &TestRelay, before: Option<Before>) -> Result<TrimTopicResponse, Status> {
    let request = TrimTopicRequest { topic: "app".to_owned(), before };
    Ok(relay.client().await.trim_topic(request).await?.into_inner())
}

async fn keep(relay: &TestRelay, topic: &str, max_age_ms: Option<u64>, max_bytes: Option<u64>) {
    let retention = Some(Retention { max_age_ms, max_bytes });
    let request = SetRetentionRequest { topic: topic.to_owned(), retention };
    relay.client().await.set_retention(request).await.unwrap();
}

async fn info(relay: &TestRelay, topic: &str) -> TopicInfo {
    let request = GetTopicRequest { topic: topic.to_owned(), max_sources: 0 };
    relay.client().await.get_topic(request).await.unwrap().into_inner().topic.unwrap()
}

async fn listed(relay: &TestRelay) -> Vec<String> {
    let list = relay.client().await.list_topics(ListTopicsRequest {}).await.unwrap().into_inner();
    list.topics.into_iter().map(|topic| topic.topic).collect()
}

/// Offsets, from and to, of the gap that comes next.
async fn gap(lines: &mut Lines) -> (u64, u64) {
    match lines.event().await {
        Event::Gap(gap) => (gap.from_offset, gap.to_offset),
        event => panic!("{event:?} instead of a gap"),
    }
}

async fn keys(redis: &TestRedis) -> Vec<String> {
    let mut keys: Vec<String> = redis.control().await.run("KEYS logrelay:*").await;
    keys.retain(|key| !key.contains(":lock:"));
    keys.sort();
    keys
}

/// Ten batches of two lines, of a source that will have no more.
async fn gone_source(store: &Store) -> writing::Writer {
    let app = writing::topic("app");
    store.announce(std::slice::from_ref(&app)).await.unwrap();
    let mut writer = writing::Writer::register(store, &app).await;
    for _ in 0..10 {
        writer.append(2).await;
    }
    mark_gone(&mut writer).await;
    writer
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_topic_but_where_it_stood() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    gone_source(&redis.store()).await;
    let request = SubscribeRequest { subscription: "s".to_owned(), ..from_earliest("app") };
    let mut durable = relay.subscribe(request).await;
    let cursor = durable.opened().await.topics.remove(0).cursor;
    drop(durable);
    keep(&relay, "app", Some(5), None).await;

    let deleted = delete(&relay, "app", OnActiveSources::Refuse).await.unwrap();
    let expected =
        DeleteTopicResponse { lines: 20, subscriptions: 1, sources: 1, kept_sources: 0, next_offset: 20 };
    assert_eq!(deleted, expected);
    assert_eq!((listed(&relay).await, keys(&redis).await), (vec![], vec!["logrelay:{app}:state".to_owned()]));
    let fields: Vec<String> = redis.control().await.run("HKEYS logrelay:{app}:state").await;
    assert!(fields.iter().all(|field| !field.contains(':') && !field.starts_with("max_")), "{fields:?}");

    // Who gets no answer asks again.
    let again = delete(&relay, "app", OnActiveSources::Refuse).await.unwrap();
    assert_eq!(again, DeleteTopicResponse { next_offset: 20, ..Default::default() });
    // Offsets go on, and a cursor from before has a clear answer.
    let mut writer = Writer::new(&redis, "app").await;
    assert_eq!(writer.append(&["a", "b"]).await.get(), 20);
    let mut lines = relay.subscribe(from_cursor(&cursor)).await;
    lines.opened().await;
    assert_eq!(gap(&mut lines).await, (0, 20));
    lines.until(22).await;
    assert_eq!(lines.heard, [(20, "a".to_owned()), (21, "b".to_owned())]);
    let missing = delete(&relay, "none", OnActiveSources::Keep).await.unwrap_err();
    assert_eq!(reason(&missing), (Code::NotFound, "TOPIC_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn running_readers_of_a_deleted_topic_hear_exactly_what_they_will_not_get() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(10, 2).await;
    let (mut all, mut some) =
        (relay.subscribe(from_earliest("app")).await, relay.subscribe(from_earliest("app")).await);
    all.opened().await;
    all.until(20).await;
    all.caught_up().await;
    some.opened().await;
    delete(&relay, "app", OnActiveSources::Keep).await.unwrap();
    writer.append_numbered(2, 2).await;
    // Who had read all is not disturbed.
    all.until(24).await;
    all.are_numbered(0, 24);
    // Who had not gets what was on its way, then the gap.
    let mut read = 0;
    loop {
        match some.event().await {
            Event::Batch(batch) => read = batch.base_offset + batch.lines.len() as u64,
            Event::Gap(gap) => {
                assert_eq!((gap.from_offset, gap.to_offset), (read, 20));
                break;
            }
            Event::CaughtUp(_) if read == 20 => break,
            event => panic!("{event:?}"),
        }
    }
    some.until(24).await;
}

#[tokio::test]
async fn a_topic_with_active_sources_is_deleted_only_by_saying_what_becomes_of_them() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut tailing = Tailing::start(&redis, "*.log");
    let topic = tailing.topic().to_string();
    let next = async || {
        let found = redis.store().resolve(tailing.topic()).await.unwrap();
        found.map_or(0, |found| found.timeline.next().get())
    };
    std::fs::write(tailing.path("a.log"), "one\ntwo\nthree\n").unwrap();
    eventually("the file is read", async || next().await == 3).await;
    let refused = delete(&relay, &topic, OnActiveSources::Unspecified).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::FailedPrecondition, "TOPIC_IN_USE".to_owned()));
    assert!(refused.message().contains("of host"), "{refused}");
    assert_eq!(next().await, 3);

    // Kept: nothing is sent again.
    let deleted = delete(&relay, &topic, OnActiveSources::Keep).await.unwrap();
    assert_eq!((deleted.lines, deleted.kept_sources, deleted.next_offset), (3, 1, 3));
    std::fs::write(tailing.path("a.log"), "one\ntwo\nthree\nfour\n").unwrap();
    eventually("the next line is read", async || next().await == 4).await;
    let found = redis.store().resolve(tailing.topic()).await.unwrap().unwrap();
    assert_eq!(found.timeline.first().get(), 3);

    // Forgotten: the tailer begins anew.
    let deleted = delete(&relay, &topic, OnActiveSources::Forget).await.unwrap();
    assert_eq!((deleted.lines, deleted.kept_sources), (1, 0));
    eventually("the file is sent again", async || next().await == 8).await;
    tailing.stop().await;
    let entries = writing::entries(&redis.store(), tailing.topic(), 4).await;
    assert_eq!(entries.iter().map(|entry| entry.batch.lines()).sum::<u32>(), 4);
}

#[tokio::test]
async fn a_durable_reader_goes_on_behind_a_deletion_and_its_stream_keeps_it() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(5, 2).await;
    let durable = SubscribeRequest { subscription: "s".to_owned(), ..from_earliest("app") };
    let mut lines = relay.subscribe(durable.clone()).await;
    let token = lines.opened().await.commit_token;
    let cursor = lines.until(10).await;
    let handled = cursor.replace(":10", ":4");
    let commit = CommitCursorRequest {
        subscription: "s".to_owned(),
        cursors: vec![handled.clone()],
        commit_token: token,
        seek: false,
    };
    relay.client().await.commit_cursor(commit).await.unwrap();
    let held = async || {
        let request = GetCursorRequest { subscription: "s".to_owned(), topics: vec!["app".to_owned()] };
        relay.client().await.get_cursor(request).await.unwrap().into_inner().cursors
    };
    // So that the relay has seen the commit.
    let looks = redis.control().await.calls("hget").await;
    eventually("it is looked at", async || redis.control().await.calls("hget").await > looks + 1).await;
    delete(&relay, "app", OnActiveSources::Keep).await.unwrap();
    eventually("it is held again", async || held().await.iter().any(|held| held.cursor == handled)).await;
    drop(lines);
    writer.append_numbered(1, 2).await;
    let mut lines = relay.subscribe(durable).await;
    lines.opened().await;
    assert_eq!(gap(&mut lines).await, (4, 10));
    lines.until(12).await;
    lines.are_numbered(10, 12);
}

#[tokio::test]
async fn lines_are_trimmed_up_to_an_offset_a_cursor_or_a_time() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(10, 10).await;
    let trimmed = trim(&relay, Some(Before::Offset(25))).await.unwrap();
    // Whole batches only.
    assert_eq!(trimmed, TrimTopicResponse { lines: 20, first_offset: 20 });
    let mut lines = relay.subscribe(from_earliest("app")).await;
    let opened = lines.opened().await.topics.remove(0);
    assert_eq!(opened.first_offset, 20);
    let cursor = opened.cursor.replace(":20", ":40");
    assert_eq!(trim(&relay, Some(Before::Cursor(cursor))).await.unwrap().first_offset, 40);
    let last = info(&relay, "app").await.last_time.unwrap();
    eventually("time goes on", async || {
        redis.store().time_ms().await.unwrap() / 1000 > u64::try_from(last.seconds).unwrap()
    })
    .await;
    writer.append_numbered(1, 10).await;
    let time = prost_types::Timestamp { seconds: last.seconds + 1, nanos: 0 };
    assert_eq!(trim(&relay, Some(Before::Time(time))).await.unwrap().first_offset, 100);
    let all = trim(&relay, Some(Before::Offset(110))).await.unwrap();
    assert_eq!(all, TrimTopicResponse { lines: 10, first_offset: 110 });
    assert_eq!(trim(&relay, Some(Before::Offset(3))).await.unwrap().lines, 0);
}

#[tokio::test]
async fn a_place_that_is_none_or_means_other_lines_by_now_trims_nothing() {
    let redis = TestRedis::with_args(&["--enable-debug-command", "yes"]).await;
    let relay = TestRelay::start(&redis).await;
    let missing = trim(&relay, Some(Before::Offset(0))).await.unwrap_err();
    assert_eq!(reason(&missing), (Code::NotFound, "TOPIC_NOT_FOUND".to_owned()));
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(2, 10).await;
    let cursor = |epoch: &str, offset: u64| Some(Before::Cursor(format!("app@{epoch}:{offset}")));
    let epoch = info(&relay, "app").await.epoch;
    redis.control().await.run::<()>("DEBUG CHANGE-REPL-ID").await;
    writer.append_numbered(1, 10).await;
    for (before, code, why) in [
        (Some(Before::Offset(31)), Code::InvalidArgument, "CURSOR_AHEAD"),
        (cursor(&epoch, 25), Code::FailedPrecondition, "REWOUND"),
        (cursor("0000000000000001", 5), Code::FailedPrecondition, "RESET"),
    ] {
        let refused = trim(&relay, before).await.unwrap_err();
        assert_eq!(reason(&refused), (code, why.to_owned()), "{refused}");
    }
    assert_eq!(info(&relay, "app").await.first_offset, 0);
    // What it meant is still the same.
    assert_eq!(trim(&relay, cursor(&epoch, 20)).await.unwrap().first_offset, 20);
}

#[tokio::test]
async fn a_topic_is_kept_as_was_said_of_it_and_the_others_by_default() {
    let redis = TestRedis::start().await;
    let keeping = RetentionOptions { max_age_ms: 0, max_bytes: 5000, total_bytes: 0, interval_ms: 50 };
    let relay = TestRelay::with(&redis, |options, _| options.retention = keeping).await;
    let mut writers = Vec::new();
    for name in ["default", "small", "endless", "young"] {
        let mut writer = Writer::new(&redis, name).await;
        writer.append(&["x".repeat(1000)]).await;
        writers.push(writer);
    }
    keep(&relay, "small", None, Some(2500)).await;
    keep(&relay, "endless", None, Some(0)).await;
    keep(&relay, "young", Some(1), Some(0)).await;
    assert_eq!(
        info(&relay, "young").await.retention,
        Some(Retention { max_age_ms: Some(1), max_bytes: Some(0) })
    );
    assert_eq!(info(&relay, "default").await.retention, None);
    for writer in &mut writers {
        for _ in 0..9 {
            writer.append(&["x".repeat(1000)]).await;
        }
    }
    let size = async |name| info(&relay, name).await.stored_bytes;
    eventually("each is trimmed", async || {
        size("default").await <= 5000 && size("small").await <= 2500 && size("young").await == 0
    })
    .await;
    assert!(size("default").await > 3900 && size("small").await > 1400);
    assert!(size("endless").await >= 10_000);
    keep(&relay, "endless", None, None).await;
    eventually("it has the default again", async || size("endless").await <= 5000).await;
    let none = SetRetentionRequest { topic: "none".to_owned(), retention: None };
    let missing = relay.client().await.set_retention(none).await.unwrap_err();
    assert_eq!(reason(&missing), (Code::NotFound, "TOPIC_NOT_FOUND".to_owned()));
}
