//! Figures of several rounds, and the table that is printed and put into the README.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, ensure};

/// One measure, ours and the peer's; without rounds where the peer cannot be had.
pub(crate) struct Figure {
    pub(crate) measure: String,
    pub(crate) peer: &'static str,
    pub(crate) unit: Unit,
    pub(crate) goal: Goal,
    pub(crate) rounds: Vec<Round>,
}

/// What both sides gave in one round.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) ours: f64,
    pub(crate) peers: f64,
}

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    LinesPerSecond,
    BytesPerSecond,
    Bytes,
    Seconds,
    PerSecond,
    PercentOfACore,
}

/// What the ratio shall be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Default)]
pub(crate) struct Table(Vec<Figure>);

impl Figure {
    /// The least, the median and the greatest ratio of ours to the peer's.
    fn ratios(&self) -> [f64; 3] {
        let ratios = sorted(self.rounds.iter().map(|round| round.ours / round.peers));
        [ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]]
    }

    fn row(&self) -> String {
        if self.rounds.is_empty() {
            let (measure, peer) = (&self.measure, self.peer);
            return format!(
                "| {measure} | | {peer}: not to be had on this machine | | {} | |",
                self.goal.shown()
            );
        }
        let [least, median, greatest] = self.ratios();
        let ours = middle(self.rounds.iter().map(|round| round.ours));
        let peers = middle(self.rounds.iter().map(|round| round.peers));
        let is_met = match self.goal {
            Goal::AtLeast(goal) => median >= goal,
            Goal::AtMost(goal) => median <= goal,
        };
        let (ours, peers) = (self.unit.shown(ours), self.unit.shown(peers));
        let met = if is_met { "met" } else { "**missed**" };
        format!(
            "| {} | {ours} | {}: {peers} | **{median:.2} ×** ({least:.2} – {greatest:.2}) | {} | {met} |",
            self.measure,
            self.peer,
            self.goal.shown()
        )
    }
}

impl Goal {
    fn shown(self) -> String {
        match self {
            Self::AtLeast(goal) => format!("≥ {goal} ×"),
            Self::AtMost(goal) => format!("≤ {goal} ×"),
        }
    }
}

impl Unit {
    fn shown(self, value: f64) -> String {
        let with_prefix = |unit: &str| match value {
            1e9.. => format!("{:.2} G{unit}", value / 1e9),
            1e6.. => format!("{:.2} M{unit}", value / 1e6),
            1e3.. => format!("{:.1} k{unit}", value / 1e3),
            _ => format!("{value:.0} {unit}"),
        };
        match self {
            Self::LinesPerSecond => with_prefix(" lines/s").replace("  ", " "),
            Self::BytesPerSecond => with_prefix("B/s"),
            Self::Bytes => with_prefix("B"),
            Self::PercentOfACore => format!("{value:.2} %"),
            Self::Seconds if value >= 1.0 => format!("{value:.2} s"),
            Self::Seconds if value >= 1e-4 => format!("{:.2} ms", value * 1e3),
            Self::Seconds => format!("{:.2} µs", value * 1e6),
            Self::PerSecond => format!("{value:.1} /s"),
        }
    }
}

impl Table {
    /// Takes a figure, and shows it at once.
    pub(crate) fn add(&mut self, figure: Figure) {
        println!("{}", figure.row());
        self.0.push(figure);
    }

    pub(crate) fn to_markdown(&self, machine: &str, took: Duration) -> String {
        let mut text = format!("{machine}; {} s in all.\n\n", took.as_secs());
        text.push_str("| measure | logrelay | peer | ratio: median (spread) | goal | |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- |\n");
        for figure in &self.0 {
            text += &figure.row();
            text.push('\n');
        }
        text
    }
}

/// Puts a table between the marks of its name in a file.
pub(crate) fn put_into(path: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let whole = fs::read_to_string(path)?;
    let (before, rest) = whole.split_once(&begin).context("it has no mark where the table begins")?;
    let (old, after) = rest.split_once(&end).context("it has no mark where the table ends")?;
    ensure!(!old.contains(&begin), "two tables");
    Ok(fs::write(path, format!("{before}{begin}{text}{end}{after}"))?)
}

/// How many a second.
#[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 in a minute")]
pub(crate) fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// The value in the middle.
pub(crate) fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}

pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
