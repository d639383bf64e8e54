//! Patterns of topics: what is born while relays and readers are killed is read from its first line.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    sync::{Arc, Mutex},
    time::Duration,
};

use logrelay::client::{Event, Options, RelayAddress, Start, State, Subscription};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    dev::{run, wait_for},
    numbered::{Expected, line},
    process::Process,
    relay::Relay,
    suite::support::{TestRedis, eventually, free_port, writer::Writer},
};

const BORN: usize = 10;
const LINES: u64 = 2_000;
/// Lines of the topic that was there before.
const OLD_LINES: u64 = 100;

/// What the reader has heard of each topic.
#[derive(Debug, Default)]
struct Heard {
    topics: BTreeMap<String, Expected>,
    opened: u64,
}

/// Reads for ever, and begins anew from its state as text now and then.
async fn read(relays: Vec<RelayAddress>, heard: Arc<Mutex<Heard>>, mut random: fastrand::Rng) {
    let mut saved = serde_json::to_string(&State::default()).unwrap();
    loop {
        let options = Options {
            relays: relays.clone(),
            topics: vec!["web.*".parse().unwrap(), "named".parse().unwrap()],
            start: Start::Latest,
            state: serde_json::from_str(&saved).unwrap(),
            retry_max_ms: 200,
            ..Options::default()
        };
        let mut subscription = Subscription::new(options).unwrap();
        for _ in 0..random.u32(20..200) {
            let event = subscription.next().await.unwrap().unwrap();
            let mut heard = heard.lock().unwrap();
            match event {
                Event::Lines(lines) => {
                    let topic = lines.topic().to_string();
                    // What was there when the subscription began is not wanted.
                    let begin = if topic == "web.old" { OLD_LINES } else { 0 };
                    let expected = heard.topics.entry(topic).or_insert_with(|| Expected::from(begin));
                    lines.iter().for_each(|line| expected.take(line.content));
                }
                Event::Opened { .. } => heard.opened += 1,
                Event::Gap(_) | Event::Rewound(_) | Event::Reset(_) => panic!("{event:?}"),
                _ => {}
            }
        }
        saved = serde_json::to_string(subscription.state()).unwrap();
    }
}

async fn write(mut writer: Writer, lines: std::ops::Range<u64>) {
    for from in lines.clone().step_by(20) {
        let texts: Vec<_> = (from..lines.end.min(from + 20)).map(line).collect();
        writer.append(&texts).await;
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_born_while_relays_are_killed_again_and_again_are_read_each_line_once() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let redis = TestRedis::start().await;
    let listen = [free_port(), free_port()].map(|port| format!("--listen 127.0.0.1:{port}"));
    let mut relays = Vec::new();
    for listen in &listen {
        relays.push(Relay::with(&redis, listen).await);
    }
    let mut old = Writer::new(&redis, "web.old").await;
    old.append(&(0..OLD_LINES).map(line).collect::<Vec<_>>()).await;
    let (heard, mut tasks) = (Arc::<Mutex<Heard>>::default(), JoinSet::new());
    let addresses = relays.iter().map(|relay| relay.url.parse().unwrap()).collect();
    tasks.spawn(read(addresses, Arc::clone(&heard), random.fork()));
    eventually("it is opened", async || heard.lock().unwrap().opened > 0).await;

    let mut writing = JoinSet::new();
    writing.spawn(write(old, OLD_LINES..OLD_LINES + LINES));
    for number in 0..BORN {
        sleep(Duration::from_millis(random.u64(0..300))).await;
        let (one, both) = (random.usize(..2), random.bool());
        for at in (0..2).filter(|at| both || *at == one) {
            relays[at].process.kill().await;
        }
        let name = if number == 0 { "named".to_owned() } else { format!("web.{number}") };
        writing.spawn(write(Writer::new(&redis, &name).await, 0..LINES));
        sleep(Duration::from_millis(random.u64(0..50))).await;
        for at in (0..2).filter(|at| both || *at == one) {
            relays[at] = Relay::with(&redis, &listen[at]).await;
        }
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap();
    }
    eventually("all is read", async || {
        if let Some(ended) = tasks.try_join_next() {
            ended.unwrap();
        }
        let heard = heard.lock().unwrap();
        let ends = heard.topics.iter().map(|(name, expected)| {
            expected.next() == if name == "web.old" { OLD_LINES + LINES } else { LINES }
        });
        ends.filter(|is_read| *is_read).count() == BORN + 1
    })
    .await;
    assert!(heard.lock().unwrap().opened > BORN as u64, "the relays were hardly missed");
}

#[tokio::test]
async fn a_cursor_file_of_a_pattern_goes_on_with_topics_that_were_born_meanwhile() {
    let redis = TestRedis::start().await;
    let relay = Relay::start(&redis).await;
    let folder = TempDir::new().unwrap();
    let cursors = folder.path().join("cursors");
    let file = format!("--relay {} --cursor-file {}", relay.url, cursors.display());
    let words = format!("subscribe web.* {file}");
    let printed = |run: u32| folder.path().join(format!("run-{run}"));
    let lines = |run| {
        let mut lines: Vec<_> =
            fs::read_to_string(printed(run)).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let saved =
        |text: &str| fs::read_to_string(&cursors).is_ok_and(|saved| saved.contains(text)).then_some(());

    let mut first = Writer::new(&redis, "web.1").await;
    first.append_numbered(1, 3).await;
    let mut subscriber = Process::printing_to(&words, File::create(printed(1)).unwrap());
    wait_for("the first opened", || saved("\"web.*\"")).await;
    Writer::new(&redis, "web.2").await.append_numbered(1, 2).await;
    subscriber.until_it_says("a new topic joins topic=\"web.2\"").await;
    wait_for("its lines", || saved(":2\"")).await;
    subscriber.kill().await;
    assert_eq!(lines(1), ["web.2: line 0", "web.2: line 1"]);

    Writer::new(&redis, "web.3").await.append_numbered(1, 2).await;
    first.append_numbered(1, 1).await;
    let again = Process::printing_to(&words, File::create(printed(2)).unwrap());
    wait_for("what came meanwhile", || (lines(2).len() >= 3).then_some(())).await;
    assert_eq!(lines(2), ["web.1: line 3", "web.3: line 0", "web.3: line 1"]);
    drop(again);

    for (topics, foreign) in [("web.1 db", "web.2"), ("web.1 web.2 web.3", "web.*")] {
        let other = run(&format!("subscribe {topics} {file}")).await;
        assert_eq!(other.status.code(), Some(2));
        let said = String::from_utf8_lossy(&other.stderr).into_owned();
        assert!(said.contains(&format!("it has {foreign}, which is not asked for")), "{said}");
    }
}
