//! `subscribe --subscription` keeps nothing on its host, and goes on where the relays say.

use std::{
    fs::{self, File},
    time::Duration,
};

use logrelay::proto::{GetCursorRequest, log_relay_client::LogRelayClient};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    dev::wait_for,
    killed_subscriber::{take, write},
    process::Process,
    relay::Relay,
    suite::support::{TestRedis, eventually, writer::Writer},
};

const KILLS: u64 = 20;

/// The offset where the subscription `s` goes on in `app`; none where there is no such one.
async fn committed(relay: &Relay) -> Option<u64> {
    let mut client = LogRelayClient::connect(relay.url.clone()).await.unwrap();
    let request = GetCursorRequest { subscription: "s".to_owned(), topics: vec!["app".to_owned()] };
    let found = client.get_cursor(request).await.unwrap().into_inner();
    found.cursors.first().map(|found| found.cursor.rsplit_once(':').unwrap().1.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_reader_killed_twenty_times_loses_nothing_and_repeats_only_what_was_not_committed() {
    let seed = fastrand::u64(..);
    println!("the moments are those of the seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let redis = TestRedis::start().await;
    let (one, other) = (Relay::start(&redis).await, Relay::start(&redis).await);
    let folder = TempDir::new().unwrap();
    let printed = |run: u64| folder.path().join(format!("run-{run}"));
    let words = format!("subscribe app --relay {},{} --from earliest --subscription s", one.url, other.url);
    let (stop, mut writing) = (CancellationToken::new(), JoinSet::new());
    writing.spawn(write(Writer::new(&redis, "app").await, stop.clone()));
    let (mut end, mut useful) = (0, 0);
    for run in 0..=KILLS {
        let begin = committed(&one).await.unwrap_or(0);
        assert!(begin <= end, "{begin} is committed, and only {end} lines were printed");
        let output = File::create(printed(run)).unwrap();
        if run < KILLS {
            let mut subscriber = Process::printing_to(&words, output);
            sleep(Duration::from_millis(random.u64(0..600))).await;
            subscriber.kill().await;
        } else {
            stop.cancel();
            let ended = Process::printing_to(&format!("{words} --no-follow"), output).ended().await;
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        }
        let text = fs::read_to_string(printed(run)).unwrap();
        if let Some((line, _)) = text.split_once('\n') {
            // Nothing comes again but what was printed after the last commit.
            assert_eq!(line.split(' ').next().unwrap().parse::<u64>().unwrap(), begin);
        }
        let before = end;
        end = take(&printed(run), end);
        useful += u64::from(before < end);
    }
    let lines = writing.join_next().await.unwrap().unwrap();
    assert_eq!((end, committed(&one).await), (lines, Some(lines)));
    assert!(useful > KILLS / 2, "only {useful} runs printed something new");
}

#[tokio::test]
async fn the_second_reader_of_a_name_takes_over_and_the_first_ends_and_says_why() {
    let redis = TestRedis::start().await;
    let (one, other) = (Relay::start(&redis).await, Relay::start(&redis).await);
    let mut writer = Writer::new(&redis, "app").await;
    writer.append(&["one", "two"]).await;
    let folder = TempDir::new().unwrap();
    let words =
        |relay: &Relay| format!("subscribe app --relay {} --from earliest --subscription s", relay.url);
    let printing = |name: &str, relay: &Relay| {
        let path = folder.path().join(name);
        (Process::printing_to(&words(relay), File::create(&path).unwrap()), path)
    };
    let (first, out) = printing("first", &one);
    wait_for("the first lines", || (fs::read_to_string(&out).unwrap() == "one\ntwo\n").then_some(())).await;
    eventually("they are committed", async || committed(&one).await == Some(2)).await;
    let (second, out) = printing("second", &other);
    let ended = first.ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("SUBSCRIPTION_TAKEN"), "{}", ended.stderr);
    writer.append(&["three"]).await;
    wait_for("the next line", || (fs::read_to_string(&out).unwrap() == "three\n").then_some(())).await;
    // A stop commits what was printed.
    second.signal(Signal::TERM);
    assert_eq!(second.ended().await.code, Some(0));
    assert_eq!(committed(&one).await, Some(3));
}
