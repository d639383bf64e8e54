//! A tailer on a host as hosts are: with a low limit of open files, and files and a Redis
//! that come later.

use std::{fs, path::Path, process::Stdio};

use tokio::process::Command;

use crate::{
    process::Process,
    suite::support::{TestRedis, eventually},
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
