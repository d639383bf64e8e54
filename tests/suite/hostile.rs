//! Peers that break the rules on purpose: their connections end, others are served meanwhile, and
//! nothing is left of them. Floods of what is allowed are in `bounds`.

use std::time::Duration;

use futures_util::future::join_all;
use logrelay::proto::{Filter, Matcher, SubscribeRequest, matcher::Op};
use tokio::time::timeout;

use crate::support::{
    TestRedis, eventually,
    http2::{self, ACK, CONTINUATION, END_HEADERS, HEADERS, Peer, frame},
    relay::{Lines, TestRelay, from_earliest, topic},
    writer::Writer,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A relay with a reader that has to get every line, whatever others do.
struct Scene {
    relay: TestRelay,
    writer: Writer,
    reader: Lines,
    written: u64,
}

impl Scene {
    async fn new(redis: &TestRedis) -> Self {
        let relay = TestRelay::start(redis).await;
        let writer = Writer::new(redis, "app").await;
        let mut reader = relay.subscribe(from_earliest("app")).await;
        reader.opened().await;
        Self { relay, writer, reader, written: 0 }
    }

    /// Lines go on to come.
    async fn goes_on(&mut self) {
        self.writer.append_numbered(2, 5).await;
        self.written += 10;
        self.reader.until(self.written).await;
    }

    /// Nothing is left but the reader, and whoever asks.
    async fn is_as_before(mut self) {
        self.goes_on().await;
        self.reader.are_numbered(0, self.written);
        let relay = &self.relay;
        eventually("only the reader is left", async || {
            relay.metric("logrelay_serve_connections").await == 2
                && relay.metric("logrelay_serve_subscriptions").await == 1
        })
        .await;
    }
}

/// A frame of which nothing has to be right.
fn malformed(random: &mut fastrand::Rng) -> Vec<u8> {
    let len = random.usize(..60);
    let payload: Vec<_> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
    let stream = if random.bool() { random.u32(..8) } else { random.u32(..) };
    let mut bytes = frame(random.u8(..12), random.u8(..), stream, &payload);
    match random.u8(..4) {
        // The length lies, or the frame is cut.
        0 => bytes[random.usize(..3)] = random.u8(..),
        1 => bytes.truncate(random.usize(1..bytes.len())),
        _ => {}
    }
    bytes
}

#[tokio::test]
async fn thousands_of_malformed_frames_end_their_connections_and_no_other() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let redis = TestRedis::start().await;
    let mut scene = Scene::new(&redis).await;
    for _ in 0..20 {
        let url = &scene.relay.url;
        let peers = (0..10).map(|_| {
            let frames: Vec<_> = (0..50).map(|_| malformed(&mut random)).collect();
            async move {
                let mut peer = Peer::connect(url).await;
                peer.send(&http2::open_greeting()).await.unwrap();
                peer.send(&frame(http2::SETTINGS, ACK, 0, &[])).await.ok();
                for bytes in frames {
                    if peer.send(&bytes).await.is_err() {
                        break;
                    }
                }
            }
        });
        timeout(PATIENCE, join_all(peers)).await.expect("they are kept waiting");
        scene.goes_on().await;
    }
    scene.is_as_before().await;
}

/// The begin of a call whose headers have no end: each frame is one more piece of them.
async fn endless(piece: &[u8]) {
    let redis = TestRedis::start().await;
    let mut scene = Scene::new(&redis).await;
    let mut peer = Peer::connect(&scene.relay.url).await;
    peer.send(&http2::open_greeting()).await.unwrap();
    // `:method POST`, and no end of the headers.
    peer.send(&frame(HEADERS, 0, 1, &[0x83])).await.unwrap();
    let flooding = async {
        while peer.send(&frame(CONTINUATION, 0, 1, piece)).await.is_ok() {}
        peer.ended().await;
    };
    timeout(PATIENCE, flooding).await.expect("it may go on and on");
    scene.goes_on().await;
    scene.is_as_before().await;
}

#[tokio::test]
async fn headers_that_never_end_are_cut_off() {
    // A header of 250 bytes: `a: xxx…`, which is not kept in the table.
    let value = vec![b'x'; 120];
    endless(&[&[0x00, 1, b'a', 120], value.as_slice()].concat()).await;
}

#[tokio::test]
async fn a_flood_of_empty_continuations_is_cut_off() {
    endless(&[]).await;
}

#[tokio::test]
async fn a_bomb_of_headers_that_unpack_to_megabytes_is_refused_and_costs_nobody_else() {
    let redis = TestRedis::start().await;
    let mut scene = Scene::new(&redis).await;
    let mut peer = Peer::connect(&scene.relay.url).await;
    peer.send(&http2::open_greeting()).await.unwrap();
    // One header of 4000 bytes goes into the table, and is named by a byte ever after.
    let value = vec![b'x'; 4000];
    let entry = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &value].concat();
    let bomb = vec![0xbe; 12_000];
    for stream in [1, 3, 5] {
        let first = if stream == 1 { entry.as_slice() } else { &[] };
        let block = [&[0x83], first, &bomb].concat();
        if peer.send(&frame(HEADERS, END_HEADERS, stream, &block)).await.is_err() {
            break;
        }
    }
    scene.goes_on().await;
    drop(peer);
    scene.is_as_before().await;
}

/// The largest filter that is taken, unlike that of any other number.
fn giant(number: usize) -> Filter {
    let alternatives: Vec<_> = (0..400).map(|at| format!("{number}x{at}y")).collect();
    let mut value = alternatives.join("|");
    value.truncate(4096);
    let value = value.trim_end_matches('|').to_owned();
    let matcher = Matcher { op: Op::NotMatches.into(), value, ignore_case: true };
    Filter { matchers: vec![matcher; 4], ..Filter::default() }
}

#[tokio::test]
async fn giant_filters_are_served_or_refused_and_leave_nothing_behind() {
    let redis = TestRedis::start().await;
    let mut scene = Scene::new(&redis).await;
    scene.goes_on().await;
    for round in 0..3 {
        let client = scene.relay.client().await;
        let calls = (0..10).map(|number| {
            let filter = Some(giant(100 * round + number));
            let request = SubscribeRequest { filter, ..topic("app") };
            Lines::ask(client.clone(), request)
        });
        let held = timeout(PATIENCE, join_all(calls)).await.expect("they are kept waiting");
        for answer in &held {
            if let Err(status) = answer {
                assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
            }
        }
        scene.goes_on().await;
    }
    scene.is_as_before().await;
}
