//! A cluster under tailers and readers: nodes that die, and slots that move.

use std::time::{Duration, Instant};

use logrelay::{
    record::{CommitToken, SubscriptionName, Topic},
    store::{ConnectOptions, DurableBounds},
};

use crate::{
    losses::{Losses, print_stall},
    promotion::{until_in_sync, until_it_has_all_so_far},
    spine::{Mirror, Program, Reader},
    support::{
        cluster::{Cluster, NODE_TIMEOUT_MS, store_over},
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
async fn what_is_not_of_one_topic_is_kept_and_found_over_several_nodes() {
    let cluster = Cluster::small().await;
    let tailings = tailings(&cluster, 4);
    for tailing in &tailings {
        append(&tailing.path("app.log"), "a line\n");
    }
    let store = cluster.store();
    let mut topics: Vec<_> = tailings.iter().map(|tailing| tailing.topic().clone()).collect();
    topics.sort();
    eventually("all are announced", async || store.topics().await.unwrap() == topics).await;
    let groups = ["a", "b", "c", "d", "e", "f"];
    for group in groups {
        store.push_inputs(group, &[("app".to_owned(), "text".to_owned())]).await.unwrap();
    }
    assert_eq!(store.input_owners().await.unwrap(), groups);
    assert!(store.take_lock("work", "me", 10_000).await.unwrap());
    assert!(!store.take_lock("work", "other", 10_000).await.unwrap());
}

#[tokio::test]
async fn durable_subscriptions_of_many_slots_are_found_also_where_one_has_moved() {
    let cluster = Cluster::small().await;
    let store = cluster.store();
    let name: SubscriptionName = "mine".parse().unwrap();
    let wanted: Vec<(Topic, _)> =
        (0..40).map(|index| (format!("topic-{index}").parse().unwrap(), name.clone())).collect();
    for (topic, name) in &wanted {
        let opening = format!("{topic}@0000000000000001:7").parse().unwrap();
        let claim = (CommitToken::random(), 0);
        let bounds = DurableBounds::default();
        store.claim_cursor(topic, name, claim, Some(&opening), bounds).await.unwrap();
    }
    let are_found = async || {
        let found = store.held(&wanted).await.unwrap();
        assert_eq!(found.len(), wanted.len());
        for ((topic, _), held) in wanted.iter().zip(found) {
            let held = held.unwrap().unwrap();
            assert_eq!(held.bookmark.cursor().unwrap().topic, *topic);
        }
    };
    are_found().await;
    let at = cluster.master_of(&wanted[7].0).await;
    cluster.migrate(&wanted[7].0, at, 1 - at, Duration::ZERO).await;
    are_found().await;
}

#[tokio::test]
async fn a_master_killed_under_load_costs_no_line() {
    let mut cluster = Cluster::with(NODE_TIMEOUT_MS).await;
    let tailings = tailings(&cluster, 3);
    let relays = [TestRelay::over(cluster.store(), |_, _| ()).await];
    let traffic = Traffic::start(&tailings, &relays).await;
    let victim = cluster.master_of(tailings[0].topic()).await;
    // It may lose the last lines, not the topic.
    until_it_has_all_so_far(&cluster.nodes[victim], &cluster.nodes[victim + 3]).await;
    cluster.nodes[victim].kill().await;
    let replica = &cluster.nodes[victim + 3];
    let decided = eventually("the replica is the master", async || replica.is_master().await);
    print_stall(Instant::now(), decided, traffic.goes_on()).await;
    traffic.ends_well().await;
    assert!(tailings[0].epochs().await > 1, "the epoch changed");
}

#[tokio::test]
async fn what_the_replica_of_a_killed_master_never_got_is_sent_again() {
    let mut cluster = Cluster::with(NODE_TIMEOUT_MS).await;
    let tailing = tailings(&cluster, 1).remove(0);
    let victim = cluster.master_of(tailing.topic()).await;
    let replica = victim + 3;
    let relay = TestRelay::over(cluster.store(), |_, _| ()).await;
    let losses = Losses::begin(tailing, relay).await;
    until_in_sync(&cluster.nodes[victim], &cluster.nodes[replica]).await;

    // It hears no more, and what would still reach it goes with its connection.
    cluster.nodes[replica].freeze();
    cluster.nodes[victim].control().await.run::<i64>("CLIENT KILL TYPE replica").await;
    losses.write_what_is_lost().await;
    cluster.nodes[victim].kill().await;
    cluster.nodes[replica].thaw();
    let decided = eventually("it is the master", async || cluster.nodes[replica].is_master().await);
    let again = eventually("all is there again", async || losses.tailing.count().await == 821);
    print_stall(Instant::now(), decided, again).await;
    losses.ends_well().await;
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
    let (most, pool_size) = (2, 4);
    for node in &cluster.nodes {
        node.control().await.run::<()>("ACL SETUSER relay on >secret ~* &* +@all").await;
    }
    let connect = ConnectOptions { pool_size, ..cluster.connect_as("relay:secret@") };
    let relay = TestRelay::over(store_over(connect), |_, hub| hub.blocked_reads_per_node = most).await;
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
        // One more asks now and then who holds what.
        let bound = pool_size as usize + most + 1 + 1;
        let all = node.control().await.connections_of("relay").await;
        println!("{all} connections of a relay of at most {bound}, of which {reading} wait for lines");
        assert!(all <= bound, "{all} connections");
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
