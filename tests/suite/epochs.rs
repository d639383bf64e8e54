//! Redis forgets, is wiped, or becomes another one: one new epoch each time, and no
//! line lost or repeated in what is there in the end.

use std::{collections::BTreeMap, time::Duration};

use logrelay::{
    record::{Offset, Topic},
    store::{Appended, Error, Store},
};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines},
    writing::{Writer, entries, store_of, topic},
};

async fn begins(store: &Store, topic: &Topic) -> Vec<u64> {
    let resolved = store.resolve(topic).await.unwrap().unwrap();
    let epochs = resolved.timeline.epochs();
    assert!(epochs.is_sorted_by(|a, b| a.0 < b.0), "{epochs:?}");
    epochs.iter().map(|(_, begin)| begin.get()).collect()
}

#[tokio::test]
async fn a_new_epoch_begins_once_however_many_ask() {
    let redis = TestRedis::with_args(&["--enable-debug-command", "yes"]).await;
    let store = store_of(&redis);
    let topics: Vec<Topic> = (0..3).map(|index| topic(&format!("t{index}"))).collect();
    let stop = CancellationToken::new();
    let mut writers = JoinSet::new();
    for index in 0..8 {
        let mut writer = Writer::register(&store, &topics[index % topics.len()]).await;
        let stop = stop.clone();
        writers.spawn(async move {
            while !stop.is_cancelled() {
                writer.append(3).await;
            }
        });
    }
    let mut control = redis.control().await;
    for round in 1..=3 {
        let next = |store: Store, topic: Topic| async move {
            store.resolve(&topic).await.unwrap().unwrap().timeline.next()
        };
        let before = next(store.clone(), topics[0].clone()).await;
        control.run::<()>("DEBUG CHANGE-REPL-ID").await;
        eventually("writers go on", async || next(store.clone(), topics[0].clone()).await > before.plus(100))
            .await;
        for topic in &topics {
            assert_eq!(begins(&store, topic).await.len(), round + 1, "{topic}");
        }
    }
    stop.cancel();
    writers.join_all().await;
    for topic in &topics {
        let resolved = store.resolve(topic).await.unwrap().unwrap();
        let entries = entries(&store, topic, 0).await;
        assert_eq!(entries.last().unwrap().next(), resolved.timeline.next());
        for entry in entries {
            assert_eq!(entry.epoch, resolved.timeline.epoch_of(entry.first));
        }
    }
}

#[tokio::test]
async fn the_history_loses_an_epoch_only_when_its_end_is_trimmed() {
    let redis = TestRedis::with_args(&["--enable-debug-command", "yes"]).await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut writer = Writer::register(&store, &topic).await;
    for _ in 0..4 {
        writer.append(10).await;
        control.run::<()>("DEBUG CHANGE-REPL-ID").await;
    }
    writer.append(10).await;
    assert_eq!(begins(&store, &topic).await, [0, 10, 20, 30, 40]);
    for (trimmed, wanted) in [(1, vec![0, 10, 20, 30, 40, 50]), (2, vec![10, 20, 30, 40, 50, 50])] {
        control.run::<()>(&format!("XTRIM logrelay:{{t}}:lines MINID {}0", trimmed)).await;
        control.run::<()>("DEBUG CHANGE-REPL-ID").await;
        assert_eq!(begins(&store, &topic).await, wanted);
        let resolved = store.resolve(&topic).await.unwrap().unwrap();
        assert_eq!(resolved.timeline.first().get(), 10 * trimmed);
    }
    control.run::<()>("XTRIM logrelay:{t}:lines MAXLEN 0").await;
    control.run::<()>("DEBUG CHANGE-REPL-ID").await;
    let resolved = store.resolve(&topic).await.unwrap().unwrap();
    assert_eq!((resolved.timeline.first().get(), resolved.timeline.next().get()), (50, 50));
    assert!(begins(&store, &topic).await.iter().all(|&begin| begin >= 40));
    assert_eq!(writer.append(1).await, 50);
}

#[tokio::test]
async fn two_lossy_failovers_in_a_row_are_two_epochs_and_the_lines_are_sent_again() {
    let mut redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log").await;
    append(&tailing.path("busy.log"), &lines(0, 1000));
    tailing.until_lines(1000).await;
    let copy = redis.copy();
    append(&tailing.path("quiet.log"), "quiet\n");
    append(&tailing.path("busy.log"), &lines(1000, 1000));
    tailing.until_lines(2001).await;

    // With no append in between: both have the same past, and begin at the same line.
    redis.replace_with(&copy).await;
    redis.replace_with(&copy).await;
    tailing.until_lines(2001).await;
    assert_eq!(tailing.epochs().await, 2);
    let second = redis.copy();

    // With one in between, and from a copy that knows of the epoch before.
    append(&tailing.path("busy.log"), &lines(2000, 1000));
    tailing.until_lines(3001).await;
    redis.replace_with(&second).await;
    append(&tailing.path("busy.log"), &lines(3000, 1000));
    tailing.until_lines(4001).await;
    assert_eq!(tailing.epochs().await, 3);
    assert_contents(&tailing, 4000).await;
    assert_eq!(tailing.sources().await.len(), 2);
}

