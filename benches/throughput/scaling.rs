//! `make bench-scaling`: how ingest, replay, fan-out and delay change when there is four and
//! sixteen times as much of one thing: topics, files of each topic, readers, length of lines.
//!
//! Everything runs as it does in use: files, a tailer, Redis, a relay and readers with the client
//! library. The number of bytes stays the same, so that a figure that stays the same means that
//! the one thing costs nothing by itself.

mod load;
mod plot;

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;

use self::load::{Load, measure};
use crate::{
    bed::{self, Bed},
    table::{middle, put_into},
};

const ROUNDS: usize = 3;
/// So many times as much.
pub(crate) const FACTORS: [u32; 3] = [1, 4, 16];
/// What there is more of.
pub(crate) const AXES: [&str; 4] = ["topics", "files", "readers", "bytes a line"];
/// What is measured, and its unit.
pub(crate) const MEASURES: [(&str, &str); 4] = [
    ("ingest, confirmed in Redis", "MB/s"),
    ("replay, to all readers together", "MB/s"),
    ("fan-out of new lines, to all readers together", "MB/s"),
    ("delay from a write to a file to the reader, p50", "ms"),
];

/// Of each measure and each axis, a figure for each factor.
pub(crate) type Figures = [[[f64; FACTORS.len()]; AXES.len()]; MEASURES.len()];

/// Measures all; the table goes into `readme`, where given, and the plot into `plot`.
pub(crate) async fn run(bed: &mut Bed, plot: &Path, readme: Option<&Path>) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let base = median(bed, Load::BASE).await?;
    for axis in 0..AXES.len() {
        for (at, factor) in FACTORS.into_iter().enumerate() {
            let measured =
                if factor == 1 { base } else { median(bed, Load::BASE.more(axis, factor)).await? };
            println!("{} × {factor}: {measured:.2?}", AXES[axis]);
            for (measure, figure) in measured.into_iter().enumerate() {
                figures[measure][axis][at] = figure;
            }
        }
    }
    let machine = bed::machine();
    fs::write(plot, plot::svg(&figures, &machine)).with_context(|| plot.display().to_string())?;
    let text = table(&figures, &machine);
    println!("\n{text}");
    if let Some(path) = readme {
        put_into(path, "scaling", &text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The median of each measure.
async fn median(bed: &mut Bed, load: Load) -> anyhow::Result<[f64; MEASURES.len()]> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(measure(bed, load).await.with_context(|| format!("{load:?}"))?);
    }
    Ok(std::array::from_fn(|at| middle(rounds.iter().map(|round| round[at]))))
}

fn table(figures: &Figures, machine: &str) -> String {
    let Load { topics, files, readers, line_bytes } = Load::BASE;
    let mut text = format!(
        "{machine}. 1 ×: {topics} topic, {files} file, {readers} readers, lines of {line_bytes} bytes.\n\n\
         | measure | more of | 1 × | 4 × | 16 × |\n| --- | --- | --- | --- | --- |\n"
    );
    for ((measure, unit), axes) in MEASURES.into_iter().zip(figures) {
        for (axis, [one, four, sixteen]) in AXES.into_iter().zip(axes) {
            let shown =
                |value: &f64| if *value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
            let [one, four, sixteen] = [one, four, sixteen].map(shown);
            text.extend([
                "| ", measure, ", ", unit, " | ", axis, " | ", &one, " | ", &four, " | ", &sixteen, " |\n",
            ]);
        }
    }
    text
}

/// The longest that one part of a measure may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
