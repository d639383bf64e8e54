//! ① Files become lines.
//!
//! The [`Service`] looks for files (`discover`) when something changes (`watcher`) and now
//! and then (`look`), and keeps a `fleet` of sources, one task for each file. What a newly
//! found file is, a source that Redis knows or a new one, is told by its content
//! (`candidates`, `identity`, `copies`) and by the files beside it (`lineage`); then it
//! is followed (`launch`), those of one path one after the other (`lane`). A `source`
//! reads blocks (`reader`), cuts them into `lines`, and appends them through
//! [`publish`](crate::publish), one at a time (`course`); it remembers in its `trail`
//! by what it will be known.

mod candidates;
mod control;
mod copies;
mod course;
pub mod discover;
mod fleet;
mod identity;
pub mod input;
mod lane;
mod launch;
mod lineage;
pub mod lines;
mod look;
mod metrics;
mod reader;
mod source;
mod stdin;
mod trail;
pub mod watcher;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{fleet::Fleet, look::Look};
pub use self::{
    input::{Input, Limits, LineOptions, StartAt, TopicRule},
    metrics::Metrics,
    stdin::publish_stdin,
};
use crate::{publish::Publisher, record::Host};

/// What to follow, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name of this host; sources are known under it.
    pub host: Host,
    /// What to follow. A file that several inputs match belongs to the first.
    pub inputs: Vec<Input>,
    /// Where files begin whose path was never seen on this host; those that appear
    /// later begin at their first line.
    pub start: StartAt,
    /// How often files are looked at whose changes the system does not report, in
    /// milliseconds; and others, as long as looking takes less than 0.5 % of the time.
    pub poll_interval_ms: u64,
    /// Whether the system is asked to report changes of files; else all are polled.
    pub watch_files: bool,
    /// Greatest length of a line of standard input in bytes; that of files is their input's.
    pub max_line_bytes: usize,
    /// Greatest number of files that are open at once.
    pub max_open_files: usize,
    /// How long a file that is gone from its place is kept open after its last line
    /// was confirmed, in milliseconds: a failover may make it needed again.
    pub linger_ms: u64,
    /// How fast all inputs together are read.
    pub limits: Limits,
    /// How long a stop may take, in milliseconds.
    pub stop_timeout_ms: u64,
}

impl Options {
    /// The defaults, for a host and its inputs.
    pub fn new(host: Host, inputs: Vec<Input>) -> Self {
        Self {
            host,
            inputs,
            start: StartAt::default(),
            poll_interval_ms: 1000,
            watch_files: true,
            max_line_bytes: 1024 * 1024,
            max_open_files: 4096,
            linger_ms: 60_000,
            limits: Limits::default(),
            stop_timeout_ms: 10_000,
        }
    }
}

/// Changes what a running tailer follows.
#[derive(Debug, Clone)]
pub struct Handle {
    inputs: watch::Sender<Arc<[Input]>>,
}

impl Handle {
    /// Follows these inputs from now on. Sources that they still cover go on without a
    /// pause; others stop when what was read of them is appended.
    pub fn replace(&self, inputs: Vec<Input>) {
        self.inputs.send_replace(inputs.into());
    }
}

/// Follows files until it is told to stop.
#[derive(Debug)]
pub struct Service {
    options: Options,
    publisher: Publisher,
    inputs: watch::Sender<Arc<[Input]>>,
    metrics: Metrics,
}

impl Service {
    /// A service that has not begun.
    pub fn new(options: Options, publisher: Publisher) -> Self {
        let inputs = watch::Sender::new(options.inputs.clone().into());
        Self { options, publisher, inputs, metrics: Metrics::default() }
    }

    /// By which what it follows can be changed, before it runs and while it does.
    pub fn handle(&self) -> Handle {
        Handle { inputs: self.inputs.clone() }
    }

    /// What finding files counts.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Runs until `shutdown`; then appends what was read. Returns false where that
    /// took longer than the stop timeout: what was not appended is read again by the
    /// next run.
    pub async fn run(self, shutdown: CancellationToken) -> bool {
        let mut background = JoinSet::new();
        let publisher = self.publisher.clone();
        background.spawn(async move { publisher.audit().await });

        let mut fleet = Fleet::new(&self.options, self.publisher.clone());
        let (inputs, metrics) = (&self.options.inputs, self.metrics.clone());
        let poll_interval = Duration::from_millis(self.options.poll_interval_ms.max(10));
        let mut look = Look::new(inputs, poll_interval, self.options.watch_files, metrics);
        tokio::select! {
            () = look.follow(&mut fleet) => {}
            () = shutdown.cancelled() => {}
        }
        fleet.stop(Duration::from_millis(self.options.stop_timeout_ms)).await
    }
}
