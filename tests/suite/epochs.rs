//! Redis forgets, is wiped, or becomes another one: one new epoch each time, and no
//! line lost or repeated in what is there in the end.

use logrelay::{record::Topic, store::Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines},
    writing::{Writer, entries, store_of, topic},
};

pub(crate) async fn begins(store: &Store, topic: &Topic) -> Vec<u64> {
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
        control.run::<()>(&format!("XTRIM logrelay:{{t}}:lines MINID {trimmed}0")).await;
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
    let tailing = Tailing::start(&redis, "*.log");
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
pub(crate) async fn assert_contents(tailing: &Tailing, count: u64) {
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
    let tailing = Tailing::start(&redis, "*.log");
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
async fn a_record_that_was_lost_alone_is_noticed_by_its_quiet_file_on_a_new_connection() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log");
    for file in 0..3 {
        append(&tailing.path(&format!("{file}.log")), &lines(file * 100, 5));
    }
    tailing.until_lines(15).await;
    tailing.until_sources(3).await;
    let (all, store) = (tailing.sources().await, redis.store());
    let state = format!("logrelay:{{{}}}:state", tailing.topic());
    let mut control = redis.control().await;
    let removed: u64 = control.run(&format!("HDEL {state} s:{}", all[1])).await;
    assert_eq!(removed, 1);
    let host = "host".parse().unwrap();
    let others = store.records(tailing.topic(), &host).await.unwrap();
    assert_eq!(others.len(), 2);
    let _: u64 = control.run("CLIENT KILL TYPE normal SKIPME yes").await;
    eventually("the quiet file has registered and sent its lines again", async || {
        tailing.count().await == 20 && tailing.sources().await == all
    })
    .await;
    // The others have nothing to do with it.
    let now = store.records(tailing.topic(), &host).await.unwrap();
    assert!(others.iter().all(|other| now.contains(other)));
    assert_eq!(tailing.epochs().await, 1);
}

#[tokio::test]
async fn a_wiped_redis_gets_every_file_again_under_its_key() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log");
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
