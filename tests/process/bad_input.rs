//! What is wrong is said with its place, by exit code too, and nothing is started halfway.

use std::{fs, os::unix::fs::symlink, path::Path};

use logrelay::record::Topic;
use tempfile::TempDir;

use crate::{
    numbered::line,
    process::{Ended, Process, command},
    relay::Relay,
    suite::support::{TestRedis, eventually, writer::Writer},
};

const FAILED: i32 = 1;
const MISUSED: i32 = 2;

/// That `logrelay` ends with this code and says all this.
async fn ends(words: &str, code: i32, says: &[&str]) {
    ended_well(words, &Process::start(words).ended().await, code, says);
}

fn ended_well(words: &str, ended: &Ended, code: i32, says: &[&str]) {
    let Ended { code: found, stderr } = ended;
    assert_eq!(*found, Some(code), "logrelay {words}: {stderr}");
    for &text in says {
        assert!(stderr.contains(text), "logrelay {words} does not say {text:?}: {stderr}");
    }
    // A cause is said once.
    for said in stderr.lines().filter(|line| line.contains("(os error")) {
        assert_eq!(said.matches("(os error").count(), 1, "{said}");
    }
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_and_nothing_is_left_behind() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    let taken = relay.url.strip_prefix("http://").unwrap();
    let (folder, url) = (TempDir::new().unwrap(), redis.url());
    let log = write(&folder, "app.log", "one\n");
    let data = folder.path().join("data").display().to_string();
    ends(&format!("serve --redis {url} --listen {taken}"), FAILED, &[taken, "in use", "--listen"]).await;
    let words = format!("tail --redis {url} --host h --topic app --metrics-listen {taken} {log}");
    ends(&words, FAILED, &[taken, "in use"]).await;
    assert_eq!(redis.control().await.run::<u64>("DBSIZE").await, 0);
    ends(&format!("dev --data-dir {data} --listen {taken} {log}"), FAILED, &[taken, "in use", "--listen"])
        .await;
    // Its Redis has gone with it: the next one has the folder.
    let mut dev = Process::start(&format!("dev --data-dir {data} --listen 127.0.0.1:0 {log}"));
    dev.until_it_says("serving listen=").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_redis_server_on_the_path_dev_says_how_to_get_one() {
    let folder = TempDir::new().unwrap();
    let log = write(&folder, "app.log", "one\n");
    let data = folder.path().join("data");
    let words = format!("dev --data-dir {} --listen 127.0.0.1:0 {log}", data.display());
    let mut command = command(&words);
    command.env("PATH", folder.path());
    let ended = Process::spawn(&words, command).ended().await;
    ended_well(&words, &ended, FAILED, &["no redis-server", "PATH", "install"]);
    assert!(!data.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_dev_on_a_data_folder_is_refused_and_the_first_goes_on() {
    let folder = TempDir::new().unwrap();
    let log = write(&folder, "app.log", "one\n");
    let data = folder.path().join("data").display().to_string();
    let words = format!("dev --data-dir {data} --listen 127.0.0.1:0 {log}");
    let mut first = Process::start(&words);
    let listen = first.until_it_says("serving listen=").await;
    ends(&words, FAILED, &[&data, "in use by process"]).await;
    let read = format!("subscribe app --from earliest --relay http://{listen} --output json");
    let mut reader = Process::start(&read);
    reader.until_it_says(r#""event":"caught_up""#).await;
    drop(reader);
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_every_part_and_is_never_shown() {
    let redis = TestRedis::with_port(&["--requirepass", "right-one"]).await;
    let at = redis.url().to_string();
    let at = at.strip_prefix("redis://").unwrap();
    let folder = TempDir::new().unwrap();
    let log = write(&folder, "app.log", "one\n");
    let file = write(&folder, "password", "hunter-2\n");
    let parts = ["serve --listen 127.0.0.1:0".to_owned(), format!("tail --host h --topic app {log}")];
    for part in parts {
        for words in [
            format!("{part} --redis redis://:hunter-2@{at}"),
            format!("{part} --redis redis://{at} --redis-password-file {file}"),
        ] {
            let ended = Process::start(&words).ended().await;
            ended_well(&words, &ended, FAILED, &["redis at 127.0.0.1", "WRONGPASS"]);
            assert!(!ended.stderr.contains("hunter-2"), "{}", ended.stderr);
        }
        ends(&format!("{part} --redis redis://{at}"), FAILED, &["redis at 127.0.0.1", "NOAUTH"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_cannot_be_followed_is_named() {
    let redis = TestRedis::start().await;
    let folder = TempDir::new().unwrap();
    let place = folder.path().display();
    let tail = format!("tail --redis {} --host h --topic app", redis.url());
    ends(&format!("{tail} {place}"), MISUSED, &[&place.to_string(), "directory"]).await;
    ends(&format!("{tail} {place}/[x"), MISUSED, &["/[x", "no glob"]).await;
    ends(&tail, MISUSED, &["--topic"]).await;
    ends("tail /some/where.log", MISUSED, &["--topic"]).await;
    ends(&format!("{tail} - /some/where.log"), MISUSED, &["standard input"]).await;
    ends("dev", MISUSED, &["paths"]).await;
    assert_eq!(redis.control().await.run::<u64>("DBSIZE").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_file_is_said_once_and_the_others_are_followed() {
    let redis = TestRedis::start().await;
    let folder = TempDir::new().unwrap();
    // Also root cannot open it.
    let unreadable = folder.path().join("loop.log");
    symlink(&unreadable, &unreadable).unwrap();
    write(&folder, "app.log", "one\n");
    let words = format!(
        "tail --redis {} --host h --topic app --poll-interval-ms 10 {}/*.log",
        redis.url(),
        folder.path().display()
    );
    let tailer = Process::start(&words);
    let (store, topic) = (redis.store(), "app".parse::<Topic>().unwrap());
    let lines = async |count: u64| {
        eventually("lines", async || {
            let found = store.resolve(&topic).await.unwrap();
            found.is_some_and(|found| found.timeline.next().get() == count)
        })
        .await;
    };
    lines(1).await;
    // One that appears later makes it look at all of them again.
    write(&folder, "new.log", "two\n");
    lines(2).await;
    let said = tailer.stderr();
    let told: Vec<_> = said.lines().filter(|line| line.contains("loop.log")).collect();
    assert!(told.len() == 1 && told[0].contains("symbolic links"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_in_a_configuration_is_said_with_line_and_column() {
    let folder = TempDir::new().unwrap();
    let broken = write(&folder, "broken.toml", "host = \"a\"\n[tail\n");
    let unknown = write(&folder, "unknown.toml", "[tail]\n  poll_intervall_ms = 5\n");
    let typed = write(&folder, "typed.toml", "[serve]\nwindow_bytes = \"8 MiB\"\n");
    let bound = write(&folder, "bound.toml", "[serve]\nwindow_bytes = 0\n");
    for command in ["check-config", "serve", "tail"] {
        let says = async |file: &str, says: &[&str]| {
            ends(&format!("{command} --config {file}"), MISUSED, says).await;
        };
        says(&unknown, &[&format!("{unknown}:2:3:"), "poll_interval_ms"]).await;
        says(&typed, &[&format!("{typed}:2:16:"), "window_bytes", "a whole number"]).await;
        says(&bound, &[&format!("{bound}:2:16:"), "window_bytes", "4096"]).await;
        says(&broken, &[&format!("{broken}:2:6:")]).await;
        says("/no/such.toml", &["/no/such.toml", "No such file"]).await;
    }
}

#[tokio::test]
async fn zero_and_huge_limits_are_refused_with_what_is_possible() {
    for (words, flag) in [
        ("tail --max-line-bytes 0", "--max-line-bytes"),
        ("tail --max-line-bytes 3145729", "--max-line-bytes"),
        ("tail --buffer-bytes 99999999999999999999", "--buffer-bytes"),
        ("tail --append-batch-lines 0", "--append-batch-lines"),
        ("serve --window-bytes 0", "--window-bytes"),
        ("serve --max-subscriptions 0", "--max-subscriptions"),
        ("serve --batch-bytes 4294967295", "--batch-bytes"),
        ("serve --redis-pool-size 0", "--redis-pool-size"),
        ("serve --listen nowhere", "--listen"),
        ("subscribe app --heartbeat-interval-ms 0", "--heartbeat-interval-ms"),
        ("subscribe app --max-failures 0", "--max-failures"),
        ("subscribe app --relay ftp://x", "--relay"),
        ("serve --redis http://x", "redis://"),
    ] {
        ends(words, MISUSED, &[flag]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_refuses_ends_a_subscriber_with_the_field_that_is_wrong() {
    let redis = TestRedis::start().await;
    let relay = Relay::with(&redis, "--listen 127.0.0.1:0 --ahead-wait-ms 50").await;
    Writer::new(&redis, "app").await.append(&[line(0)]).await;
    let found = redis.store().resolve(&"app".parse().unwrap()).await.unwrap().unwrap();
    let epoch = found.timeline.epochs()[0].0;
    let subscribe = format!("subscribe app --relay {}", relay.url);
    for (more, says) in [
        (format!("--from app@{epoch}:2"), "CURSOR_AHEAD"),
        ("--from app@ffffffffffffffff:0".to_owned(), "CURSOR_AHEAD"),
        ("--max-batch-bytes 4294967295".to_owned(), "max_batch_bytes"),
        ("--max-batch-lines 4294967295".to_owned(), "max_batch_lines"),
        ("--from web@0000000000000001:5".to_owned(), "web@0000000000000001:5"),
        ("--from app@12:5".to_owned(), "16 hex digits"),
        ("--from yesterday".to_owned(), "RFC 3339"),
    ] {
        ends(&format!("{subscribe} {more}"), MISUSED, &[says]).await;
    }
    ends("subscribe a/b", MISUSED, &["a/b", "topic"]).await;
    ends("subscribe app --relay http://127.0.0.1:1 --max-failures 1", FAILED, &["127.0.0.1:1", "refused"])
        .await;
    let old = format!("{subscribe} --from app@0000000000000001:1 --on-gap fail");
    ends(&old, FAILED, &["RESET"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_cursor_file_is_left_as_it_is() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    let folder = TempDir::new().unwrap();
    let notes = write(&folder, "notes", "my notes\n");
    let subscribe = |topic: &str, file: &str| {
        format!("subscribe {topic} --no-follow --from earliest --relay {} --cursor-file {file}", relay.url)
    };
    ends(&subscribe("app", &notes), FAILED, &[&notes, "not a cursor file"]).await;
    assert_eq!(fs::read_to_string(&notes).unwrap(), "my notes\n");
    let nowhere = "/no/such/cursors";
    ends(&subscribe("app", nowhere), FAILED, &[nowhere, "No such file"]).await;
    assert!(!Path::new("/no").exists());
    Writer::new(&redis, "app").await.append(&[line(0)]).await;
    let cursors = folder.path().join("cursors").display().to_string();
    ends(&subscribe("app", &cursors), 0, &[]).await;
    ends(&subscribe("web", &cursors), MISUSED, &[&cursors, "app"]).await;
}
