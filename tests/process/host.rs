//! A tailer on a host as hosts are: with a low limit of open files, and files and a Redis
//! that come later.

use std::{fs, path::Path, process::Stdio};

use tokio::process::Command;

use crate::{
    process::Process,
    suite::support::{TestRedis, eventually, relay::serves},
};

/// Runs `logrelay` under a limit of the shell, such as `-Hn 128`.
fn limited(limit: &str, words: &str) -> Process {
    let mut shell = Command::new("sh");
    let line = format!("ulimit {limit} && exec {} {words}", env!("CARGO_BIN_EXE_logrelay"));
    shell.arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::null());
    Process::spawn(words, shell)
}

fn write_files(folder: &Path, count: usize) {
    for number in 0..count {
        fs::write(folder.join(format!("{number}.log")), "one\n").unwrap();
    }
}

async fn until_lines(redis: &TestRedis, count: u64) {
    let (store, topic) = (redis.store(), "app".parse().unwrap());
    eventually("the lines are there", async || {
        let found = store.resolve(&topic).await.unwrap();
        found.is_some_and(|found| found.timeline.next().get() >= count)
    })
    .await;
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), 200);
    let words =
        format!("tail --redis {} --host h --topic app {}/*.log", redis.url(), folder.path().display());
    let tailer = limited("-Sn 64", &words);
    until_lines(&redis, 200).await;
    let said = tailer.stderr();
    assert!(!said.contains("os error 24"), "{said}");
}

#[tokio::test]
async fn max_open_files_is_brought_down_to_what_fits_and_that_is_said() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), 20);
    let at = folder.path().display();
    let mut tailer =
        limited("-n 128", &format!("tail --redis {} --host h --topic app {at}/*.log", redis.url()));
    let said = tailer.until_it_says("max_open_files does not fit").await;
    assert!(said.contains("limit=128") && said.contains("wanted=4096") && said.contains("fits=64"), "{said}");
    until_lines(&redis, 20).await;
    let mut relay = limited("-n 128", &format!("serve --redis {} --listen 127.0.0.1:0", redis.url()));
    relay.until_it_says("max_connections does not fit").await;
    relay.until_it_says("serving=true").await;
}

#[tokio::test]
async fn files_take_turns_also_under_a_limit_that_leaves_hardly_any_open() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    write_files(folder.path(), 100);
    let tailer = limited("-n 40", &format!("tail --redis {} --host h --topic app {at}/*.log", redis.url()));
    until_lines(&redis, 100).await;
    for number in 0..100 {
        fs::write(folder.path().join(format!("{number}.log")), "one\ntwo\n").unwrap();
    }
    until_lines(&redis, 200).await;
    let said = tailer.stderr();
    assert!(!said.contains("os error 24"), "{said}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_said_and_waited_for() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let late = folder.path().join("late.log");
    let words = format!("tail --redis {} --host h --topic app {}", redis.url(), late.display());
    let mut tailer = Process::start(&words);
    let said = tailer.until_it_says("there is no such file: waiting for it").await;
    assert!(said.contains("late.log"), "{said}");
    fs::write(&late, "one\n").unwrap();
    until_lines(&redis, 1).await;
}

/// Longer than any test waits: what is said is not said because of it.
const FOR_EVER: &str = "--redis-connect-timeout-ms 3600000";

#[tokio::test]
async fn a_tailer_says_at_once_that_it_waits_for_redis_and_begins_when_it_comes() {
    let mut redis = TestRedis::start().await;
    let (url, folder) = (redis.url(), tempfile::tempdir().unwrap());
    write_files(folder.path(), 1);
    redis.stop().await;
    let at = folder.path().display();
    let mut tailer =
        Process::start(&format!("tail --redis {url} --host h --topic app {at}/*.log {FOR_EVER}"));
    tailer.until_it_says("redis does not answer yet: waiting for it").await;
    redis.start_again().await;
    until_lines(&redis, 1).await;
    assert_eq!(tailer.stderr().matches("does not answer yet").count(), 1);
}

#[tokio::test]
async fn a_relay_answers_that_it_does_not_serve_while_redis_is_away_at_its_start() {
    let mut redis = TestRedis::start().await;
    let url = redis.url();
    redis.stop().await;
    let mut process = Process::start(&format!("serve --redis {url} --listen 127.0.0.1:0 {FOR_EVER}"));
    let listens = process.until_it_says("serving listen=").await;
    let relay = format!("http://{}", listens.split_whitespace().next().unwrap());
    process.until_it_says("redis does not answer yet: waiting for it").await;
    assert!(!serves(&relay).await);
    redis.start_again().await;
    eventually("it serves", async || serves(&relay).await).await;
}
