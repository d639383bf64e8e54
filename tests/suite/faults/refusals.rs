//! What a server as a whole refuses: it is full, a replica, loads, or is busy; and scripts
//! that it has forgotten.

use logrelay::record::Topic;

use super::{Bed, is_refusal, until_refused};
use crate::{
    spine::Reader,
    support::{TestRedis, eventually},
};

#[tokio::test]
async fn a_full_redis_stops_tailers_and_no_reader() {
    let redis = TestRedis::start().await;
    let bed = Bed::start(&redis).await;
    let mut control = redis.control().await;
    control.run::<()>("CONFIG SET maxmemory 1").await;
    bed.tailer_hears("OOM").await;
    // Whoever comes now gets what is there, and nobody hears of trouble.
    let stored = bed.tailing.count().await;
    let late = Reader::start(&bed.relay, bed.tailing.topic());
    late.until(stored).await;
    bed.live.until(stored).await;
    bed.live.until_redis_ok(true).await;
    bed.health.was_steady();
    control.run::<()>("CONFIG SET maxmemory 0").await;
    bed.ends_as_if_nothing_happened().await;
    late.was_told_nothing();
}

#[tokio::test]
async fn a_master_that_has_become_a_replica_is_waited_for() {
    let redis = TestRedis::with_port(&[]).await;
    let bed = Bed::start(&redis).await;
    let mut control = redis.control().await;
    control.run::<()>("REPLICAOF 127.0.0.1 1").await;
    let other: Topic = "other".parse().unwrap();
    assert!(is_refusal(&redis.store().announce(&[other]).await, "READONLY"));
    bed.says(&["lines wait where they are"]).await;
    bed.reader_waits().await;
    control.run::<()>("REPLICAOF NO ONE").await;
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_redis_that_loads_its_data_is_waited_for() {
    // Each command that it reads again takes it a while.
    let mut redis = TestRedis::with_port(&["--key-load-delay", "300"]).await;
    let bed = Bed::start(&redis).await;
    let fill = "for i = 1, 12000 do redis.call('SET', 'filler:' .. i, 'x') end";
    redis.control().await.send(redis::cmd("EVAL").arg(fill).arg(0)).await;
    let store = redis.store();
    redis.kill().await;
    let meanwhile = async {
        until_refused(&store, "LOADING").await;
        bed.reader_waits().await;
    };
    tokio::join!(redis.start_again(), meanwhile);
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_redis_that_is_busy_with_a_script_is_waited_for() {
    let redis = TestRedis::with_port(&["--busy-reply-threshold", "50"]).await;
    let bed = Bed::start(&redis).await;
    let (mut control, mut stuck) = (redis.control().await, redis.control().await);
    let busy = async {
        let answer = stuck.attempt(redis::cmd("EVAL").arg("while true do end").arg(0)).await;
        assert!(answer.unwrap_err().to_string().contains("killed"));
    };
    let meanwhile = async {
        until_refused(&redis.store(), "BUSY").await;
        bed.tailer_hears("BUSY").await;
        bed.reader_waits().await;
        control.run::<()>("SCRIPT KILL").await;
    };
    tokio::join!(busy, meanwhile);
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn a_replica_that_has_lost_its_master_and_refuses_reads_is_waited_for() {
    let redis = TestRedis::with_port(&["--replica-serve-stale-data", "no"]).await;
    let bed = Bed::start(&redis).await;
    let mut control = redis.control().await;
    control.run::<()>("REPLICAOF 127.0.0.1 1").await;
    until_refused(&redis.store(), "MASTERDOWN").await;
    bed.says(&["lines wait where they are"]).await;
    bed.reader_waits().await;
    control.run::<()>("REPLICAOF NO ONE").await;
    bed.ends_as_if_nothing_happened().await;
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_uploaded_again_and_nobody_notices() {
    let redis = TestRedis::start().await;
    let bed = Bed::start(&redis).await;
    let mut control = redis.control().await;
    let before = control.errors("NOSCRIPT").await;
    for _ in 0..5 {
        control.run::<()>("SCRIPT FLUSH").await;
        bed.lines_come().await;
    }
    eventually("scripts were missing", async || control.errors("NOSCRIPT").await >= before + 5).await;
    bed.ends_as_if_nothing_happened().await;
}
