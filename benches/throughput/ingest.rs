//! From files on disk to confirmed in Redis.

use std::process::Stdio;

use anyhow::ensure;
use logrelay::record::{Host, Topic};
use tokio::{process::Command, time::Instant};

use crate::{
    bed::Bed,
    proof,
    sample::hundred_bytes,
    table::{Figure, Goal, Round, Unit, rate},
};

const LINES: u64 = 2_000_000;
/// Whole rounds of its 50 connections with 128 commands each.
const PEER_LINES: u64 = 50 * 128 * 32;
const FILES: u64 = 200;
const ROUNDS: usize = 5;

/// One file, by the tailer and as one XADD a line.
pub(crate) async fn one_file(bed: &mut Bed) -> anyhow::Result<Figure> {
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

/// As many lines in many files, beside one file.
pub(crate) async fn many_files(bed: &mut Bed) -> anyhow::Result<Figure> {
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
    command.arg("-s").arg(bed.socket()).args(["-P", "128", "-q", "-n", &PEER_LINES.to_string()]);
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
