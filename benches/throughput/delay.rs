//! How long a line takes from its append, or from the file, to a reader.

use std::{fs::File, io::Write as _, time::Duration};

use anyhow::{Context as _, ensure};
use logrelay::client::{Event, Options, Start, Subscription};
use redis::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use crate::{
    bed::Bed,
    fan_out::Writer,
    replay::entry_of,
    table::{Figure, Goal, Round, Unit, sorted},
};

const ROUNDS: usize = 3;

/// How fast lines are made.
#[derive(Clone, Copy)]
struct Pace {
    tick: Duration,
    lines_per_tick: u64,
    ticks: u64,
}

/// Ten, a thousand and a hundred thousand lines a second. The slowest takes longest, so that there
/// are lines enough for a p99; of the fastest a hundred come at once.
const PACES: [Pace; 3] = [
    Pace { tick: Duration::from_millis(100), lines_per_tick: 1, ticks: 60 },
    Pace { tick: Duration::from_millis(1), lines_per_tick: 1, ticks: 2000 },
    Pace { tick: Duration::from_millis(1), lines_per_tick: 100, ticks: 1000 },
];

impl Pace {
    fn lines(self) -> u64 {
        self.lines_per_tick * self.ticks
    }

    fn lines_per_s(self) -> u128 {
        u128::from(self.lines_per_tick) * 1000 / self.tick.as_millis()
    }

    fn ticker(self) -> Interval {
        let mut ticks = interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// The lines of one tick, made now.
    fn stamps(self, began: Instant) -> Vec<Vec<u8>> {
        (0..self.lines_per_tick).map(|_| stamp(began)).collect()
    }
}

/// The 50th and the 99th of a hundred delays.
struct Percentiles {
    p50: f64,
    p99: f64,
}

/// From an append to a reader at every pace, and from a file.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for pace in PACES {
        figures
            .extend(of_appends(bed, pace).await.with_context(|| format!("{} lines/s", pace.lines_per_s()))?);
    }
    figures.push(of_files(bed, PACES[1]).await.context("of a file")?);
    Ok(figures)
}

/// An append to a reader behind a relay, and a bare XADD to a blocked XREAD.
async fn of_appends(bed: &mut Bed, pace: Pace) -> anyhow::Result<[Figure; 2]> {
    let (relay, url) = bed.relay().await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let ours = appended(bed, &url, pace).await?;
        let peers = bare(bed, pace).await?;
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
        measure: format!("delay from append to reader at {} lines/s, {name}", pace.lines_per_s()),
        peer: "bare XADD to a blocked XREAD by redis-rs",
        unit: Unit::Seconds,
        goal: Goal::AtMost(goal),
        rounds,
    };
    Ok([figure("p50", 2.0, of(|all| all.p50)), figure("p99", 3.0, of(|all| all.p99))])
}

/// A line written to a file until a reader has it.
async fn of_files(bed: &mut Bed, pace: Pace) -> anyhow::Result<Figure> {
    let (relay, url) = bed.relay().await?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let ours = written(bed, &url, round, pace).await?.p50;
        let peers = bare(bed, pace).await?.p50;
        rounds.push(Round { ours, peers });
    }
    relay.end().await?;
    Ok(Figure {
        measure: format!("delay from a write to a file to the reader at {} lines/s, p50", pace.lines_per_s()),
        peer: "bare XADD to a blocked XREAD by redis-rs",
        unit: Unit::Seconds,
        goal: Goal::AtMost(2.0),
        rounds,
    })
}

async fn appended(bed: &mut Bed, url: &str, pace: Pace) -> anyhow::Result<Percentiles> {
    let topic = bed.round().await?;
    let mut writer = Writer::new(bed, &topic).await?;
    let began = Instant::now();
    writer.append_lines(bed, &[stamp(began)]).await?;
    let mut reader = subscribed(url, &topic, began, pace.lines()).await?;
    let mut ticks = pace.ticker();
    for _ in 0..pace.ticks {
        ticks.tick().await;
        writer.append_lines(bed, &pace.stamps(began)).await?;
    }
    percentiles(reader.join_next().await.context("no reader")???, pace.lines())
}

async fn written(bed: &mut Bed, url: &str, round: usize, pace: Pace) -> anyhow::Result<Percentiles> {
    let (topic, path) = (bed.round().await?, bed.path(&format!("live-{round}.log")));
    let began = Instant::now();
    let mut file = File::create(&path)?;
    let mut write = |lines: Vec<Vec<u8>>| file.write_all(&[lines.join(&b'\n'), b"\n".to_vec()].concat());
    write(vec![stamp(began)])?;
    let tailer = bed.tailer(&topic, &path)?;
    bed.until_confirmed(&topic, 1).await?;
    let mut reader = subscribed(url, &topic, began, pace.lines()).await?;
    let mut ticks = pace.ticker();
    for _ in 0..pace.ticks {
        ticks.tick().await;
        write(pace.stamps(began))?;
    }
    let delays = reader.join_next().await.context("no reader")???;
    tailer.end().await?;
    percentiles(delays, pace.lines())
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

async fn bare(bed: &mut Bed, pace: Pace) -> anyhow::Result<Percentiles> {
    let key = bed.round().await?;
    let (mut writer, mut blocked, began) = (bed.connection().await?, bed.connection().await?, Instant::now());
    let mut reader = JoinSet::new();
    let read_key = key.clone();
    reader.spawn(async move {
        let (mut delays, mut after) = (Vec::new(), "0-0".to_owned());
        while (delays.len() as u64) < pace.lines() {
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
    let mut ticks = pace.ticker();
    for _ in 0..pace.ticks {
        ticks.tick().await;
        let mut commands = redis::pipe();
        for line in pace.stamps(began) {
            commands.cmd("XADD").arg(&key).arg("*").arg("m").arg(line);
        }
        commands.query_async::<Value>(&mut writer).await?;
    }
    percentiles(reader.join_next().await.context("no reader")???, pace.lines())
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
