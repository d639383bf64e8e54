//! One reader of Redis for all readers of a relay, and what it costs.

use std::time::Duration;

use logrelay::{
    hub::{self, Hub, Start, Step},
    proto::{SubscribeRequest, subscribe_response::Event},
};
use prometheus_client::registry::Registry;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{
    TestRedis, eventually,
    relay::{Lines, TestRelay, from_earliest, topic},
    writer::Writer,
};

/// Appends batches one by one, each heard by all readers before the next; how many
/// reads of Redis they took.
async fn reads_of_redis(batches: u32, readers: usize) -> u64 {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    let mut all: Vec<Lines> = Vec::new();
    for _ in 0..readers {
        let mut lines = relay.subscribe(topic("app")).await;
        lines.opened().await;
        lines.caught_up().await;
        all.push(lines);
    }
    let mut control = redis.control().await;
    let before = control.calls("xread").await + control.calls("xrange").await;
    for _ in 0..batches {
        writer.append_numbered(1, 1).await;
        for lines in &mut all {
            lines.batch().await;
        }
    }
    let after = control.calls("xread").await + control.calls("xrange").await;
    after - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_redis_do_not_grow_with_the_number_of_readers() {
    let (one, hundred) = (reads_of_redis(200, 1).await, reads_of_redis(200, 100).await);
    let differs = one.abs_diff(hundred);
    assert!(differs * 10 <= one, "{one} reads for one reader, {hundred} for a hundred");
}

#[tokio::test]
async fn an_unreadable_entry_is_a_counted_gap_and_a_newer_one_ends_the_call() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(1, 5).await;
    let mut live = relay.subscribe(from_earliest("app")).await;
    live.opened().await;
    let cursor = live.until(5).await;
    live.caught_up().await;
    let epoch = cursor.split(['@', ':']).nth(1).unwrap().to_owned();
    let mut control = redis.control().await;
    let time = u64::MAX / 2;
    let bad = format!("XADD logrelay:{{app}}:lines 7-{time} v 1 e {epoch} n 3 s 0 b torn");
    let _: String = control.run(&bad).await;
    let _: i64 = control.run("HSET logrelay:{app}:state next 8").await;
    writer.append_numbered(1, 5).await;
    let mut late = relay.subscribe(from_earliest("app")).await;
    late.opened().await;
    late.until(5).await;
    for lines in [&mut live, &mut late] {
        let Event::Gap(gap) = lines.event().await else { panic!("no gap") };
        assert_eq!((gap.from_offset, gap.to_offset), (5, 8));
        assert!(gap.reason.contains("stored batch"), "{gap:?}");
        assert!(gap.cursor.ends_with(":8"));
        assert_eq!(lines.batch().await.base_offset, 8);
    }
    late.caught_up().await;

    let _: String = control.run(&format!("XADD logrelay:{{app}}:lines 15-{time} v 2 e {epoch} q new")).await;
    let _: i64 = control.run("HSET logrelay:{app}:state next 16").await;
    let mut later = relay.subscribe(from_earliest("app")).await;
    for lines in [&mut live, &mut late, &mut later] {
        let (events, end) = lines.rest().await;
        end.unwrap();
        let Some(Event::Closing(closing)) = events.last() else { panic!("no closing: {events:?}") };
        assert!(closing.reason.contains("format 2"), "{closing:?}");
        assert!(closing.retry_after.is_some());
        assert_eq!(lines.heard.last().unwrap().0, 12);
    }
}

#[tokio::test]
async fn lines_that_vanished_from_the_middle_are_counted() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut writer = Writer::new(&redis, "app").await;
    writer.append_numbered(5, 4).await;
    let mut control = redis.control().await;
    let entries: Vec<(String, redis::Value)> = control.run("XRANGE logrelay:{app}:lines 8-0 + COUNT 1").await;
    let id = &entries[0].0;
    let deleted: i64 = control.run(&format!("XDEL logrelay:{{app}}:lines {id}")).await;
    assert_eq!(deleted, 1);
    let mut lines = relay.subscribe(from_earliest("app")).await;
    lines.opened().await;
    lines.until(8).await;
    let Event::Gap(gap) = lines.event().await else { panic!("no gap") };
    assert_eq!((gap.from_offset, gap.to_offset), (8, 12));
    lines.until(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_gets_every_line_afterwards_and_slows_nobody() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |_, hub| {
        (hub.window_bytes, hub.page_bytes, hub.pages_bytes) = (256 << 10, 64 << 10, 64 << 10);
    })
    .await;
    let mut writer = Writer::new(&redis, "app").await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(relay.subscribe(from_earliest("app")).await);
    }
    let mut fast = relay.subscribe(from_earliest("app")).await;
    fast.opened().await;
    let long = "x".repeat(1000);
    for number in 0..200 {
        let texts: Vec<_> = (0..50).map(|index| format!("{} {long}", number * 50 + index)).collect();
        writer.append(&texts).await;
        if number % 20 == 19 {
            fast.until((number + 1) * 50).await;
        }
    }
    assert!(relay.metric("logrelay_hub_windows_bytes").await <= 256 << 10);
    // The window is overrun, and one that comes now has to read pages, although
    // others hold theirs.
    let mut late = relay.subscribe(from_earliest("app")).await;
    for lines in slow.iter_mut().chain([&mut late]) {
        lines.opened().await;
        lines.until(10_000).await;
        let right = |(index, (offset, text)): (usize, &(u64, String))| {
            *offset == index as u64 && text.starts_with(&format!("{index} "))
        };
        assert!(lines.heard.len() == 10_000 && lines.heard.iter().enumerate().all(right));
    }
    assert!(relay.metric("logrelay_hub_pages_total").await > 0);
    // All of them are together again.
    let before = relay.metric("logrelay_hub_pages_total").await;
    writer.append(&["last"]).await;
    for lines in slow.iter_mut().chain([&mut late, &mut fast]) {
        while lines.heard.last().unwrap().1 != "last" {
            lines.event().await;
        }
    }
    assert_eq!(relay.metric("logrelay_hub_pages_total").await, before);
}

