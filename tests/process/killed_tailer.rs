//! A tailer that is killed at any instant loses no line and repeats none.

use std::time::Duration;

use logrelay::{
    record::{Offset, Topic},
    store::{Item, Store},
};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    numbered::{Expected, Log},
    process::Process,
    suite::support::{TestRedis, eventually},
};

const KILLS: u64 = 50;
const LINES_PER_KILL: u64 = 10_000;
/// What is written when the tailer can get nothing confirmed any more: more than the batch
/// that may be on its way.
const LINES_AT_THE_END: u64 = 4096 + 1000;
const MIN_UNCONFIRMED: u64 = 1000;

/// How far a topic is.
pub(crate) async fn next(store: &Store, topic: &Topic) -> u64 {
    let found = store.resolve(topic).await.unwrap();
    found.map_or(0, |found| found.timeline.next().get())
}

/// Reads all lines of a topic from Redis.
pub(crate) async fn assert_every_line_once(store: &Store, topic: &Topic, lines: u64) {
    let mut expected = Expected::default();
    while expected.next() < lines {
        let from = Offset::new(expected.next()).unwrap();
        let page = store.page(topic, from, 64).await.unwrap();
        assert!(!page.is_empty(), "nothing after {from}");
        for item in page {
            let Item::Entry(entry) = item else { panic!("{item:?}") };
            assert_eq!(entry.first.get(), expected.next(), "a hole");
            (0..entry.batch.lines())
                .for_each(|index| expected.take(entry.batch.line(index).unwrap().content));
        }
    }
    assert_eq!(expected.next(), lines);
}

/// Kills the tailer in the middle of its work, and says how many lines were confirmed then.
///
/// In every other round Redis stands still before, so that an append is on its way that Redis
/// carries out only when its writer is dead.
async fn kill(mut tailer: Process, redis: &TestRedis, log: &mut Log, round: u64) {
    std::thread::sleep(Duration::from_micros(fastrand::u64(0..3000)));
    if round.is_multiple_of(2) {
        redis.freeze();
        log.write(LINES_AT_THE_END);
        sleep(Duration::from_micros(fastrand::u64(0..10_000))).await;
        tailer.kill().await;
        redis.thaw();
    } else {
        tailer.signal(Signal::STOP);
        log.write(LINES_AT_THE_END);
        tailer.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tailer_killed_fifty_times_sends_each_line_once() {
    let redis = TestRedis::start().await;
    let folder = TempDir::new().unwrap();
    let mut log = Log::create(folder.path().join("app.log"));
    let store = redis.store();
    let topic: Topic = "app".parse().unwrap();
    let words = format!("tail --redis {} --host host --topic {topic} {}", redis.url(), log.path().display());
    for round in 0..KILLS {
        let tailer = Process::start(&words);
        let before = next(&store, &topic).await;
        log.write(LINES_PER_KILL - LINES_AT_THE_END);
        // It is at work, and not yet at the end of what is there.
        while next(&store, &topic).await == before {
            tokio::task::yield_now().await;
        }
        // Sometimes the file is rotated, while a tailer runs and while none does.
        if round % 10 == 3 {
            log.rotate();
        }
        kill(tailer, &redis, &mut log, round).await;
        if round % 10 == 8 {
            log.rotate();
        }
        let unconfirmed = log.lines() - next(&store, &topic).await;
        assert!(unconfirmed >= MIN_UNCONFIRMED, "only {unconfirmed} lines in round {round}");
    }
    log.finish();
    let _tailer = Process::start(&words);
    let lines = log.lines();
    eventually("all lines are there", async || next(&store, &topic).await >= lines).await;
    assert_every_line_once(&store, &topic, KILLS * LINES_PER_KILL).await;
}
