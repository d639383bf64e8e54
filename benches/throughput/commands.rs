//! How many commands a relay sends to Redis while lines come, for one reader and for a
//! thousand of the same topic.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    bed::Bed,
    fan_out::Writer,
    memory::subscribe,
    table::{Figure, Goal, Round, Unit, rate},
};

const READERS: u32 = 1000;
const READERS_PER_CONNECTION: u32 = 50;
const LINES: u64 = 300;
const PACE: Duration = Duration::from_millis(10);
const ROUNDS: usize = 3;
/// What opening subscriptions leaves to be done.
const SETTLED: Duration = Duration::from_secs(1);
/// What the script of an append calls by itself.
const OF_APPENDS: [&str; 7] = ["hget", "hmget", "hset", "hincrby", "xadd", "info", "time"];

/// Commands a second with many readers, beside one.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (peers, ours) = (per_second(bed, 1).await?, per_second(bed, READERS).await?);
        rounds.push(Round { ours, peers });
    }
    Ok(vec![Figure {
        measure: format!("Redis commands of a relay, {READERS} readers of a topic with 100 appends a second"),
        peer: "one reader",
        unit: Unit::PerSecond,
        goal: Goal::AtMost(1.1),
        rounds,
    }])
}

async fn per_second(bed: &mut Bed, readers: u32) -> anyhow::Result<f64> {
    let topic = bed.round().await?;
    let mut writer = Writer::new(bed, &topic).await?;
    writer.append(bed, 0..1).await?;
    let (relay, url) = bed.relay().await?;
    let mut streams = Vec::new();
    for begin in (0..readers).step_by(READERS_PER_CONNECTION as usize) {
        streams.extend(subscribe(&url, &topic, READERS_PER_CONNECTION.min(readers - begin)).await?);
    }
    sleep(SETTLED).await;
    let (before, began) = (commands(bed).await?, Instant::now());
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1..=LINES {
        ticks.tick().await;
        writer.append(bed, number..number + 1).await?;
    }
    let sent = commands(bed).await? - before;
    let took = began.elapsed();
    for stream in &mut streams {
        let mut lines = 0;
        while lines < LINES {
            let event = stream.message().await?.context("it ended")?.event;
            if let Some(logrelay::proto::subscribe_response::Event::Batch(batch)) = event {
                lines += batch.lines.len() as u64;
            }
        }
    }
    relay.end().await?;
    // The appends are not the relay's.
    Ok(rate(sent - LINES, took))
}

/// All commands so far, but for those that scripts of appends call.
async fn commands(bed: &mut Bed) -> anyhow::Result<u64> {
    let info: String = bed.run(&["INFO", "commandstats"]).await?;
    let calls: HashMap<&str, u64> = info
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name, rest.split_once(',')?.0.parse().ok()?))
        })
        .collect();
    Ok(calls.iter().filter(|(name, _)| !OF_APPENDS.contains(name)).map(|(_, calls)| calls).sum())
}
