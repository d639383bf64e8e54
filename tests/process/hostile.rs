//! What hostile peers cost the process: its memory has a bound while they are there, and is at its
//! level again when they are gone. What becomes of each of them is in `suite::hostile` and
//! `suite::stuck`.

use std::fs;

use futures_util::future::join_all;
use logrelay::proto::{FetchRequest, Filter, Matcher, SubscribeRequest, matcher::Op};

use crate::{
    process::Process,
    relay::Relay,
    suite::support::{
        TestRedis, eventually,
        http2::{self, CONTINUATION, END_HEADERS, HEADERS, PING, Peer, RST_STREAM, frame},
        relay::{from_earliest, topic},
        writer::Writer,
    },
};

const MIB: u64 = 1 << 20;
const BATCHES: u64 = 100;
const BATCH_BYTES: usize = 200 * 1024;
const CONNECTIONS: u32 = 10;
const STREAMS: u32 = 30;
/// What a relay with this little room may have more during a storm; pages and streams that nobody
/// takes would be a gigabyte.
const MOST_MIB: u64 = 400;
/// What memory varies by: allocators keep what was freed.
const NOISE_MIB: u64 = 64;

fn resident_mib(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid().as_raw_nonzero())).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024 / MIB
}

/// Frames of which nothing has to be right.
async fn malformed(url: &str, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut peer = Peer::connect(url).await;
    peer.send(&http2::open_greeting()).await.unwrap();
    for _ in 0..100 {
        let payload: Vec<_> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        let bytes = frame(random.u8(..12), random.u8(..), random.u32(..8), &payload);
        if peer.send(&bytes).await.is_err() {
            return;
        }
    }
}

/// Headers without an end.
async fn endless(url: &str) {
    let mut peer = Peer::connect(url).await;
    peer.send(&http2::open_greeting()).await.unwrap();
    peer.send(&frame(HEADERS, 0, 1, &[0x83])).await.unwrap();
    let piece = [&[0x00, 1, b'a', 120][..], &[b'x'; 120]].concat();
    while peer.send(&frame(CONTINUATION, 0, 1, &piece)).await.is_ok() {}
}

/// Streams that are opened and reset at once, headers that unpack to megabytes, and pings.
async fn flood(url: &str) {
    let mut peer = Peer::connect(url).await;
    peer.send(&http2::open_greeting()).await.unwrap();
    for stream in (1..20_000).step_by(2) {
        let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if peer.send(&[http2::call(stream), reset].concat()).await.is_err() {
            return;
        }
    }
    let entry = [&[0x83, 0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4000], &[0xbe; 12_000]].concat();
    peer.send(&frame(HEADERS, END_HEADERS, 20_001, &entry)).await.ok();
    while peer.send(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {}
}

/// Calls that ask for everything and take nothing.
async fn stuck(url: &str, call: impl Fn(u32) -> Vec<u8>) -> Vec<Peer> {
    let call = &call;
    join_all((0..CONNECTIONS).map(async |number| {
        let mut peer = Peer::connect(url).await;
        peer.send(&http2::greeting(20_000 + 20_000 * number)).await.unwrap();
        for stream in 0..STREAMS {
            peer.send(&call(2 * stream + 1)).await.unwrap();
        }
        peer
    }))
    .await
}

/// The largest filter that is taken, unlike that of any other number.
fn giant(number: u32) -> SubscribeRequest {
    let mut value = (0..400).map(|at| format!("{number}x{at}y")).collect::<Vec<_>>().join("|");
    value.truncate(4096);
    let value = value.trim_end_matches('|').to_owned();
    let matcher = Matcher { op: Op::NotMatches.into(), value, ignore_case: true };
    SubscribeRequest {
        filter: Some(Filter { matchers: vec![matcher; 4], ..Filter::default() }),
        ..topic("app")
    }
}

/// All of them, until they are gone; the most memory that there was, in MiB.
async fn storm(relay: &Relay) -> u64 {
    let url = relay.url.as_str();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let page =
        FetchRequest { topic: "app".to_owned(), max_lines: 8192, max_bytes: 4_000_000, ..Default::default() };
    let streams = stuck(url, |stream| http2::subscribe(stream, &from_earliest("app"))).await;
    let pages = stuck(url, |stream| http2::request_of("Fetch", stream, &page)).await;
    eventually("all streams are served", async || {
        relay.metric("logrelay_serve_subscriptions").await == u64::from(CONNECTIONS * STREAMS)
    })
    .await;
    let mut most_mib = resident_mib(&relay.process);
    let filters = stuck(url, |stream| http2::subscribe(stream, &giant(stream % 20))).await;
    join_all((0..100).map(|number| malformed(url, seed.wrapping_add(number)))).await;
    most_mib = most_mib.max(resident_mib(&relay.process));
    join_all((0..10).map(async |_| (endless(url).await, flood(url).await))).await;
    most_mib = most_mib.max(resident_mib(&relay.process));
    drop((streams, pages, filters));
    // One is that of the question.
    eventually("all are gone", async || {
        relay.metric("logrelay_serve_connections").await <= 1
            && relay.metric("logrelay_serve_subscriptions").await == 0
    })
    .await;
    most_mib
}

#[tokio::test]
async fn memory_has_a_bound_while_hostile_peers_are_there_and_is_at_its_level_when_they_are_gone() {
    let redis = TestRedis::start().await;
    let mut random = fastrand::Rng::new();
    let mut writer = Writer::new(&redis, "app").await;
    for _ in 0..BATCHES {
        let line = || std::iter::repeat_with(|| random.alphanumeric()).take(1024).collect::<String>();
        let lines: Vec<_> = std::iter::repeat_with(line).take(BATCH_BYTES / 1024).collect();
        writer.append(&lines).await;
    }
    let room = "--window-bytes 4194304 --windows-bytes 4194304 --pages-bytes 4194304 --held-bytes 16777216";
    let relay = Relay::with(&redis, &format!("--listen 127.0.0.1:0 {room}")).await;
    let before = resident_mib(&relay.process);
    let most = storm(&relay).await;
    let after_first = resident_mib(&relay.process);
    storm(&relay).await;
    println!("{before} MiB before, {most} MiB at most, {after_first} MiB after the first storm");
    assert!(most <= before + MOST_MIB, "{most} MiB, and {before} MiB before");
    eventually("memory is at the level of the first time", async || {
        resident_mib(&relay.process) <= after_first + NOISE_MIB
    })
    .await;
}
