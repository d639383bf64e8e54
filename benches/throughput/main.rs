//! `make bench`: how fast it is, each figure beside a named peer in the same run.
//!
//! Ours and the peer take turns, and every round is one ratio: what else happens on the
//! machine falls on both. Every side proves that it carried all lines, up to the last.
//! `BENCH_ONLY` names the stages to run, with commas; `--scaling FILE` runs [`scaling`]
//! instead. Not here: the pure leaves, in `leaves.rs`.

mod bed;
mod commands;
mod cpu;
mod crowds;
mod delay;
mod fairness;
mod fan_out;
mod filters;
mod idle;
mod ingest;
mod memory;
mod proof;
mod pulse;
mod replay;
mod sample;
mod scaling;
mod subscribers;
mod table;

#[path = "../peers/nats.rs"]
mod nats;
#[path = "../peers/rsyslog.rs"]
mod rsyslog;

/// What the tests have to speak HTTP/2 by hand.
#[path = "../../tests/suite/support/http2.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "what the tests need")]
mod http2;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, bail};

use self::{
    bed::Bed,
    table::{Figure, Table},
};

/// In the order of the table.
const STAGES: [&str; 12] = [
    "ingest",
    "cpu",
    "memory",
    "replay",
    "fan_out",
    "crowds",
    "delay",
    "commands",
    "filters",
    "idle",
    "fairness",
    "subscribers",
];

async fn figures(stage: &str, bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    match stage {
        "ingest" => ingest::figures(bed).await,
        "cpu" => cpu::figures(bed).await,
        "memory" => memory::figures(bed).await,
        "replay" => replay::figures(bed).await,
        "fan_out" => fan_out::figures(bed).await,
        "crowds" => crowds::figures(bed).await,
        "delay" => delay::figures(bed).await,
        "commands" => commands::figures(bed).await,
        "filters" => filters::figures(bed).await,
        "idle" => idle::figures(bed).await,
        "fairness" => fairness::figures(bed).await,
        "subscribers" => subscribers::figures(bed).await,
        other => bail!("{other:?} is none of {STAGES:?}"),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let readme = path_after("--readme");
    let mut bed = Bed::start().await?;
    if let Some(plot) = path_after("--scaling") {
        scaling::run(&mut bed, &plot, readme.as_deref()).await?;
        bed.stop().await;
        return Ok(());
    }
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted: Vec<&str> = if only.is_empty() { STAGES.to_vec() } else { only.split(',').collect() };
    let began = Instant::now();
    let mut table = Table::default();
    for stage in wanted {
        let (stage_began, of_stage) = (Instant::now(), figures(stage, &mut bed).await);
        of_stage.with_context(|| stage.to_owned())?.into_iter().for_each(|figure| table.add(figure));
        println!("{stage} took {} s", stage_began.elapsed().as_secs());
    }
    bed.stop().await;
    let text = table.to_markdown(&bed::machine(), began.elapsed());
    println!("\n{text}");
    if let Some(path) = readme {
        table::put_into(&path, "bench", &text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The path behind a word; cargo adds words of its own.
fn path_after(word: &str) -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip_while(|argument| *argument != *word);
    arguments.nth(1).map(PathBuf::from)
}
