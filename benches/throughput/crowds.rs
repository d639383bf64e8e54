//! What a delivered line costs the servers, from one reader to a thousand: relay and Redis
//! together, beside NATS with a `JetStream` ordered consumer for each reader.
//!
//! Lines are written a hundred times a second, as many at once as the number of readers leaves
//! room for, and alike to both sides. The readers look at every line, and are not counted.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    bed::Bed,
    cpu::running_s,
    fan_out::Writer,
    nats,
    subscribers::{Reader, connect, line, number},
    table::{Figure, Goal, Round, Unit},
};

const TICK: Duration = Duration::from_millis(10);
const TICKS: u64 = 200;
/// Readers, and how many lines are written at once.
const CROWDS: [(u32, u64); 4] = [(1, 500), (10, 100), (100, 20), (1000, 5)];
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// Processor time of each delivered line, at every size.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (readers, lines) in CROWDS {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let ours = relay(bed, readers, lines).await.context("relay")?;
            let Some(peers) = jetstream(bed, readers, lines).await.context("NATS")? else { break };
            rounds.push(Round { ours, peers });
        }
        figures.push(Figure {
            measure: format!(
                "processor time of relay and Redis for each line delivered to {readers} readers, {} lines/s",
                lines * 100
            ),
            peer: "`nats-server`, a JetStream ordered consumer each",
            unit: Unit::Seconds,
            goal: Goal::AtMost(1.0),
            rounds,
        });
    }
    Ok(figures)
}

/// Seconds for each line of each reader.
async fn relay(bed: &mut Bed, readers: u32, lines: u64) -> anyhow::Result<f64> {
    let topic = bed.round().await?;
    let mut writer = Writer::new(bed, &topic).await?;
    let (relay, url) = bed.relay().await?;
    let began = Instant::now();
    writer.append_lines(bed, &[line(began, 0)]).await?;
    let (opened, mut all_opened) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    for _ in 0..readers {
        let reader = Reader { streams: 1, lines: 1..lines * TICKS + 1, began, opened: opened.clone() };
        tasks.spawn(reader.read(connect(&url).await?, topic.clone()));
    }
    for _ in 0..readers {
        timeout(PATIENCE, all_opened.recv()).await.context("a reader does not open")?;
    }
    let servers = [relay.id()?, bed.redis_id()?];
    let before = running_s(&servers)?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for begin in (1..=lines * TICKS).step_by(usize::try_from(lines)?) {
        ticks.tick().await;
        let lines: Vec<_> = (begin..begin + lines).map(|number| line(began, number)).collect();
        writer.append_lines(bed, &lines).await?;
    }
    until_read(tasks, lines * TICKS).await?;
    let took = running_s(&servers)? - before;
    relay.end().await?;
    each(took, readers, lines)
}

/// The same of NATS; none where it is not installed.
async fn jetstream(bed: &Bed, readers: u32, lines: u64) -> anyhow::Result<Option<f64>> {
    let Some(server) = nats::Server::start(&bed.path("nats")).await? else { return Ok(None) };
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..readers {
        let mut client = server.connect().await?;
        client.consume().await?;
        tasks.spawn(async move {
            for due in 1..=lines * TICKS {
                let line = client.line().await?;
                ensure!(number(&line) == Some(due), "{due} was due");
            }
            Ok(Vec::new())
        });
    }
    let mut writer = server.connect().await?;
    let before = running_s(&[server.id()?])?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for begin in (1..=lines * TICKS).step_by(usize::try_from(lines)?) {
        ticks.tick().await;
        let lines: Vec<_> = (begin..begin + lines).map(|number| line(began, number)).collect();
        writer.publish(&lines).await?;
    }
    until_read(tasks, 0).await?;
    let took = running_s(&[server.id()?])? - before;
    server.end().await?;
    Ok(Some(each(took, readers, lines)?))
}

/// Waits until every reader has every line; each tells of so many.
async fn until_read(mut tasks: JoinSet<anyhow::Result<Vec<f64>>>, lines: u64) -> anyhow::Result<()> {
    let all = async {
        while let Some(read) = tasks.join_next().await {
            let read = read??;
            ensure!(read.len() as u64 == lines, "{} lines came", read.len());
        }
        Ok(())
    };
    timeout(PATIENCE, all).await.context("lines are missing")?
}

fn each(took_s: f64, readers: u32, lines: u64) -> anyhow::Result<f64> {
    Ok(took_s / f64::from(readers) / f64::from(u32::try_from(lines * TICKS)?))
}
