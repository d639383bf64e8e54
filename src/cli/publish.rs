//! `logrelay publish`: sends standard input to a topic, line by line, through a relay.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::value_parser;
use indicatif::ProgressBar;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{progress, relays::RelayFlags, shutdown};
use crate::{
    client::{PublishEvent, PublishOptions, Publisher},
    config::{DEFAULT_SHUTDOWN_TIMEOUT_MS, General, Label},
    proto,
    record::{Host, Topic},
    tail::lines::{Line, Lines},
    telemetry::{self, Terminal},
};

/// How many bytes are read at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// Longest part of a host name in a name that is made of it.
const HOST_CHARACTERS: usize = 100;

/// Sends standard input to a topic, each line once, also when relays and Redis go away meanwhile.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Topic to publish to
    #[arg(value_name = "TOPIC")]
    topic: Topic,
    #[command(flatten)]
    relays: RelayFlags,
    /// Name of the producer, which one program at a time has; readers see it as the host [default: the host
    /// name and a random number]
    #[arg(long, value_name = "NAME")]
    producer: Option<Host>,
    /// Label of the lines; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = Label::parse)]
    label: Vec<Label>,
    /// Longest line in bytes; the rest is cut off and counted
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024,
        value_parser = value_parser!(u32).range(1..=3 * 1024 * 1024))]
    max_line_bytes: u32,
    /// What may be read and not yet confirmed, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024,
        value_parser = value_parser!(u32).range(1..))]
    buffer_bytes: u32,
    /// How long one try to connect may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = value_parser!(u64).range(1..))]
    connect_timeout_ms: u64,
    /// Give up after so many failures in a row [default: never]
    #[arg(long, value_name = "FAILURES", value_parser = value_parser!(u32).range(1..))]
    max_failures: Option<u32>,
}

pub(super) async fn run(arguments: Arguments, general: General, terminal: Terminal) -> anyhow::Result<()> {
    let format = general.log_format.unwrap_or_default();
    telemetry::start_logs(&general.log_level.unwrap_or_default(), format, &terminal);
    let timeout_ms = general.shutdown_timeout_ms.unwrap_or(DEFAULT_SHUTDOWN_TIMEOUT_MS);
    let stop = shutdown::on_signals(timeout_ms)?;
    let producer = arguments.producer.map_or_else(random_name, Ok)?;
    let max_line_bytes = arguments.max_line_bytes as usize;
    let options = PublishOptions {
        labels: arguments.label.into_iter().map(Label::into_pair).collect(),
        buffer_bytes: arguments.buffer_bytes as usize,
        connect_timeout_ms: arguments.connect_timeout_ms,
        max_failures: arguments.max_failures,
        ..PublishOptions::new(arguments.relays.relays()?, arguments.topic, producer)
    };
    let bar = Terminal::is_watched().then(|| progress::bar(&terminal));
    let mut sending = Sending { publisher: Publisher::new(options)?, bar };
    let sent = sending.read(tokio::io::stdin(), max_line_bytes, &stop.token).await;
    let sent = match sent {
        Ok(()) => sending.finish(&stop.token, Duration::from_millis(timeout_ms / 10 * 8)).await,
        refused => refused,
    };
    if let Some(bar) = &sending.bar {
        bar.finish_and_clear();
    }
    match sending.publisher.unconfirmed_lines() {
        0 => sent,
        lines => sent.with_context(|| format!("lines that were read and are not confirmed: {lines}")),
    }
}

/// Lines on their way from standard input.
struct Sending {
    publisher: Publisher,
    bar: Option<ProgressBar>,
}

impl Sending {
    /// Sends the lines of `input` until its end or the shutdown; an unfinished last line, too.
    async fn read(
        &mut self,
        mut input: impl AsyncRead + Unpin,
        max_line_bytes: usize,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        // Not at 0: there Lines leaves out the hole of a file that was truncated under its writer.
        let mut lines = Lines::new(1, max_line_bytes);
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            tokio::select! {
                read = input.read(&mut block), if self.publisher.has_room() => {
                    let count = read.context("standard input")?;
                    if count == 0 {
                        break;
                    }
                    lines.extend(&block[..count]);
                    while let Some(line) = lines.next_line() {
                        self.publisher.push(message(&line));
                    }
                }
                event = self.publisher.next() => event?.iter().for_each(|event| self.tell(event)),
                () = shutdown.cancelled() => break,
            }
        }
        if let Some(line) = lines.finish() {
            self.publisher.push(message(&line));
        }
        Ok(())
    }

    /// Waits until everything is confirmed; after the shutdown no longer than `most`.
    async fn finish(&mut self, shutdown: &CancellationToken, most: Duration) -> anyhow::Result<()> {
        self.publisher.end();
        let too_long = async {
            shutdown.cancelled().await;
            sleep(most).await;
        };
        let mut too_long = std::pin::pin!(too_long);
        loop {
            tokio::select! {
                event = self.publisher.next() => match event? {
                    Some(event) => self.tell(&event),
                    None => break,
                },
                () = &mut too_long => bail!("stopping took too long"),
            }
        }
        match self.publisher.lost_lines() {
            0 => Ok(()),
            lines => bail!("redis has lost {lines} lines after it had confirmed them"),
        }
    }

    fn tell(&self, event: &PublishEvent) {
        match event {
            PublishEvent::Opened { relay, source, next_sequence } => {
                info!(%relay, source, next_sequence, "publishing");
            }
            PublishEvent::Confirmed { next_sequence } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(*next_sequence);
                    bar.set_message(format!("{} to go", self.publisher.unconfirmed_lines()));
                }
            }
            PublishEvent::Lost { lines, is_new_source } => {
                let (from_line, to_line) = (lines.start, lines.end);
                error!(from_line, to_line, is_new_source, "redis lost lines that it had confirmed");
            }
            PublishEvent::Redis { is_ok: true } => info!("redis takes lines again"),
            PublishEvent::Redis { is_ok: false } => warn!("redis takes no lines: waiting"),
            PublishEvent::Disconnected { relay, why, retry_in } => {
                let retry_in_ms = retry_in.as_millis();
                warn!(%relay, why, retry_in_ms, "no relay takes lines: waiting");
            }
        }
    }
}

fn message(line: &Line<'_>) -> proto::Line {
    let (content, truncated_bytes) = (Bytes::copy_from_slice(line.content), line.truncated_bytes);
    proto::Line { content, truncated_bytes, ..proto::Line::default() }
}

/// A name that no other run has.
fn random_name() -> anyhow::Result<Host> {
    let host = hostname::get().unwrap_or_default().to_string_lossy().into_owned();
    let is_fit = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let host: String = host.chars().filter(is_fit).take(HOST_CHARACTERS).collect();
    Ok(format!("{host}-{:08x}", fastrand::u32(..)).parse()?)
}
