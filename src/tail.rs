//! ① Files become lines.
//!
//! The [`Service`] looks for files (`discover`) when something changes (`watcher`) and now
//! and then (`look`), and keeps a `fleet` of sources, one task for each file. What a newly
//! found file is, a source that Redis knows or a new one, is told by its content
//! (`candidates`, `identity`, `copies`) and by the files that were at its path before
//! (`past`, `search`, `lineage`, `tie`), also when those were compressed meanwhile (`packs`,
//! `packed`); then it is followed (`launch`), those of one path one after the other
//! (`lane`). A `source` reads blocks (`reader`), makes lines of them (`framing`, of what
//! `lines` cuts), and appends these through [`publish`](crate::publish), one batch at a time
//! (`course`); it remembers in its `trail` by what it will be known.

mod candidates;
mod control;
mod copies;
mod course;
pub mod discover;
mod fleet;
pub mod framing;
#[doc(hidden)]
pub mod fuzzing;
mod heirs;
mod identity;
pub mod input;
mod lane;
mod launch;
mod limits;
mod lineage;
pub mod lines;
mod look;
mod metrics;
mod packed;
mod packs;
mod past;
mod reader;
mod search;
mod source;
mod stdin;
pub mod template;
mod tie;
mod topic_rule;
mod trail;
pub mod watcher;

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{fleet::Fleet, look::Look};
pub use self::{
    input::{Input, Limits, LineOptions, StartAt},
    metrics::Metrics,
    stdin::publish_stdin,
    topic_rule::TopicRule,
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
    /// After how long without a change a file costs no task of its own any more, in
    /// milliseconds.
    pub rest_after_ms: u64,
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
            rest_after_ms: 10_000,
            limits: Limits::default(),
            stop_timeout_ms: 10_000,
        }
    }
}

/// Changes what a running tailer follows.
#[derive(Debug, Clone)]
pub struct Handle {
    wanted: watch::Sender<Wanted>,
    following: watch::Sender<Following>,
}

/// What a running tailer is to follow.
#[derive(Debug, Clone, Default)]
struct Wanted {
    inputs: Arc<[Input]>,
    limits: Limits,
    /// How often it has changed.
    changes: u64,
}

/// What is followed now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Following {
    /// How many changes of the inputs have come into force.
    pub changes: u64,
    /// Files that are followed.
    pub files: usize,
    /// How many of them are open.
    pub open_files: usize,
}

impl Handle {
    /// Follows these inputs from now on, all together within `limits`. Sources for which
    /// nothing changes go on without a pause. Others stop when what was read of them is
    /// appended, and go on at the next line where an input still covers them. What is
    /// covered no more stays known to Redis, where it stands.
    pub fn replace(&self, inputs: Vec<Input>, limits: Limits) {
        self.wanted.send_modify(|wanted| {
            *wanted = Wanted { inputs: inputs.into(), limits, changes: wanted.changes + 1 };
        });
    }

    /// What is followed after each look for files.
    pub fn following(&self) -> watch::Receiver<Following> {
        self.following.subscribe()
    }

    /// Waits until all calls of [`replace`](Self::replace) so far are in force; returns what
    /// is followed then. Waits for ever where the tailer has ended.
    pub async fn applied(&self) -> Following {
        let changes = self.wanted.borrow().changes;
        let mut following = self.following.subscribe();
        match following.wait_for(|now| now.changes >= changes).await {
            Ok(now) => *now,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Follows files until it is told to stop.
#[derive(Debug)]
pub struct Service {
    options: Options,
    publisher: Publisher,
    handle: Handle,
    metrics: Metrics,
}

impl Service {
    /// A service that has not begun.
    pub fn new(options: Options, publisher: Publisher) -> Self {
        let (inputs, limits) = (options.inputs.clone().into(), options.limits);
        let wanted = watch::Sender::new(Wanted { inputs, limits, changes: 0 });
        let handle = Handle { wanted, following: watch::Sender::default() };
        Self { options, publisher, handle, metrics: Metrics::default() }
    }

    /// By which what it follows can be changed, before it runs and while it does.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Counts in these.
    #[must_use]
    pub fn counting_in(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
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

        // A task, though it is waited for: what finds that a file has grown is then on the threads
        // that read it, and no other thread has to be woken.
        let mut following = JoinSet::new();
        following.spawn(self.follow(shutdown));
        match following.join_next().await {
            Some(Ok(in_time)) => in_time,
            Some(Err(died)) if died.is_panic() => resume_unwind(died.into_panic()),
            Some(Err(_)) | None => false,
        }
    }

    async fn follow(self, shutdown: CancellationToken) -> bool {
        let mut fleet = Fleet::new(&self.options, self.publisher.clone());
        let poll_interval = Duration::from_millis(self.options.poll_interval_ms.max(10));
        let mut look = Look::new(&self.handle, poll_interval, self.options.watch_files, self.metrics.clone());
        tokio::select! {
            () = look.follow(&mut fleet) => {}
            () = shutdown.cancelled() => {}
        }
        fleet.stop(Duration::from_millis(self.options.stop_timeout_ms)).await
    }
}
