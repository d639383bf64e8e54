//! What the tailer takes of the processor, for each GB of a file.

use std::fs;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::{
    bed::Bed,
    sample::real,
    table::{Figure, Goal, Round, Unit},
};

const LINES: u64 = 1_000_000;
const ROUNDS: usize = 3;
/// What /proc counts in, on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// Beside packing and counting the same file.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let path = bed.write("cpu.log", 0..LINES, real)?;
    let gigabytes = fs::metadata(&path)?.len() / 1_000_000;
    let gigabytes = f64::from(u32::try_from(gigabytes)?) / 1000.0;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let topic = bed.round().await?;
        let tailer = bed.tailer(&topic, &path)?;
        bed.until_confirmed(&topic, LINES).await?;
        let ours = cpu_s(&tailer.id()?.to_string(), 0)?;
        tailer.end().await?;
        let before = cpu_s("self", 2)?;
        let script = "zstd -1 -q -c \"$0\" > /dev/null && wc -l < \"$0\"";
        let output = Command::new("sh").args(["-c", script]).arg(&path).output().await?;
        if !output.status.success() {
            break;
        }
        let count = String::from_utf8(output.stdout)?.trim().parse::<u64>()?;
        ensure!(count == LINES, "{count} lines");
        let peers = cpu_s("self", 2)? - before;
        rounds.push(Round { ours: ours / gigabytes, peers: peers / gigabytes });
    }
    Ok(vec![Figure {
        measure: "processor time of the tailer for each GB, lines as programs write them".to_owned(),
        peer: "`zstd -1` and `wc -l` of the same file",
        unit: Unit::Seconds,
        goal: Goal::AtMost(2.0),
        rounds,
    }])
}

/// How long the threads that these processes have now were running, in seconds: finer than
/// [`cpu_s`], for times that are short.
pub(crate) fn running_s(processes: &[u32]) -> anyhow::Result<f64> {
    let mut ns = 0.0;
    for process in processes {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            // One that ends meanwhile did little.
            let Ok(stat) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            ns += stat.split_whitespace().next().context("no time")?.parse::<f64>()?;
        }
    }
    Ok(ns / 1e9)
}

/// Processor time of a process, or (two fields on) of its children that have ended.
pub(crate) fn cpu_s(process: &str, further: usize) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before may have blanks in it; the time in user mode is the 12th word after it.
    let (_, words) = stat.rsplit_once(')').context("no name")?;
    let ticks = words.split_whitespace().skip(11 + further).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_S)
}
