//! Where sources stand, as a user asks: `tail --status` and `topics show`.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    dev::run,
    process::Process,
    relay::Relay,
    suite::support::{TestRedis, eventually},
};

async fn objects(words: &str) -> Vec<Value> {
    let output = run(words).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Follows `a.log` and `b.log` of a folder, until each of them is read.
async fn tailer(redis: &TestRedis, folder: &Path) -> Process {
    fs::write(folder.join("a.log"), "one\ntwo\n").unwrap();
    fs::write(folder.join("b.log"), "three\nunfinished").unwrap();
    let (url, at) = (redis.url(), folder.display());
    let tailer = Process::start(&format!("tail --redis {url} --host web --topic app {at}/*.log"));
    let (store, topic) = (redis.store(), "app".parse().unwrap());
    eventually("both files are read, and the topic is announced", async || {
        let found = store.resolve(&topic).await.unwrap();
        let are_read = found.is_some_and(|found| found.timeline.next().get() == 3);
        are_read && store.topics().await.unwrap().contains(&topic)
    })
    .await;
    tailer
}

#[tokio::test]
async fn tail_status_says_where_each_source_stands_whether_or_not_the_tailer_runs() {
    let redis = TestRedis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let tailer = tailer(&redis, folder.path()).await;
    let status = format!("tail --status --redis {}", redis.url());
    let told = objects(&format!("{status} --host web --output json")).await;
    let path = |index: usize| told[index]["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!((told.len(), path(0), path(1)), (2, "a.log".to_owned(), "b.log".to_owned()));
    assert_eq!((&told[0]["position"], &told[0]["size"], &told[0]["lag"]), (&8.into(), &8.into(), &0.into()));
    assert_eq!(
        (&told[1]["position"], &told[1]["size"], &told[1]["lag"]),
        (&6.into(), &16.into(), &10.into())
    );
    assert_eq!((&told[1]["state"], &told[1]["topic"]), (&"active".into(), &"app".into()));
    assert!(told[1]["last_time"].as_str().unwrap().ends_with('Z'));

    tailer.signal(Signal::TERM);
    assert_eq!(tailer.ended().await.code, Some(0));
    let again = objects(&format!("{status} --host web --topic app --output json")).await;
    assert_eq!(again, told);
    let text = run(&format!("{status} --host web")).await;
    let text = String::from_utf8(text.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("TOPIC  HOST  PATH"), "{text}");
    let words: Vec<_> = lines[2].split_whitespace().collect();
    assert_eq!(words[3..7], ["6", "16", "10", "active"]);
}

#[tokio::test]
async fn labels_reach_a_reader_and_names_of_files_break_no_line_of_the_log() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"log":"one\n","stream":"stderr","time":"2026-11-20T10:11:12Z"}"#;
    fs::write(folder.path().join("a\n\u{1b}b.log"), format!("{line}\nno object\n")).unwrap();
    let (url, at) = (redis.url(), folder.path().display());
    let mut tailer = Process::start(&format!(
        "tail --redis {url} --host h --topic app --format docker --label env=prod --label stream=none {at}/*.log"
    ));
    let said = tailer.until_it_says("following path=").await;
    assert!(said.contains(r#"a\n\u{1b}b.log""#), "{said:?}");
    let (store, topic) = (redis.store(), "app".parse().unwrap());
    let next = async || store.resolve(&topic).await.unwrap().map(|found| found.timeline.next().get());
    eventually("both lines are there", async || next().await == Some(2)).await;
    let words = format!("subscribe app --relay {} --from earliest --no-follow --output json", relay.url);
    let labels: Vec<_> = objects(&words).await.into_iter().map(|mut line| line["labels"].take()).collect();
    let expected = [("prod", "stderr"), ("prod", "none")];
    assert_eq!(labels, expected.map(|(env, stream)| serde_json::json!({ "env": env, "stream": stream })));
}

#[tokio::test]
async fn tail_status_of_nothing_is_empty_and_what_cannot_be_told_is_an_error() {
    let mut redis = TestRedis::start().await;
    let status = format!("tail --status --host web --redis {} --redis-connect-timeout-ms 200", redis.url());
    assert_eq!(objects(&format!("{status} --output json")).await, [Value::Null; 0]);
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let absent = run(&format!("{status} --topic app")).await;
    assert!(absent.status.code() == Some(1) && said(&absent).contains("no topic app"), "{absent:?}");
    let misused = run(&format!("{status} /x.log")).await;
    assert!(misused.status.code() == Some(2) && said(&misused).contains("--status"), "{misused:?}");
    redis.kill().await;
    let away = run(&status).await;
    assert!(away.status.code() == Some(1) && said(&away).contains("redis"), "{away:?}");
}

#[tokio::test]
async fn topics_show_tells_the_sources_of_a_topic_through_a_relay() {
    let redis = TestRedis::start().await;
    let relay = Relay::with(&redis, "--listen 127.0.0.1:0").await;
    let folder = tempfile::tempdir().unwrap();
    let _tailer = tailer(&redis, folder.path()).await;
    let told = objects(&format!("topics show app --relay {} --output json", relay.url)).await;
    assert_eq!(told, objects(&format!("topics --relay {} --output json show app", relay.url)).await);
    let status = format!("tail --status --host web --redis {} --output json", redis.url());
    assert_eq!(told, objects(&status).await, "the relay and redis tell the same");
    let absent = run(&format!("topics show no --relay {}", relay.url)).await;
    let said = String::from_utf8_lossy(&absent.stderr);
    assert!(absent.status.code() == Some(1) && said.contains("TOPIC_NOT_FOUND"), "{said}");
}
