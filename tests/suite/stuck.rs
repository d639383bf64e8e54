//! Callers that ask for everything and take nothing: what a relay holds for them has a bound.

use futures_util::future::join_all;

use crate::support::{
    TestRedis, eventually,
    http2::{self, Peer},
    relay::{TestRelay, from_earliest, topic},
    writer::Writer,
};

const BATCHES: u64 = 100;
const BATCH_BYTES: usize = 200 * 1024;
const CONNECTIONS: u32 = 10;
const STREAMS: u32 = 30;
const WINDOWS_BYTES: usize = 4 << 20;
const PAGES_BYTES: usize = 2 << 20;
const HELD_BYTES: usize = 8 << 20;
/// Of each stream: what it has in small pieces, in its queue and at its connection.
const SMALL_BYTES: u64 = 128 * 1024;

/// What the relay holds of batches.
async fn held(relay: &TestRelay) -> u64 {
    relay.metric("logrelay_hub_batches_bytes").await
}

/// Lines that are told apart, so that they do not pack well.
fn lines(random: &mut fastrand::Rng, count: usize) -> Vec<String> {
    let bytes = BATCH_BYTES / count;
    (0..count).map(|_| std::iter::repeat_with(|| random.alphanumeric()).take(bytes).collect()).collect()
}

#[tokio::test]
async fn what_thousands_of_streams_do_not_take_is_held_within_a_bound_and_others_are_served() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let redis = TestRedis::start().await;
    let mut writer = Writer::new(&redis, "app").await;
    for _ in 0..BATCHES {
        writer.append(&lines(&mut random, 200)).await;
    }
    let relay = TestRelay::with(&redis, |_, hub| {
        hub.window_bytes = WINDOWS_BYTES;
        hub.windows_bytes = WINDOWS_BYTES;
        hub.page_bytes = BATCH_BYTES;
        hub.pages_bytes = PAGES_BYTES;
        hub.held_bytes = HELD_BYTES;
    })
    .await;
    // Each stream stops at another place of the backlog, so that none shares its bytes.
    let peers = join_all((0..CONNECTIONS).map(async |number| {
        let mut peer = Peer::connect(&relay.url).await;
        peer.send(&http2::greeting(20_000 + 20_000 * number)).await.unwrap();
        for stream in 0..STREAMS {
            peer.send(&http2::subscribe(2 * stream + 1, &from_earliest("app"))).await.unwrap();
        }
        peer
    }))
    .await;
    eventually("all are served", async || {
        relay.metric("logrelay_serve_subscriptions").await == u64::from(CONNECTIONS * STREAMS)
    })
    .await;
    let most = (WINDOWS_BYTES + HELD_BYTES + PAGES_BYTES) as u64;
    let streams = u64::from(CONNECTIONS * STREAMS);
    eventually("they have filled what there is", async || held(&relay).await > most - PAGES_BYTES as u64)
        .await;

    // Others get everything meanwhile, in small pieces.
    let mut reader = relay.subscribe(from_earliest("app")).await;
    reader.opened().await;
    let mut greatest = 0;
    for batch in 1..=BATCHES {
        reader.until(200 * batch).await;
        greatest = held(&relay).await.max(greatest);
    }
    println!("{streams} streams that are not read hold up to {greatest} bytes");
    let batch = BATCH_BYTES as u64;
    assert!(greatest <= most + streams * (SMALL_BYTES + batch), "{greatest} bytes");
    assert_eq!(reader.heard.len() as u64, 200 * BATCHES);
    assert!(reader.heard.iter().enumerate().all(|(at, (offset, _))| at as u64 == *offset));
    drop(reader);
    eventually("nobody holds a whole batch for long", async || {
        held(&relay).await <= most + streams * SMALL_BYTES
    })
    .await;
    drop(peers);
    eventually("it is given back", async || held(&relay).await <= WINDOWS_BYTES as u64).await;
    relay.subscribe(topic("app")).await.opened().await;
}
