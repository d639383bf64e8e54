//! Relays that are restarted one after the other under many readers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use logrelay::client::{Event, Options, Start, Subscription};
use rustix::process::Signal;
use tokio::{
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    numbered::{Expected, line},
    process::PATIENCE,
    relay::Relay,
    suite::support::{TestRedis, eventually, free_port, relay::serves, writer::Writer},
};

const READERS: usize = 50;
const EVERY: Duration = Duration::from_millis(5);
/// The longest that any reader may wait for a line.
const LONGEST: Duration = Duration::from_secs(15);

/// Appends numbered lines until it is told to stop; how many.
async fn write(mut writer: Writer, appended: Arc<AtomicU64>, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    while !stop.is_cancelled() {
        ticks.tick().await;
        let number = appended.load(Ordering::Relaxed);
        writer.append(&[line(number)]).await;
        appended.store(number + 1, Ordering::Relaxed);
    }
}

/// Reads until `appended` lines have come after `stop`; the longest wait between two.
async fn read(mut subscription: Subscription, appended: Arc<AtomicU64>, stop: CancellationToken) -> Duration {
    let (mut expected, mut longest, mut last) = (Expected::default(), Duration::ZERO, Instant::now());
    while !stop.is_cancelled() || expected.next() < appended.load(Ordering::Relaxed) {
        let next = tokio::select! {
            next = timeout(PATIENCE, subscription.next()) => next,
            // Everything may have come already.
            () = stop.cancelled(), if !stop.is_cancelled() => continue,
        };
        let event = next.expect("no line comes any more").unwrap().expect("it ended");
        let Event::Lines(lines) = event else { continue };
        lines.iter().for_each(|line| expected.take(line.content));
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn three_relays_restarted_in_turn_under_fifty_readers_lose_and_repeat_no_line() {
    let redis = TestRedis::start().await;
    let listen = [(); 3].map(|()| format!("--listen 127.0.0.1:{}", free_port()));
    let mut relays = Vec::new();
    for listen in &listen {
        relays.push(Relay::with(&redis, listen).await);
    }
    let (appended, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let options = Options {
            relays: relays.iter().map(|relay| relay.url.parse().unwrap()).collect(),
            topics: vec!["app".parse().unwrap()],
            start: Start::Earliest,
            ..Options::default()
        };
        let subscription = Subscription::new(options).unwrap();
        readers.spawn(read(subscription, Arc::clone(&appended), stop.clone()));
    }
    let mut writing = JoinSet::new();
    writing.spawn(write(Writer::new(&redis, "app").await, Arc::clone(&appended), stop.clone()));
    let readers_of = async |relay: &Relay| relay.metric("logrelay_serve_subscriptions").await;
    eventually("all read", async || {
        let mut all = 0;
        for relay in &relays {
            all += readers_of(relay).await;
        }
        all == READERS as u64
    })
    .await;
    for (at, listen) in listen.iter().enumerate() {
        let relay = relays.remove(at);
        relay.process.signal(Signal::TERM);
        let ended = relay.process.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("cut off"), "{}", ended.stderr);
        relays.insert(at, Relay::with(&redis, listen).await);
        let url = relays[at].url.clone();
        eventually("it serves", async || serves(&url).await).await;
        // A line has come to the others meanwhile, and more will.
        let before = appended.load(Ordering::Relaxed);
        eventually("lines flow", async || appended.load(Ordering::Relaxed) > before + 100).await;
    }
    stop.cancel();
    writing.join_next().await.unwrap().unwrap();
    let mut waits = Vec::new();
    while let Some(longest) = readers.join_next().await {
        waits.push(longest.unwrap());
    }
    waits.sort();
    let (middle, longest) = (waits[READERS / 2], waits[READERS - 1]);
    let lines = appended.load(Ordering::Relaxed);
    println!(
        "{lines} lines to {READERS} readers over three restarts: longest wait {longest:?}, median {middle:?}"
    );
    assert!(longest < LONGEST, "{longest:?}");
}
