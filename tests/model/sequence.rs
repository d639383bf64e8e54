//! Carries out one sequence, and compares what arrived with what was written.

use std::{sync::Arc, time::Duration};

use logrelay::{
    publish::{self, Publisher},
    record::Topic,
    tail::{Input, Options, Service, TopicRule, discover::Patterns},
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    action::{Action, LOGS, Plan},
    arrivals::Arrivals,
    files::Log,
    history::History,
    troubled::{Troubled, patiently},
};

/// More than the kilobyte by which a copy is known.
const KNOWN_BYTES: usize = 1100;

struct Sequence {
    server: Arc<Troubled>,
    prefix: String,
    plan: Plan,
    topic: Topic,
    folder: TempDir,
    history: History,
    arrivals: Arrivals,
    logs: Vec<Log>,
    /// Incarnations that only an open file of the tailer has.
    deleted: Vec<(usize, usize)>,
    tailer: Option<(JoinHandle<bool>, CancellationToken)>,
    troubles: Vec<JoinHandle<()>>,
}

/// Runs a sequence; the error says what went wrong.
pub(crate) async fn run(server: &Arc<Troubled>, plan: &Plan) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let topic: Topic = "model".parse().unwrap();
    let prefix = format!("model-{:016x}", fastrand::u64(..));
    let mut sequence = Sequence {
        logs: (0..LOGS).map(|log| Log::new(folder.path(), log)).collect(),
        arrivals: Arrivals::new(server.store(&prefix), topic.clone()),
        server: Arc::clone(server),
        plan: plan.clone(),
        history: History::new(LOGS),
        deleted: Vec::new(),
        tailer: None,
        troubles: Vec::new(),
        prefix,
        topic,
        folder,
    };
    let result = sequence.all().await;
    if let Some((task, _)) = sequence.tailer.take() {
        task.abort();
    }
    for trouble in sequence.troubles {
        trouble.await.map_err(|error| error.to_string())?;
    }
    result
}

impl Sequence {
    async fn all(&mut self) -> Result<(), String> {
        self.start();
        for action in self.plan.actions.clone() {
            tracing::info!(?action);
            self.act(action).await.map_err(|why| format!("{action:?}: {why}"))?;
        }
        self.start();
        self.everything_arrives().await?;
        // What a restart would send again comes before what is new.
        self.stop().await?;
        self.start();
        for log in &mut self.logs {
            log.append(&mut self.history, 1, 60);
        }
        self.everything_arrives().await?;
        self.stop().await?;
        self.history.check(&patiently("the topic can be read", self.arrivals.all()).await??)
    }

