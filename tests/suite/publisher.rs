//! Publishers under whatever happens to connections, relays and Redis: each line once, and
//! what is lost is said.

use std::{path::Path, time::Duration};

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
    publishing::{Producer, first, has_each_once, line, lines, stored},
    spine::Reader,
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
/// Longest that anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn app() -> Topic {
    "app".parse().unwrap()
}

fn options(urls: &[&str]) -> PublishOptions {
    let relays = urls.iter().map(|url| url.parse().unwrap()).collect();
    let options = PublishOptions::new(relays, app(), "job".parse().unwrap());
    PublishOptions { retry_first_ms: 1, retry_max_ms: 100, ..options }
}

fn publisher(relays: &[&TestRelay]) -> Publisher {
    let urls: Vec<_> = relays.iter().map(|relay| relay.url.as_str()).collect();
    Publisher::new(options(&urls)).unwrap()
}

/// A publisher of numbered lines, and what it was told.
struct Job {
    publisher: Publisher,
    pushed: u64,
    told: Vec<PublishEvent>,
}

impl Job {
    fn new(publisher: Publisher) -> Self {
        Self { publisher, pushed: 0, told: Vec::new() }
    }

    fn push(&mut self, count: u64) {
        (self.pushed..self.pushed + count).for_each(|number| self.publisher.push(line(number)));
        self.pushed += count;
    }

    async fn next(&mut self) -> Option<PublishEvent> {
        let event = timeout(PATIENCE, self.publisher.next()).await.expect("nothing happened").unwrap();
        self.told.extend(event.clone());
        event
    }

    async fn until(&mut self, what: impl Fn(&PublishEvent) -> bool) {
        while !what(&self.next().await.expect("it ended")) {}
    }

    async fn flush(&mut self) {
        while self.publisher.unconfirmed_lines() > 0 {
            self.next().await;
        }
    }

    async fn finish(mut self) -> Vec<PublishEvent> {
        self.publisher.end();
        while self.next().await.is_some() {}
        assert_eq!(self.publisher.unconfirmed_lines(), 0);
        self.told
    }

    fn disconnections(&self) -> u32 {
        u32::try_from(self.told.iter().filter(|event| is_disconnected(event)).count()).unwrap()
    }
}

fn is_opened(event: &PublishEvent) -> bool {
    matches!(event, PublishEvent::Opened { .. })
}

fn is_disconnected(event: &PublishEvent) -> bool {
    matches!(event, PublishEvent::Disconnected { .. })
}

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
    while job.disconnections() < CUTS {
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
    let to = |door: &Door| {
        let relay = door.url.parse().unwrap();
        told.iter()
            .filter(|event| matches!(event, PublishEvent::Opened { relay: at, .. } if *at == relay))
            .count()
    };
    assert!(to(&doors[0]) > 5 && to(&doors[1]) > 5, "it went on elsewhere");
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
    let mut raw = Producer::open(&relays[0], first("raw", 1)).await.unwrap();
    raw.send(lines(0..1000)).await;
    let jobs: Topic = "jobs".parse().unwrap();
    let elsewhere = PublishOptions { topic: jobs.clone(), ..options(&[&relays[0].url, &relays[1].url]) };
    let mut job = Job::new(Publisher::new(elsewhere).unwrap());
    job.push(5000);
    job.until(is_opened).await;
    let stopped = relays.remove(0).begin_stop();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_a_failover_forgot_are_sent_again_by_a_program_that_has_them() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let reader = Reader::start(&relay, &app());
    let mut producer =
        Producer::open(&relay, PublishRequest { resume: true, ..first("job", 1) }).await.unwrap();
    producer.publish(0..10).await;
    let copy = redis.copy();
    producer.publish(10..20).await;
    reader.until(20).await;
    redis.replace_with(&copy).await;
    // It is quiet, and told all the same.
    assert_eq!(reason(&producer.status().await), (Code::Aborted, "PRODUCER_MOVED".to_owned()));
    let again = PublishRequest { resume: true, ..first("job", 1) };
    let mut producer = Producer::open(&relay, again).await.unwrap();
    assert_eq!(producer.next_sequence, 10);
    producer.publish(10..25).await;
    reader.until(25).await;
    reader.has_each_once(&[(Path::new(""), 25)]);
    reader.was_only_rewound();
    has_each_once(&redis.store(), 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_a_failover_forgot_and_nobody_has_are_said_and_their_numbers_left_out() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let reader = Reader::start(&relay, &app());
    let mut job = Job::new(publisher(&[&relay]));
    job.push(10);
    job.flush().await;
    let copy = redis.copy();
    job.push(10);
    job.flush().await;
    reader.until(20).await;
    redis.replace_with(&copy).await;
    job.push(10);
    job.flush().await;
    let lost = PublishEvent::Lost { lines: 10..20, is_new_source: false };
    assert!(job.told.contains(&lost), "{:?}", job.told);
    assert_eq!(job.publisher.lost_lines(), 10);
    let numbers: Vec<_> = stored(&redis.store()).await.into_iter().map(|(_, number, _)| number).collect();
    assert!(numbers.into_iter().eq((0..10).chain(20..30)));
    // A reader that had them has all.
    reader.until(30).await;
    reader.has_each_once(&[(Path::new(""), 30)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_redis_begins_a_new_source_with_what_was_not_confirmed() {
    let redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let mut job = Job::new(publisher(&[&relay]));
    job.push(10);
    job.flush().await;
    redis.control().await.run::<()>("FLUSHALL").await;
    job.push(10);
    job.flush().await;
    let lost = PublishEvent::Lost { lines: 0..10, is_new_source: true };
    assert!(job.told.contains(&lost), "{:?}", job.told);
    let found = stored(&redis.store()).await;
    assert!(found.iter().map(|(_, number, _)| *number).eq(10..20), "{found:?}");
}

#[tokio::test]
async fn a_program_that_numbers_its_lines_is_told_when_it_has_to_go_back() {
    let mut redis = TestRedis::start().await;
    let relay = TestRelay::start(&redis).await;
    let resuming = PublishOptions { resume: true, ..options(&[&relay.url]) };
    let mut one = Publisher::new(resuming.clone()).unwrap();
    assert_eq!(one.open().await.unwrap(), 0);
    for number in 0..10 {
        one.send(line(number)).await.unwrap();
    }
    one.finish().await.unwrap();
    let copy = redis.copy();
    let mut two = Publisher::new(resuming.clone()).unwrap();
    assert_eq!(two.open().await.unwrap(), 10);
    two.send(line(10)).await.unwrap();
    two.flush().await.unwrap();
    redis.replace_with(&copy).await;
    two.push(line(11));
    let Err(Error::OutOfStep { next_sequence: 10, lines }) = two.flush().await else { panic!("it went on") };
    assert_eq!(lines, 11..12);
    let mut three = Publisher::new(resuming).unwrap();
    assert_eq!(three.open().await.unwrap(), 10);
    three.send(line(10)).await.unwrap();
    three.send(line(11)).await.unwrap();
    three.finish().await.unwrap();
    has_each_once(&redis.store(), 12).await;
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