/// That there are the first `count` numbered lines in order, and `quiet` once somewhere.
async fn assert_contents(tailing: &Tailing, count: u64) {
    let mut contents = tailing.contents().await;
    let all = contents.len();
    contents.retain(|line| line != "quiet");
    assert_eq!(all - contents.len(), 1, "the quiet line");
    let wanted: Vec<String> = lines(0, count).lines().map(str::to_owned).collect();
    assert!(contents == wanted, "{} lines, not the {count} wanted", contents.len());
}

#[tokio::test]
async fn a_failover_that_forgot_the_registration_is_repaired_by_a_quiet_file() {
    let mut redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log").await;
    append(&tailing.path("old.log"), "quiet\n");
    tailing.until_lines(1).await;
    let copy = redis.copy();
    append(&tailing.path("new.log"), &lines(0, 10));
    tailing.until_lines(11).await;
    let keys = tailing.sources().await;
    for round in 1..=3 {
        redis.replace_with(&copy).await;
        tailing.until_lines(11).await;
        assert_contents(&tailing, 10).await;
        assert_eq!(tailing.epochs().await, 2, "round {round}: the copy knows of one");
    }
    assert_eq!(tailing.sources().await, keys, "it keeps its key");
}

#[tokio::test]
async fn a_wiped_redis_gets_every_file_again_under_its_key() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log").await;
    append(&tailing.path("busy.log"), &lines(0, 1000));
    append(&tailing.path("quiet.log"), "quiet\n");
    tailing.until_lines(1001).await;
    let keys = tailing.sources().await;
    let store = store_of(&redis);
    let mut epoch = store.resolve(tailing.topic()).await.unwrap().unwrap().timeline.epoch();
    for _ in 0..3 {
        redis.control().await.run::<()>("FLUSHALL").await;
        tailing.until_lines(1001).await;
        assert_contents(&tailing, 1000).await;
        assert_eq!(tailing.sources().await, keys);
        let now = store.resolve(tailing.topic()).await.unwrap().unwrap().timeline;
        assert!(now.epoch() > epoch && now.epochs().len() == 1, "{now:?}");
        epoch = now.epoch();
    }
}

/// The lines of one writer until it is told to stop; it waits while nobody is master.
async fn write_on(mut writer: Writer, stop: CancellationToken) -> (Writer, u64) {
    let mut refused = 0;
    while !stop.is_cancelled() {
        match writer.try_append(2).await {
            Ok(Appended::Stored { .. }) => {}
            Err(Error::NotMaster { .. }) => {
                refused += 1;
                sleep(Duration::from_millis(5)).await;
            }
            other => panic!("{other:?}"),
        }
    }
    (writer, refused)
}

#[tokio::test]
async fn writers_of_a_promoted_replica_wait_and_then_go_on_with_no_line_skipped() {
    let master = TestRedis::with_port(&[]).await;
    let port = master.port().to_string();
    let topic = topic("t");
    let on_master = store_of(&master);
    let mut writers = Vec::new();
    for _ in 0..8 {
        let mut writer = Writer::register(&on_master, &topic).await;
        writer.append(5).await;
        writers.push(writer);
    }
    let replica = TestRedis::with_args(&["--replicaof", "127.0.0.1", &port]).await;
    let mut control = replica.control().await;
    eventually("the replica has all", async || {
        control.run::<i64>("XLEN logrelay:{t}:lines").await == 8
            && control.run::<String>("INFO replication").await.contains("master_link_status:up")
    })
    .await;

    let (stop, on_replica) = (CancellationToken::new(), store_of(&replica));
    let mut tasks = JoinSet::new();
    for mut writer in writers {
        writer.store = on_replica.clone();
        tasks.spawn(write_on(writer, stop.clone()));
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(control.run::<i64>("XLEN logrelay:{t}:lines").await, 8, "a replica was written to");
    // Lines that the replica never gets: they are lost, and nobody counts on them.
    control.run::<()>("REPLICAOF NO ONE").await;
    eventually("writers go on", async || control.run::<i64>("XLEN logrelay:{t}:lines").await > 200).await;
    stop.cancel();

    let mut next_lines = BTreeMap::new();
    for (writer, refused) in tasks.join_all().await {
        assert!(refused > 0, "it never saw the replica");
        next_lines.insert(writer.key.to_string(), writer.record.details.next_line);
    }
    assert_eq!(begins(&on_replica, &topic).await, [0, 40]);
    // Of every source, its lines in order, none skipped and none twice.
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for entry in entries(&on_replica, &topic, Offset::ZERO.get()).await {
        let source = entry.batch.head().source.clone().unwrap().key;
        let next = seen.entry(source).or_default();
        assert_eq!(entry.batch.head().first_line, *next);
        *next += u64::from(entry.batch.lines());
    }
    assert_eq!(seen, next_lines);
}

#[tokio::test]
async fn a_tailer_waits_for_the_promotion_of_its_replica() {
    let master = TestRedis::with_port(&[]).await;
    let port = master.port().to_string();
    let replica = TestRedis::with_args(&["--replicaof", "127.0.0.1", &port]).await;
    let tailing = Tailing::start(&replica, "*.log").await;
    append(&tailing.path("busy.log"), &lines(0, 1000));
    append(&tailing.path("quiet.log"), "quiet\n");
    let mut control = replica.control().await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(control.run::<i64>("DBSIZE").await, 0);
    control.run::<()>("REPLICAOF NO ONE").await;
    tailing.until_lines(1001).await;
    assert_contents(&tailing, 1000).await;
}
