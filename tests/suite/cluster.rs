//! A cluster under tailers and readers: nodes that die, and slots that move.

use std::time::{Duration, Instant};

use crate::{
    spine::{Mirror, Program, Reader},
    support::{
        cluster::{Cluster, NODE_TIMEOUT_MS},
        eventually,
        relay::TestRelay,
    },
    tailing::{Tailing, append, lines},
};

/// Tailers of a topic each, so many that every master has some.
fn tailings(cluster: &Cluster, count: usize) -> Vec<Tailing> {
    let mut tailings = Vec::new();
    for _ in 0..count {
        let tailing = Tailing::prepare(&cluster.nodes[0], "*.log", |options| options);
        let mut tailing = tailing.everything_over(cluster.connect());
        tailing.resume();
        tailings.push(tailing);
    }
    tailings
}

/// Files that are written to all the time, and a reader of each.
struct Traffic {
    programs: Vec<Program>,
    readers: Vec<Reader>,
}

impl Traffic {
    async fn start(tailings: &[Tailing], relays: &[TestRelay]) -> Self {
        let programs = tailings.iter().map(|tailing| Program::start(tailing.path("app.log"), 0)).collect();
        let with_relay = tailings.iter().zip(relays.iter().cycle());
        let readers = with_relay.map(|(tailing, relay)| Reader::start(relay, tailing.topic())).collect();
        let traffic = Self { programs, readers };
        traffic.goes_on().await;
        traffic
    }

    /// Waits until every reader has more lines than now.
    async fn goes_on(&self) {
        let before: Vec<_> = self.readers.iter().map(Reader::count).collect();
        eventually("all go on", async || {
            self.readers.iter().zip(&before).all(|(reader, before)| reader.count() > before + 100)
        })
        .await;
    }

    /// That every line was read once, in the end.
    async fn ends_well(self) -> Vec<Reader> {
        for (program, reader) in self.programs.into_iter().zip(&self.readers) {
            let (log, count) = program.stop().await;
            reader.until(count).await;
            reader.has_each_once(&[(&log, count)]);
            reader.was_at_most_rewound();
        }
        self.readers
    }
}

#[tokio::test]
async fn the_spine_runs_over_three_masters_through_cuts_and_on_another_relay() {
    let cluster = Cluster::start().await;
    let tailings = tailings(&cluster, 4);
    let relays = [
        TestRelay::over(cluster.store(), |_, _| ()).await,
        TestRelay::over(cluster.store(), |_, _| ()).await,
    ];
    let mut traffic = Traffic::start(&tailings, &relays).await;
    for node in &cluster.nodes[..3] {
        node.control().await.run::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
    }
    traffic.goes_on().await;
    let paused = traffic.readers.remove(0).pause().await;
    traffic.readers.insert(0, paused.resume(&relays[1]));
    traffic.goes_on().await;
    for reader in traffic.ends_well().await {
        reader.was_told_nothing();
    }
    assert!(relays[0].serves().await);

    // What is not of one topic.
    let store = cluster.store();
    let mut topics: Vec<_> = tailings.iter().map(|tailing| tailing.topic().clone()).collect();
    topics.sort();
    assert_eq!(store.topics().await.unwrap(), topics);
    let groups = ["a", "b", "c", "d", "e", "f"];
    for group in groups {
        store.push_inputs(group, &[("app".to_owned(), "text".to_owned())]).await.unwrap();
    }
    assert_eq!(store.input_owners().await.unwrap(), groups);
    assert!(store.take_lock("work", "me", 10_000).await.unwrap());
    assert!(!store.take_lock("work", "other", 10_000).await.unwrap());
    let advice = store.advice().await.unwrap();
    assert!(advice.iter().any(|text| text.contains("min-replicas-to-write")), "{advice:?}");
}

#[tokio::test]
async fn a_master_killed_under_load_costs_no_line() {
    let mut cluster = Cluster::with(NODE_TIMEOUT_MS).await;
    let tailings = tailings(&cluster, 3);
    let relays = [TestRelay::over(cluster.store(), |_, _| ()).await];
    let traffic = Traffic::start(&tailings, &relays).await;
    let victim = cluster.master_of(tailings[0].topic()).await;
    cluster.nodes[victim].kill().await;
    let killed = Instant::now();
    traffic.goes_on().await;
    println!(
        "stall {:?}, of which {NODE_TIMEOUT_MS} ms and an election are the cluster's own",
        killed.elapsed()
    );
    traffic.ends_well().await;
    assert!(tailings[0].epochs().await > 1, "the epoch changed");
}

#[tokio::test]
async fn a_slot_moved_under_load_costs_no_line() {
    let cluster = Cluster::start().await;
    let tailings = tailings(&cluster, 2);
    let relays = [TestRelay::over(cluster.store(), |_, _| ()).await];
    let traffic = Traffic::start(&tailings, &relays).await;
    let topic = tailings[0].topic();
    let mut at = cluster.master_of(topic).await;
    // Longer than a blocking read, and then as fast as it goes.
    for pause_ms in [1200, 0, 50, 0] {
        let to = (at + 1) % 3;
        cluster.migrate(topic, at, to, Duration::from_millis(pause_ms)).await;
        traffic.goes_on().await;
        at = to;
    }
    for reader in traffic.ends_well().await {
        reader.was_told_nothing();
    }
    let mirror = Mirror::start(&relays[0], topic).await;
    mirror.shows(&tailings[0]).await;
}

#[tokio::test]
async fn connections_to_a_node_are_bounded_however_many_topics_are_read() {
    let cluster = Cluster::start().await;
    let tailings = tailings(&cluster, 12);
    let most = 2;
    let relay = TestRelay::over(cluster.store(), |_, hub| hub.blocked_reads_per_node = most).await;
    let readers: Vec<_> = tailings.iter().map(|tailing| Reader::start(&relay, tailing.topic())).collect();
    for round in 0..3 {
        for tailing in &tailings {
            append(&tailing.path("app.log"), &lines(round * 50, 50));
        }
        for reader in &readers {
            reader.until((round + 1) * 50).await;
        }
    }
    for node in &cluster.nodes[..3] {
        let reading = node.control().await.ids("logrelay-read").await.len();
        assert!((1..=most + 1).contains(&reading), "{reading} connections");
    }
    let topic = tailings[11].topic();
    let at = cluster.master_of(topic).await;
    cluster.migrate(topic, at, (at + 1) % 3, Duration::ZERO).await;
    append(&tailings[11].path("app.log"), &lines(150, 50));
    readers[11].until(200).await;
    for (reader, tailing) in readers[..11].iter().zip(&tailings) {
        reader.has_each_once(&[(&tailing.path("app.log"), 150)]);
        reader.was_told_nothing();
    }
}

#[tokio::test]
async fn a_server_that_is_no_cluster_and_one_that_is_away_are_named() {
    let single = crate::support::TestRedis::with_port(&[]).await;
    let url = format!("redis+cluster://127.0.0.1:{}", single.port());
    let probe = async |url: &str| {
        let mut options = logrelay::store::Options::new(url.parse().unwrap());
        options.connect.connect_timeout_ms = 1000;
        logrelay::store::Store::new(options).unwrap().probe().await.unwrap_err()
    };
    let error = probe(&url).await;
    assert!(error.needs_an_operator() && error.to_string().contains("cluster support disabled"), "{error}");
    let error = probe("redis+cluster://127.0.0.1:1,127.0.0.1:2").await;
    assert!(!error.needs_an_operator() && error.to_string().contains("127.0.0.1:"), "{error}");
}
