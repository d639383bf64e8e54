//! How long a line takes from its append, or from the file, to a reader.

use std::{fs::File, io::Write as _, time::Duration};

use anyhow::{Context as _, ensure};
use logrelay::client::{Event, Options, Start, Subscription};
use redis::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    bed::Bed,
    fan_out::Writer,
    replay::entry_of,
    table::{Figure, Goal, Round, Unit, sorted},
};

/// Longest round: at ten lines a second, so that there are lines enough for a p99.
const LONGEST: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;

/// The 50th and the 99th of a hundred delays.
struct Percentiles {
    p50: f64,
    p99: f64,
}

/// An append to a reader behind a relay, and a bare XADD to a blocked XREAD.
pub(crate) async fn of_appends(bed: &mut Bed, lines_per_s: u64) -> anyhow::Result<[Figure; 2]> {
    let lines = if lines_per_s < 100 { lines_per_s * LONGEST.as_secs() } else { lines_per_s * 2 };
    let pace = Duration::from_secs(1) / u32::try_from(lines_per_s)?;
    let (relay, url) = bed.relay().await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let ours = appended(bed, &url, lines, pace).await?;
        let peers = bare(bed, lines, pace).await?;
        rounds.push((ours, peers));
    }
    relay.end().await?;
    let of = |percentile: fn(&Percentiles) -> f64| {
        let round = |(ours, peers): &(Percentiles, Percentiles)| Round {
            ours: percentile(ours),
            peers: percentile(peers),
        };
        rounds.iter().map(round).collect()
    };
    let figure = |name: &str, goal, rounds| Figure {
        measure: format!("delay from append to reader at {lines_per_s} lines/s, {name}"),
        peer: "bare XADD to a blocked XREAD by redis-rs",
        unit: Unit::Seconds,
        goal: Goal::AtMost(goal),
        rounds,
    };
    Ok([figure("p50", 2.0, of(|all| all.p50)), figure("p99", 3.0, of(|all| all.p99))])
}

/// A line written to a file until a reader has it, at 1,000 lines a second.
pub(crate) async fn of_files(bed: &mut Bed) -> anyhow::Result<Figure> {
    let (lines, pace) = (2000, Duration::from_millis(1));
    let (relay, url) = bed.relay().await?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let ours = written(bed, &url, round, lines, pace).await?.p50;
        let peers = bare(bed, lines, pace).await?.p50;
        rounds.push(Round { ours, peers });
    }
    relay.end().await?;
    Ok(Figure {
        measure: "delay from a write to a file to the reader at 1000 lines/s, p50".to_owned(),
        peer: "bare XADD to a blocked XREAD by redis-rs",
        unit: Unit::Seconds,
        goal: Goal::AtMost(2.0),
        rounds,
    })
}

async fn appended(bed: &mut Bed, url: &str, lines: u64, pace: Duration) -> anyhow::Result<Percentiles> {
    let topic = bed.round().await?;
    let mut writer = Writer::new(bed, &topic).await?;
    let began = Instant::now();
    writer.append_lines(bed, &[stamp(began)]).await?;
    let mut reader = subscribed(url, &topic, began, lines).await?;
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..lines {
        ticks.tick().await;
        writer.append_lines(bed, &[stamp(began)]).await?;
    }
    percentiles(reader.join_next().await.context("no reader")???, lines)
}

async fn written(
    bed: &mut Bed,
    url: &str,
    round: usize,
    lines: u64,
    pace: Duration,
) -> anyhow::Result<Percentiles> {
    let (topic, path) = (bed.round().await?, bed.path(&format!("live-{round}.log")));
    let began = Instant::now();
    let mut file = File::create(&path)?;
    let mut write = || file.write_all(&[stamp(began), b"\n".to_vec()].concat());
    write()?;
    let tailer = bed.tailer(&topic, &path)?;
    bed.until_confirmed(&topic, 1).await?;
    let mut reader = subscribed(url, &topic, began, lines).await?;
    let mut ticks = interval(pace);
    for _ in 0..lines {
        ticks.tick().await;
        write()?;
    }
    let delays = reader.join_next().await.context("no reader")???;
    tailer.end().await?;
    percentiles(delays, lines)
}

/// A task that reads so many lines, and the delay of each. Returns when it has caught up.
async fn subscribed(
    url: &str,
    topic: &str,
    began: Instant,
    count: u64,
) -> anyhow::Result<JoinSet<anyhow::Result<Vec<f64>>>> {
    let options = Options {
        relays: vec![url.parse()?],
        topics: vec![topic.parse()?],
        start: Start::Latest,
        ..Options::default()
    };
    let mut subscription = Subscription::new(options)?;
    while !matches!(subscription.next().await?.context("it ended")?, Event::CaughtUp(_)) {}
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        let mut delays = Vec::new();
        while (delays.len() as u64) < count {
            let Event::Lines(lines) = subscription.next().await?.context("it ended")? else { continue };
            for line in lines.iter() {
                ensure!(line.offset.get() == delays.len() as u64 + 1, "line {} came", line.offset);
                delays.push(delay(began, line.content)?);
            }
        }
        Ok(delays)
    });
    Ok(reader)
}

async fn bare(bed: &mut Bed, lines: u64, pace: Duration) -> anyhow::Result<Percentiles> {
    let key = bed.round().await?;
    let (mut writer, mut blocked, began) = (bed.connection().await?, bed.connection().await?, Instant::now());
    let mut reader = JoinSet::new();
    let read_key = key.clone();
    reader.spawn(async move {
        let (mut delays, mut after) = (Vec::new(), "0-0".to_owned());
        while (delays.len() as u64) < lines {
            let mut command = redis::cmd("XREAD");
            command.arg("BLOCK").arg(0).arg("STREAMS").arg(&read_key).arg(&after);
            let Value::Array(keys) = command.query_async(&mut blocked).await? else { continue };
            let Some(Value::Array(key)) = keys.into_iter().next() else { continue };
            let Some(Value::Array(entries)) = key.into_iter().nth(1) else { continue };
            for entry in entries {
                let (id, line) = entry_of(entry).context("no entry")?;
                delays.push(delay(began, &line)?);
                after = String::from_utf8(id)?;
            }
        }
        anyhow::Ok(delays)
    });
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..lines {
        ticks.tick().await;
        let mut command = redis::cmd("XADD");
        command.arg(&key).arg("*").arg("m").arg(stamp(began));
        command.query_async::<Value>(&mut writer).await?;
    }
    percentiles(reader.join_next().await.context("no reader")???, lines)
}

/// A line of 100 bytes that tells when it was made.
pub(crate) fn stamp(began: Instant) -> Vec<u8> {
    format!("{:0>20}{:.<80}", began.elapsed().as_nanos(), "").into_bytes()
}

/// How old a line is, in seconds.
pub(crate) fn delay(began: Instant, line: &[u8]) -> anyhow::Result<f64> {
    Ok(began.elapsed().saturating_sub(stamped_at(line)?).as_secs_f64())
}

/// When a line was made, from the same begin on.
pub(crate) fn stamped_at(line: &[u8]) -> anyhow::Result<Duration> {
    Ok(Duration::from_nanos(std::str::from_utf8(&line[..20])?.parse()?))
}

fn percentiles(delays: Vec<f64>, lines: u64) -> anyhow::Result<Percentiles> {
    ensure!(delays.len() as u64 == lines, "{} lines came of {lines}", delays.len());
    let delays = sorted(delays.into_iter());
    Ok(Percentiles { p50: delays[delays.len() / 2], p99: delays[delays.len() * 99 / 100] })
}
