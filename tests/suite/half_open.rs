//! Connections that are cut in silence: noticed in time, and nothing is lost.

use std::time::Duration;

use logrelay::{
    hub,
    store::{self, ConnectOptions, LIVENESS_MARGIN_MS, Store},
};
use tokio::time::Instant;

use crate::{
    faults::{PROBE_MS, Pulse},
    proxy::{Fate, Proxy},
    spine::Reader,
    support::{TestRedis, cluster::store_over, eventually, relay::TestRelay},
    tailing::{Tailing, append, lines},
};

/// What may be added on a busy machine.
const SLACK: Duration = Duration::from_millis(1500);

/// A relay and a tailer, each with a way of its own to Redis.
struct Ways {
    _redis: TestRedis,
    to_relay: Proxy,
    to_tailer: Proxy,
    relay: TestRelay,
    tailing: Tailing,
}

impl Ways {
    async fn start(change: impl Fn(ConnectOptions) -> ConnectOptions) -> Self {
        let redis = TestRedis::with_port(&[]).await;
        let (to_relay, to_tailer) = (Proxy::to(redis.port()).await, Proxy::to(redis.port()).await);
        let connect = change(ConnectOptions::new(to_relay.url()));
        let store = Store::new(store::Options { connect, ..store::Options::new(to_relay.url()) }).unwrap();
        let relay = TestRelay::over(store, |_, _| ()).await;
        let connect = change(ConnectOptions::new(to_tailer.url()));
        let mut tailing = Tailing::prepare(&redis, "*.log", |options| options).over(connect);
        tailing.resume();
        Self { _redis: redis, to_relay, to_tailer, relay, tailing }
    }

    async fn until_health_is(&self, serving: bool) {
        eventually("health says so", async || self.relay.serves().await == serving).await;
    }
}

#[tokio::test]
async fn a_silent_way_of_a_relay_is_replaced_within_its_bound_and_health_says_so() {
    let ways = Ways::start(|connect| connect).await;
    let log = ways.tailing.path("busy.log");
    append(&log, &lines(0, 100));
    let reader = Reader::start(&ways.relay, ways.tailing.topic());
    reader.until(100).await;
    let health = Pulse::of(&ways.relay.url).await;
    health.until(true).await;

    let (said, began) = (health.said().len(), Instant::now());
    ways.to_relay.mute();
    append(&log, &lines(100, 100));
    reader.until(200).await;
    let liveness = Duration::from_millis(hub::Options::default().block_ms + LIVENESS_MARGIN_MS);
    assert!(began.elapsed() < liveness + SLACK, "{:?}", began.elapsed());
    health.until_said(said, false).await;
    health.until(true).await;
    reader.has_each_once(&[(&log, 200)]);
    reader.was_told_nothing();
}

#[tokio::test]
async fn a_silent_way_of_a_tailer_costs_one_time_out_however_many_connections_it_had() {
    let ways = Ways::start(|connect| ConnectOptions { response_timeout_ms: 1000, ..connect }).await;
    let logs: Vec<_> = (0..10).map(|index| ways.tailing.path(&format!("{index}.log"))).collect();
    let write = |first| {
        for log in &logs {
            append(log, &lines(first, 1000));
        }
    };
    write(0);
    let reader = Reader::start(&ways.relay, ways.tailing.topic());
    reader.until(10_000).await;

    let (before, began) = (ways.to_tailer.connections(), Instant::now());
    ways.to_tailer.mute();
    write(1000);
    reader.until(20_000).await;
    assert!(began.elapsed() < Duration::from_secs(1) + SLACK, "{:?}", began.elapsed());
    assert!(before > 2, "one connection is no test: {before}");
    let files: Vec<_> = logs.iter().map(|log| (log.as_path(), 2000)).collect();
    reader.has_each_once(&files);
    reader.was_told_nothing();
}

#[tokio::test]
async fn where_new_connections_are_silent_too_readers_wait_and_hear_so() {
    let short = |connect| ConnectOptions { connect_timeout_ms: 1000, ..connect };
    let ways = Ways::start(short).await;
    let log = ways.tailing.path("busy.log");
    append(&log, &lines(0, 100));
    let reader = Reader::start(&ways.relay, ways.tailing.topic());
    reader.until(100).await;
    ways.until_health_is(true).await;

    ways.to_relay.mute_all();
    ways.to_tailer.mute_all();
    append(&log, &lines(100, 100));
    ways.until_health_is(false).await;
    reader.until_redis_ok(false).await;
    assert!(!ways.relay.serves().await);
    ways.to_relay.mute();
    ways.to_tailer.mute();
    reader.until(200).await;
    reader.until_redis_ok(true).await;
    ways.until_health_is(true).await;
    reader.has_each_once(&[(&log, 200)]);
    reader.was_told_nothing();
}

/// Only what waits for new lines is swallowed: probes and all else are answered.
#[tokio::test]
async fn a_relay_whose_reads_are_swallowed_does_not_serve_until_they_are_answered() {
    let ways = Ways::start(|connect| connect).await;
    let store = store_over(ConnectOptions::new(ways.to_relay.url()));
    let relay = TestRelay::over(store, |serve, _| serve.probe_ms = PROBE_MS).await;
    let log = ways.tailing.path("busy.log");
    append(&log, &lines(0, 100));
    let reader = Reader::start(&relay, ways.tailing.topic());
    reader.until(100).await;
    let health = Pulse::of(&relay.url).await;
    health.until(true).await;
    let said = health.said().len();

    let is_read = |request: &[u8]| memchr::memmem::find(request, b"\r\nXREAD\r\n").is_some();
    ways.to_relay.judge(move |request| if is_read(request) { Fate::Silence } else { Fate::Pass });
    let began = Instant::now();
    health.until(false).await;
    println!("noticed after {:?}", began.elapsed());
    append(&log, &lines(100, 100));
    eventually("it was tried again", async || ways.to_relay.faults() >= 4).await;
    assert_eq!(health.said().len(), said + 1, "it served in between: {:?}", health.said());
    ways.to_relay.pass();
    reader.until(200).await;
    health.until(true).await;
    reader.until_redis_ok(true).await;
    reader.has_each_once(&[(&log, 200)]);
    reader.was_told_nothing();
}
