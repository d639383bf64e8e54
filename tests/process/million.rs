//! A million lines, rotated files, two relays, and readers that are cut off again and again.

use std::{process::Stdio, time::Duration};

use logrelay::client::{Event, Options, Start, Subscription};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{
    numbered::{Expected, Log, line},
    process::Process,
    python::PythonSubscriber,
    relay::Relay,
    suite::support::{TestRedis, door::Door},
};

const LINES: u64 = 1_000_000;
const CUTS: u64 = 20;
/// A reader is cut each time that it has so many lines more.
const LINES_PER_CUT: u64 = LINES.div_ceil(CUTS + 1);
const LONGEST: Duration = Duration::from_secs(150);

/// Writes all lines in bursts, and rotates the file twice.
async fn write(mut log: Log) {
    let mut rotate_at = vec![LINES / 3, LINES / 3 * 2];
    while log.written() < LINES {
        log.write(fastrand::u64(1..20_000).min(LINES - log.written()));
        if rotate_at.first().is_some_and(|&at| log.written() >= at) {
            rotate_at.remove(0);
            log.rotate();
        }
        sleep(Duration::from_millis(fastrand::u64(0..20))).await;
    }
    assert!(rotate_at.is_empty());
    log.finish();
}

/// Reads with the client library, through doors that cut it off; it goes to the other relay then.
async fn read_in_rust(doors: [Door; 2]) {
    let relays = doors.iter().map(|door| door.url.parse().unwrap()).collect();
    let topics = vec!["app".parse().unwrap()];
    let options = Options { relays, topics, start: Start::Earliest, ..Options::default() };
    let mut subscription = Subscription::new(options).unwrap();
    let (mut expected, mut opened, mut cuts) = (Expected::default(), Vec::new(), 0);
    while expected.next() < LINES {
        match subscription.next().await.unwrap().unwrap() {
            Event::Lines(lines) => {
                for line in lines.iter() {
                    assert_eq!(line.offset.get(), expected.next(), "a hole or a repeat");
                    expected.take(line.content);
                }
                // What had come before a cut is still read after it, and nothing is there to cut.
                let is_open = opened.len() as u64 > cuts;
                if is_open && cuts < CUTS && expected.next() >= (cuts + 1) * LINES_PER_CUT {
                    doors.iter().for_each(Door::cut);
                    cuts += 1;
                }
            }
            Event::Opened { relay, .. } => opened.push(relay.to_string()),
            Event::Disconnected { .. } | Event::CaughtUp(_) | Event::Heartbeat(_) => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(opened.len() as u64, CUTS + 1);
    assert!(opened.windows(2).all(|two| two[0] != two[1]), "not in turn: {opened:?}");
}

/// Reads with the subscriber in Python, which leaves a relay after so many lines.
async fn read_in_python(relays: [String; 2]) {
    let python = spawn_blocking(PythonSubscriber::new).await.unwrap();
    let mut command = tokio::process::Command::from(python.command());
    command.args(["--topic", "app", "--from", "earliest", "--until-lines", &LINES.to_string()]);
    command.args(["--cut-after", &LINES_PER_CUT.to_string()]);
    for relay in relays {
        command.args(["--relay", relay.strip_prefix("http://").unwrap()]);
    }
    command.stdout(Stdio::piped());
    let mut process = Process::spawn("subscriber.py", command);
    let mut lines = BufReader::with_capacity(1 << 20, process.stdout()).lines();
    let mut next = 0;
    while let Some(found) = lines.next_line().await.unwrap() {
        let is_next = found.contains(&format!("\"offset\": {next}, "))
            && found.ends_with(&format!("\"line\": \"{}\"}}", line(next)));
        assert!(is_next, "line {next} is expected, and {found} came");
        next += 1;
    }
    let ended = process.ended().await;
    assert_eq!((ended.code, next), (Some(0), LINES), "{}", ended.stderr);
    let cuts = ended.stderr.matches("\"event\": \"cut\"").count();
    assert_eq!(cuts as u64, CUTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_lines_of_a_rotated_file_reach_readers_cut_twenty_times_on_two_relays_each_once() {
    let redis = TestRedis::start().await;
    let folder = TempDir::new().unwrap();
    let log = Log::create(folder.path().join("app.log"));
    let relays = [Relay::start(&redis).await, Relay::start(&redis).await];
    let doors = [Door::before(&relays[0].url).await, Door::before(&relays[1].url).await];
    let words = format!("tail --redis {} --host host --topic app {}", redis.url(), log.path().display());
    let _tailer = Process::start(&words);
    let mut tasks = JoinSet::new();
    tasks.spawn(write(log));
    tasks.spawn(read_in_rust(doors));
    tasks.spawn(read_in_python(relays.each_ref().map(|relay| relay.url.clone())));
    while let Some(ended) = timeout(LONGEST, tasks.join_next()).await.expect("it takes too long") {
        ended.unwrap();
    }
}
