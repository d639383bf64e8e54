//! What relays trim: by age and by size, one relay at a time, and what readers hear of it.

use logrelay::{
    proto::subscribe_response::Event,
    record::{Details, Record, SourceState, Token},
    serve::RetentionOptions,
    store::{Append, Appended, Trimmed},
};

use crate::{
    support::{
        TestRedis, eventually,
        relay::{TestRelay, from_cursor, from_earliest},
        writer,
    },
    writing::{Writer, entries, store_of, topic},
};

/// Bounds that are kept within a tenth of a second.
fn keeping(max_age_ms: u64, max_bytes: u64, total_bytes: u64) -> RetentionOptions {
    RetentionOptions { max_age_ms, max_bytes, total_bytes, interval_ms: 100 }
}

async fn relay(redis: &TestRedis, retention: RetentionOptions) -> TestRelay {
    TestRelay::with(redis, |options, _| options.retention = retention).await
}

#[tokio::test]
async fn a_topic_is_kept_within_its_size_while_lines_are_appended() {
    let redis = TestRedis::start().await;
    let (store, app) = (store_of(&redis), topic("app"));
    let mut writer = writer::Writer::new(&redis, "app").await;
    let _relay = relay(&redis, keeping(0, 100_000, 0)).await;
    let line = "x".repeat(1000);
    for _ in 0..500 {
        writer.append(&[&line, &line]).await;
    }
    eventually("it is trimmed", async || store.resolve(&app).await.unwrap().unwrap().stored_bytes <= 100_000)
        .await;
    let found = store.resolve(&app).await.unwrap().unwrap();
    // No more than a batch too much went.
    assert!(found.stored_bytes > 100_000 - 2 * 2100, "{found:?}");
    let kept = entries(&store, &app, found.timeline.first().get()).await;
    assert_eq!(kept.iter().map(|entry| entry.batch.stored().len() as u64).sum::<u64>(), found.stored_bytes);
    assert_eq!(kept.last().unwrap().next().get(), 1000);
}

#[tokio::test]
async fn lines_go_when_they_are_too_old_also_when_nothing_is_appended() {
    let redis = TestRedis::start().await;
    let (store, app) = (store_of(&redis), topic("app"));
    let mut writer = writer::Writer::new(&redis, "app").await;
    writer.append_numbered(50, 10).await;
    let old = store.resolve(&app).await.unwrap().unwrap().last_ms;
    eventually("time goes on", async || store.time_ms().await.unwrap() > old + 1000).await;
    writer.append_numbered(1, 10).await;
    let _relay = relay(&redis, keeping(1000, 0, 0)).await;
    eventually("the old lines go", async || {
        store.resolve(&app).await.unwrap().unwrap().timeline.first().get() >= 500
    })
    .await;
    eventually("all lines go", async || {
        let found = store.resolve(&app).await.unwrap().unwrap();
        (found.timeline.first().get(), found.stored_bytes) == (510, 0)
    })
    .await;
    writer.append_numbered(1, 10).await;
    assert_eq!(store.resolve(&app).await.unwrap().unwrap().timeline.next().get(), 520);
}

#[tokio::test]
async fn a_reader_behind_the_trim_is_told_the_exact_number_of_lines_that_it_missed() {
    let redis = TestRedis::start().await;
    let (store, app) = (store_of(&redis), topic("app"));
    let mut writer = writer::Writer::new(&redis, "app").await;
    writer.append_numbered(10, 10).await;
    let first = relay(&redis, RetentionOptions { interval_ms: 3_600_000, ..keeping(0, 0, 0) }).await;
    let mut lines = first.subscribe(from_earliest("app")).await;
    lines.opened().await;
    let cursor = lines.batch().await.next_cursor;
    let _trims = relay(&redis, keeping(0, 700, 0)).await;
    eventually("it is trimmed", async || {
        store.resolve(&app).await.unwrap().unwrap().timeline.first().get() > 20
    })
    .await;
    let begin = store.resolve(&app).await.unwrap().unwrap().timeline.first().get();
    let mut behind = first.subscribe(from_cursor(&cursor)).await;
    behind.opened().await;
    let Event::Gap(gap) = behind.event().await else { panic!("no gap") };
    assert_eq!((gap.from_offset, gap.to_offset, gap.reason.as_str()), (10, begin, "trimmed"));
    behind.until(100).await;
    behind.are_numbered(begin, 100);
}

#[tokio::test]
async fn the_largest_topics_give_way_where_all_together_are_too_large() {
    let redis = TestRedis::start().await;
    let store = store_of(&redis);
    let line = "x".repeat(1000);
    for (name, batches) in [("small", 5), ("large", 60), ("larger", 90)] {
        let mut writer = writer::Writer::new(&redis, name).await;
        for _ in 0..batches {
            writer.append(&[&line]).await;
        }
    }
    let size = async |name| store.resolve(&topic(name)).await.unwrap().unwrap().stored_bytes;
    let small = size("small").await;
    let _relay = relay(&redis, keeping(0, 0, 50_000)).await;
    eventually("the sum fits", async || {
        size("small").await + size("large").await + size("larger").await <= 50_000
    })
    .await;
    assert_eq!(size("small").await, small);
    assert!(size("large").await.abs_diff(size("larger").await) <= 1100);
}

