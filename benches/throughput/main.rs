//! `make bench`: how fast it is, each figure beside a named peer in the same run.
//!
//! Ours and the peer take turns, and every round is one ratio: what else happens on the
//! machine falls on both. Every side proves that it carried all lines, up to the last.
//! Not here: the pure leaves, in `leaves.rs`.

mod bed;
mod cpu;
mod delay;
mod fairness;
mod fan_out;
mod idle;
mod ingest;
mod memory;
mod proof;
mod pulse;
mod replay;
mod sample;
mod subscribers;
mod table;

/// What the tests have to speak HTTP/2 by hand.
#[path = "../../tests/suite/support/http2.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "what the tests need")]
mod http2;

use std::{path::PathBuf, time::Instant};

use anyhow::Context as _;

use self::{bed::Bed, table::Table};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let readme = readme_argument();
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|one| one == name);
    let began = Instant::now();
    let mut bed = Bed::start().await?;
    let mut table = Table::default();
    if wanted("ingest") {
        table.add(ingest::one_file(&mut bed).await.context("ingest of one file")?);
        table.add(ingest::many_files(&mut bed).await.context("ingest of many files")?);
    }
    if wanted("cpu")
        && let Some(figure) = cpu::of_the_tailer(&mut bed).await.context("processor time")?
    {
        table.add(figure);
    }
    if wanted("memory") {
        table.add(memory::of_a_line(&mut bed).await.context("memory of a line")?);
        table.add(memory::of_a_subscriber(&mut bed).await.context("memory of a subscriber")?);
    }
    if wanted("replay") {
        table.add(replay::one_reader(&mut bed).await.context("replay")?);
    }
    if wanted("fan_out") {
        table.add(fan_out::hundred_readers(&mut bed).await.context("fan-out")?);
    }
    if wanted("delay") {
        for lines_per_s in [10, 1000] {
            for figure in delay::of_appends(&mut bed, lines_per_s).await.context("delay of appends")? {
                table.add(figure);
            }
        }
        table.add(delay::of_files(&mut bed).await.context("delay of a file")?);
    }
    if wanted("idle") {
        for figure in idle::tailer(&mut bed).await.context("idle files")? {
            table.add(figure);
        }
    }
    if wanted("fairness") {
        for figure in fairness::of_quiet_files(&mut bed).await.context("quiet files beside a backlog")? {
            table.add(figure);
        }
    }
    if wanted("subscribers") {
        for figure in subscribers::of_a_relay(&mut bed).await.context("subscribers")? {
            table.add(figure);
        }
    }
    bed.stop().await;
    let text = table.to_markdown(&bed::machine(), began.elapsed());
    println!("\n{text}");
    if let Some(path) = readme {
        table::put_into(&path, &text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The file named by `--readme`; cargo adds arguments of its own.
fn readme_argument() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip_while(|argument| argument != "--readme");
    arguments.nth(1).map(PathBuf::from)
}