#[tokio::test]
async fn a_topic_that_joins_is_live_at_once_and_leaves_when_nobody_reads_it() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |_, hub| {
        (hub.topics_per_connection, hub.idle_topic_ms, hub.block_ms) = (3, 200, 8_000);
    })
    .await;
    let mut all = Vec::new();
    for number in 0..8 {
        let name = format!("t{number}");
        let mut writer = Writer::new(&redis, &name).await;
        let mut lines = relay.subscribe(topic(&name)).await;
        lines.opened().await;
        lines.caught_up().await;
        let began = Instant::now();
        writer.append_numbered(1, 1).await;
        lines.until(1).await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        all.push((writer, lines));
    }
    assert_eq!(redis.control().await.ids("logrelay-read").await.len(), 3);
    for (writer, lines) in &mut all {
        writer.append_numbered(1, 1).await;
        lines.until(2).await;
    }
    assert_eq!(relay.metric("logrelay_hub_topics").await, 8);
    all.clear();
    eventually("nobody is followed any more", async || relay.metric("logrelay_hub_topics").await == 0).await;
}

#[tokio::test]
async fn a_topic_whose_keys_are_wrong_does_not_stop_the_others() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut control = redis.control().await;
    let _: i64 = control.run("LPUSH logrelay:{wrong}:lines x").await;
    let mut writer = Writer::new(&redis, "right").await;
    let mut wrong = relay.subscribe(topic("wrong")).await;
    let mut right = relay.subscribe(topic("right")).await;
    right.opened().await;
    right.caught_up().await;
    for round in 1..4 {
        writer.append_numbered(1, 2).await;
        right.until(round * 2).await;
    }
    // Put right, it comes to life.
    let _: i64 = control.run("DEL logrelay:{wrong}:lines").await;
    wrong.opened().await;
    Writer::new(&redis, "wrong").await.append_numbered(1, 2).await;
    wrong.until(2).await;
}

#[tokio::test]
async fn windows_together_keep_their_bound() {
    let redis = TestRedis::start().await;
    let mut registry = Registry::default();
    let options = hub::Options { windows_bytes: 100 << 10, ..hub::Options::default() };
    let hub = Hub::new(options, redis.store(), &mut registry);
    let (handle, shutdown) = (hub.handle(), CancellationToken::new());
    let running = hub.run(shutdown.clone());
    let test = async {
        let mut readers = Vec::new();
        for number in 0..5 {
            let name = format!("t{number}");
            let mut writer = Writer::new(&redis, &name).await;
            let mut reader = handle.open(&name.parse().unwrap());
            reader.start(Start::Earliest).await;
            for _ in 0..10 {
                writer.append(&["x".repeat(5000)]).await;
            }
            readers.push(reader);
        }
        for reader in &mut readers {
            let mut next = 0;
            while next < 10 {
                match timeout(Duration::from_secs(20), reader.next()).await.unwrap().unwrap() {
                    Step::Lines { entry, from } => {
                        assert_eq!((entry.first.get(), from.get()), (next, next));
                        next = entry.next().get();
                    }
                    Step::CaughtUp => {}
                    step => panic!("{step:?}"),
                }
            }
        }
        let mut shown = String::new();
        prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
        let bytes = shown.lines().find_map(|line| line.strip_prefix("logrelay_hub_windows_bytes "));
        assert!(bytes.unwrap().parse::<usize>().unwrap() <= 100 << 10, "{shown}");
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(running, test);
    ended.unwrap();
}

#[tokio::test]
async fn a_reader_of_a_hundred_topics_is_one_subscription() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let topics: Vec<_> = (0..100).map(|number| format!("t{number}")).collect();
    let mut writer = Writer::new(&redis, "t99").await;
    let mut lines = relay.subscribe(SubscribeRequest { topics, ..Default::default() }).await;
    assert_eq!(lines.opened().await.topics.len(), 100);
    writer.append_numbered(3, 3).await;
    while lines.heard.len() < 9 {
        lines.event().await;
    }
    lines.are_numbered(0, 9);
}
