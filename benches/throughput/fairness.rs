//! How long the lines of quiet files take to a reader while the same tailer has a gigabyte
//! to read in another file.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use anyhow::{Context as _, ensure};
use logrelay::client::{Event, Options, Start, Subscription};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    bed::Bed,
    delay::{delay, stamped_at},
    pulse::Pulse,
    sample,
    table::{Figure, Goal, Round, Unit, sorted},
};

const QUIET: u32 = 500;
const BACKLOG_BYTES: u64 = 1_000_000_000;
/// So many lines are made; the file repeats them.
const MADE: u64 = 50_000;
const MOST_S: f64 = 1.0;

/// The delays of the lines that are written while the backlog is read.
pub(crate) async fn figures(bed: &mut Bed) -> anyhow::Result<Vec<Figure>> {
    let (quiet, busy) = (bed.round().await?, "backlog");
    let root = bed.path("fair");
    fs::create_dir_all(&root)?;
    let lines = write_backlog(&root.join("backlog"))?;
    let config = format!(
        "[[inputs]]\npaths = [\"{0}/*.quiet\"]\ntopic = \"{quiet}\"\n\n\
         [[inputs]]\npaths = [\"{0}/*.busy\"]\ntopic = \"{busy}\"\n",
        root.display()
    );
    let config_path = root.join("tailer.toml");
    fs::write(&config_path, config)?;
    let mut pulse = Pulse::of((0..QUIET).map(|file| root.join(format!("{file}.quiet"))))?;
    pulse.beat()?;

    let (relay, url) = bed.relay().await?;
    let tailer = bed.logrelay("tail", &["--host", "bench", "--config", &config_path.to_string_lossy()])?;
    bed.until_confirmed(&quiet, QUIET.into()).await?;
    let reader = Reader::start(&url, &quiet, pulse.began)?;
    let began = Instant::now();
    fs::rename(root.join("backlog"), root.join("backlog.busy"))?;
    pulse.beat_while(bed.until_confirmed(busy, lines)).await??;
    let took = began.elapsed();
    let delays = reader.end(pulse.lines).await?;
    tailer.end().await?;
    relay.end().await?;
    fs::remove_dir_all(root)?;
    ensure!(!delays.is_empty(), "the backlog was gone at once");
    let figure = |percent: usize| Figure {
        measure: format!(
            "delay from a write to the reader of {QUIET} files, beside a backlog of 1 GB (read in {:.1} s), p{percent}",
            took.as_secs_f64()
        ),
        peer: "a bound",
        unit: Unit::Seconds,
        goal: Goal::AtMost(1.0),
        rounds: vec![Round { ours: delays[delays.len() * percent / 100], peers: MOST_S }],
    };
    Ok(vec![figure(50), figure(99)])
}

/// Writes a gigabyte; how many lines it is.
fn write_backlog(path: &Path) -> anyhow::Result<u64> {
    let text = sample::text(0..MADE, sample::real);
    let times = BACKLOG_BYTES.div_ceil(text.len() as u64);
    let mut file = File::create(path)?;
    (0..times).try_for_each(|_| file.write_all(text.as_bytes()))?;
    Ok(times * MADE)
}

/// A task that reads until it has as many lines as it is told at the end.
struct Reader {
    total: watch::Sender<Option<u64>>,
    task: JoinSet<anyhow::Result<Vec<f64>>>,
}

impl Reader {
    /// Reads a topic from its begin; counts the delays of what is written from now on.
    fn start(url: &str, topic: &str, began: Instant) -> anyhow::Result<Self> {
        let options = Options {
            relays: vec![url.parse()?],
            topics: vec![topic.parse()?],
            start: Start::Earliest,
            ..Options::default()
        };
        let mut subscription = Subscription::new(options)?;
        let (total, mut told) = watch::channel(None);
        let (mut count, mut delays, mut newest) = (0, Vec::new(), HashMap::new());
        let asked_at = began.elapsed();
        let mut task = JoinSet::new();
        task.spawn(async move {
            while told.borrow_and_update().is_none_or(|total| count < total) {
                let event = tokio::select! {
                    event = subscription.next() => event?.context("it ended")?,
                    _ = told.changed() => continue,
                };
                let Event::Lines(lines) = event else { continue };
                for line in lines.iter() {
                    let at = stamped_at(line.content)?;
                    let before = newest.insert(lines.path().to_owned(), at);
                    ensure!(before.is_none_or(|before| before < at), "{} goes back", lines.path());
                    if at >= asked_at {
                        delays.push(delay(began, line.content)?);
                    }
                    count += 1;
                }
            }
            Ok(delays)
        });
        Ok(Self { total, task })
    }

    /// The delays, sorted, when all lines have come.
    async fn end(mut self, total: u64) -> anyhow::Result<Vec<f64>> {
        self.total.send(Some(total))?;
        Ok(sorted(self.task.join_next().await.context("no reader")???.into_iter()))
    }
}