#[tokio::test]
async fn of_three_relays_one_trims_and_another_takes_over_when_it_is_gone() {
    let redis = TestRedis::start().await;
    let (store, app) = (store_of(&redis), topic("app"));
    let mut writer = writer::Writer::new(&redis, "app").await;
    let mut relays = Vec::new();
    for _ in 0..3 {
        relays.push(relay(&redis, keeping(0, 2000, 0)).await);
    }
    let mut trimmed_to = 0;
    for left in [3, 2] {
        writer.append_numbered(100, 10).await;
        eventually("it is trimmed", async || {
            let found = store.resolve(&app).await.unwrap().unwrap();
            found.stored_bytes <= 2000 && found.timeline.first().get() > trimmed_to
        })
        .await;
        trimmed_to = store.resolve(&app).await.unwrap().unwrap().timeline.next().get();
        let mut busy = Vec::new();
        for (index, relay) in relays.iter().enumerate() {
            if relay.metric("logrelay_retention_trimmed_lines_total").await > 0 {
                busy.push(index);
            }
        }
        assert_eq!(busy.len(), 1, "{busy:?} of {left} have trimmed");
        relays.remove(busy[0]).stop().await;
    }
}

#[tokio::test]
async fn nothing_is_trimmed_by_an_offset_of_an_older_epoch() {
    let redis = TestRedis::with_args(&["--enable-debug-command", "yes"]).await;
    let (store, app) = (store_of(&redis), topic("app"));
    let mut writer = Writer::register(&store, &app).await;
    writer.append(10).await;
    let before = store.resolve(&app).await.unwrap().unwrap().timeline;
    redis.control().await.run::<()>("DEBUG CHANGE-REPL-ID").await;
    let trimmed = store.trim(&app, before.epoch(), before.next()).await.unwrap();
    assert_eq!(trimmed, Trimmed::OtherEpoch);
    assert_eq!(entries(&store, &app, 0).await.len(), 1);
}

#[tokio::test]
async fn records_go_when_they_were_gone_for_long_and_offsets_never_start_over() {
    let redis = TestRedis::start().await;
    let (store, app) = (store_of(&redis), topic("app"));
    store.announce(std::slice::from_ref(&app)).await.unwrap();
    let mut gone = Writer::register(&store, &app).await;
    let mut active = Writer::register(&store, &app).await;
    gone.append(10).await;
    active.append(10).await;
    mark(&mut gone, SourceState::Gone).await;
    let keys = [gone.key.clone(), active.key.clone()];
    let are_there = async || {
        let records = store.records_of(&app, &keys).await.unwrap();
        records.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    // The time is counted from when it was first seen, and anew when it came back.
    assert_eq!(store.expire_records(&app, 60_000, None).await.unwrap(), 0);
    assert_eq!(store.expire_records(&app, 60_000, None).await.unwrap(), 0);
    mark(&mut gone, SourceState::Active).await;
    mark(&mut gone, SourceState::Gone).await;
    assert_eq!(store.expire_records(&app, 0, None).await.unwrap(), 0);
    assert_eq!(are_there().await, [true, true]);
    assert_eq!(store.expire_records(&app, 0, None).await.unwrap(), 1);
    assert_eq!(are_there().await, [false, true]);

    let timeline = store.resolve(&app).await.unwrap().unwrap().timeline;
    let trimmed = store.trim(&app, timeline.epoch(), timeline.next()).await.unwrap();
    assert!(matches!(trimmed, Trimmed::To { is_done: false, .. } | Trimmed::To { entries: 2, .. }));
    mark(&mut active, SourceState::Gone).await;
    store.expire_records(&app, 0, None).await.unwrap();
    store.expire_records(&app, 0, None).await.unwrap();
    assert_eq!(store.topics().await.unwrap(), []);
    let keys: Vec<String> = redis.control().await.run("KEYS *").await;
    assert_eq!(keys, ["logrelay:{app}:state"]);
    let mut next = Writer::register(&store, &app).await;
    assert_eq!(next.append(1).await, 20);
}

/// Says of a source that no more will come of it.
pub(crate) async fn mark_gone(writer: &mut Writer) {
    mark(writer, SourceState::Gone).await;
}

/// Stores a state of a source.
async fn mark(writer: &mut Writer, state: SourceState) {
    let details = Details { state, ..writer.record.details.clone() };
    let record = Record { token: Token::random(), position: writer.record.position, details };
    let append = Append {
        source: &writer.key,
        believed: Some(&writer.record),
        record: &record,
        batch: None,
        before: None,
    };
    let appended = writer.store.append(&writer.topic, &append).await.unwrap();
    assert!(matches!(appended, Appended::Stored { .. }), "{appended:?}");
    writer.record = record;
}
