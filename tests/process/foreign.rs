//! What the subscriber in Python does about everything that is not a batch.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::ChildStdout,
    task::spawn_blocking,
    time::timeout,
};

use crate::{
    numbered::{Expected, Log},
    process::{PATIENCE, Process},
    python::PythonSubscriber,
    relay::Relay,
    suite::support::TestRedis,
};

/// Lines that are written between two events.
const STEP: u64 = 1_000;

/// A running subscriber, and what it has printed.
struct Reader {
    process: Process,
    stdout: Lines<BufReader<ChildStdout>>,
    expected: Expected,
    epoch: String,
}

impl Reader {
    fn start(python: &PythonSubscriber, relays: &[Relay], arguments: &[&str]) -> Self {
        let mut command = tokio::process::Command::from(python.command());
        for relay in relays {
            command.args(["--relay", relay.url.strip_prefix("http://").unwrap()]);
        }
        command.args(["--topic", "app"]).args(arguments).stdout(Stdio::piped());
        let mut process = Process::spawn("subscriber.py", command);
        let stdout = BufReader::new(process.stdout()).lines();
        Self { process, stdout, expected: Expected::default(), epoch: String::new() }
    }

    /// Reads until it has printed so many lines in all, each the one after the one before.
    async fn read_to(&mut self, lines: u64) {
        while self.expected.next() < lines {
            let line = timeout(PATIENCE, self.stdout.next_line()).await.expect("it prints nothing");
            let line: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
            self.expected.take(line["line"].as_str().unwrap().as_bytes());
            line["epoch"].as_str().unwrap().clone_into(&mut self.epoch);
        }
    }

    async fn until_it_says(&mut self, event: &str) {
        self.process.until_it_says(&format!("{{\"event\": \"{event}\"")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_reader_prints_each_line_once_over_closing_rewound_reset_and_gap() {
    let python = spawn_blocking(PythonSubscriber::new).await.unwrap();
    let mut redis = TestRedis::start().await;
    let folder = TempDir::new().unwrap();
    let mut log = Log::create(folder.path().join("app.log"));
    let words = format!("tail --redis {} --host host --topic app {}", redis.url(), log.path().display());
    let _tailer = Process::start(&words);
    let relays = [Relay::start(&redis).await, Relay::start(&redis).await];
    let mut reader = Reader::start(&python, &relays, &["--from", "earliest"]);
    let mut write_step = || {
        log.write(STEP);
        log.finish();
    };

    write_step();
    reader.read_to(STEP).await;
    relays[0].process.signal(Signal::TERM);
    reader.until_it_says("closing").await;
    write_step();
    reader.read_to(2 * STEP).await;

    let copy = redis.copy();
    write_step();
    reader.read_to(3 * STEP).await;
    redis.replace_with(&copy).await;
    reader.until_it_says("rewound").await;
    write_step();
    reader.read_to(4 * STEP).await;

    let mut control = redis.control().await;
    let () = control.run("FLUSHALL").await;
    reader.until_it_says("reset").await;
    write_step();
    reader.read_to(5 * STEP).await;

    let _trimmed: u64 = control.run("XTRIM logrelay:{app}:lines MAXLEN 1").await;
    let cursor = format!("app@{}:0", reader.epoch);
    let late = Reader::start(&python, &relays[1..], &["--from", &cursor, "--until-lines", "1"]);
    let ended = late.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("{\"event\": \"gap\""), "{}", ended.stderr);
}
