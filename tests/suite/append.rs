//! The append script against a real Redis: what it stores, and when it stores nothing.

use std::collections::{BTreeMap, HashSet};

use logrelay::{
    record::{Details, Record, SourceKey, Topic},
    store::{Append, Appended, Entry, Error, Item, Store},
};
use tokio::task::JoinSet;

use crate::{
    support::{Control, TestRedis},
    writing::{Writer, entries, host, record, store_of, topic},
};

/// All that is kept of the topic `t`.
async fn kept(control: &mut Control) -> (Vec<String>, String) {
    let mut state: Vec<String> = control.run("HGETALL logrelay:{t}:state").await;
    state.sort();
    let lines: redis::Value = control.run("XRANGE logrelay:{t}:lines - +").await;
    (state, format!("{lines:?}"))
}

async fn epochs(store: &Store, topic: &Topic) -> Vec<String> {
    let resolved = store.resolve(topic).await.unwrap().unwrap();
    resolved.timeline.epochs().iter().map(|(epoch, begin)| format!("{epoch}:{begin}")).collect()
}

fn refusal(result: Result<Appended, Error>) -> String {
    match result.unwrap_err() {
        Error::Refused { code, message, .. } => format!("{code} {message}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_another_append_wrote_is_shown_and_nothing_is_written() {
    let redis = TestRedis::start().await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut writer = Writer::register(&store, &topic).await;
    let first = writer.record.clone();
    assert_eq!(writer.append(10).await, 0);
    let before = kept(&mut control).await;

    // The same again, as after a lost reply; and one that knows less; and a registration.
    let batch = writer.batch(5);
    for (believed, next) in [(Some(&first), &writer.record), (Some(&first), &first), (None, &first)] {
        let append =
            Append { source: &writer.key, believed, record: next, batch: Some(&batch), before: None };
        let Appended::Conflict { stored, .. } = store.append(&topic, &append).await.unwrap() else {
            panic!("it was stored");
        };
        assert_eq!(stored.unwrap().token, writer.record.token, "its own token, by which it knows itself");
    }
    // A record that is not there.
    let unknown: SourceKey = "host/unknown".parse().unwrap();
    let append = Append {
        source: &unknown,
        believed: Some(&first),
        record: &first,
        batch: Some(&batch),
        before: None,
    };
    let absent = store.append(&topic, &append).await.unwrap();
    assert!(matches!(absent, Appended::Conflict { stored: None, .. }), "{absent:?}");

    assert_eq!(kept(&mut control).await, before);
    assert_eq!(writer.append(5).await, 10);
}

#[tokio::test]
async fn a_key_is_never_given_twice() {
    let mut redis = TestRedis::with_args(&["--enable-debug-command", "yes"]).await;
    let topic = topic("t");
    let mut given = HashSet::new();
    let mut give = async |redis: &TestRedis| {
        // Epochs are told apart by their millisecond: a topic is not wiped twice in one.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let store = store_of(redis);
        for _ in 0..5 {
            let key = store.new_source(&topic, &host()).await.unwrap();
            assert!(given.insert(key.clone()), "{key} was given twice");
            assert_eq!(key.host(), "host");
        }
    };
    give(&redis).await;
    let copy = redis.copy();
    give(&redis).await;
    for _ in 0..2 {
        redis.replace_with(&copy).await;
        give(&redis).await;
    }
    redis.control().await.run::<()>("DEBUG CHANGE-REPL-ID").await;
    give(&redis).await;
    redis.control().await.run::<()>("FLUSHALL").await;
    give(&redis).await;
    redis.control().await.run::<()>("DEL logrelay:{t}:state").await;
    give(&redis).await;
}

#[tokio::test]
async fn eight_writers_leave_no_hole_and_no_line_out() {
    let redis = TestRedis::start().await;
    let (store, topic) = (store_of(&redis), topic("t"));
    let mut tasks = JoinSet::new();
    for index in 0..8_u64 {
        let (store, topic) = (store.clone(), topic.clone());
        tasks.spawn(async move {
            let mut writer = Writer::register(&store, &topic).await;
            for round in 0..100 {
                writer.append(1 + (index + round) % 7).await;
            }
            writer.record.details.next_line
        });
    }
    let written: u64 = tasks.join_all().await.into_iter().sum();
    let mut seen = HashSet::new();
    for entry in entries(&store, &topic, 0).await {
        for index in 0..entry.batch.lines() {
            assert!(seen.insert(entry.batch.line(index).unwrap().content.to_vec()));
        }
    }
    assert_eq!(seen.len() as u64, written);
    let resolved = store.resolve(&topic).await.unwrap().unwrap();
    assert_eq!((resolved.timeline.first().get(), resolved.timeline.next().get()), (0, written));
    let stored: usize = entries(&store, &topic, 0).await.iter().map(Entry::bytes).sum();
    assert_eq!(resolved.stored_bytes, stored as u64);
}

#[tokio::test]
async fn a_full_redis_refuses_and_nothing_is_written() {
    let redis = TestRedis::start().await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut writer = Writer::register(&store, &topic).await;
    writer.append(3).await;
    let before = kept(&mut control).await;
    control.run::<()>("CONFIG SET maxmemory 1").await;
    let said = refusal(writer.try_append(4).await);
    assert!(said.starts_with("OOM"), "{said}");
    assert!(Writer::try_register(&store, &topic).await.is_err());
    // Also where a new epoch would have to begin.
    control.run::<()>("CONFIG SET maxmemory 0").await;
    control.run::<()>("HSET logrelay:{t}:state replid 00000").await;
    let damaged = kept(&mut control).await;
    control.run::<()>("CONFIG SET maxmemory 1").await;
    assert!(refusal(writer.try_append(4).await).starts_with("OOM"));
    assert!(store.resolve(&topic).await.unwrap_err().refuses_writes());
    assert_eq!(kept(&mut control).await, damaged);
    assert_eq!(damaged.1, before.1);
    control.run::<()>("CONFIG SET maxmemory 0").await;
    assert_eq!(writer.append(4).await, 3);
    assert_eq!(epochs(&store, &topic).await.len(), 2);
}

#[tokio::test]
async fn keys_of_another_type_are_named_and_left_as_they_are() {
    let redis = TestRedis::start().await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    control.run::<()>("SET logrelay:{t}:state mine").await;
    let error = Writer::try_register(&store, &topic).await.err().unwrap();
    assert!(error.is_of_one_topic() && error.to_string().contains("WRONGTYPE"), "{error}");
    assert_eq!(control.run::<String>("GET logrelay:{t}:state").await, "mine");

    control.run::<()>("DEL logrelay:{t}:state").await;
    control.run::<()>("SET logrelay:{t}:lines mine").await;
    let error = Writer::try_register(&store, &topic).await.err().unwrap();
    assert!(error.is_of_one_topic() && error.to_string().contains("WRONGTYPE"), "{error}");
    assert_eq!(control.run::<i64>("EXISTS logrelay:{t}:state").await, 0);

    control.run::<()>("DEL logrelay:{t}:lines").await;
    let mut writer = Writer::register(&store, &topic).await;
    control.run::<()>("SET logrelay:{t}:lines mine").await;
    let before: BTreeMap<String, String> = control.run("HGETALL logrelay:{t}:state").await;
    let said = refusal(writer.try_append(1).await);
    assert!(said.starts_with("WRONGTYPE"), "{said}");
    assert_eq!(control.run::<BTreeMap<_, _>>("HGETALL logrelay:{t}:state").await, before);
}

#[tokio::test]
async fn large_numbers_are_written_in_full_and_the_greatest_offset_is_the_last() {
    let redis = TestRedis::start().await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut writer = Writer::register(&store, &topic).await;
    let next = (1_u64 << 53) - 11;
    control.run::<()>(&format!("HSET logrelay:{{t}}:state next {next} bytes 1234567890123456")).await;
    assert_eq!(writer.append(10).await, next);
    let found = entries(&store, &topic, next).await;
    assert_eq!((found.len(), found[0].last().get()), (1, (1 << 53) - 2));
    let resolved = store.resolve(&topic).await.unwrap().unwrap();
    assert_eq!(resolved.timeline.next().get(), (1 << 53) - 1);
    let (state, lines) = kept(&mut control).await;
    let said = refusal(writer.try_append(1).await);
    assert!(said.starts_with("LOGRELAY") && said.contains("9007199254740992"), "{said}");
    assert_eq!(kept(&mut control).await, (state, lines));
}

#[tokio::test]
async fn an_entry_that_somebody_else_added_makes_a_new_epoch_after_it() {
    let redis = TestRedis::start().await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut writer = Writer::register(&store, &topic).await;
    writer.append(10).await;
    control.run::<()>("XADD logrelay:{t}:lines 99-5 by hand").await;
    assert_eq!(writer.append(10).await, 100);
    let epochs = epochs(&store, &topic).await;
    assert_eq!(epochs.len(), 2);
    assert!(epochs[0].ends_with(":0") && epochs[1].ends_with(":100"), "{epochs:?}");
    let page = store.page(&topic, topic_offset(10), 5).await.unwrap();
    assert!(matches!(&page[0], Item::Bad { last, .. } if last.get() == 99), "{page:?}");
    assert!(matches!(&page[1], Item::Entry(entry) if entry.first.get() == 100));

    // One that leaves no room is refused; the state stays one that can be read.
    control.run::<()>("XADD logrelay:{t}:lines 18446744073709551615-0 by hand").await;
    let before = kept(&mut control).await;
    let said = refusal(writer.try_append(1).await);
    assert!(said.starts_with("LOGRELAY"), "{said}");
    assert_eq!(kept(&mut control).await, before);
}

fn topic_offset(number: u64) -> logrelay::record::Offset {
    logrelay::record::Offset::new(number).unwrap()
}

#[tokio::test]
async fn a_lost_state_begins_a_new_epoch_after_the_lines_that_are_there() {
    let redis = TestRedis::start().await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut writer = Writer::register(&store, &topic).await;
    writer.append(10).await;
    let future = "2000000000000";
    control.run::<()>(&format!("XADD logrelay:{{t}}:lines 10-{future} by hand")).await;
    for round in 0..2 {
        control.run::<()>("DEL logrelay:{t}:state").await;
        if round == 1 {
            control.run::<()>("XTRIM logrelay:{t}:lines MAXLEN 0").await;
        }
        let next = 11 + 10 * round;
        let lost = writer.try_append(10).await.unwrap();
        assert!(matches!(lost, Appended::Conflict { stored: None, .. }), "{lost:?}");
        let resolved = store.resolve(&topic).await.unwrap().unwrap();
        assert_eq!(resolved.timeline.next().get(), next);
        let epochs = resolved.timeline.epochs();
        assert_eq!((epochs.len(), epochs[0].1.get()), (1, next));
        writer = Writer::register(&store, &topic).await;
        assert_eq!(writer.append(10).await, next);
        let ids: String = format!("{:?}", control.run::<redis::Value>("XRANGE logrelay:{t}:lines - +").await);
        assert!(ids.contains(&format!("{}-{future}", next + 9)), "the time ran backwards: {ids}");
    }
}

#[tokio::test]
async fn the_only_line_of_a_trimmed_topic_is_not_given_twice() {
    let redis = TestRedis::start().await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    Writer::register(&store, &topic).await.append(1).await;
    control.run::<()>("XTRIM logrelay:{t}:lines MAXLEN 0").await;
    control.run::<()>("DEL logrelay:{t}:state").await;
    assert_eq!(Writer::register(&store, &topic).await.append(1).await, 1);
}

#[tokio::test]
async fn time_never_runs_backwards_and_epochs_are_always_later() {
    let redis = TestRedis::with_args(&["--enable-debug-command", "yes"]).await;
    let (store, topic, mut control) = (store_of(&redis), topic("t"), redis.control().await);
    let mut writer = Writer::register(&store, &topic).await;
    writer.append(1).await;
    // As if the clock had been set back since.
    let future = 3_000_000_000_000_u64;
    control.run::<()>(&format!("HSET logrelay:{{t}}:state ms {future}")).await;
    writer.append(1).await;
    for _ in 0..3 {
        control.run::<()>("DEBUG CHANGE-REPL-ID").await;
        writer.append(1).await;
    }
    let times: Vec<u64> =
        entries(&store, &topic, 0).await.into_iter().map(|entry| entry.time_ms).skip(1).collect();
    assert_eq!(times, [future; 4]);
    let resolved = store.resolve(&topic).await.unwrap().unwrap();
    let began: Vec<u64> = resolved.timeline.epochs().iter().map(|(epoch, _)| epoch.began_ms()).collect();
    assert_eq!(began[1..], [future, future + 1, future + 2]);
    assert_eq!(resolved.last_ms, future);
}

#[tokio::test]
async fn a_replica_is_refused_by_its_role() {
    let master = TestRedis::with_port(&[]).await;
    let port = master.port().to_string();
    Writer::register(&store_of(&master), &topic("t")).await.append(1).await;
    let replica = TestRedis::with_args(&["--replicaof", "127.0.0.1", &port]).await;
    let store = store_of(&replica);
    let errors = [
        Writer::try_register(&store, &topic("t")).await.err().unwrap(),
        store.resolve(&topic("t")).await.unwrap_err(),
        store.records(&topic("t"), &host()).await.unwrap_err(),
        store.records(&topic("none"), &host()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, Error::NotMaster { role, .. } if role == "slave"), "{error}");
    }
}

#[tokio::test]
async fn records_come_back_as_they_were_written() {
    let redis = TestRedis::start().await;
    let (store, topic) = (store_of(&redis), topic("t"));
    let paths =
        ["/var/log/a b.log", "/ä/\u{1F980}", "a\"b\\c\n\t", "", "/\\xff\\x00", "{}", "'; return 1 --"];
    let mut wanted: Vec<(SourceKey, Record)> = Vec::new();
    for path in paths {
        let details = Details { path: path.to_owned(), start: u64::MAX, ..Details::default() };
        let record = record(u64::MAX, details);
        let key = store.new_source(&topic, &host()).await.unwrap();
        let append = Append { source: &key, believed: None, record: &record, batch: None, before: None };
        assert!(matches!(store.append(&topic, &append).await.unwrap(), Appended::Stored { .. }));
        wanted.push((key, record));
    }
    let keys: Vec<_> = wanted.iter().map(|(key, _)| key.clone()).collect();
    let of: Vec<_> = wanted.iter().map(|(_, record)| Some(record.clone())).collect();
    assert_eq!(store.records_of(&topic, &keys).await.unwrap(), of);
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(store.records(&topic, &host()).await.unwrap(), wanted);
    let other = "hos".parse().unwrap();
    assert_eq!(store.records(&topic, &other).await.unwrap(), []);
}

#[tokio::test]
async fn a_damaged_state_is_an_error_of_its_topic() {
    let redis = TestRedis::start().await;
    let (store, mut control) = (store_of(&redis), redis.control().await);
    let damages = ["epoch x", "epochs x", "epoch \u{fffd}", "epochs ''", "bytes x", "next -1", "next 1e300"];
    for damage in damages {
        let topic = topic("t");
        control.run::<()>("FLUSHALL").await;
        let mut writer = Writer::register(&store, &topic).await;
        writer.append(3).await;
        control.run::<()>(&format!("HSET logrelay:{{t}}:state {damage}")).await;
        for result in [writer.try_append(1).await.map(drop), store.resolve(&topic).await.map(drop)] {
            if let Err(error) = result {
                assert!(error.is_of_one_topic(), "{damage}: {error}");
            }
        }
        control.run::<()>("HDEL logrelay:{t}:state epochs").await;
        let resolved = store.resolve(&topic).await;
        assert!(resolved.as_ref().err().is_none_or(Error::is_of_one_topic), "{damage}: {resolved:?}");
    }
}