    async fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Append { log, lines, bytes } => self.logs[log].append(&mut self.history, lines, bytes),
            Action::Partial { log } => self.logs[log].begin_line(&mut self.history),
            Action::Rotate { log, create } => {
                if self.has_anchor(log).await? {
                    self.logs[log].rotate(&mut self.history, create);
                }
            }
            Action::LateAppend { log, lines } => self.logs[log].append_late(&mut self.history, lines),
            Action::CopyTruncate { log, between } => {
                // A copy that has less than was read is known by a kilobyte, one inside the glob
                // too; a file of position 0 is known by nothing.
                let by_head = self.plan.inside || between > 0;
                if self.is_known(log, if by_head { KNOWN_BYTES } else { 1 }).await? {
                    self.logs[log].copy_truncate(&mut self.history, between);
                }
            }
            Action::DeleteDrained { log } => {
                self.logs[log].finish_line(&mut self.history);
                // A copy that has less than was read is known by its original alone.
                if let Some(incarnation) = self.incarnation(log)
                    && self.is_drained(log, incarnation).await?
                    && (self.bytes_arrived(log, incarnation) > 0 || !self.logs[log].has_short_copy)
                {
                    self.logs[log].delete(&mut self.history);
                }
            }
            Action::DeleteHeld { log, lines } => self.delete_held(log, lines).await?,
            Action::DeleteOldest { log } => {
                if let Some(&oldest) = self.logs[log].rotated.back()
                    && self.is_drained(log, oldest).await?
                    && self.is_anchored_without(log, Some(oldest))
                {
                    self.logs[log].delete_oldest();
                }
            }
            Action::Kill => self.kill().await,
            Action::Stop => self.stop().await?,
            Action::Start => self.start(),
            Action::RedisKill { away_ms } => self.troubles.push(self.server.kill(away_ms).await),
            Action::RedisPause { pause_ms } => self.troubles.push(self.server.pause(pause_ms).await),
            Action::Sync if self.tailer.is_some() => self.everything_arrives().await?,
            Action::Sync => {}
            Action::Pause { ms } => sleep(Duration::from_millis(ms)).await,
        }
        Ok(())
    }

    fn start(&mut self) {
        if self.tailer.is_some() {
            return;
        }
        let glob = if self.plan.inside { "*.log*" } else { "*.log" };
        let patterns = Patterns::parse(&[self.folder.path().join(glob).display().to_string()]).unwrap();
        let topic = TopicRule::Fixed(self.topic.clone());
        let input = Input::new(patterns, topic);
        let options = Options {
            poll_interval_ms: 20,
            linger_ms: self.plan.linger_ms,
            ..Options::new("host".parse().unwrap(), vec![input])
        };
        let publishing = publish::Options {
            audit_interval_ms: 100,
            retry_cap_ms: 100,
            budget_bytes: self.plan.budget_bytes,
            ..Default::default()
        };
        let store = self.server.store(&self.prefix);
        let publisher = Publisher::new(store, publishing, publish::Metrics::default());
        let shutdown = CancellationToken::new();
        let service = Service::new(options, publisher);
        #[expect(clippy::disallowed_methods, reason = "the handle is kept and aborted")]
        let task = tokio::spawn(service.run(shutdown.clone()));
        self.tailer = Some((task, shutdown));
    }

    async fn kill(&mut self) {
        let Some((task, _)) = self.tailer.take() else { return };
        task.abort();
        drop(task.await);
        self.forget_deleted();
    }

    async fn stop(&mut self) -> Result<(), String> {
        let Some((task, shutdown)) = self.tailer.take() else { return Ok(()) };
        shutdown.cancel();
        let stopped = patiently("the tailer stops", task).await?.map_err(|error| error.to_string())?;
        self.forget_deleted();
        // Redis may be away for a part of the time only.
        if stopped { Ok(()) } else { Err("the tailer did not stop in time".to_owned()) }
    }

    /// What was deleted is gone with the tailer that had it open.
    fn forget_deleted(&mut self) {
        for (log, incarnation) in self.deleted.drain(..) {
            self.history.excuse(log, incarnation);
        }
    }

    fn incarnation(&self, log: usize) -> Option<usize> {
        self.logs[log].current.as_ref().map(|writer| writer.incarnation)
    }

    /// Whether one file of the log is known to Redis and still there: without one, a
    /// rotated file that was never seen cannot be told from those of long ago.
    async fn has_anchor(&mut self, log: usize) -> Result<bool, String> {
        self.arrivals.look().await?;
        Ok(self.is_anchored_without(log, None) || self.is_known(log, 1).await?)
    }

    fn is_anchored_without(&self, log: usize, without: Option<usize>) -> bool {
        let there = self.logs[log].rotated.iter().copied().chain(self.incarnation(log));
        let mut others = there.filter(|incarnation| Some(*incarnation) != without);
        others.any(|incarnation| self.bytes_arrived(log, incarnation) > 0)
    }

    /// Whether so many bytes of a log's file have arrived, and the tailer knows that they
    /// have; writes them where it runs.
    async fn is_known(&mut self, log: usize, bytes: usize) -> Result<bool, String> {
        self.arrivals.look().await?;
        let Some(incarnation) = self.incarnation(log) else { return Ok(false) };
        if self.bytes_arrived(log, incarnation) >= bytes {
            return Ok(true);
        }
        if self.tailer.is_none() {
            return Ok(false);
        }
        self.logs[log].append(&mut self.history, 1, bytes);
        let first = format!("the first {bytes} bytes of log {log}, incarnation {incarnation}, arrive");
        patiently(&first, async {
            while self.bytes_arrived(log, incarnation) < bytes {
                self.arrivals.look().await?;
                sleep(Duration::from_millis(2)).await;
            }
            Ok(true)
        })
        .await?
    }

    fn bytes_arrived(&self, log: usize, incarnation: usize) -> usize {
        self.history.bytes_arrived(log, incarnation, |name| self.arrivals.has(name))
    }

    /// Whether all lines of an incarnation have arrived, in time where the tailer runs.
    async fn is_drained(&mut self, log: usize, incarnation: usize) -> Result<bool, String> {
        self.arrivals.look().await?;
        let due: Vec<_> =
            self.history.awaited().filter(|name| (name.0, name.1) == (log, incarnation)).collect();
        if self.tailer.is_none() {
            return Ok(due.iter().all(|name| self.arrivals.has(*name)));
        }
        patiently(&format!("log {log}, incarnation {incarnation}, is drained"), async {
            while !due.iter().all(|name| self.arrivals.has(*name)) {
                self.arrivals.look().await?;
                sleep(Duration::from_millis(2)).await;
            }
            Ok(true)
        })
        .await?
    }

    async fn delete_held(&mut self, log: usize, lines: u32) -> Result<(), String> {
        if self.tailer.is_none() {
            return Ok(());
        }
        // A line that arrives now says that this tailer has the file open.
        self.logs[log].append(&mut self.history, 1, 20);
        let Some(incarnation) = self.incarnation(log) else { return Ok(()) };
        self.is_drained(log, incarnation).await?;
        self.logs[log].append(&mut self.history, lines, 60);
        self.deleted.extend(self.logs[log].delete(&mut self.history).map(|deleted| (log, deleted)));
        Ok(())
    }

    async fn everything_arrives(&mut self) -> Result<(), String> {
        for log in &mut self.logs {
            log.finish_line(&mut self.history);
            // What came and went between two looks is found when there is a file again.
            if log.current.is_none() && log.has_begun() {
                log.append(&mut self.history, 1, 60);
            }
        }
        let mut missing = None;
        let all = async {
            loop {
                self.arrivals.look().await?;
                missing = self.history.awaited().find(|name| !self.arrivals.has(*name));
                if missing.is_none() {
                    return Ok(());
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        let arrived = patiently("everything arrives", all).await;
        arrived.map_err(|why| format!("{why}: {missing:?} is missing"))?
    }
}
