//! Connections that are cut in silence, and servers that take the place of others:
//! noticed in time, and nothing is lost.

use std::time::Duration;

use logrelay::{
    hub,
    store::{self, ConnectOptions, LIVENESS_MARGIN_MS, Store},
};
use tokio::time::Instant;

use crate::{
    proxy::Proxy,
    spine::{Mirror, Reader},
    support::{TestRedis, eventually, relay::TestRelay},
    tailing::{Tailing, append, lines},
};

/// A relay and a tailer, each with a way of its own to Redis.
struct Ways {
    redis: TestRedis,
    to_relay: Proxy,
    to_tailer: Proxy,
    relay: TestRelay,
    tailing: Tailing,
}

impl Ways {
    async fn start() -> Self {
        let redis = TestRedis::with_port(&[]).await;
        let (to_relay, to_tailer) = (Proxy::to(redis.port()).await, Proxy::to(redis.port()).await);
        let relay = relay_over(&to_relay).await;
        let mut tailing = Tailing::prepare(&redis, "*.log", |options| options)
            .await
            .over(ConnectOptions::new(to_tailer.url()));
        tailing.resume().await;
        Self { redis, to_relay, to_tailer, relay, tailing }
    }
}

async fn relay_over(proxy: &Proxy) -> TestRelay {
    let store = Store::new(store::Options::new(proxy.url())).unwrap();
    TestRelay::over(store, |_, _| ()).await
}

/// The longest that silence may go unnoticed.
fn liveness() -> Duration {
    Duration::from_millis(hub::Options::default().block_ms + LIVENESS_MARGIN_MS)
}

#[tokio::test]
async fn a_silent_way_to_redis_is_replaced_within_its_bound_and_health_says_so() {
    let ways = Ways::start().await;
    let log = ways.tailing.path("busy.log");
    append(&log, &lines(0, 100));
    let reader = Reader::start(&ways.relay, ways.tailing.topic());
    reader.until(100).await;
    eventually("it serves", async || ways.relay.serves().await).await;

    let began = Instant::now();
    ways.to_relay.mute();
    append(&log, &lines(100, 100));
    eventually("it does not serve", async || !ways.relay.serves().await).await;
    println!("noticed {:?}", began.elapsed());
    reader.until(200).await;
    println!("lines {:?}", began.elapsed());
    eventually("it serves again", async || ways.relay.serves().await).await;
    println!("again {:?}", began.elapsed());
    reader.has_each_once(&[(&log, 200)]);
    reader.was_told_nothing();
}

#[tokio::test]
async fn a_silent_way_under_a_tailer() {
    let ways = Ways::start().await;
    let log = ways.tailing.path("busy.log");
    append(&log, &lines(0, 100));
    let reader = Reader::start(&ways.relay, ways.tailing.topic());
    reader.until(100).await;
    let began = Instant::now();
    ways.to_tailer.mute();
    append(&log, &lines(100, 100));
    reader.until(200).await;
    println!("lines {:?}", began.elapsed());
    reader.has_each_once(&[(&log, 200)]);
    reader.was_told_nothing();
}
