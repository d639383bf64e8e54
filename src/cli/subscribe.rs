//! `logrelay subscribe`: prints the lines of topics and resumes by itself.

mod filter;
mod from;
mod printer;
mod progress;
mod report;
mod saver;
mod stdout;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    pin::Pin,
};

use anyhow::Context as _;
use clap::{ValueEnum, builder::BoolishValueParser, value_parser};
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

pub(super) use self::from::time;
use self::{
    from::From,
    printer::Printer,
    progress::Progress,
    report::Report,
    saver::{Keeper, Saver},
};
use super::{Misuse, cursor_file::CursorFile, relays::RelayFlags, shutdown};
use crate::{
    client::{Event, Marks, Options, Start, State, Subscription},
    config::{DEFAULT_SHUTDOWN_TIMEOUT_MS, General},
    record::{SubscriptionName, Topic, TopicGlob},
    telemetry::{self, LogFormat, Terminal},
};

/// Prints the lines of topics as they come; goes on by itself when a relay goes away.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Topics to read, or patterns of them such as 'web.*', which new topics join; one that does not
    /// exist yet is waited for. Of several, text output says the topic before each line
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<TopicGlob>,
    #[command(flatten)]
    relays: RelayFlags,
    /// Where to begin: earliest, latest, last=N, a duration before now such as 10m, an RFC 3339 time, or
    /// a cursor (one for each topic that has one)
    #[arg(long, value_name = "WHERE", value_delimiter = ',', default_value = "latest")]
    from: Vec<From>,
    #[command(flatten)]
    filter: filter::Arguments,
    /// Stop at the end as it is now, instead of waiting for more
    #[arg(long, value_parser = BoolishValueParser::new())]
    no_follow: bool,
    /// Lines as they are, or one JSON object a line (and events as JSON objects on standard error)
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// Go on where the last run with this file ended; wins over --from
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    /// Let the relays keep where this name goes on, also after a kill and on another host; wins over
    /// --from. A second reader of the same name takes over from the first
    #[arg(long, value_name = "NAME", conflicts_with = "cursor_file")]
    subscription: Option<SubscriptionName>,
    /// What to do when lines cannot be had any more, or come again: say it and go on, or fail
    #[arg(long, value_name = "WHAT", default_value = "report")]
    on_gap: OnGap,
    /// Greatest number of lines that a relay sends at once; 0: its default
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    max_batch_lines: u32,
    /// Greatest size that a relay sends at once, in bytes; 0: its default
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    max_batch_bytes: u32,
    /// How often a relay gives a sign of life; after three times this without one it counts as dead
    #[arg(long, value_name = "MS", default_value_t = Options::default().heartbeat_interval_ms,
        value_parser = value_parser!(u64).range(1_000..=300_000))]
    heartbeat_interval_ms: u64,
    /// How long one try to connect may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = Options::default().connect_timeout_ms,
        value_parser = value_parser!(u64).range(1..))]
    connect_timeout_ms: u64,
    /// Give up after so many failures in a row [default: never]
    #[arg(long, value_name = "FAILURES", value_parser = value_parser!(u32).range(1..))]
    max_failures: Option<u32>,
    /// How many sources are remembered in order to drop lines that are sent again
    #[arg(long, value_name = "SOURCES", default_value_t = Marks::DEFAULT_CAPACITY)]
    max_marks: usize,
}

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people and pipes.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnGap {
    Report,
    Fail,
}

impl Output {
    /// What logs look like beside this output.
    pub(super) fn log_format(self, general: &General) -> LogFormat {
        let matching = match self {
            Self::Text => LogFormat::Text,
            Self::Json => LogFormat::Json,
        };
        general.log_format.unwrap_or(matching)
    }
}

pub(super) async fn run(arguments: Arguments, general: General, terminal: Terminal) -> anyhow::Result<()> {
    let format = arguments.output.log_format(&general);
    telemetry::start_logs(&general.log_level.unwrap_or_default(), format, &terminal);
    let stop = shutdown::on_signals(general.shutdown_timeout_ms.unwrap_or(DEFAULT_SHUTDOWN_TIMEOUT_MS))?;
    let (file, saved) = match &arguments.cursor_file {
        None => (None, None),
        Some(path) => {
            let (file, saved) = CursorFile::open(path)?;
            (Some(file), saved)
        }
    };
    let show_progress = Terminal::is_watched() && !io::stdout().is_terminal();
    let output = arguments.output;
    let keeper = file.map(Keeper::File).or(arguments.subscription.is_some().then_some(Keeper::Relays));
    // Of one topic there is no need to say which.
    let is_one = matches!(&arguments.topics[..], [only] if only.as_topic().is_some());
    let reading = Reading {
        subscription: Subscription::new(options(arguments, saved)?)?,
        printer: Printer::new(io::stdout().lock(), output, !is_one),
        saver: keeper.map(Saver::new),
        report: Report::new(output, terminal.clone()),
        progress: Progress::new(show_progress.then_some(&terminal)),
        unheard: Box::pin(stdout::closed()),
    };
    reading.run(&stop.token).await
}

