//! Callers that ask for everything and take nothing: what a relay holds for them has a bound.

use futures_util::future::join_all;
use logrelay::{
    client::{Event as Read, Options, Start, Subscription},
    proto::FetchRequest,
};

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

/// A relay with little room, and a topic of batches of so many lines each.
async fn with_little_room(redis: &TestRedis, batches: u64, lines_per_batch: usize) -> TestRelay {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut writer = Writer::new(redis, "app").await;
    for _ in 0..batches {
        writer.append(&lines(&mut random, lines_per_batch)).await;
    }
    TestRelay::with(redis, |_, hub| {
        hub.window_bytes = WINDOWS_BYTES;
        hub.windows_bytes = WINDOWS_BYTES;
        hub.page_bytes = BATCH_BYTES;
        hub.pages_bytes = PAGES_BYTES;
        hub.held_bytes = HELD_BYTES;
    })
    .await
}

#[tokio::test]
async fn what_thousands_of_streams_do_not_take_is_held_within_a_bound_and_others_are_served() {
    let redis = TestRedis::start().await;
    let relay = with_little_room(&redis, BATCHES, 200).await;
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

/// Connections that take so little of their calls, each of which is made by `call`.
async fn stuck(relay: &TestRelay, streams: u32, call: impl Fn(u32) -> Vec<u8>) -> Vec<Peer> {
    let call = &call;
    join_all((0..CONNECTIONS).map(async |number| {
        let mut peer = Peer::connect(&relay.url).await;
        peer.send(&http2::greeting(20_000 + 20_000 * number)).await.unwrap();
        for stream in 0..streams {
            peer.send(&call(2 * stream + 1)).await.unwrap();
        }
        peer
    }))
    .await
}

#[tokio::test]
async fn lines_that_are_no_small_pieces_are_held_within_the_bound_too_and_are_read_meanwhile() {
    const LINES: u64 = 40;
    const STREAMS: u32 = 6;
    let redis = TestRedis::start().await;
    let relay = with_little_room(&redis, LINES, 1).await;
    let peers = stuck(&relay, STREAMS, |stream| http2::subscribe(stream, &from_earliest("app"))).await;
    let streams = u64::from(CONNECTIONS * STREAMS);
    eventually("all are served", async || relay.metric("logrelay_serve_subscriptions").await == streams)
        .await;
    eventually("they have filled what there is", async || held(&relay).await > HELD_BYTES as u64).await;

    // Whoever takes lines gets them; it may have to come again, and misses nothing.
    let options = Options {
        relays: vec![relay.url.parse().unwrap()],
        topics: vec!["app".parse().unwrap()],
        start: Start::Earliest,
        retry_first_ms: 1,
        retry_max_ms: 100,
        ..Options::default()
    };
    let mut reader = Subscription::new(options).unwrap();
    let mut next = 0;
    while next < LINES {
        if let Read::Lines(lines) = reader.next().await.unwrap().unwrap() {
            for line in lines.iter() {
                assert_eq!((line.offset.get(), line.content.len()), (next, BATCH_BYTES));
                next += 1;
            }
        }
    }
    drop(reader);
    let most = (WINDOWS_BYTES + HELD_BYTES + PAGES_BYTES) as u64 + streams * SMALL_BYTES;
    eventually("nobody holds more than its share for long", async || held(&relay).await <= most).await;
    drop(peers);
    eventually("it is given back", async || held(&relay).await <= WINDOWS_BYTES as u64).await;
}

#[tokio::test]
async fn pages_that_are_not_taken_are_held_within_the_bound_too_and_others_get_theirs() {
    const STREAMS: u32 = 20;
    let redis = TestRedis::start().await;
    let relay = with_little_room(&redis, BATCHES, 200).await;
    let page =
        FetchRequest { topic: "app".to_owned(), max_lines: 8192, max_bytes: 4_000_000, ..Default::default() };
    let peers = stuck(&relay, STREAMS, |stream| http2::request_of("Fetch", stream, &page)).await;
    eventually("they have filled what there is", async || held(&relay).await > HELD_BYTES as u64).await;

    let (mut cursor, mut next) = (String::new(), 0);
    loop {
        let page =
            relay.client().await.fetch(FetchRequest { cursor, ..page.clone() }).await.unwrap().into_inner();
        for batch in &page.batches {
            let first = batch.base_offset + u64::from(batch.offset_deltas.first().copied().unwrap_or(0));
            assert_eq!(first, next);
            next += batch.lines.len() as u64;
        }
        if page.at_tail {
            break;
        }
        cursor = page.next_cursor;
    }
    assert_eq!(next, 200 * BATCHES);
    let most = (WINDOWS_BYTES + HELD_BYTES + PAGES_BYTES) as u64;
    let streams = u64::from(CONNECTIONS * STREAMS);
    eventually("nobody holds more than its share for long", async || {
        held(&relay).await <= most + streams * SMALL_BYTES
    })
    .await;
    drop(peers);
    eventually("it is given back", async || held(&relay).await <= WINDOWS_BYTES as u64).await;
}
