//! Lines that count as confirmed only when they are as safe as they should be.

use std::num::NonZeroU32;

use logrelay::{
    proto,
    record::{BatchBuilder, Details, Record, SealedBatch, SourceKey, Token, Topic},
    store::{Append, Appended, ConnectOptions, Durability, Error, Store},
};

use crate::{
    promotion::{replica_of, until_in_sync},
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines},
    writing::Writer,
};

fn replicas(number: u32) -> Durability {
    Durability::Replicas(NonZeroU32::new(number).unwrap())
}

/// A store that waits for half a second.
fn impatient(redis: &TestRedis, durability: Durability) -> Store {
    let connect = ConnectOptions { response_timeout_ms: 1000, ..redis.options() };
    let options = logrelay::store::Options::new(redis.url());
    Store::new(logrelay::store::Options { connect, durability, ..options }).unwrap()
}

fn batch(source: &SourceKey) -> SealedBatch {
    let source = proto::Source { key: source.to_string(), ..Default::default() };
    let mut builder = BatchBuilder::new(&source, 0, 0);
    builder.push(b"a line", 0);
    builder.seal(7).unwrap()
}

#[tokio::test]
async fn an_append_counts_only_when_a_replica_has_it_also_when_it_is_sent_again() {
    let master = TestRedis::with_port(&[]).await;
    let replica = replica_of(&master).await;
    until_in_sync(&master, &replica).await;
    let store = impatient(&master, replicas(1));
    store.check_durability().await.unwrap();
    let topic: Topic = "t".parse().unwrap();
    let source = store.new_source(&topic, &"host".parse().unwrap()).await.unwrap();
    let record = |position| Record { token: Token::random(), position, details: Details::default() };
    let registered = record(0);
    let register = Append { source: &source, believed: None, record: &registered, batch: None, before: None };
    assert!(matches!(store.append(&topic, &register).await, Ok(Appended::Stored { .. })));

    replica.freeze();
    let (batch, after) = (batch(&source), record(7));
    let append = Append {
        source: &source,
        believed: Some(&registered),
        record: &after,
        batch: Some(&batch),
        before: None,
    };
    // Stored by the first, and still not safe when a connection that wrote nothing asks.
    for _ in 0..3 {
        let error = store.append(&topic, &append).await.unwrap_err();
        assert!(matches!(error, Error::NotDurable { got: 0, wanted: 1, .. }), "{error}");
        assert!(!error.needs_an_operator() && error.refuses_writes());
        master.control().await.run::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
    }
    replica.thaw();
    eventually("it is safe", async || {
        let Ok(Appended::Conflict { stored, .. }) = store.append(&topic, &append).await else { return false };
        assert_eq!(stored.unwrap().token, after.token);
        true
    })
    .await;
    assert_eq!(store.resolve(&topic).await.unwrap().unwrap().timeline.next().get(), 1);
}

#[tokio::test]
async fn what_was_confirmed_is_on_the_replica_when_the_master_dies() {
    let mut master = TestRedis::with_port(&[]).await;
    let replica = replica_of(&master).await;
    until_in_sync(&master, &replica).await;
    let topic: Topic = "t".parse().unwrap();
    let mut writer = Writer::register(&master.store_with(replicas(1)), &topic).await;
    for _ in 0..50 {
        writer.append(10).await;
    }
    master.kill().await;
    replica.control().await.run::<()>("REPLICAOF NO ONE").await;
    let found = replica.store().resolve(&topic).await.unwrap().unwrap();
    assert_eq!(found.timeline.next().get(), 500);
}

#[tokio::test]
async fn a_tailer_waits_for_a_replica_that_is_away_and_goes_on() {
    let master = TestRedis::with_port(&[]).await;
    let replica = replica_of(&master).await;
    until_in_sync(&master, &replica).await;
    let mut tailing = Tailing::prepare(&master, "*.log", |options| options).durable(replicas(1));
    tailing.resume();
    let log = tailing.path("app.log");
    append(&log, &lines(0, 100));
    tailing.until_lines(100).await;
    replica.freeze();
    let mut control = master.control().await;
    let waits = control.calls("wait").await;
    append(&log, &lines(100, 100));
    // One for the lines that are there, and one that had to be asked for again.
    eventually("it waits", async || control.calls("wait").await > waits + 1).await;
    append(&log, &lines(200, 100));
    replica.thaw();
    tailing.until_lines(300).await;
    tailing.assert_numbered(300).await;
}

#[tokio::test]
async fn a_server_that_cannot_wait_for_its_disk_is_refused_with_its_version() {
    let redis = TestRedis::with_args(&["--appendonly", "no"]).await;
    let store = redis.store_with(Durability::Fsync);
    let info: String = redis.control().await.run("INFO server").await;
    let error = store.check_durability().await.unwrap_err();
    assert!(matches!(error, Error::NoDurability { .. }) && error.needs_an_operator(), "{error}");
    // Redis from 7.2 on has the command, and lacks the file here.
    let expected = if info.contains("redis_version:7.0.") { "this is Redis 7.0." } else { "appendonly" };
    assert!(error.to_string().contains(expected), "{error}");
    // Also where nobody asked before.
    let appended = store.new_source(&"t".parse().unwrap(), &"host".parse().unwrap()).await;
    assert!(matches!(appended, Err(Error::NoDurability { .. })), "{appended:?}");
}

#[tokio::test]
async fn lines_are_on_disk_where_the_server_can_say_so() {
    let redis = TestRedis::with_args(&["--appendfsync", "everysec"]).await;
    let store = redis.store_with(Durability::Fsync);
    if store.check_durability().await.is_err() {
        println!("this server has no WAITAOF: LOGRELAY_TEST_REDIS_SERVER names another one");
        return;
    }
    let mut tailing = Tailing::prepare(&redis, "*.log", |options| options).durable(Durability::Fsync);
    tailing.resume();
    append(&tailing.path("app.log"), &lines(0, 500));
    tailing.until_lines(500).await;
    assert!(redis.control().await.calls("waitaof").await > 0);
    tailing.assert_numbered(500).await;
}
