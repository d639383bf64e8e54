//! What a tailer of very many files takes while little or nothing is written to them.

use std::{fs, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    bed::{Bed, Process},
    cpu::cpu_s,
    pulse::Pulse,
    table::{Figure, Goal, Round, Unit},
};

const FOLDERS: u32 = 100;
const FILES_PER_FOLDER: u32 = 100;
const FILES: u32 = FOLDERS * FILES_PER_FOLDER;
/// So many get a line every second, one in each folder.
const ACTIVE: u32 = FOLDERS;
/// What starting leaves to be done: the task of a file rests when that was quiet for ten seconds.
const SETTLED: Duration = Duration::from_secs(20);
const WATCHED: Duration = Duration::from_secs(20);
/// Percent of a core.
const MOST_CPU: f64 = 1.0;
const MOST_BYTES: f64 = 16.0 * 1024.0;

/// Ten thousand files: the processor while they rest, and while a hundred of them get a line
/// each second; and the memory of each.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let alone = memory_of_one(bed).await?;
    let root = bed.path("many");
    for folder in 0..FOLDERS {
        fs::create_dir_all(root.join(folder.to_string()))?;
        for file in 0..FILES_PER_FOLDER {
            let path = root.join(format!("{folder}/{file}.log"));
            fs::write(path, format!("the only line of {folder}/{file}\n"))?;
        }
    }
    let topic = bed.round().await?;
    let tailer = bed.tailer(&topic, &root.join("*/*.log"))?;
    bed.until_confirmed(&topic, FILES.into()).await?;
    sleep(SETTLED).await;
    let memory = (tailer.resident_bytes()? - alone) / f64::from(FILES - 1);
    let (resting, ()) = percent_of_a_core(&tailer, sleep(WATCHED)).await?;
    let mut pulse = Pulse::of((0..ACTIVE).map(|folder| root.join(format!("{folder}/0.log"))))?;
    let (active, beaten) = percent_of_a_core(&tailer, pulse.beat_while(sleep(WATCHED))).await?;
    beaten?;
    bed.until_confirmed(&topic, u64::from(FILES) + pulse.lines).await?;
    tailer.end().await?;
    fs::remove_dir_all(root)?;
    let figure = |measure: &str, unit, ours, most| Figure {
        measure: format!("{measure} of a tailer of 10,000 files"),
        peer: "a bound",
        unit,
        goal: Goal::AtMost(1.0),
        rounds: vec![Round { ours, peers: most }],
    };
    Ok(vec![
        figure("processor, nothing written,", Unit::PercentOfACore, resting, MOST_CPU),
        figure("processor, a line a second to 100 of them,", Unit::PercentOfACore, active, MOST_CPU),
        figure("memory for each idle file", Unit::Bytes, memory, MOST_BYTES),
    ])
}

async fn memory_of_one(bed: &mut Bed) -> anyhow::Result<f64> {
    let path = bed.write("one.log", 0..1, |_| "the only line".to_owned())?;
    let topic = bed.round().await?;
    let tailer = bed.tailer(&topic, &path)?;
    bed.until_confirmed(&topic, 1).await?;
    sleep(SETTLED).await;
    let bytes = tailer.resident_bytes()?;
    tailer.end().await?;
    Ok(bytes)
}

/// What a process takes of the processor while something else goes on, and what came of that.
async fn percent_of_a_core<T>(
    process: &Process,
    meanwhile: impl Future<Output = T>,
) -> anyhow::Result<(f64, T)> {
    let pid = process.id()?.to_string();
    let (began, before) = (Instant::now(), cpu_s(&pid, 0)?);
    let came = meanwhile.await;
    Ok(((cpu_s(&pid, 0)? - before) / began.elapsed().as_secs_f64() * 100.0, came))
}
