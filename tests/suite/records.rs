//! What tailers notice of the records that Redis keeps of their sources: that one was removed
//! by hand, and that some have expired.

use std::fs;

use logrelay::{
    record::{Details, Host, Identity, Record, SourceKey, Token, Topic},
    store::Appended,
    tail::Options,
};

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
    let state = format!("logrelay:{{{}}}:state", tailing.topic());
    let fields: Vec<String> = redis.control().await.run(&format!("HKEYS {state}")).await;
    assert!(!fields.iter().any(|field| field.contains('/')), "all of it goes: {fields:?}");
    // Nothing else asks for fields now.
    until_calls(&mut redis.control().await, "hmget", 1).await;
    fs::rename(&away, &log).unwrap();
    tailing.until_lines(22).await;
    assert_eq!(tailing.sources().await.len(), 1);
}

#[tokio::test]
async fn a_file_is_registered_once_unless_it_is_known_to_be_another() {
    let redis = TestRedis::start().await;
    let (store, topic, host) =
        (redis.store(), "t".parse::<Topic>().unwrap(), "host".parse::<Host>().unwrap());
    let record = |created_ns| {
        let identity = Identity { device: 1, inode: u64::MAX, created_ns, ..Identity::default() };
        let details = Details { path: "\"inode\":7".to_owned(), identity, ..Details::default() };
        Record { token: Token::random(), position: 0, details }
    };
    let key = async || store.new_source(&topic, &host).await.unwrap();
    let (first, second, third) = (key().await, key().await, key().await);
    let of_first = record(Some(5));
    let register = async |key: &SourceKey, record: &Record, is_not: &[SourceKey]| {
        store.register(&topic, key, record, is_not).await.unwrap()
    };
    assert!(matches!(register(&first, &of_first, &[]).await, Appended::Stored { .. }));
    let taken = register(&second, &record(Some(5)), std::slice::from_ref(&third)).await;
    let Appended::Taken { source, record: found, .. } = taken else { panic!("{taken:?}") };
    assert_eq!((source, found), (first.clone(), of_first));
    // Made at another time, it is another file; and where nobody knows when it was made, it may be.
    for created_ns in [Some(6), None, None] {
        let other = key().await;
        assert!(matches!(register(&other, &record(created_ns), &[]).await, Appended::Stored { .. }));
    }
    let is_not = [third, first];
    assert!(matches!(register(&second, &record(Some(5)), &is_not).await, Appended::Stored { .. }));
    let taken = register(&key().await, &record(Some(5)), &is_not).await;
    assert!(matches!(&taken, Appended::Taken { source, .. } if *source == second), "{taken:?}");
    // Who forgets the sources forgets that, too.
    assert_eq!(store.forget_sources(&topic).await.unwrap(), 5);
    assert!(matches!(register(&key().await, &record(Some(5)), &[]).await, Appended::Stored { .. }));
}
