//! Published lines that Redis forgets: they are sent again where somebody has them, else
//! they are said to be lost, and readers miss none that they had not seen.

use std::path::Path;

use logrelay::{
    client::{Error, PublishEvent, PublishOptions, Publisher},
    proto::PublishRequest,
};
use tonic::Code;

use crate::{
    publishing::{Job, Producer, app, first, has_each_once, line, options, publisher, stored},
    spine::Reader,
    support::{
        TestRedis,
        relay::{TestRelay, reason},
    },
};

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
