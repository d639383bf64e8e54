//! Sentinels decide which server is the master, under tailers and readers.

use std::time::Instant;

use logrelay::store::{self, ConnectOptions, Error, Store};

use crate::{
    losses::{Losses, print_stall},
    promotion::{until_in_sync, until_it_has_all_so_far},
    spine::{Program, Reader},
    support::{
        eventually,
        relay::TestRelay,
        sentinel::{MASTER_NAME, Watched},
    },
    tailing::Tailing,
};

fn connect(url: &str) -> ConnectOptions {
    ConnectOptions { connect_timeout_ms: 2000, ..ConnectOptions::new(url.parse().unwrap()) }
}

fn store(url: &str) -> Store {
    let unused = store::Options::new("redis://unused".parse().unwrap());
    Store::new(store::Options { connect: connect(url), ..unused }).unwrap()
}

/// A tailer that goes by the Sentinels; what is asserted goes to the replica, which is the
/// master in the end.
fn tailing(watched: &Watched) -> Tailing {
    let mut tailing =
        Tailing::prepare(&watched.replica, "*.log", |options| options).over(connect(&watched.url()));
    tailing.resume();
    tailing
}

async fn until_promoted(watched: &Watched) {
    eventually("the replica is the master", async || watched.replica.is_master().await).await;
}

/// Waits until lines come that were not there at `since`, and says how long that took.
async fn until_it_goes_on(watched: &Watched, live: &Reader, since: Instant) {
    let before = live.count();
    let goes_on = eventually("it goes on", async || live.count() > before + 100);
    print_stall(since, until_promoted(watched), goes_on).await;
}

#[tokio::test]
async fn a_killed_master_costs_no_line_and_readers_go_on_at_the_next_one() {
    let mut watched = Watched::start().await;
    let tailing = tailing(&watched);
    let relays = [
        TestRelay::over(store(&watched.url()), |_, _| ()).await,
        TestRelay::over(store(&watched.url()), |_, _| ()).await,
    ];
    let live = Reader::start(&relays[0], tailing.topic());
    let program = Program::start(tailing.path("app.log"), 0);
    eventually("lines", async || live.count() > 500).await;
    until_it_has_all_so_far(&watched.master, &watched.replica).await;
    watched.master.kill().await;
    until_it_goes_on(&watched, &live, Instant::now()).await;
    let live = live.pause().await.resume(&relays[1]);
    let (log, count) = program.stop().await;
    live.until(count).await;
    live.has_each_once(&[(&log, count)]);
    live.was_at_most_rewound();
    assert!(tailing.epochs().await > 1, "the epoch changed");
}

#[tokio::test]
async fn what_the_next_master_never_got_is_sent_again_also_of_quiet_and_rotated_files() {
    let mut watched = Watched::start().await;
    let tailing = tailing(&watched);
    let relay = TestRelay::over(store(&watched.url()), |_, _| ()).await;
    let losses = Losses::begin(tailing, relay).await;
    until_in_sync(&watched.master, &watched.replica).await;

    // It gets no more. The master goes on for a while, and is killed.
    watched.replica.control().await.run::<()>("REPLICAOF 127.0.0.1 1").await;
    losses.write_what_is_lost().await;
    watched.master.kill().await;
    let again = eventually("all is there again", async || losses.tailing.count().await == 821);
    print_stall(Instant::now(), until_promoted(&watched), again).await;
    losses.ends_well().await;
}

#[tokio::test]
async fn a_master_that_is_demoted_alive_is_left_by_all() {
    let watched = Watched::start().await;
    let tailing = tailing(&watched);
    let relay = TestRelay::over(store(&watched.url()), |_, _| ()).await;
    let live = Reader::start(&relay, tailing.topic());
    let program = Program::start(tailing.path("app.log"), 0);
    eventually("lines", async || live.count() > 500).await;
    until_it_has_all_so_far(&watched.master, &watched.replica).await;
    watched.fail_over().await;
    until_promoted(&watched).await;
    until_it_goes_on(&watched, &live, Instant::now()).await;
    let (log, count) = program.stop().await;
    live.until(count).await;
    live.has_each_once(&[(&log, count)]);
    live.was_at_most_rewound();
    for name in ["logrelay-pool", "logrelay-read"] {
        let is_left = async || watched.master.control().await.ids(name).await.is_empty();
        eventually("the old master is left", is_left).await;
    }
}

#[tokio::test]
async fn connections_to_a_former_master_end_though_it_still_takes_writes() {
    let user = ["--user", "sentinel", "on", ">secret", "~*", "&*", "+@all"];
    let login = format!("sentinel auth-user {MASTER_NAME} sentinel\nsentinel auth-pass {MASTER_NAME} secret");
    let watched = Watched::with(&user, &login).await;
    let store = store(&watched.url());
    store.probe().await.unwrap();
    let mut old = watched.master.control().await;
    assert!(!old.ids("logrelay-pool").await.is_empty());
    // The Sentinels, and nobody else, cannot speak to it any more.
    old.run::<()>("ACL SETUSER sentinel -ping").await;
    until_promoted(&watched).await;
    eventually("the old one is left", async || old.ids("logrelay-pool").await.is_empty()).await;
    assert!(
        old.run::<String>("INFO replication").await.contains("role:master"),
        "it still would take writes"
    );
    store.probe().await.unwrap();
}

#[tokio::test]
async fn sentinels_and_servers_have_passwords_of_their_own() {
    let user = ["--user", "app", "on", ">data", "~*", "&*", "+@all"];
    let watched = Watched::with(&user, "user asker on >secret allchannels +@all").await;
    let url = |password| {
        let servers = watched.servers();
        format!(
            "redis+sentinel://app:data@{servers}/{MASTER_NAME}?sentinel_user=asker&sentinel_password={password}"
        )
    };
    store(&url("secret")).probe().await.unwrap();
    let error = store(&url("wrong")).probe().await.unwrap_err();
    assert!(error.needs_an_operator() && error.to_string().contains("WRONGPASS"), "{error}");
    assert!(watched.servers().split(',').any(|sentinel| error.to_string().contains(sentinel)), "{error}");
    let error = store(&url("secret").replace("app:data", "app:wrong")).probe().await.unwrap_err();
    assert!(error.needs_an_operator() && error.to_string().contains(MASTER_NAME), "{error}");
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_and_sentinels_that_are_away_are_named() {
    let watched = Watched::start().await;
    let error = store(&format!("redis+sentinel://{}/other", watched.servers())).probe().await.unwrap_err();
    assert!(matches!(error, Error::UnknownMaster { .. }) && error.needs_an_operator(), "{error}");
    assert!(error.to_string().contains("\"other\""), "{error}");
    let error = store("redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster").probe().await.unwrap_err();
    assert!(!error.needs_an_operator(), "{error}");
    assert!(error.to_string().contains("127.0.0.1:"), "{error}");
    // One that is away is no trouble.
    let some = format!("redis+sentinel://127.0.0.1:1,{}/mymaster", watched.servers());
    store(&some).probe().await.unwrap();
}
