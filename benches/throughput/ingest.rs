//! From files on disk to confirmed in Redis.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, ensure};
use logrelay::record::{Host, Topic};
use tokio::{process::Command, time::Instant};

use crate::{
    bed::Bed,
    proof,
    rsyslog::{self, Queue},
    sample::hundred_bytes,
    table::{Figure, Goal, Round, Unit, rate},
};

const LINES: u64 = 4_000_000;
const RSYSLOG_LINES: u64 = 300_000;
/// Whole rounds of its 50 connections with 128 commands each.
const PEER_LINES: u64 = 50 * 128 * 32;
const FILES: u64 = 200;
const ROUNDS: usize = 5;
const RSYSLOG_ROUNDS: usize = 3;

/// One file and many, beside what else brings lines to Redis.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![one_file(bed).await.context("one file")?];
    for (queue, peer) in [
        (Queue::Default, "rsyslog, imfile to omhiredis (RPUSH)"),
        (Queue::LargeBatches, "rsyslog, imfile to omhiredis (RPUSH), batches of 10,000"),
    ] {
        figures.push(beside_rsyslog(bed, queue, peer).await.context("rsyslog")?);
    }
    figures.push(many_files(bed).await.context("many files")?);
    Ok(figures)
}

/// One file, by the tailer and as one XADD a line.
async fn one_file(bed: &mut Bed) -> anyhow::Result<Figure> {
    bed.write("one.log", 0..LINES, hundred_bytes)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, peers) = (tail_one(bed).await?, redis_benchmark(bed).await?);
        rounds.push(Round { ours, peers });
    }
    Ok(Figure {
        measure: "ingest, one file of 100-byte lines: disk to confirmed in Redis".to_owned(),
        peer: "`redis-benchmark -P 128`, one XADD a line",
        unit: Unit::LinesPerSecond,
        goal: Goal::AtLeast(8.0),
        rounds,
    })
}

/// The same file, and the beginning of it for rsyslog, which is slower.
async fn beside_rsyslog(bed: &mut Bed, queue: Queue, peer: &'static str) -> anyhow::Result<Figure> {
    let path = bed.write("rsyslog.log", 0..RSYSLOG_LINES, hundred_bytes)?;
    let mut rounds = Vec::new();
    for _ in 0..RSYSLOG_ROUNDS {
        if !rsyslog::is_installed() {
            break;
        }
        let (ours, peers) = (tail_one(bed).await?, rsyslog(bed, &path, queue).await?);
        rounds.push(Round { ours, peers });
    }
    Ok(Figure {
        measure: "ingest of the same file".to_owned(),
        peer,
        unit: Unit::LinesPerSecond,
        goal: Goal::AtLeast(10.0),
        rounds,
    })
}

/// As many lines in many files, beside one file.
async fn many_files(bed: &mut Bed) -> anyhow::Result<Figure> {
    for file in 0..FILES {
        let numbers = file * LINES / FILES..(file + 1) * LINES / FILES;
        bed.write(&format!("many-{file}.log"), numbers, hundred_bytes)?;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, peers) = (tail_many(bed).await?, tail_one(bed).await?);
        rounds.push(Round { ours, peers });
    }
    Ok(Figure {
        measure: format!("ingest, {FILES} files at once"),
        peer: "the same lines in one file",
        unit: Unit::LinesPerSecond,
        goal: Goal::AtLeast(0.8),
        rounds,
    })
}

/// Lines a second, from the start of the program on.
async fn tail_one(bed: &mut Bed) -> anyhow::Result<f64> {
    let topic = bed.round().await?;
    let began = Instant::now();
    let tailer = bed.tailer(&topic, &bed.path("one.log"))?;
    bed.until_confirmed(&topic, LINES).await?;
    let took = began.elapsed();
    tailer.end().await?;
    proof::last_line_is(&bed.store, &topic, LINES, &hundred_bytes(LINES - 1)).await?;
    Ok(rate(LINES, took))
}

async fn tail_many(bed: &mut Bed) -> anyhow::Result<f64> {
    let topic = bed.round().await?;
    let began = Instant::now();
    let tailer = bed.tailer(&topic, &bed.path("many-*.log"))?;
    bed.until_confirmed(&topic, LINES).await?;
    let took = began.elapsed();
    tailer.end().await?;
    let (topic, host): (Topic, Host) = (topic.parse()?, "bench".parse()?);
    let records = bed.store.records(&topic, &host).await?;
    ensure!(records.len() as u64 == FILES, "{} sources", records.len());
    for (key, record) in records {
        let lines = record.details.next_line;
        ensure!(lines == LINES / FILES && record.position == lines * 101, "{key} ends at line {lines}");
    }
    Ok(rate(LINES, took))
}

async fn redis_benchmark(bed: &mut Bed) -> anyhow::Result<f64> {
    let key = bed.round().await?;
    let line = hundred_bytes(PEER_LINES);
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &bed.port.to_string(), "-P", "128", "-q", "-n", &PEER_LINES.to_string()]);
    command.args(["XADD", &key, "*", "m", &line]).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = command.kill_on_drop(true).status().await?;
    let took = began.elapsed();
    ensure!(status.success(), "redis-benchmark: {status}");
    let lines: u64 = bed.run(&["XLEN", &key]).await?;
    ensure!(lines == PEER_LINES, "{lines} lines came");
    let last: Vec<(String, (String, String))> = bed.run(&["XREVRANGE", &key, "+", "-", "COUNT", "1"]).await?;
    proof::is_line(last[0].1.1.as_bytes(), &line)?;
    Ok(rate(PEER_LINES, took))
}

async fn rsyslog(bed: &mut Bed, path: &Path, queue: Queue) -> anyhow::Result<f64> {
    let key = bed.round().await?;
    let folder = bed.path(&format!("rsyslog-{key}"));
    let began = Instant::now();
    let mut child = rsyslog::start(path, &key, bed.port, queue, &folder)?;
    bed.until_long(&key, RSYSLOG_LINES).await?;
    let took = began.elapsed();
    child.kill().await?;
    // Its workers finish in an order of chance: the last line is there, and need not be last.
    let last = hundred_bytes(RSYSLOG_LINES - 1);
    let found: Option<u64> = bed.run(&["LPOS", &key, &last, "RANK", "-1"]).await?;
    ensure!(found.is_some(), "rsyslog has not written {last:?}");
    Ok(rate(RSYSLOG_LINES, took))
}
