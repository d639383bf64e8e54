//! A reader that is not ours gets what ours gets: each line once, over cuts and relays.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use logrelay::store::{PrivateServer, ServerOptions};
use serde_json::Value;

use crate::{
    processes::{Process, free_address},
    python::PythonSubscriber,
};

const LINES: u64 = 1_000_000;
const BURST: u64 = 20_000;
const CUTS: u64 = 20;

#[tokio::test]
async fn a_python_reader_cut_20_times_gets_each_of_a_million_lines_once_and_in_order() {
    let binary = Path::new(env!("CARGO_BIN_EXE_logrelay"));
    let folder = tempfile::tempdir().unwrap();
    let redis = PrivateServer::start(&ServerOptions::new(folder.path().join("redis"))).await.unwrap();
    let url = redis.url().to_string();
    let log = folder.path().join("app.log");
    let tail = ["tail", "--redis", &url, "--host", "here", "--topic", "app", log.to_str().unwrap()];
    let _tailer = Process::start(binary, "tailer", &tail, folder.path()).unwrap();
    let addresses = [free_address().unwrap(), free_address().unwrap()];
    let mut relays = Vec::new();
    for (address, name) in addresses.iter().zip(["relay-1", "relay-2"]) {
        let serve = ["serve", "--redis", &url, "--listen", address];
        let mut relay = Process::start(binary, name, &serve, folder.path()).unwrap();
        relay.wait_until_it_listens(address).await.unwrap();
        relays.push(relay);
    }

    let events = folder.path().join("events");
    let python = PythonSubscriber::new();
    let mut reader = python
        .command()
        .args(["--topic", "app", "--from", "earliest", "--relay", &addresses[0], "--relay", &addresses[1]])
        .args(["--until-lines", &LINES.to_string(), "--cut-after", &(LINES / (CUTS + 1) + 1).to_string()])
        .stdout(Stdio::piped())
        .stderr(File::create(&events).unwrap())
        .spawn()
        .unwrap();
    let writer = {
        let log = log.clone();
        tokio::task::spawn_blocking(move || write_in_bursts(&log))
    };
    let lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    let checked = tokio::task::spawn_blocking(move || {
        lines.zip(0..).map(|(line, expected)| assert_is(&line.unwrap(), expected)).count()
    });
    assert_eq!(checked.await.unwrap() as u64, LINES, "{}", fs::read_to_string(&events).unwrap());
    writer.await.unwrap();
    assert!(reader.wait().unwrap().success());

    let events = fs::read_to_string(&events).unwrap();
    let cuts: Vec<_> = events.lines().filter(|event| event.contains(r#""event": "cut""#)).collect();
    assert_eq!(cuts.len() as u64, CUTS);
    for (cut, address) in cuts.iter().zip(addresses.iter().cycle()) {
        assert!(cut.contains(address), "the relays were to take turns: {cuts:#?}");
    }
}

/// Line `expected` of the topic: at that offset, and written as that.
fn assert_is(line: &str, expected: u64) {
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["offset"], expected);
    assert_eq!(line["line"].as_str(), Some(&*text(expected)));
}

fn text(number: u64) -> String {
    format!("{number:07} a line of some length, as programs write them")
}

/// Writes all lines to the file at `log`, which is renamed away twice.
fn write_in_bursts(log: &Path) {
    let mut file = File::create(log).unwrap();
    for burst in 0..LINES / BURST {
        if burst == LINES / BURST / 3 || burst == LINES / BURST * 2 / 3 {
            let older = log.with_extension("log.2");
            let newer = log.with_extension("log.1");
            if newer.exists() {
                fs::rename(&newer, older).unwrap();
            }
            fs::rename(log, newer).unwrap();
            file = File::create(log).unwrap();
        }
        let lines: String = (burst * BURST..(burst + 1) * BURST).map(|number| text(number) + "\n").collect();
        file.write_all(lines.as_bytes()).unwrap();
        // Not for something to happen: what makes it bursts.
        std::thread::sleep(Duration::from_millis(100));
    }
}
