//! What a line takes in Redis, and an idle subscriber in a relay.

use anyhow::Context as _;
use logrelay::proto::{
    self, SubscribeRequest, log_relay_client::LogRelayClient, start::Position, subscribe_response::Event,
};

use crate::{
    bed::Bed,
    replay::fill,
    sample::real,
    table::{Figure, Goal, Round, Unit},
};

const LINES: u64 = 100_000;
const CONNECTIONS: u32 = 100;
const SUBSCRIBERS_PER_CONNECTION: u32 = 50;
const SUBSCRIBER_BYTES: f64 = 16.0 * 1024.0;
const ROUNDS: usize = 3;

/// Memory in Redis and in a relay.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    Ok(vec![
        of_a_line(bed).await.context("of a line")?,
        of_a_subscriber(bed).await.context("of a subscriber")?,
    ])
}

/// Memory of a stream of batches, and of one entry a line.
async fn of_a_line(bed: &mut Bed) -> anyhow::Result<Figure> {
    let path = bed.write("real.log", 0..LINES, real)?;
    // Memory does not vary from round to round.
    let topic = bed.round().await?;
    let tailer = bed.tailer(&topic, &path)?;
    bed.until_confirmed(&topic, LINES).await?;
    tailer.end().await?;
    let mut ours = 0.0;
    for key in ["lines", "state"] {
        let key = format!("logrelay:{{{topic}}}:{key}");
        ours += bed.run::<f64>(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await?;
    }
    let mut connection = bed.connection().await?;
    fill(&mut connection, "entries", LINES, real).await?;
    let peers: f64 = bed.run(&["MEMORY", "USAGE", "entries", "SAMPLES", "0"]).await?;
    let lines = u32::try_from(LINES)?;
    Ok(Figure {
        measure: "Redis memory a line, lines as programs write them".to_owned(),
        peer: "one XADD a line",
        unit: Unit::Bytes,
        goal: Goal::AtMost(0.25),
        rounds: vec![Round { ours: ours / f64::from(lines), peers: peers / f64::from(lines) }],
    })
}

/// How much a relay grows by subscribers that wait.
async fn of_a_subscriber(bed: &mut Bed) -> anyhow::Result<Figure> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let topic = bed.round().await?;
        let (relay, url) = bed.relay().await?;
        let mut streams = subscribe(&url, &topic, 1).await?;
        let before = relay.resident_bytes()?;
        for _ in 0..CONNECTIONS {
            streams.extend(subscribe(&url, &topic, SUBSCRIBERS_PER_CONNECTION).await?);
        }
        let grown = relay.resident_bytes()? - before;
        relay.end().await?;
        let subscribers = f64::from(CONNECTIONS * SUBSCRIBERS_PER_CONNECTION);
        rounds.push(Round { ours: grown / subscribers, peers: SUBSCRIBER_BYTES });
    }
    Ok(Figure {
        measure: "memory of a relay for each of 5,000 idle subscribers on 100 connections".to_owned(),
        peer: "a bound",
        unit: Unit::Bytes,
        goal: Goal::AtMost(1.0),
        rounds,
    })
}

/// Subscribers on one connection, all opened.
pub(crate) async fn subscribe(
    url: &str,
    topic: &str,
    count: u32,
) -> anyhow::Result<Vec<tonic::Streaming<proto::SubscribeResponse>>> {
    let client = LogRelayClient::connect(url.to_owned()).await?;
    let mut streams = Vec::new();
    for _ in 0..count {
        let start = Some(proto::Start { position: Some(Position::Latest(true)) });
        let request = SubscribeRequest { topics: vec![topic.to_owned()], start, ..Default::default() };
        let mut stream = client.clone().subscribe(request).await?.into_inner();
        let first = stream.message().await?.context("it ended")?.event;
        anyhow::ensure!(matches!(first, Some(Event::Opened(_))), "{first:?}");
        streams.push(stream);
    }
    Ok(streams)
}
