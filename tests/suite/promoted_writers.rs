//! A replica becomes the master: writers that are connected to it wait until it is, and
//! writers that are connected to the old master find the new one.

use std::{collections::BTreeMap, time::Duration};

use logrelay::{
    record::Offset,
    store::{Appended, ConnectOptions, Error},
};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    epochs::{assert_contents, begins},
    proxy::Proxy,
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines},
    writing::{Writer, entries, store_of, topic},
};

/// The lines of one writer until it is told to stop; it waits while nobody is master.
async fn write_on(mut writer: Writer, stop: CancellationToken) -> (Writer, u64) {
    let mut refused = 0;
    while !stop.is_cancelled() {
        match writer.try_append(2).await {
            Ok(Appended::Stored { .. }) => {}
            Err(Error::NotMaster { .. }) => {
                refused += 1;
                sleep(Duration::from_millis(5)).await;
            }
            other => panic!("{other:?}"),
        }
    }
    (writer, refused)
}

#[tokio::test]
async fn writers_of_a_promoted_replica_wait_and_then_go_on_with_no_line_skipped() {
    let master = TestRedis::with_port(&[]).await;
    let port = master.port().to_string();
    let topic = topic("t");
    let on_master = store_of(&master);
    let mut writers = Vec::new();
    for _ in 0..8 {
        let mut writer = Writer::register(&on_master, &topic).await;
        writer.append(5).await;
        writers.push(writer);
    }
    let replica = TestRedis::with_args(&["--replicaof", "127.0.0.1", &port]).await;
    let mut control = replica.control().await;
    eventually("the replica has all", async || {
        control.run::<i64>("XLEN logrelay:{t}:lines").await == 8
            && control.run::<String>("INFO replication").await.contains("master_link_status:up")
    })
    .await;

    let tried_before = control.calls("evalsha").await + control.calls("eval").await;
    let (stop, on_replica) = (CancellationToken::new(), store_of(&replica));
    let mut tasks = JoinSet::new();
    for mut writer in writers {
        writer.store = on_replica.clone();
        tasks.spawn(write_on(writer, stop.clone()));
    }
    eventually("every writer has tried the replica", async || {
        let tried = control.calls("evalsha").await + control.calls("eval").await;
        // Eight writers that wait 5 ms after each try: ten rounds leave none out.
        tried - tried_before > 80
    })
    .await;
    assert_eq!(control.run::<i64>("XLEN logrelay:{t}:lines").await, 8, "a replica was written to");
    // Lines that the replica never gets: they are lost, and nobody counts on them.
    control.run::<()>("REPLICAOF NO ONE").await;
    eventually("writers go on", async || control.run::<i64>("XLEN logrelay:{t}:lines").await > 200).await;
    stop.cancel();

    let mut next_lines = BTreeMap::new();
    for (writer, refused) in tasks.join_all().await {
        assert!(refused > 0, "it never saw the replica");
        next_lines.insert(writer.key.to_string(), writer.record.details.next_line);
    }
    assert_eq!(begins(&on_replica, &topic).await, [0, 40]);
    // Of every source, its lines in order, none skipped and none twice.
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for entry in entries(&on_replica, &topic, Offset::ZERO.get()).await {
        let source = entry.batch.head().source.clone().unwrap().key;
        let next = seen.entry(source).or_default();
        assert_eq!(entry.batch.head().first_line, *next);
        *next += u64::from(entry.batch.lines());
    }
    assert_eq!(seen, next_lines);
}

#[tokio::test]
async fn a_tailer_waits_for_the_promotion_of_its_replica() {
    let master = TestRedis::with_port(&[]).await;
    let port = master.port().to_string();
    let replica = TestRedis::with_args(&["--replicaof", "127.0.0.1", &port]).await;
    let tailing = Tailing::start(&replica, "*.log");
    append(&tailing.path("busy.log"), &lines(0, 1000));
    append(&tailing.path("quiet.log"), "quiet\n");
    let mut control = replica.control().await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(control.run::<i64>("DBSIZE").await, 0);
    control.run::<()>("REPLICAOF NO ONE").await;
    tailing.until_lines(1001).await;
    assert_contents(&tailing, 1000).await;
}

#[tokio::test]
async fn connections_to_a_demoted_master_are_left_for_where_its_name_leads_now() {
    let old = TestRedis::with_port(&[]).await;
    let new = TestRedis::with_port(&["--replicaof", "127.0.0.1", &old.port().to_string()]).await;
    let proxy = Proxy::to(old.port()).await;
    let connect = ConnectOptions::new(proxy.url());
    let mut tailing = Tailing::prepare(&new, "*.log", |options| options).over(connect);
    tailing.resume();
    append(&tailing.path("busy.log"), &lines(0, 1000));
    append(&tailing.path("quiet.log"), "quiet\n");
    let (mut on_old, mut on_new) = (old.control().await, new.control().await);
    let stream = format!("XLEN logrelay:{{{}}}:lines", tailing.topic());
    eventually("all is on the old one", async || {
        let entries = on_old.run::<i64>(&stream).await;
        entries >= 2 && entries == on_new.run::<i64>(&stream).await
    })
    .await;

    on_new.run::<()>("REPLICAOF NO ONE").await;
    proxy.lead_to(new.port());
    on_old.run::<()>(&format!("REPLICAOF 127.0.0.1 {}", new.port())).await;
    append(&tailing.path("busy.log"), &lines(1000, 1000));
    tailing.until_lines(2001).await;
    assert_contents(&tailing, 2000).await;
    assert_eq!(tailing.epochs().await, 2);
}
