//! A relay that is killed or stopped under its readers.

use std::{
    fs::{self, File},
    time::{Duration, Instant},
};

use logrelay::proto::{SubscribeResponse, log_relay_client::LogRelayClient};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};
use tonic::Streaming;

use crate::{
    numbered::{Expected, Log, line},
    process::Process,
    relay::Relay,
    suite::support::{TestRedis, eventually, free_port, relay::from_earliest, writer::Writer},
};

const LINES: u64 = 100_000;
const KILLS: usize = 6;

/// Appends numbered lines, slowly enough that all kills fall into it.
async fn write(mut writer: Writer) {
    for batch in 0..LINES / 100 {
        writer.append(&(batch * 100..(batch + 1) * 100).map(line).collect::<Vec<_>>()).await;
        sleep(Duration::from_millis(4)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_two_relays_goes_on_when_the_one_it_reads_from_is_killed() {
    let redis = TestRedis::start().await;
    let folder = TempDir::new().unwrap();
    let ports = [free_port(), free_port()];
    let listen = ports.map(|port| format!("--listen 127.0.0.1:{port}"));
    let mut relays = [Relay::with(&redis, &listen[0]).await, Relay::with(&redis, &listen[1]).await];
    let words = format!("subscribe app --from earliest --relay {} --relay {}", relays[0].url, relays[1].url);
    let printed = folder.path().join("printed");
    let mut subscriber = Process::printing_to(&words, File::create(&printed).unwrap());
    let mut writing = JoinSet::new();
    writing.spawn(write(Writer::new(&redis, "app").await));
    for _ in 0..KILLS {
        let mut read_from = None;
        eventually("it reads from one of them", async || {
            for (at, relay) in relays.iter().enumerate() {
                if relay.metric("logrelay_serve_lines_total").await > 0 {
                    read_from = Some(at);
                }
            }
            read_from.is_some()
        })
        .await;
        let at = read_from.unwrap();
        relays[at].process.kill().await;
        relays[at] = Relay::with(&redis, &listen[at]).await;
    }
    writing.join_next().await.unwrap().unwrap();
    let all = (0..LINES).map(|number| line(number).len() as u64 + 1).sum::<u64>();
    eventually("all is printed", async || fs::metadata(&printed).unwrap().len() >= all).await;
    subscriber.kill().await;
    let mut expected = Expected::default();
    fs::read_to_string(&printed).unwrap().lines().for_each(|line| expected.take(line.as_bytes()));
    assert_eq!(expected.next(), LINES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_told_to_stop_says_closing_and_ends_well_within_its_deadline() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    Writer::new(&redis, "app").await.append(&[line(0)]).await;
    let words = format!("subscribe app --output json --from earliest --relay {}", relay.url);
    let mut subscriber = Process::start(&words);
    subscriber.until_it_says(r#"{"event":"caught_up""#).await;
    let began = Instant::now();
    relay.process.signal(Signal::TERM);
    let said = subscriber.until_it_says(r#"{"event":"closing""#).await;
    assert!(said.contains(&relay.url), "{said}");
    let ended = relay.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    subscriber.signal(Signal::TERM);
    assert_eq!(subscriber.ended().await.code, Some(0));
}

/// A caller that takes nothing of what a relay sends, so that the relay has to wait for it.
async fn stuck_caller(redis: &TestRedis, relay: &Relay) -> Streaming<SubscribeResponse> {
    let mut writer = Writer::new(redis, "app").await;
    for _ in 0..40 {
        writer.append(&[vec![b'x'; 1 << 20]]).await;
    }
    let mut client = LogRelayClient::connect(relay.url.clone()).await.unwrap();
    let stream = client.subscribe(from_earliest("app")).await.unwrap().into_inner();
    eventually("it is stuck", async || {
        let sent = relay.metric("logrelay_serve_bytes_total").await;
        sleep(Duration::from_millis(300)).await;
        sent > 0 && relay.metric("logrelay_serve_bytes_total").await == sent
    })
    .await;
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_takes_nothing_is_cut_off_at_the_deadline() {
    let redis = TestRedis::start().await;
    let relay = Relay::with(&redis, "--listen 127.0.0.1:0 --shutdown-timeout-ms 2000").await;
    let _stream = stuck_caller(&redis, &relay).await;
    let began = Instant::now();
    relay.process.signal(Signal::TERM);
    let ended = relay.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("some callers were cut off"), "{}", ended.stderr);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_a_relay_at_once() {
    let redis = TestRedis::start().await;
    let mut relay = Relay::start(&redis).await;
    let _stream = stuck_caller(&redis, &relay).await;
    relay.process.signal(Signal::TERM);
    relay.process.until_it_says("stopping").await;
    let began = Instant::now();
    relay.process.signal(Signal::INT);
    assert_eq!(relay.process.ended().await.code, Some(1));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tailer_that_cannot_append_stops_at_its_deadline_and_says_that_nothing_is_lost() {
    let redis = TestRedis::start().await;
    let folder = TempDir::new().unwrap();
    let mut log = Log::create(folder.path().join("app.log"));
    let words = format!(
        "tail --redis {} --host host --topic app --shutdown-timeout-ms 1500 \
         --redis-response-timeout-ms 100 {}",
        redis.url(),
        log.path().display()
    );
    let mut tailer = Process::start(&words);
    tailer.until_it_says("following path=").await;
    redis.freeze();
    log.write(100);
    tailer.until_it_says("redis is away").await;
    tailer.signal(Signal::TERM);
    let ended = tailer.ended().await;
    redis.thaw();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("loses nothing"), "{}", ended.stderr);
}
