//! The whole way of a line, wherever Redis is: a log that is rotated while it is written, a
//! tailer that is killed, connections that are cut, and readers that go on at another relay.

use std::fs;

use logrelay::store::ConnectOptions;

use crate::{
    spine::{Mirror, Program, Reader},
    support::{
        TestRedis,
        cluster::{Cluster, store_over},
        eventually,
        relay::TestRelay,
        sentinel::Watched,
    },
    tailing::Tailing,
};

const ROUNDS: usize = 6;

/// Over these servers, of which `connect` leads to the right one.
async fn the_spine(servers: &[&TestRedis], connect: ConnectOptions) {
    let mut tailing =
        Tailing::prepare(servers[0], "app.log", |options| options).everything_over(connect.clone());
    tailing.resume();
    let relay = async || TestRelay::over(store_over(connect.clone()), |_, _| ()).await;
    let relays = [relay().await, relay().await];
    let log = tailing.path("app.log");
    let program = Program::start(log.clone(), 0);
    let live = Reader::start(&relays[0], tailing.topic());
    let mut restless = Reader::start(&relays[1], tailing.topic());
    for round in 0..ROUNDS {
        let before = (live.count(), restless.count());
        eventually("both go on", async || live.count() > before.0 + 100 && restless.count() > before.1 + 100)
            .await;
        match round % 3 {
            0 => {
                for server in servers {
                    server.control().await.run::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
                }
            }
            1 => {
                tailing.kill().await;
                fs::rename(&log, tailing.path(&format!("app.log.{}", ROUNDS - round))).unwrap();
                tailing.resume();
            }
            _ => fs::rename(&log, tailing.path(&format!("app.log.{}", ROUNDS - round))).unwrap(),
        }
        restless = restless.pause().await.resume(&relays[round % 2]);
    }
    let (_, count) = program.stop().await;
    for reader in [&live, &restless] {
        reader.until(count).await;
        reader.has_numbered_once(count);
        reader.was_told_nothing();
    }
    tailing.assert_numbered(count).await;
    for relay in &relays {
        Mirror::start(relay, tailing.topic()).await.shows(&tailing).await;
        eventually("it serves", async || relay.serves().await).await;
    }
}

#[tokio::test]
async fn the_spine_holds_on_a_single_server() {
    let redis = TestRedis::with_port(&[]).await;
    the_spine(&[&redis], redis.options()).await;
}

#[tokio::test]
async fn the_spine_holds_under_sentinels() {
    let watched = Watched::start().await;
    let connect = ConnectOptions::new(watched.url().parse().unwrap());
    the_spine(&[&watched.master], connect).await;
}

#[tokio::test]
async fn the_spine_holds_over_a_cluster() {
    let cluster = Cluster::start().await;
    let masters: Vec<_> = cluster.nodes[..3].iter().collect();
    the_spine(&masters, cluster.connect()).await;
}
