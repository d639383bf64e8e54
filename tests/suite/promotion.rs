//! A replica becomes the master under tailers and readers that are connected to it, or
//! behind the name that both go by.

use logrelay::store::{self, ConnectOptions, Store};

use crate::{
    proxy::Proxy,
    spine::{Mirror, Program, Reader},
    support::{TestRedis, eventually, relay::TestRelay},
    tailing::{Tailing, append, lines},
};

/// A replica that asks for all lines gets them at once.
const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

pub(crate) async fn replica_of(master: &TestRedis) -> TestRedis {
    let port = master.port().to_string();
    TestRedis::with_port(&[&AT_ONCE[..], &["--replicaof", "127.0.0.1", &port]].concat()).await
}

/// Waits until a replica has all that its master has, which gets nothing more.
pub(crate) async fn until_in_sync(master: &TestRedis, replica: &TestRedis) {
    eventually("the replica has all", async || {
        is_linked(replica).await && replicated(master).await == replicated(replica).await
    })
    .await;
}

/// Waits until a replica has all that its master has now, which may get more.
pub(crate) async fn until_it_has_all_so_far(master: &TestRedis, replica: &TestRedis) {
    let so_far = replicated(master).await;
    eventually("the replica has it", async || {
        is_linked(replica).await && replicated(replica).await >= so_far
    })
    .await;
}

async fn is_linked(replica: &TestRedis) -> bool {
    let info: String = replica.control().await.run("INFO replication").await;
    info.contains("master_link_status:up")
}

/// How far a server has come in the stream of its master, or in its own.
async fn replicated(server: &TestRedis) -> u64 {
    let info: String = server.control().await.run("INFO replication").await;
    let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
    offset.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn tailers_and_readers_of_a_replica_wait_for_its_promotion_and_miss_no_line() {
    let master = TestRedis::with_port(&AT_ONCE).await;
    let replica = replica_of(&master).await;
    let mut tailing = Tailing::start(&master, "*.log");
    let log = tailing.path("app.log");
    append(&log, &lines(0, 500));
    tailing.until_lines(500).await;
    until_in_sync(&master, &replica).await;
    tailing.stop().await;

    let there = Tailing::beside(&replica, &tailing);
    let relay = TestRelay::start(&replica).await;
    let live = Reader::start(&relay, tailing.topic());
    let program = Program::start(log.clone(), 500);
    live.until_redis_ok(false).await;
    assert_eq!(live.count(), 0, "a replica was read");
    replica.control().await.run::<()>("REPLICAOF NO ONE").await;
    eventually("it goes on", async || live.count() > 1000).await;
    let (_, count) = program.stop().await;
    live.until(count).await;
    live.has_each_once(&[(&log, count)]);
    live.was_told_nothing();
    live.until_redis_ok(true).await;
    drop(there);
}

/// A master that has become a replica and a master again, with everybody connected.
#[tokio::test]
async fn a_master_that_was_a_replica_for_a_while_skips_no_line() {
    let redis = TestRedis::with_port(&AT_ONCE).await;
    let relay = TestRelay::start(&redis).await;
    let tailing = Tailing::start(&redis, "*.log");
    let program = Program::start(tailing.path("app.log"), 0);
    let live = Reader::start(&relay, tailing.topic());
    eventually("lines", async || live.count() > 500).await;
    let other = replica_of(&redis).await;
    until_in_master_link(&other).await;
    let mut control = redis.control().await;
    // The replica goes its own way; what the old master got meanwhile is lost.
    other.control().await.run::<()>("REPLICAOF NO ONE").await;
    tailing.until_lines(live.count() + 200).await;
    control.run::<()>(&format!("REPLICAOF 127.0.0.1 {}", other.port())).await;
    live.until_redis_ok(false).await;
    until_in_master_link(&redis).await;
    control.run::<()>("REPLICAOF NO ONE").await;
    let before = live.count();
    eventually("it goes on", async || live.count() > before + 500).await;
    let (log, count) = program.stop().await;
    live.until(count).await;
    live.has_each_once(&[(&log, count)]);
    live.was_only_rewound();
    let mirror = Mirror::start(&relay, tailing.topic()).await;
    mirror.shows(&tailing).await;
}

async fn until_in_master_link(replica: &TestRedis) {
    eventually("the link is up", async || is_linked(replica).await).await;
}

#[tokio::test]
async fn a_replica_that_missed_the_last_lines_takes_the_name_of_its_killed_master() {
    let mut master = TestRedis::with_port(&AT_ONCE).await;
    let replica = replica_of(&master).await;
    let name = Proxy::to(master.port()).await;
    let store = Store::new(store::Options::new(name.url())).unwrap();
    let relay = TestRelay::over(store, |_, _| ()).await;
    let connect = ConnectOptions::new(name.url());
    // What is asserted goes to the server that is there in the end.
    let mut tailing = Tailing::prepare(&replica, "*.log", |options| options).over(connect);
    tailing.resume();
    let (busy, quiet) = (tailing.path("busy.log"), tailing.path("quiet.log"));
    append(&quiet, &lines(0, 1));
    append(&busy, &lines(0, 300));
    let live = Reader::start(&relay, tailing.topic());
    let mirror = Mirror::start(&relay, tailing.topic()).await;
    live.until(301).await;
    until_in_sync(&master, &replica).await;
    // The link breaks, and the master goes on for a while.
    let mut control = replica.control().await;
    control.run::<()>("REPLICAOF 127.0.0.1 1").await;
    append(&quiet, &lines(1, 1));
    append(&busy, &lines(300, 300));
    live.until(602).await;

    // The name leads to the replica before that is the master.
    name.lead_to(replica.port());
    master.kill().await;
    live.until_redis_ok(false).await;
    control.run::<()>("REPLICAOF NO ONE").await;
    append(&busy, &lines(600, 300));
    live.until(902).await;
    live.has_each_once(&[(&busy, 900), (&quiet, 2)]);
    live.was_only_rewound();
    tailing.until_lines(902).await;
    mirror.shows(&tailing).await;
}