/// The options of the client: what the file saved wins over `--from`.
fn options(arguments: Arguments, saved: Option<State>) -> anyhow::Result<Options> {
    let topics = arguments.topics;
    let (start, cursors) = from::resolve(&arguments.from, &topics)?;
    let mut state = State::from_cursors(cursors);
    if let Some(saved) = saved {
        let is_asked = |topic: &&Topic| topics.iter().any(|pattern| pattern.matches(topic));
        let topic = saved.topics().find(|topic| !is_asked(topic)).map(ToString::to_string);
        let glob = saved.globs().find(|glob| !topics.contains(glob)).map(ToString::to_string);
        if let Some(foreign) = topic.or(glob) {
            let name = arguments.cursor_file.unwrap_or_default();
            let text = format!(
                "cursor file {} is of other topics: it has {foreign}, which is not asked for",
                name.display()
            );
            return Err(Misuse(text).into());
        }
        state = state.overridden_by(saved);
    }
    Ok(Options {
        relays: arguments.relays.relays()?,
        topics,
        start: start.unwrap_or(Start::Latest),
        filter: arguments.filter.into_filter(),
        state: state.with_capacity(arguments.max_marks),
        subscription: arguments.subscription,
        stop_at_tail: arguments.no_follow,
        fail_on_gap: arguments.on_gap == OnGap::Fail,
        max_batch_lines: arguments.max_batch_lines,
        max_batch_bytes: arguments.max_batch_bytes,
        heartbeat_interval_ms: arguments.heartbeat_interval_ms,
        connect_timeout_ms: arguments.connect_timeout_ms,
        max_failures: arguments.max_failures,
        ..Options::default()
    })
}

/// A running subscription and where its events go.
struct Reading<W: io::Write> {
    subscription: Subscription,
    printer: Printer<W>,
    saver: Option<Saver>,
    report: Report,
    progress: Progress,
    /// Resolves when nobody reads the output any more.
    unheard: Pin<Box<dyn Future<Output = ()>>>,
}

impl<W: io::Write> Reading<W> {
    /// Prints until the end, a signal or an error; in each case what was printed is saved.
    async fn run(mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let ended = self.read(shutdown).await;
        self.progress.finish();
        // After a failed write nobody knows which lines arrived, so the last saved place stands.
        let saved = if self.printer.is_broken() { Ok(()) } else { self.save().await };
        ended.and(saved)
    }

    async fn read(&mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            let Some(event) = self.next(shutdown).await? else { break };
            self.take(&event)?;
            if self.saver.as_ref().is_some_and(Saver::is_due) {
                self.save_if_possible().await?;
            }
        }
        Ok(())
    }

    /// The next event; lines do not wait in the buffer while there is none.
    async fn next(&mut self, shutdown: &CancellationToken) -> anyhow::Result<Option<Event>> {
        if let Some(event) = self.subscription.next().now_or_never() {
            return Ok(event?);
        }
        self.flush()?;
        loop {
            let due = self.saver.as_ref().and_then(Saver::due_at);
            tokio::select! {
                event = self.subscription.next() => return Ok(event?),
                () = shutdown.cancelled() => return Ok(None),
                () = &mut self.unheard => return Ok(None),
                () = saver::sleep_until(due) => self.save_if_possible().await?,
            }
        }
    }

    fn take(&mut self, event: &Event) -> anyhow::Result<()> {
        if let Event::Lines(lines) = event {
            self.printer.print(lines).context("standard output")?;
        } else {
            // Where both outputs lead to one place, what happened first stands first.
            self.flush()?;
            self.report.event(event);
        }
        self.progress.event(event);
        if let Some(saver) = &mut self.saver {
            saver.event(event);
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.printer.flush().context("standard output")
    }

    /// Saves the place after the last line that left this process, never one further on.
    async fn save(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        match &mut self.saver {
            Some(saver) => saver.save(&mut self.subscription).await,
            None => Ok(()),
        }
    }

    async fn save_if_possible(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        match &mut self.saver {
            Some(saver) => saver.save_if_possible(&mut self.subscription).await,
            None => Ok(()),
        }
    }
}
