//! A backlog, from Redis to one reader.

use anyhow::{Context as _, ensure};
use logrelay::client::{Event, Options, Start, Subscription};
use redis::{Value, aio::MultiplexedConnection};
use tokio::time::Instant;

use crate::{
    bed::Bed,
    proof,
    sample::hundred_bytes,
    table::{Figure, Goal, Round, Unit, rate},
};

const LINES: u64 = 2_000_000;
const PEER_LINES: u64 = 200_000;
const PIPELINE: u64 = 1000;
const ROUNDS: usize = 5;

/// Through a relay to the client library, and by XRANGE of one entry a line.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let topic = bed.round().await?;
    let path = bed.write("replay.log", 0..LINES, hundred_bytes)?;
    let tailer = bed.tailer(&topic, &path)?;
    bed.until_confirmed(&topic, LINES).await?;
    tailer.end().await?;
    let mut connection = bed.connection().await?;
    fill(&mut connection, "entries", PEER_LINES, hundred_bytes).await?;

    let (relay, url) = bed.relay().await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let ours = subscribe(&url, &topic).await?;
        let peers = xrange(&mut connection).await?;
        rounds.push(Round { ours, peers });
    }
    relay.end().await?;
    Ok(vec![Figure {
        measure: "replay of a backlog through a relay to one Rust reader".to_owned(),
        peer: "redis-rs, `XRANGE COUNT 1000` of one entry a line",
        unit: Unit::LinesPerSecond,
        goal: Goal::AtLeast(10.0),
        rounds,
    }])
}

/// Adds lines to a stream, one entry each.
pub(crate) async fn fill(
    connection: &mut MultiplexedConnection,
    key: &str,
    lines: u64,
    line: fn(u64) -> String,
) -> anyhow::Result<()> {
    for begin in (0..lines).step_by(usize::try_from(PIPELINE)?) {
        let mut pipe = redis::pipe();
        for number in begin..lines.min(begin + PIPELINE) {
            pipe.cmd("XADD").arg(key).arg("*").arg("m").arg(line(number)).ignore();
        }
        pipe.query_async::<()>(connection).await?;
    }
    Ok(())
}

async fn subscribe(url: &str, topic: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let options = Options {
        relays: vec![url.parse()?],
        topics: vec![topic.parse()?],
        start: Start::Earliest,
        stop_at_tail: true,
        fail_on_gap: true,
        ..Options::default()
    };
    let mut subscription = Subscription::new(options)?;
    let (mut next, mut bytes, mut last) = (0, 0, None);
    while let Some(event) = subscription.next().await? {
        let Event::Lines(lines) = event else { continue };
        for line in lines.iter() {
            ensure!(line.offset.get() == next, "line {} came where {next} was due", line.offset);
            next += 1;
            bytes += line.content.len();
        }
        last = Some(lines);
    }
    let took = began.elapsed();
    ensure!(next == LINES && bytes as u64 == LINES * 100, "{next} lines of {bytes} bytes came");
    let last = last.context("no lines")?;
    proof::is_line(last.iter().last().context("no line")?.content, &hundred_bytes(LINES - 1))?;
    Ok(rate(LINES, took))
}

/// As little as redis-rs has to do: the answers are taken apart as they are.
async fn xrange(connection: &mut MultiplexedConnection) -> anyhow::Result<f64> {
    let began = Instant::now();
    let (mut from, mut count, mut bytes, mut last) = ("-".to_owned(), 0, 0, Vec::new());
    loop {
        let mut command = redis::cmd("XRANGE");
        command.arg("entries").arg(&from).arg("+").arg("COUNT").arg(1000);
        let Value::Array(entries) = command.query_async(connection).await? else { break };
        let mut last_id = None;
        for entry in entries {
            let (id, line) = entry_of(entry).context("no entry")?;
            (count, bytes) = (count + 1, bytes + line.len());
            (last_id, last) = (Some(id), line);
        }
        let Some(id) = last_id else { break };
        from = format!("({}", String::from_utf8(id)?);
    }
    let took = began.elapsed();
    ensure!(count == PEER_LINES && bytes as u64 == PEER_LINES * 100, "{count} lines of {bytes} bytes came");
    proof::is_line(&last, &hundred_bytes(PEER_LINES - 1))?;
    Ok(rate(PEER_LINES, took))
}

/// The ID of an entry and its only value.
pub(crate) fn entry_of(entry: Value) -> Option<(Vec<u8>, Vec<u8>)> {
    let Value::Array(parts) = entry else { return None };
    let mut parts = parts.into_iter();
    let (Some(Value::BulkString(id)), Some(Value::Array(fields))) = (parts.next(), parts.next()) else {
        return None;
    };
    let Some(Value::BulkString(line)) = fields.into_iter().nth(1) else { return None };
    Some((id, line))
}
