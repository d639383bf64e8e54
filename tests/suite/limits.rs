//! How fast files are read: beside others that have no limit, over restarts and kills, and
//! with nothing lost. Rates over time are in the unit tests of the limiter.

use std::{num::NonZeroU32, time::Duration};

use logrelay::{
    record::Topic,
    tail::{Input, Limits, TopicRule, discover::Patterns},
};
use tokio::time::{Instant, sleep};

use crate::{
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines},
};

fn limits(lines: u32, bytes: u32) -> Limits {
    Limits { lines_per_second: NonZeroU32::new(lines), bytes_per_second: NonZeroU32::new(bytes) }
}

/// A tailer of `*.log` under these limits, and of `*.free` to the topic `free` without any.
fn tailing(redis: &TestRedis, limits: Limits) -> Tailing {
    let tailing = Tailing::prepare(redis, "*.log", |mut options| {
        options.inputs[0].limits = limits;
        options
    });
    let free_files = tailing.path("*.free").display().to_string();
    let others = Input::new(Patterns::parse(&[free_files]).unwrap(), TopicRule::Fixed(free()));
    tailing.with(|mut options| {
        options.inputs.push(others);
        options
    })
}

fn free() -> Topic {
    "free".parse().unwrap()
}

async fn count(redis: &TestRedis, topic: &Topic) -> u64 {
    let found = redis.store().resolve(topic).await.unwrap();
    found.map_or(0, |found| found.timeline.next().get())
}

/// How many lines may have come by now under a limit of so many a second: the burst, the
/// line that is paid for afterwards, and the rest.
fn most(per_second: u64, began: Instant) -> u64 {
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap() + 1;
    per_second + 1 + (elapsed_ms * per_second).div_ceil(1000)
}

#[tokio::test]
async fn a_limited_input_waits_while_another_is_read_as_fast_as_it_goes() {
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, limits(10, 0));
    append(&limited.path("a.log"), &lines(0, 10_000));
    let began = Instant::now();
    limited.resume();
    limited.until_lines(10).await;
    append(&limited.path("b.free"), &lines(0, 100_000));
    eventually("the other input is read", async || count(&redis, &free()).await == 100_000).await;
    let next = count(&redis, limited.topic()).await;
    assert!(next <= most(10, began), "{next} lines after {:?}", began.elapsed());
}

#[tokio::test]
async fn lines_come_one_by_one_at_their_rate_also_out_of_one_small_block() {
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, limits(20, 0));
    append(&limited.path("a.log"), "x\n".repeat(100).as_str());
    limited.resume();
    let began = Instant::now();
    limited.until_lines(60).await;
    // A burst of one second, and two more.
    assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
    let sizes: Vec<_> = limited.entries().await.iter().map(|entry| entry.batch.lines()).collect();
    assert!(sizes[1..].iter().all(|&lines| lines <= 20), "{sizes:?}");
}

#[tokio::test]
async fn the_files_of_an_input_share_its_limit_fairly() {
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, limits(100, 0));
    for name in ["a.log", "b.log", "c.log"] {
        append(&limited.path(name), &lines(0, 10_000));
    }
    limited.resume();
    limited.until_lines(400).await;
    let records = redis.store().records(limited.topic(), &"host".parse().unwrap()).await.unwrap();
    let next: Vec<_> = records.iter().map(|(_, record)| record.details.next_line).collect();
    // The first to come may have had the burst: the other 300 are shared.
    assert!(next.len() == 3 && next.iter().all(|&next| next >= 90), "{next:?}");
}

#[tokio::test]
async fn bytes_are_limited_and_a_line_larger_than_the_limit_passes() {
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, limits(0, 1000));
    let began = Instant::now();
    append(&limited.path("a.log"), &format!("{}\nsecond\nthird\n", "x".repeat(3000)));
    limited.resume();
    limited.until_lines(1).await;
    append(&limited.path("b.free"), &lines(0, 1000));
    eventually("the other input is read", async || count(&redis, &free()).await == 1000).await;
    limited.until_lines(3).await;
    assert!(began.elapsed() > Duration::from_millis(1500), "it was not paid off");
    let contents = limited.contents().await;
    assert_eq!((contents[0].len(), &contents[1..]), (3000, &["second".to_owned(), "third".to_owned()][..]));
}

#[tokio::test]
async fn all_inputs_together_keep_their_limit() {
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, Limits::default()).with(|mut options| {
        options.limits = limits(50, 0);
        options
    });
    append(&limited.path("a.log"), &lines(0, 5000));
    append(&limited.path("b.free"), &lines(0, 5000));
    let began = Instant::now();
    limited.resume();
    let both = async || [count(&redis, limited.topic()).await, count(&redis, &free()).await];
    eventually("both have some", async || both().await.iter().all(|&lines| lines >= 40)).await;
    let lines: u64 = both().await.iter().sum();
    assert!(lines <= most(50, began), "{lines} lines after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_limited_backlog_is_read_once_over_stops_and_kills() {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, limits(300, 0));
    append(&limited.path("a.log"), &lines(0, 1500));
    for round in 0..4 {
        limited.resume();
        sleep(Duration::from_millis(random.u64(50..300))).await;
        if round % 2 == 0 { limited.stop().await } else { limited.kill().await }
    }
    limited.resume();
    limited.until_lines(1500).await;
    limited.assert_numbered(1500).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_limit_and_leaves_what_was_not_taken_to_the_next_run() {
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, limits(0, 1));
    append(&limited.path("a.log"), &lines(0, 50));
    limited.resume();
    limited.until_lines(1).await;
    // It has minutes to wait.
    limited.stop().await;
    assert!(count(&redis, limited.topic()).await < 10);
    let mut limited = limited.with(|mut options| {
        options.inputs[0].limits = Limits::default();
        options
    });
    limited.resume();
    limited.until_lines(50).await;
    limited.assert_numbered(50).await;
}

#[tokio::test]
async fn what_was_read_of_a_file_that_is_gone_is_appended_at_a_stop() {
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, limits(0, 1));
    append(&limited.path("a.log"), &lines(0, 50));
    limited.resume();
    limited.until_lines(1).await;
    std::fs::remove_file(limited.path("a.log")).unwrap();
    append(&limited.path("b.free"), "one\n");
    // By then it has been looked at: the file is known to be gone.
    eventually("the new file is read", async || count(&redis, &free()).await == 1).await;
    limited.stop().await;
    limited.assert_numbered(50).await;
}

#[tokio::test]
async fn a_limit_that_is_changed_reaches_a_source_that_waits() {
    let redis = TestRedis::start().await;
    let mut limited = tailing(&redis, limits(0, 1));
    append(&limited.path("a.log"), &lines(0, 50));
    limited.resume();
    limited.until_lines(1).await;
    let topic = limited.topic().clone();
    limited.replace(vec![limited.input("*.log", &topic)]);
    limited.until_lines(50).await;
    limited.assert_numbered(50).await;
}
