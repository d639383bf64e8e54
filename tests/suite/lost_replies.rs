//! Appends whose replies are lost, late, or never come: each line once all the same.

use std::time::Duration;

use logrelay::store::ConnectOptions;

use crate::{
    proxy::{Fate, Proxy, each_nth_append, some_appends},
    support::TestRedis,
    tailing::{Tailing, append, lines},
};

/// How long a command may take here.
const RESPONSE_TIMEOUT_MS: u64 = 300;
/// Longer than that, so that its retry overtakes a command.
const LATE: Fate = Fate::Late(Duration::from_millis(RESPONSE_TIMEOUT_MS * 2));

const COUNT: usize = 30;

struct Lossy {
    _redis: TestRedis,
    proxy: Proxy,
    tailing: Tailing,
}

impl Lossy {
    async fn start(glob: &str) -> Self {
        let redis = TestRedis::with_port(&[]).await;
        let proxy = Proxy::to(redis.port()).await;
        let connect = ConnectOptions {
            response_timeout_ms: RESPONSE_TIMEOUT_MS,
            connect_timeout_ms: 1000,
            ..ConnectOptions::new(proxy.url())
        };
        let tailing = Tailing::prepare(&redis, glob, |options| options).over(connect);
        Self { _redis: redis, proxy, tailing }
    }

    /// Writes `count` lines in bursts, so that there are many appends.
    async fn write(&self, count: u64, burst: u64) {
        let log = self.tailing.path("app.log");
        for first in (0..count).step_by(usize::try_from(burst).unwrap()) {
            append(&log, &lines(first, burst));
            self.tailing.until_lines(first + burst / 2).await;
        }
    }
}

#[tokio::test]
async fn each_line_is_stored_once_when_replies_are_lost() {
    let mut lossy = Lossy::start("app.log").await;
    lossy.proxy.judge(some_appends(fastrand::u64(..), 0.4, &[Fate::CutAfter, Fate::CutBefore]));
    lossy.tailing.resume();
    lossy.write(51_000, 500).await;
    lossy.tailing.until_lines(51_000).await;
    assert!(lossy.proxy.faults() > 25, "only {} faults", lossy.proxy.faults());
    lossy.tailing.assert_numbered(51_000).await;
    assert_eq!(lossy.tailing.sources().await.len(), 1);
    assert_eq!(lossy.tailing.epochs().await, 1);
}

#[tokio::test]
async fn each_line_is_stored_once_when_every_other_reply_is_lost_and_the_tailer_is_killed() {
    let mut lossy = Lossy::start("app.log").await;
    lossy.proxy.judge(some_appends(fastrand::u64(..), 0.5, &[Fate::CutAfter]));
    for round in 0..20 {
        lossy.tailing.resume();
        append(&lossy.tailing.path("app.log"), &lines(round * 1000, 1000));
        lossy.tailing.until_lines(round * 1000 + 1).await;
        lossy.tailing.kill().await;
    }
    lossy.tailing.resume();
    lossy.tailing.until_lines(20_000).await;
    lossy.tailing.assert_numbered(20_000).await;
    assert_eq!(lossy.tailing.sources().await.len(), 1);
}

#[tokio::test]
async fn appends_that_arrive_after_their_own_retry_change_nothing() {
    let mut lossy = Lossy::start("app.log").await;
    lossy.proxy.judge(each_nth_append(8, LATE));
    lossy.tailing.resume();
    lossy.write(10_000, 200).await;
    lossy.tailing.until_lines(10_000).await;
    // The last late ones are still to come.
    lossy.proxy.pass();
    tokio::time::sleep(Duration::from_millis(RESPONSE_TIMEOUT_MS * 3)).await;
    lossy.tailing.assert_numbered(10_000).await;
    assert!(lossy.proxy.faults() > 2, "only {} faults", lossy.proxy.faults());
    assert_eq!(lossy.tailing.sources().await.len(), 1);
}

#[tokio::test]
async fn a_connection_that_falls_silent_after_an_append_is_given_up() {
    let mut lossy = Lossy::start("app.log").await;
    lossy.proxy.judge(each_nth_append(15, Fate::Silence));
    lossy.tailing.resume();
    lossy.write(20_000, 200).await;
    lossy.tailing.until_lines(20_000).await;
    assert!(lossy.proxy.faults() > 1, "only {} faults", lossy.proxy.faults());
    lossy.tailing.assert_numbered(20_000).await;
}

#[tokio::test]
async fn files_are_registered_once_when_the_replies_of_that_are_lost_or_late() {
    let mut lossy = Lossy::start("*.log").await;
    for index in 0..COUNT {
        append(&lossy.tailing.path(&format!("{index}.log")), &format!("of {index}\n"));
    }
    lossy.proxy.judge(some_appends(fastrand::u64(..), 0.2, &[Fate::CutAfter, Fate::CutBefore, LATE]));
    lossy.tailing.resume();
    lossy.tailing.until_lines(COUNT as u64).await;
    lossy.proxy.pass();
    tokio::time::sleep(Duration::from_millis(RESPONSE_TIMEOUT_MS * 3)).await;
    // One that was registered twice would be read twice after a restart.
    assert_eq!(lossy.tailing.sources().await.len(), COUNT);
    lossy.tailing.restart().await;
    append(&lossy.tailing.path("0.log"), "the last\n");
    lossy.tailing.until_lines(COUNT as u64 + 1).await;
    let mut contents = lossy.tailing.contents().await;
    contents.sort();
    let mut wanted: Vec<String> = (0..COUNT).map(|index| format!("of {index}")).collect();
    wanted.push("the last".to_owned());
    wanted.sort();
    assert_eq!(contents, wanted);
}
