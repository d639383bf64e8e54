//! What filters cost a relay, beside grep on the same bytes: a hundred subscriptions that have
//! ten different ones.
//!
//! Lines come in batches as those of a busy file, no faster than the relay can look at them, and its
//! processor time is counted: all of it, also for reading the batches and sending what is found.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use logrelay::{
    client::{Event, Options, Start, Subscription},
    proto::{self, matcher::Op},
};
use tokio::{
    process::Command,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    bed::Bed,
    cpu::{cpu_s, running_s},
    fan_out::Writer,
    sample::real,
    table::{Figure, Goal, Round, Unit},
};

const LINES: u64 = 400_000;
const BATCH_LINES: u64 = 2500;
const PACE: Duration = Duration::from_millis(15);
const SUBSCRIPTIONS_OF_EACH: usize = 10;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// Each stands in one line of fifty to one of a hundred thousand.
const TEXTS: [&str; 10] = [
    "took_ms=899",
    "bytes=4242",
    "/health/77",
    "client=10.19.",
    "trace=00",
    "/static/app.js/99",
    "orders/items/5 ",
    "status=500 bytes=7",
    "WARN  n=12",
    "PUT /api/v1/users/me/1",
];
const EXPRESSIONS: [&str; 10] = [
    "took_ms=8[89]9",
    "status=(404|500) bytes=7[0-9][0-9] ",
    "POST /api/v1/orders/[0-9]+55 ",
    "client=10\\.(19|20)[0-9]?\\.",
    "trace=[0-9a-f]*dead",
    "(WARN|DEBUG) .*bytes=42[0-9]{2} ",
    "n=[0-9]*000 ",
    "/health/7[0-9]{2} ",
    "users/me/9.*status=50[0-9]",
    "04:12:0[0-3]\\.1[0-9]+Z (WARN|DEBUG)",
];
/// The last line: every text and every expression is in it.
const LAST: &str = "04:12:00.100Z WARN  n=12 n=1000 POST /api/v1/orders/items/5 POST /api/v1/orders/555 \
                    PUT /api/v1/users/me/1 /health/77 /health/777 /static/app.js/99 users/me/9 client=10.19.1 \
                    trace=00dead status=404 status=500 bytes=777 bytes=4242 took_ms=899";

/// Lines a second through a substring, and through a regular expression.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let path = bed.write("filters.log", 0..LINES, line)?;
    let mut figures = Vec::new();
    for (what, flag, op, values) in
        [("a text", "-F", Op::Contains, TEXTS), ("a regular expression", "-E", Op::Matches, EXPRESSIONS)]
    {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let Some((peers, counts)) = grep(&path, flag, &values).await? else { break };
            let ours = subscriptions(bed, op, &values, &counts).await?;
            rounds.push(Round { ours, peers });
        }
        figures.push(Figure {
            measure: format!(
                "filter: lines through {what} in a second of a relay's processor, 100 subscriptions with 10 filters, \
                 each filter counted"
            ),
            peer: if flag == "-F" { "`grep -F` of the same file, one after the other" } else { "`grep -E` of the same file, one after the other" },
            unit: Unit::LinesPerSecond,
            goal: Goal::AtLeast(0.5),
            rounds,
        });
    }
    Ok(figures)
}

fn line(number: u64) -> String {
    if number == LINES - 1 { LAST.to_owned() } else { real(number) }
}

/// Lines a second of all filters together, and how many lines each has left.
async fn grep(path: &Path, flag: &str, values: &[&str]) -> anyhow::Result<Option<(f64, Vec<u64>)>> {
    let before = cpu_s("self", 2)?;
    let mut counts = Vec::new();
    for value in values {
        let mut command = Command::new("grep");
        command.args([flag, "-c", "-e", value]).arg(path).env("LC_ALL", "C");
        let Ok(output) = command.output().await else { return Ok(None) };
        counts.push(String::from_utf8(output.stdout)?.trim().parse()?);
    }
    Ok(Some((through(values.len(), cpu_s("self", 2)? - before)?, counts)))
}

async fn subscriptions(bed: &mut Bed, op: Op, values: &[&str], counts: &[u64]) -> anyhow::Result<f64> {
    let topic = bed.round().await?;
    let (relay, url) = bed.relay().await?;
    let mut readers = JoinSet::new();
    for (value, &count) in values.iter().zip(counts) {
        for _ in 0..SUBSCRIPTIONS_OF_EACH {
            let matcher = proto::Matcher { op: op.into(), value: (*value).to_owned(), ignore_case: false };
            let options = Options {
                relays: vec![url.parse()?],
                topics: vec![topic.parse()?],
                start: Start::Earliest,
                filter: Some(proto::Filter { matchers: vec![matcher], ..Default::default() }),
                ..Options::default()
            };
            let mut subscription = Subscription::new(options)?;
            while !matches!(subscription.next().await?.context("it ended")?, Event::Opened { .. }) {}
            readers.spawn(read(subscription, count));
        }
    }
    let before = running_s(&[relay.id()?])?;
    let mut writer = Writer::new(bed, &topic).await?;
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for begin in (0..LINES).step_by(usize::try_from(BATCH_LINES)?) {
        ticks.tick().await;
        let lines: Vec<_> = (begin..LINES.min(begin + BATCH_LINES)).map(|at| line(at).into_bytes()).collect();
        writer.append_lines(bed, &lines).await?;
    }
    let all = async {
        while let Some(read) = readers.join_next().await {
            read??;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, all).await.context("lines are missing")??;
    let took = running_s(&[relay.id()?])? - before;
    relay.end().await?;
    through(values.len(), took)
}

/// Reads up to the last line, which every filter leaves.
async fn read(mut subscription: Subscription, count: u64) -> anyhow::Result<()> {
    let mut found = 0;
    while let Some(event) = subscription.next().await? {
        let Event::Lines(lines) = event else { continue };
        found += lines.len() as u64;
        if lines.iter().last().is_some_and(|line| line.content == LAST.as_bytes()) {
            break;
        }
    }
    ensure!(found == count, "{found} lines came, {count} were found by grep");
    Ok(())
}

fn through(filters: usize, took_s: f64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(LINES)?) * f64::from(u32::try_from(filters)?) / took_s)
}
