//! One load, measured in all four ways, one after the other on the same files.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use logrelay::client::{Event, Options, Start, Subscription};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{MEASURES, PATIENCE};
use crate::{
    bed::Bed,
    delay::{delay, stamp},
    sample::real,
    table::{middle, rate},
};

/// Bytes of the files before a tailer comes, and what is added while all listen.
const BACKLOG_BYTES: u64 = 32_000_000;
const NEW_BYTES: u64 = 8_000_000;
const DELAYED_LINES: u64 = 1000;
const PACE: Duration = Duration::from_millis(1);

/// How much there is of everything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) topics: u32,
    /// Of each topic.
    pub(super) files: u32,
    /// Each reads all topics.
    pub(super) readers: u32,
    pub(super) line_bytes: u32,
}

impl Load {
    pub(super) const BASE: Self = Self { topics: 1, files: 1, readers: 4, line_bytes: 100 };

    /// So many times as much of one thing.
    pub(super) fn more(mut self, axis: usize, factor: u32) -> Self {
        let thing = [&mut self.topics, &mut self.files, &mut self.readers, &mut self.line_bytes];
        *thing[axis] *= factor;
        self
    }

    /// How many lines are so many bytes: as many in each file.
    fn lines(&self, bytes: u64) -> u64 {
        let files = u64::from(self.topics * self.files);
        bytes / u64::from(self.line_bytes) / files * files
    }

    fn line(&self, number: u64) -> Vec<u8> {
        let mut line = real(number).into_bytes();
        while line.len() < self.line_bytes as usize {
            line.extend_from_within(..line.len().min(self.line_bytes as usize - line.len()));
        }
        line.truncate(self.line_bytes as usize);
        line
    }
}

/// The files of a load.
struct Files {
    load: Load,
    topics: Vec<String>,
    open: Vec<File>,
    config: PathBuf,
}

impl Files {
    /// Empty files, and a configuration by which those of one topic are one input.
    async fn create(bed: &mut Bed, load: Load) -> anyhow::Result<Self> {
        let round = bed.round().await?;
        let root = bed.path(&round);
        fs::create_dir_all(&root)?;
        let (mut config, mut topics, mut files) = (String::new(), Vec::new(), Vec::new());
        for topic in 0..load.topics {
            let name = format!("{round}-{topic}");
            let path = root.display();
            writeln!(config, "[[inputs]]\npaths = [\"{path}/{topic}.*.log\"]\ntopic = \"{name}\"")?;
            topics.push(name);
            for file in 0..load.files {
                let path = root.join(format!("{topic}.{file}.log"));
                files.push(OpenOptions::new().create(true).append(true).open(path)?);
            }
        }
        let path = root.join("tailer.toml");
        fs::write(&path, config)?;
        Ok(Self { load, topics, open: files, config: path })
    }

    /// Adds so many lines, as many to each file.
    fn fill(&mut self, lines: u64) -> anyhow::Result<()> {
        let each = lines / self.open.len() as u64;
        for file in &mut self.open {
            let mut text = Vec::new();
            for number in 0..each {
                text.extend_from_slice(&self.load.line(number));
                text.push(b'\n');
            }
            file.write_all(&text)?;
        }
        Ok(())
    }

    /// A line that tells when it was made, to one of the files.
    fn write(&mut self, number: u64, began: Instant) -> anyhow::Result<()> {
        let mut line = stamp(began);
        line.resize(self.load.line_bytes as usize, b'.');
        line.push(b'\n');
        let at = usize::try_from(number % self.open.len() as u64)?;
        Ok(self.open[at].write_all(&line)?)
    }

    /// Subscriptions to all topics, as many as there are readers; all opened.
    async fn subscribe(&self, url: &str, start: Start) -> anyhow::Result<Vec<Subscription>> {
        let mut subscriptions = Vec::new();
        for _ in 0..self.load.readers {
            let options = Options {
                relays: vec![url.parse()?],
                topics: self.topics.iter().map(|topic| topic.parse()).collect::<Result<_, _>>()?,
                start,
                fail_on_gap: true,
                ..Options::default()
            };
            let mut subscription = Subscription::new(options)?;
            while !matches!(subscription.next().await?.context("it ended")?, Event::Opened { .. }) {}
            subscriptions.push(subscription);
        }
        Ok(subscriptions)
    }
}

/// Ingest, replay and fan-out in MB/s, and the median delay in ms.
pub(super) async fn measure(bed: &mut Bed, load: Load) -> anyhow::Result<[f64; MEASURES.len()]> {
    let mut files = Files::create(bed, load).await?;
    let backlog = load.lines(BACKLOG_BYTES);
    files.fill(backlog)?;
    let (relay, url) = bed.relay().await?;

    let following = all_read(files.subscribe(&url, Start::Earliest).await?, backlog);
    let began = Instant::now();
    let tailer = bed.logrelay("tail", &["--host", "bench", "--config", &files.config.to_string_lossy()])?;
    for topic in &files.topics {
        bed.until_confirmed(topic, backlog / u64::from(load.topics)).await?;
    }
    let ingest = mb_per_s(load, backlog, began);
    let mut live = ended(following).await?;

    let began = Instant::now();
    ended(all_read(files.subscribe(&url, Start::Earliest).await?, backlog)).await?;
    let replayed = mb_per_s(load, backlog * u64::from(load.readers), began);

    let new = load.lines(NEW_BYTES);
    let began = Instant::now();
    files.fill(new)?;
    live = ended(all_read(live, new)).await?;
    let fan_out = mb_per_s(load, new * u64::from(load.readers), began);

    let began = Instant::now();
    let mut readers = JoinSet::new();
    for subscription in live {
        readers.spawn(delays(subscription, DELAYED_LINES, began));
    }
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..DELAYED_LINES {
        ticks.tick().await;
        files.write(number, began)?;
    }
    let delays = ended(readers).await?.concat();
    tailer.end().await?;
    relay.end().await?;
    Ok([ingest, replayed, fan_out, middle(delays.into_iter()) * 1e3])
}

fn mb_per_s(load: Load, lines: u64, began: Instant) -> f64 {
    rate(lines * u64::from(load.line_bytes), began.elapsed()) / 1e6
}

/// Tasks that read so many lines each.
fn all_read(subscriptions: Vec<Subscription>, lines: u64) -> JoinSet<anyhow::Result<Subscription>> {
    let mut readers = JoinSet::new();
    for mut subscription in subscriptions {
        readers.spawn(async move {
            let mut count = 0;
            while count < lines {
                let event = subscription.next().await?.context("it ended")?;
                if let Event::Lines(lines) = event {
                    count += lines.len() as u64;
                }
            }
            ensure!(count == lines, "{count} lines came of {lines}");
            Ok(subscription)
        });
    }
    readers
}

/// Reads so many lines; the delay of each in seconds.
async fn delays(mut subscription: Subscription, lines: u64, began: Instant) -> anyhow::Result<Vec<f64>> {
    let mut delays = Vec::new();
    while (delays.len() as u64) < lines {
        let Event::Lines(lines) = subscription.next().await?.context("it ended")? else { continue };
        for line in lines.iter() {
            delays.push(delay(began, line.content)?);
        }
    }
    Ok(delays)
}

/// What all of them give.
async fn ended<T: 'static>(mut readers: JoinSet<anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    let all = async {
        let mut all = Vec::new();
        while let Some(read) = readers.join_next().await {
            all.push(read??);
        }
        Ok(all)
    };
    timeout(PATIENCE, all).await.context("lines are missing")?
}
