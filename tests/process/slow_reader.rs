//! A reader that takes nothing for a long time gets everything, and costs no memory.

use std::{fs, time::Duration};

use logrelay::{
    client::{Event, Options, Start, Subscription},
    proto::{SubscribeResponse, log_relay_client::LogRelayClient, subscribe_response},
};
use rustix::process::Pid;
use tokio::{task::JoinSet, time::timeout};
use tonic::Streaming;

use crate::{
    process::PATIENCE,
    relay::Relay,
    suite::support::{TestRedis, relay::topic, writer::Writer},
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const LINE_BYTES: usize = 1000;
const LINES_PER_BATCH: u64 = 250;
const LINES: u64 = 500_000;

/// A line with a number, long enough that half a million of them are 500 MB.
fn long_line(number: u64) -> Vec<u8> {
    let mut line = format!("{number:08} ").into_bytes();
    line.resize(LINE_BYTES, b'x');
    line
}

async fn write(mut writer: Writer) {
    for first in (0..LINES).step_by(usize::try_from(LINES_PER_BATCH).unwrap()) {
        let lines: Vec<_> = (first..first + LINES_PER_BATCH).map(long_line).collect();
        writer.append(&lines).await;
    }
}

async fn read_fast(relay: String) {
    let (relays, topics) = (vec![relay.parse().unwrap()], vec!["app".parse().unwrap()]);
    let options = Options { relays, topics, start: Start::Latest, ..Options::default() };
    let mut subscription = Subscription::new(options).unwrap();
    let mut next = 0;
    while next < LINES {
        match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap() {
            Event::Lines(lines) => {
                assert_eq!(lines.iter().next().unwrap().offset.get(), next);
                next += lines.len() as u64;
            }
            Event::Opened { .. } | Event::Joined { .. } | Event::CaughtUp(_) | Event::Heartbeat(_) => {}
            event => panic!("{event:?}"),
        }
    }
}

/// Reads all lines of a subscription that has taken nothing but `opened`.
async fn read_late(stream: &mut Streaming<SubscribeResponse>) {
    let mut next = 0;
    while next < LINES {
        let message = timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap();
        match message.event.unwrap() {
            subscribe_response::Event::Batch(batch) => {
                assert_eq!(
                    batch.base_offset + batch.offset_deltas.first().map_or(0, |&delta| delta.into()),
                    next
                );
                for line in batch.lines {
                    assert_eq!(line.content, long_line(next));
                    next += 1;
                }
            }
            subscribe_response::Event::CaughtUp(_) | subscribe_response::Event::Heartbeat(_) => {}
            event => panic!("{event:?}"),
        }
    }
}

/// The greatest amount of memory that a process ever had, in bytes.
fn peak_bytes(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * KIB
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_begins_to_read_500_mb_too_late_gets_every_line_within_the_bounds_of_the_relay() {
    let (window, page, pages, pool) = (8 * MIB, MIB, 4 * MIB, 4);
    // The window; the pages of readers, and those of the feed that fills it (four at once); what
    // each connection to Redis, one of them blocking, keeps for the next answer: as much as the
    // largest, and as the buffer doubles, twice that; for each reader two messages in the queue,
    // one that is written, and what HTTP/2 holds (400 KiB).
    let message = (LINE_BYTES as u64 + 10) * LINES_PER_BATCH;
    let bounds = window + pages + 4 * page + (pool + 1) * 2 * page + 2 * (3 * message + 400 * KIB);
    let words = format!(
        "--listen 127.0.0.1:0 --window-bytes {window} --windows-bytes {window} --page-bytes {page} \
         --pages-bytes {pages} --redis-pool-size {pool}"
    );
    let redis = TestRedis::with_args(&["--appendonly", "no"]).await;
    let relay = Relay::with(&redis, &words).await;
    let mut client = LogRelayClient::connect(relay.url.clone()).await.unwrap();
    let mut late = client.subscribe(topic("app")).await.unwrap().into_inner();
    late.message().await.unwrap();
    let at_rest = peak_bytes(relay.process.pid());

    let mut tasks = JoinSet::new();
    tasks.spawn(read_fast(relay.url.clone()));
    while relay.metric("logrelay_serve_subscriptions").await < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tasks.spawn(write(Writer::new(&redis, "app").await));
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let sent_late = relay.metric("logrelay_serve_lines_total").await - LINES;
    let behind_bytes = (LINES - sent_late) * LINE_BYTES as u64;
    assert!(behind_bytes > 400_000_000, "{sent_late} lines are with the late reader already");
    assert!(relay.metric("logrelay_hub_windows_bytes").await <= window);
    let pages_before = relay.metric("logrelay_hub_pages_total").await;
    read_late(&mut late).await;
    let pages_read = relay.metric("logrelay_hub_pages_total").await - pages_before;
    assert!(pages_read >= (behind_bytes - window) / page / 2, "only {pages_read} pages");
    let grown = peak_bytes(relay.process.pid()) - at_rest;
    assert!(grown <= bounds, "{} KiB more than at rest, expected are at most {}", grown / KIB, bounds / KIB);
}
