//! Bars on standard error, for work that takes long while somebody looks.

use std::{fmt, time::Duration};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::time::interval;

use crate::{
    publish::{Metrics, Publisher},
    telemetry::Terminal,
};

const TICK: Duration = Duration::from_millis(250);

/// With many files the lag is that of the first ones only.
const MOST_FILES: usize = 1_000;

/// A bar that counts lines.
pub(super) fn bar(terminal: &Terminal) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} lines, {rate}, {msg}");
    let bar = terminal.bars().add(ProgressBar::new_spinner());
    bar.enable_steady_tick(TICK);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    bar.with_style(style.with_key("rate", |state: &ProgressState, text: &mut dyn fmt::Write| {
        // Writing to the text of a bar cannot fail.
        write!(text, "{:.0}/s", state.per_sec()).unwrap_or_default();
    }))
}

/// Shows what a tailer has appended and how much there is to read, until it is dropped.
pub(super) async fn of_tailer(bar: ProgressBar, publisher: Publisher, metrics: Metrics) {
    let mut tick = interval(TICK);
    loop {
        tick.tick().await;
        let mut lag_bytes = 0;
        let standings = publisher.standings();
        for standing in standings.iter().take(MOST_FILES) {
            let confirmed = standing.confirmed();
            if let Ok(file) = tokio::fs::metadata(&confirmed.details.path).await {
                lag_bytes += file.len().saturating_sub(confirmed.position);
            }
        }
        bar.set_position(metrics.lines.get());
        bar.set_message(format!("{} files, {lag_bytes} bytes to go", standings.len()));
    }
}
