//! Publishers while connections, relays and Redis come and go: each line once, in bounded room.

use std::time::Duration;

use logrelay::{
    client::{Error, PublishEvent, PublishOptions, Publisher},
    proto::{Line, PublishRequest},
    record::Topic,
    store::{self, ConnectOptions, Store},
};
use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    proxy::{Fate, Proxy, some_appends},
    publishing::{
        Job, Producer, first, has_each_once, is_disconnected, is_opened, line, lines, options, publisher,
    },
    support::{
        TestRedis,
        door::Door,
        relay::{TestRelay, reason},
    },
};

const CUTS: u32 = 50;
const RESPONSE_TIMEOUT_MS: u64 = 100;
/// Longer than that: its retry overtakes it.
const LATE: Fate = Fate::Late(Duration::from_millis(RESPONSE_TIMEOUT_MS * 3 / 2));

fn seeded() {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    fastrand::seed(seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_cut_fifty_times_publishes_each_line_once_over_two_relays() {
    seeded();
    let redis = TestRedis::start().await;
    let relays = [TestRelay::start(&redis).await, TestRelay::start(&redis).await];
    let doors = [Door::before(&relays[0].url).await, Door::before(&relays[1].url).await];
    let mut job = Job::new(Publisher::new(options(&[&doors[0].url, &doors[1].url])).unwrap());
    let opened_at = |told: &[PublishEvent], door: &Door| {
        let relay = door.url.parse().unwrap();
        told.iter().any(|event| matches!(event, PublishEvent::Opened { relay: at, .. } if *at == relay))
    };
    let at_both = |told: &[PublishEvent]| doors.iter().all(|door| opened_at(told, door));
    // On a slow machine few streams are opened before they are cut.
    while job.disconnections() < CUTS || (!at_both(&job.told) && job.disconnections() < 20 * CUTS) {
        job.push(fastrand::u64(1..3000));
        // A moment of the exchange: before it is open, while requests are sent, while they are
        // acknowledged.
        let moment = async {
            for _ in 0..fastrand::u32(0..4) {
                job.next().await;
            }
        };
        timeout(Duration::from_micros(fastrand::u64(0..5000)), moment).await.ok();
        doors.iter().for_each(Door::cut);
    }
    let count = job.pushed;
    let told = job.finish().await;
    assert!(at_both(&told), "it went on elsewhere");
    has_each_once(&redis.store(), count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_whose_replies_are_lost_or_late_are_made_once() {
    let redis = TestRedis::with_port(&[]).await;
    let proxy = Proxy::to(redis.port()).await;
    let connect = ConnectOptions {
        response_timeout_ms: RESPONSE_TIMEOUT_MS,
        connect_timeout_ms: 1000,
        ..ConnectOptions::new(proxy.url())
    };
    let store = Store::new(store::Options { connect, ..store::Options::new(proxy.url()) }).unwrap();
    let relays = [TestRelay::over(store, |_, _| ()).await, TestRelay::start(&redis).await];
    let doors = [Door::before(&relays[0].url).await, Door::before(&relays[1].url).await];
    proxy.judge(some_appends(fastrand::u64(..), 0.3, &[LATE, Fate::CutBefore, Fate::CutAfter]));
    let mut job = Job::new(Publisher::new(options(&[&doors[0].url, &doors[1].url])).unwrap());
    while proxy.faults() < 30 {
        job.push(fastrand::u64(1..300));
        job.flush().await;
        // What is under way for the one relay may arrive when the other one has gone on.
        if fastrand::u32(0..3) == 0 {
            job.push(fastrand::u64(1..300));
            timeout(Duration::from_micros(fastrand::u64(0..3000)), job.flush()).await.ok();
            doors.iter().for_each(Door::cut);
        }
    }
    proxy.pass();
    let count = job.pushed;
    job.finish().await;
    has_each_once(&redis.store(), count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_holds_a_bounded_part_of_what_is_sent_while_redis_is_away_and_goes_on_by_itself() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |options, _| {
        (options.publish.buffer_bytes, options.publish.batch_bytes) = (4 << 20, 64 << 10);
    })
    .await;
    let mut jobs = Vec::new();
    for index in 0..4 {
        jobs.push(Producer::open(&relay, first(&format!("job-{index}"), 1)).await.unwrap());
    }
    redis.freeze();
    let mut sent = Vec::new();
    for job in &jobs {
        let mut count = 0;
        // Nothing moves any more: that is what is to be shown, so there is no event to wait for.
        while timeout(Duration::from_millis(500), job.requests.send(block(count))).await.is_ok() {
            count += 1;
        }
        assert!((1..12).contains(&count), "{count} MiB of one stream");
        sent.push(count);
    }
    redis.thaw();
    for (job, count) in jobs.iter_mut().zip(sent) {
        job.until(count).await;
        job.send(block(count)).await;
        job.until(count + 1).await;
    }
}

#[tokio::test]
async fn a_stream_that_has_to_wait_lets_the_other_calls_of_its_connection_through() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |options, _| options.redis_wait_ms = 300).await;
    let mut client = relay.client().await;
    let mut stopped = Producer::over(&mut client, first("job", 1)).await.unwrap();
    redis.freeze();
    let mut number = 0;
    // Nothing moves any more: there is no event to wait for.
    while timeout(Duration::from_millis(500), stopped.requests.send(block(number))).await.is_ok() {
        number += 1;
    }
    let Err(status) = Producer::over(&mut client, first("else", 1)).await else { panic!("it was admitted") };
    assert_eq!(reason(&status).1, "REDIS_UNAVAILABLE");
    redis.thaw();
    stopped.until(number).await;
}

/// A line of a megabyte.
fn block(number: u64) -> PublishRequest {
    let content = vec![b'x'; 1 << 20].into();
    let lines = vec![Line { content, ..Line::default() }];
    PublishRequest { sequence: number, lines, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_wait_for_a_redis_that_is_killed_or_full_and_come_once() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut job = Job::new(publisher(&[&relay]));
    for _ in 0..4 {
        job.push(2000);
        timeout(Duration::from_micros(fastrand::u64(0..3000)), job.flush()).await.ok();
        redis.kill().await;
        job.push(2000);
        job.until(|event| *event == PublishEvent::Redis { is_ok: false } || is_disconnected(event)).await;
        redis.start_again().await;
        job.flush().await;
    }
    redis.control().await.run::<()>("CONFIG SET maxmemory 1").await;
    job.push(10);
    job.until(|event| *event == PublishEvent::Redis { is_ok: false }).await;
    redis.control().await.run::<()>("CONFIG SET maxmemory 0").await;
    let count = job.pushed;
    job.finish().await;
    has_each_once(&redis.store(), count).await;
}

#[tokio::test]
async fn a_call_waits_for_redis_no_longer_than_it_may_and_is_told_when_to_come_again() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |options, _| options.redis_wait_ms = 300).await;
    redis.kill().await;
    let Err(status) = Producer::open(&relay, first("job", 1)).await else { panic!("it was admitted") };
    assert_eq!(reason(&status), (Code::Unavailable, "REDIS_UNAVAILABLE".to_owned()));
    assert!(status.get_details_retry_info().is_some());
    let mut job = Job::new(publisher(&[&relay]));
    job.push(10);
    job.until(is_disconnected).await;
    redis.start_again().await;
    job.finish().await;
    has_each_once(&redis.store(), 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_stops_acknowledges_what_it_has_and_sends_the_rest_elsewhere() {
    let redis = TestRedis::start().await;
    let mut relays = vec![TestRelay::start(&redis).await, TestRelay::start(&redis).await];
    let jobs: Topic = "jobs".parse().unwrap();
    let elsewhere = PublishOptions { topic: jobs.clone(), ..options(&[&relays[0].url, &relays[1].url]) };
    let mut job = Job::new(Publisher::new(elsewhere).unwrap());
    job.push(5000);
    let is_of = |relay: &TestRelay, event: &PublishEvent| matches!(event, PublishEvent::Opened { relay: at, .. } if *at == relay.url.parse().unwrap());
    job.until(is_opened).await;
    // The order in which it asks relays is one of chance.
    let opened = job.told.iter().find(|event| is_opened(event)).unwrap();
    let at = relays.iter().position(|relay| is_of(relay, opened)).unwrap();
    let mut raw = Producer::open(&relays[at], first("raw", 1)).await.unwrap();
    raw.send(lines(0..1000)).await;
    let stopped = relays.remove(at).begin_stop();
    let status = loop {
        match raw.next().await {
            Ok(response) => assert!(response.is_some(), "the stream ended with OK"),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&status), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
    assert!(status.get_details_retry_info().is_some());
    // Whatever it had read is acknowledged: another relay knows no more.
    let again = Producer::open(&relays[0], first("raw", 1)).await.unwrap();
    assert_eq!(again.next_sequence, raw.next_sequence);
    job.push(5000);
    job.until(is_opened).await;
    assert_eq!(job.finish().await.iter().filter(|event| is_opened(event)).count(), 2);
    stopped.await.unwrap().unwrap();
    assert_eq!(redis.store().resolve(&jobs).await.unwrap().unwrap().timeline.next().get(), 10_000);
}

#[tokio::test]
async fn a_second_publisher_of_a_name_waits_for_a_while_and_is_then_refused_by_name() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::with(&redis, |options, _| options.publish.lease_ms = 500).await;
    let mut one = publisher(&[&relay]);
    one.send(line(0)).await.unwrap();
    one.flush().await.unwrap();
    // One whose program was killed: its name is free a lease later.
    drop(one);
    let mut two = publisher(&[&relay]);
    two.send(line(0)).await.unwrap();
    two.flush().await.unwrap();
    let third = Publisher::new(PublishOptions { taken_wait_ms: 1000, ..options(&[&relay.url]) });
    // Both are awaited: the second keeps its name by a stream that lives.
    match third.unwrap().open().await {
        Err(Error::Refused { reason, message, .. }) => {
            assert!(reason == "PRODUCER_TAKEN" && message.contains("job"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    two.finish().await.unwrap();
    publisher(&[&relay]).open().await.unwrap();
}
