//! ① Files become lines.
//!
//! The [`Service`] looks for files (`discover`), wakes up when something changes
//! (`watcher`), and keeps a `fleet` of sources, one task for each file. What a newly
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
mod identity;
pub mod input;
mod lane;
mod launch;
mod limits;
mod lineage;
pub mod lines;
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

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{
    discover::{Found, Scan},
    fleet::Fleet,
    reader::off_the_runtime,
    watcher::Watcher,
};
pub use self::{
    input::{Input, Limits, LineOptions, StartAt},
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
    /// How often files are looked at, whether or not a change was reported, in
    /// milliseconds.
    pub poll_interval_ms: u64,
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
}

impl Service {
    /// A service that has not begun.
    pub fn new(options: Options, publisher: Publisher) -> Self {
        let inputs = watch::Sender::new(options.inputs.clone().into());
        Self { options, publisher, inputs }
    }

    /// By which what it follows can be changed, before it runs and while it does.
    pub fn handle(&self) -> Handle {
        Handle { inputs: self.inputs.clone() }
    }

    /// Runs until `shutdown`; then appends what was read. Returns false where that
    /// took longer than the stop timeout: what was not appended is read again by the
    /// next run.
    pub async fn run(self, shutdown: CancellationToken) -> bool {
        let mut background = JoinSet::new();
        let publisher = self.publisher.clone();
        background.spawn(async move { publisher.audit().await });

        let mut fleet = Fleet::new(&self.options, self.publisher.clone());
        let mut watcher = Watcher::new();
        tokio::select! {
            () = self.follow(&mut fleet, &mut watcher) => {}
            () = shutdown.cancelled() => {}
        }
        fleet.stop(Duration::from_millis(self.options.stop_timeout_ms)).await
    }

    async fn follow(&self, fleet: &mut Fleet, watcher: &mut Watcher) {
        let mut poll = interval(Duration::from_millis(self.options.poll_interval_ms.max(10)));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll.tick().await;
        loop {
            let (scan, files) = self.look().await;
            watcher.watch(&scan.folders);
            fleet.report(&scan.problems);
            fleet.take_in(files).await;
            loop {
                tokio::select! {
                    changes = watcher.changed() => {
                        for path in &changes.paths {
                            fleet.wake(scan.links.get(path).unwrap_or(path));
                        }
                        if changes.rescan || changes.everything {
                            break;
                        }
                    }
                    wants_scan = fleet.next_ended() => if wants_scan { break },
                    _ = poll.tick() => break,
                }
            }
        }
    }

    /// Looks for files; each stands with the input that it belongs to.
    async fn look(&self) -> (Scan, Vec<(usize, Found)>) {
        let inputs: Vec<_> = self.options.inputs.iter().map(|input| input.patterns.clone()).collect();
        let looked = off_the_runtime(move || {
            let (mut all, mut files) = (Scan::default(), Vec::new());
            for (index, patterns) in inputs.iter().enumerate() {
                let scan = patterns.scan();
                files.extend(scan.files.into_iter().map(|found| (index, found)));
                all.links.extend(scan.links);
                all.folders.extend(scan.folders);
                all.problems.extend(scan.problems);
            }
            Ok((all, files))
        });
        looked.await.unwrap_or_else(|error| {
            warn!(%error, "cannot look for files");
            (Scan::default(), Vec::new())
        })
    }
}
