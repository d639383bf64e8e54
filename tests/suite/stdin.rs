//! Standard input as a source, in process.

use std::time::Duration;

use logrelay::{
    publish::{self, Publisher},
    record::Topic,
    store::MAX_PAYLOAD_BYTES,
    tail::{LineOptions, publish_stdin},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{
    TestRedis,
    relay::{TestRelay, from_earliest},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// The most that settings allow.
const MOST_BATCH_BYTES: usize = 512 * 1024;
const MOST_LINE_BYTES: usize = 3 << 20;

/// Publishes a whole input. Nothing else of a tailer runs, the audit neither.
async fn publish_all(redis: &TestRedis, options: publish::Options, lines: LineOptions, input: &[u8]) {
    let publisher = Publisher::new(redis.store(), options, publish::Metrics::default());
    let (topic, host): (Topic, _) = ("app".parse().unwrap(), "host".parse().unwrap());
    let reading = publish_stdin(&publisher, &topic, &host, &lines, input, CancellationToken::new());
    timeout(PATIENCE, reading).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_topic_is_known_however_soon_its_input_ends() {
    let redis = TestRedis::start().await;
    publish_all(&redis, publish::Options::default(), LineOptions::default(), b"one\n").await;
    assert_eq!(redis.store().topics().await.unwrap(), ["app".parse().unwrap()]);
}

#[tokio::test]
async fn the_longest_line_behind_the_largest_batch_is_read_as_it_was_written() {
    let redis = TestRedis::start().await;
    let options = publish::Options { max_batch_bytes: MOST_BATCH_BYTES, ..publish::Options::default() };
    let lines = LineOptions { max_line_bytes: MOST_LINE_BYTES, ..LineOptions::default() };
    // A line less than is full, and the longest one behind it.
    let nearly = vec![b'a'; MOST_BATCH_BYTES - 100];
    let longest = vec![b'b'; MOST_LINE_BYTES];
    assert!(nearly.len() + longest.len() < MAX_PAYLOAD_BYTES);
    let input = [&nearly[..], b"\n", &longest, b"\nafter\n"].concat();
    publish_all(&redis, options, lines, &input).await;
    let relay = TestRelay::start(&redis).await;
    let mut lines = relay.subscribe(from_earliest("app")).await;
    lines.opened().await;
    lines.until(3).await;
    let lengths: Vec<_> = lines.heard.iter().map(|(_, line)| line.len()).collect();
    assert_eq!(lengths, [nearly.len(), longest.len(), 5]);
}
