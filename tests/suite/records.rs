//! What tailers notice of the records that Redis keeps of their sources: that one was removed
//! by hand, and that some have expired.

use std::fs;

use logrelay::tail::Options;

use crate::{
    support::{Control, TestRedis, eventually},
    tailing::{Tailing, append, lines},
};

/// Waits until Redis has run a command so many times more.
async fn until_calls(control: &mut Control, command: &str, more: u64) {
    let before = control.calls(command).await;
    eventually(command, async || control.calls(command).await >= before + more).await;
}

#[tokio::test]
async fn a_record_that_is_removed_by_hand_is_noticed_though_its_file_is_quiet_and_no_connection_is_new() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log");
    for file in 0..300 {
        append(&tailing.path(&format!("{file}.log")), &lines(file, 1));
    }
    tailing.until_lines(300).await;
    let mut control = redis.control().await;
    // All agree by now.
    until_calls(&mut control, "evalsha", 5).await;
    let connections = control.ids("logrelay-pool").await;
    for (number, source) in tailing.sources().await.iter().step_by(150).enumerate() {
        let state = format!("logrelay:{{{}}}:state", tailing.topic());
        control.run::<()>(&format!("HDEL {state} s:{source}")).await;
        tailing.until_lines(301 + number as u64).await;
        assert!(tailing.sources().await.contains(source));
    }
    assert_eq!(control.ids("logrelay-pool").await, connections);
}

#[tokio::test]
async fn a_file_that_comes_back_is_known_until_its_record_has_expired() {
    let redis = TestRedis::start().await;
    let mut tailing = Tailing::prepare(&redis, "app.log", |options| Options { linger_ms: 1, ..options });
    tailing.resume();
    let (log, away) = (tailing.path("app.log"), tailing.path("elsewhere"));
    append(&log, &lines(0, 10));
    tailing.until_lines(10).await;
    fs::rename(&log, &away).unwrap();
    tailing.until_gone(1).await;
    append(&away, &lines(10, 1));
    fs::rename(&away, &log).unwrap();
    tailing.until_lines(11).await;
    tailing.assert_numbered(11).await;

    fs::rename(&log, &away).unwrap();
    tailing.until_gone(1).await;
    let store = redis.store();
    eventually("its record expires", async || {
        store.expire_records(tailing.topic(), 0, None).await.unwrap();
        tailing.sources().await.is_empty()
    })
    .await;
    // Nothing else asks for fields now.
    until_calls(&mut redis.control().await, "hmget", 1).await;
    fs::rename(&away, &log).unwrap();
    tailing.until_lines(22).await;
    assert_eq!(tailing.sources().await.len(), 1);
}
