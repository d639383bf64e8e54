//! `logrelay publish`, as a user runs it.

use std::{process::Stdio, time::Duration};

use logrelay::{
    record::{Offset, Topic},
    store::{Item, Store},
};
use rustix::process::Signal;
use tokio::{io::AsyncWriteExt as _, task::JoinSet, time::sleep};

use crate::{
    numbered::line,
    process::{Process, command},
    relay::Relay,
    suite::support::{TestRedis, eventually, free_port},
};

const LINES: u64 = 100_000;

/// `logrelay publish` with a pipe to its standard input.
fn publish(words: &str) -> Process {
    let words = format!("publish {words}");
    let mut command = command(&words);
    command.stdin(Stdio::piped());
    Process::spawn(&words, command)
}

/// The content of every line of a topic, in order.
async fn contents(store: &Store, topic: &str) -> Vec<String> {
    let (topic, mut at): (Topic, _) = (topic.parse().unwrap(), Offset::ZERO);
    let mut found = Vec::new();
    loop {
        let page = store.page(&topic, at, 4 << 20).await.unwrap();
        let Some(Item::Entry(last)) = page.last() else { return found };
        at = last.next();
        for item in page {
            let Item::Entry(entry) = item else { panic!("{item:?}") };
            let lines = (0..entry.batch.lines()).map(|index| entry.batch.line(index).unwrap().content);
            found.extend(lines.map(|content| String::from_utf8(content.to_vec()).unwrap()));
        }
    }
}

async fn are_numbered(store: &Store, topic: &str, count: u64) {
    let found = contents(store, topic).await;
    let wrong = found.iter().zip(0..).find(|(found, number)| **found != line(*number));
    assert_eq!((wrong, found.len() as u64), (None, count));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_piped_into_it_arrives_whole() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    let mut publisher = publish(&format!("app --label env=test --relay {}", relay.url));
    let mut stdin = publisher.stdin();
    let text: String = (0..LINES).map(|number| line(number) + "\n").collect();
    stdin.write_all(text.trim_end().as_bytes()).await.unwrap();
    drop(stdin);
    let ended = publisher.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    are_numbered(&redis.store(), "app", LINES).await;
    let mut silent = publish(&format!("app --relay {}", relay.url));
    drop(silent.stdin());
    assert_eq!(silent.ended().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_are_killed_under_it_cost_no_line_and_repeat_none() {
    let redis = TestRedis::start().await;
    let ports = [free_port(), free_port()];
    let listen = ports.map(|port| format!("--listen 127.0.0.1:{port}"));
    let mut relays = [Relay::with(&redis, &listen[0]).await, Relay::with(&redis, &listen[1]).await];
    let mut publisher = publish(&format!("app --relay {} --relay {}", relays[0].url, relays[1].url));
    let mut stdin = publisher.stdin();
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        for block in 0..LINES / 100 {
            let text: String = (block * 100..(block + 1) * 100).map(|number| line(number) + "\n").collect();
            stdin.write_all(text.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(3)).await;
        }
    });
    for _ in 0..6 {
        let mut used = 0;
        eventually("it publishes through one of them", async || {
            for (at, relay) in relays.iter().enumerate() {
                if relay.metric("logrelay_serve_publish_lines_total").await > 0 {
                    used = at;
                    return true;
                }
            }
            false
        })
        .await;
        relays[used].process.kill().await;
        relays[used] = Relay::with(&redis, &listen[used]).await;
    }
    writing.join_next().await.unwrap().unwrap();
    let ended = publisher.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    are_numbered(&redis.store(), "app", LINES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_relay_that_is_not_there_and_says_so() {
    let redis = TestRedis::start().await;
    let port = free_port();
    let mut publisher = publish(&format!("app --relay http://127.0.0.1:{port}"));
    publisher.stdin().write_all(b"a\nb\n").await.unwrap();
    publisher.until_it_says("no relay takes lines").await;
    let _relay = Relay::with(&redis, &format!("--listen 127.0.0.1:{port}")).await;
    let ended = publisher.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(contents(&redis.store(), "app").await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_confirms_what_was_read_and_says_how_much_could_not_be() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    let mut publisher = publish(&format!("app --relay {}", relay.url));
    let mut stdin = publisher.stdin();
    stdin.write_all(b"a\nb\nc").await.unwrap();
    publisher.until_it_says("publishing").await;
    eventually("it has read", async || contents(&redis.store(), "app").await.len() == 2).await;
    publisher.signal(Signal::TERM);
    let ended = publisher.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(contents(&redis.store(), "app").await, ["a", "b", "c"]);

    let words = format!("app --shutdown-timeout-ms 1000 --relay {}", relay.url);
    let mut publisher = publish(&words);
    let mut stdin = publisher.stdin();
    publisher.until_it_says("publishing").await;
    redis.freeze();
    stdin.write_all(b"a\nb\n").await.unwrap();
    publisher.until_it_says("redis takes no lines").await;
    publisher.signal(Signal::TERM);
    let ended = publisher.ended().await;
    redis.thaw();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("lines that were read and are not confirmed: 2"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_program_has_is_refused_and_free_again_when_that_has_ended() {
    let redis = TestRedis::start().await;
    let relay = Relay::with(&redis, "--listen 127.0.0.1:0 --producer-lease-ms 1000").await;
    let words = format!("app --producer job --relay {}", relay.url);
    let mut one = publish(&words);
    let mut stdin = one.stdin();
    one.until_it_says("publishing").await;
    let mut two = publish(&format!("{words} --max-failures 3"));
    two.stdin().write_all(b"x\n").await.unwrap();
    let ended = two.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the producer job of app"), "{}", ended.stderr);
    assert!(ended.stderr.contains("lines that were read and are not confirmed: 1"), "{}", ended.stderr);
    stdin.write_all(b"a\n").await.unwrap();
    drop(stdin);
    assert_eq!(one.ended().await.code, Some(0));
    let mut three = publish(&words);
    three.stdin().write_all(b"b\n").await.unwrap();
    assert_eq!(three.ended().await.code, Some(0));
    assert_eq!(contents(&redis.store(), "app").await, ["a", "b"]);
}
