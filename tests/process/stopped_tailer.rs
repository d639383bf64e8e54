//! A tailer that is told to stop: what it has read is appended, also by a slow Redis, and a
//! second signal does not wait for that.

use std::{fs::File, io::Write as _, path::Path, process::Stdio, time::Duration};

use rustix::process::Signal;
use tokio::{io::AsyncWriteExt as _, process::ChildStdin, time::sleep};

use crate::{
    process::{Process, command},
    suite::support::{TestRedis, eventually},
};

fn append(log: &Path, text: &str) {
    File::options().append(true).create(true).open(log).unwrap().write_all(text.as_bytes()).unwrap();
}

/// How many lines the topic has.
async fn lines(redis: &TestRedis) -> u64 {
    let found = redis.store().resolve(&"app".parse().unwrap()).await.unwrap();
    found.map_or(0, |found| found.timeline.next().get())
}

/// Lets every write to Redis wait.
async fn slow_down(redis: &TestRedis) {
    redis.control().await.run::<String>("CLIENT PAUSE 3600000 WRITE").await;
}

/// Lets them go on after a while: the tailer is stopping by then.
async fn speed_up(redis: &TestRedis) {
    sleep(Duration::from_millis(500)).await;
    redis.control().await.run::<String>("CLIENT UNPAUSE").await;
}

/// More than any command has but for an append of [`long_line`].
const LONG_BYTES: u64 = 4_000;

/// A line that stays long when it is compressed, and is read at once: blocks have 16 KiB.
fn long_line() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(12_000).collect()
}

/// Waits until an append of [`long_line`] waits for Redis to write; others look whether Redis
/// still has their source, and wait too.
async fn until_an_append_waits(redis: &TestRedis) {
    let mut control = redis.control().await;
    eventually("an append waits", async || {
        let clients: String = control.run("CLIENT LIST").await;
        let field = |line: &str, key: &str| {
            line.split(' ').find_map(|pair| pair.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        let bytes = |line: &str| field(line, "argv-mem=").parse().unwrap_or(0_u64);
        clients.lines().any(|line| field(line, "flags=").contains('b') && bytes(line) > LONG_BYTES)
    })
    .await;
}

#[tokio::test]
async fn what_a_tailer_has_read_is_appended_by_a_slow_redis_before_it_ends() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    append(&log, "one\n");
    let tailer =
        Process::start(&format!("tail --redis {} --host h --topic app {}", redis.url(), log.display()));
    eventually("the first line is there", async || lines(&redis).await == 1).await;
    slow_down(&redis).await;
    append(&log, &format!("two\n{}\n", long_line()));
    until_an_append_waits(&redis).await;
    tailer.signal(Signal::TERM);
    speed_up(&redis).await;
    let ended = tailer.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lines(&redis).await, 3);
}

/// A tailer of standard input, and what goes there.
fn tailer_of_stdin(redis: &TestRedis) -> (Process, ChildStdin) {
    let words =
        format!("tail --redis {} --host h --topic app --redis-response-timeout-ms 3000 -", redis.url());
    let mut command = command(&words);
    command.stdin(Stdio::piped());
    let mut tailer = Process::spawn(&words, command);
    let stdin = tailer.stdin();
    (tailer, stdin)
}

#[tokio::test]
async fn what_was_read_of_standard_input_is_appended_by_a_slow_redis_before_it_ends() {
    let redis = TestRedis::start().await;
    let (tailer, mut stdin) = tailer_of_stdin(&redis);
    stdin.write_all(b"one\n").await.unwrap();
    eventually("the first line is there", async || lines(&redis).await == 1).await;
    slow_down(&redis).await;
    stdin.write_all(format!("two\n{}\nunfinished", long_line()).as_bytes()).await.unwrap();
    until_an_append_waits(&redis).await;
    tailer.signal(Signal::TERM);
    speed_up(&redis).await;
    // The pipe is still open.
    let ended = tailer.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lines(&redis).await, 4);
    drop(stdin);
}

#[tokio::test]
async fn lines_of_standard_input_that_a_stop_loses_are_said_to_be_lost() {
    let redis = TestRedis::start().await;
    let words = format!("tail --redis {} --host h --topic app --shutdown-timeout-ms 2000 -", redis.url());
    let mut command = command(&words);
    command.stdin(Stdio::piped());
    let mut tailer = Process::spawn(&words, command);
    let mut stdin = tailer.stdin();
    stdin.write_all(b"one\n").await.unwrap();
    eventually("the first line is there", async || lines(&redis).await == 1).await;
    redis.control().await.run::<String>("CLIENT PAUSE 3600000 WRITE").await;
    stdin.write_all(format!("{}\n", long_line()).as_bytes()).await.unwrap();
    until_an_append_waits(&redis).await;
    tailer.signal(Signal::TERM);
    let ended = tailer.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("has not confirmed is lost"), "{}", ended.stderr);
}

#[tokio::test]
async fn standard_input_that_ends_while_redis_is_away_is_appended_when_it_is_back() {
    let redis = TestRedis::start().await;
    let (mut tailer, mut stdin) = tailer_of_stdin(&redis);
    stdin.write_all(b"one\n").await.unwrap();
    eventually("the first line is there", async || lines(&redis).await == 1).await;
    redis.freeze();
    stdin.write_all("a line\n".repeat(20_000).as_bytes().first_chunk::<60_000>().unwrap()).await.unwrap();
    drop(stdin);
    tailer.until_it_says("redis is away").await;
    redis.thaw();
    let ended = tailer.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lines(&redis).await, 1 + 60_000_u64.div_ceil(7));
}

#[tokio::test]
async fn a_second_signal_stops_a_tailer_at_once() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("app.log");
    append(&log, "one\n");
    let words = format!(
        "tail --redis {} --host h --topic app --shutdown-timeout-ms 3600000 {}",
        redis.url(),
        log.display()
    );
    let tailer = Process::start(&words);
    eventually("the first line is there", async || lines(&redis).await == 1).await;
    redis.control().await.run::<String>("CLIENT PAUSE 3600000 WRITE").await;
    append(&log, &format!("{}\n", long_line()));
    until_an_append_waits(&redis).await;
    tailer.signal(Signal::TERM);
    tailer.signal(Signal::INT);
    let ended = tailer.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
}
