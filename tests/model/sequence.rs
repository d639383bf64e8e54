//! Carries out one sequence, and compares what arrived with what was written.

use std::{mem, sync::Arc, time::Duration};

use logrelay::record::Topic;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    action::{Action, LOGS, Plan},
    arrivals::Arrivals,
    files::Log,
    history::History,
    tailer::{Job, Kind, LOGS_FOLDER, Tailer},
    troubled::{Troubled, patiently},
    writer::Writer,
};

mod known;

/// More than the kilobyte by which a copy is known.
const KNOWN_BYTES: usize = 1100;
/// How often it is looked whether something has come true.
const LOOK: Duration = Duration::from_millis(3);

/// How much time goes by between two actions.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// None but what the actions take.
    Fast,
    /// Less than the tailer takes to look.
    Uneven,
    /// The tailer looks in between.
    Slow,
}

impl Pace {
    pub(crate) const ALL: [Self; 3] = [Self::Fast, Self::Uneven, Self::Slow];

    async fn rest(self) {
        match self {
            Self::Fast => {}
            Self::Uneven => sleep(Duration::from_micros(fastrand::u64(..5000))).await,
            Self::Slow => sleep(Duration::from_millis(fastrand::u64(25..50))).await,
        }
    }
}

struct Sequence {
    kind: Kind,
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
    tailer: Option<Tailer>,
    /// How often what is followed was replaced.
    replaced: usize,
    troubles: Vec<JoinHandle<()>>,
}

/// Runs a sequence; the error says what went wrong.
pub(crate) async fn run(server: &Arc<Troubled>, plan: &Plan, kind: Kind, pace: Pace) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let topic: Topic = "model".parse().unwrap();
    let prefix = format!("model-{:016x}", fastrand::u64(..));
    let logs = folder.path().join(LOGS_FOLDER);
    let mut sequence = Sequence {
        kind,
        logs: (0..LOGS).map(|log| Log::new(&logs, log, plan)).collect(),
        arrivals: Arrivals::new(server.store(&prefix), topic.clone()),
        server: Arc::clone(server),
        plan: plan.clone(),
        history: History::new(LOGS, plan),
        deleted: Vec::new(),
        tailer: None,
        replaced: 0,
        troubles: Vec::new(),
        prefix,
        topic,
        folder,
    };
    let result = sequence.all(pace).await;
    tracing::info!(folder = %sequence.folder.path().display(), ?result, "the sequence has ended");
    if let Some(tailer) = sequence.tailer.take() {
        tailer.kill(Duration::ZERO).await;
    }
    for trouble in sequence.troubles {
        trouble.await.map_err(|error| error.to_string())?;
    }
    result
}

impl Sequence {
    async fn all(&mut self, pace: Pace) -> Result<(), String> {
        self.start();
        for action in mem::take(&mut self.plan.actions) {
            tracing::info!(?action);
            self.act(action).await.map_err(|why| format!("{action:?}: {why}"))?;
            pace.rest().await;
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
            Action::LateAppend { log, lines } => self.logs[log].append_late(&mut self.history, lines),
            Action::Rotate { log, create } => self.rotate(log, create).await?,
            Action::Rotations { log, count, lines } => self.rotations(log, count, lines).await?,
            Action::CopyTruncate { log, between } => self.copy_truncate(log, between).await?,
            Action::Gzip { log, age, takes_ms } if self.may_be_compressed(log, age).await? => {
                self.logs[log].gzip(age, Duration::from_millis(takes_ms)).await;
            }
            Action::DeleteDrained { log } => drop(self.delete_drained(log).await?),
            Action::Recreate { log, lines } => {
                if self.delete_drained(log).await? {
                    self.logs[log].append(&mut self.history, lines, 60);
                }
            }
            Action::DeleteHeld { log, lines } => self.delete_held(log, lines).await?,
            Action::DeleteOldest { log } => self.delete_oldest(log).await?,
            Action::HardLink { log } => self.logs[log].hard_link(&mut self.history),
            Action::Unlink { log } => {
                if let Some(incarnation) = self.logs[log].linked
                    && self.is_drained(log, incarnation).await?
                {
                    self.logs[log].unlink();
                }
            }
            Action::Kill { after_us } => self.kill(Duration::from_micros(after_us)).await,
            Action::Stop => self.stop().await?,
            Action::Start => self.start(),
            Action::Replace => self.replace(),
            Action::RedisKill { away_ms } => self.troubles.push(self.server.kill(away_ms).await),
            Action::RedisPause { pause_ms } => self.troubles.push(self.server.pause(pause_ms).await),
            Action::Sync if self.tailer.is_some() => self.everything_arrives().await?,
            Action::Sync | Action::Gzip { .. } => {}
            Action::Pause { ms } => sleep(Duration::from_millis(ms)).await,
        }
        Ok(())
    }

    fn job(&self) -> Job<'_> {
        Job {
            folder: self.folder.path(),
            server: &self.server,
            prefix: &self.prefix,
            topic: &self.topic,
            plan: &self.plan,
            replaced: self.replaced,
        }
    }

    fn start(&mut self) {
        if self.tailer.is_none() {
            self.tailer = Some(Tailer::start(self.kind, &self.job()));
        }
    }

    fn replace(&mut self) {
        self.replaced += 1;
        if let Some(tailer) = &self.tailer {
            tailer.replace(&self.job());
        }
    }

    async fn kill(&mut self, after: Duration) {
        let Some(tailer) = self.tailer.take() else { return };
        tailer.kill(after).await;
        self.forget_deleted();
    }

    async fn stop(&mut self) -> Result<(), String> {
        let Some(tailer) = self.tailer.take() else { return Ok(()) };
        tailer.stop().await?;
        self.forget_deleted();
        Ok(())
    }

    /// What was deleted is gone with the tailer that had it open.
    fn forget_deleted(&mut self) {
        for (log, incarnation) in self.deleted.drain(..) {
            self.history.excuse(log, incarnation);
        }
    }

    async fn rotate(&mut self, log: usize, create: bool) -> Result<(), String> {
        if self.has_anchor(log).await? && self.is_link_known(log).await? {
            self.logs[log].rotate(&mut self.history, create);
        }
        Ok(())
    }

    async fn rotations(&mut self, log: usize, count: u32, lines: u32) -> Result<(), String> {
        if self.has_anchor(log).await? {
            for _ in 0..count {
                self.logs[log].append(&mut self.history, lines, 60);
                if !self.is_link_known(log).await? {
                    return Ok(());
                }
                self.logs[log].rotate(&mut self.history, true);
            }
        }
        Ok(())
    }

    async fn copy_truncate(&mut self, log: usize, between: u32) -> Result<(), String> {
        // A copy that has less than was read is known by a kilobyte, one inside the glob
        // too; a file of position 0 is known by nothing.
        let by_head = self.plan.inside || between > 0;
        // Of a file that begins with a hole there is no such kilobyte.
        if by_head && self.logs[log].current.as_ref().is_some_and(Writer::has_hole) {
            return Ok(());
        }
        if self.is_known(log, if by_head { KNOWN_BYTES } else { 1 }).await? {
            self.logs[log].copy_truncate(&mut self.history, between);
        }
        Ok(())
    }

    /// Whether the file was deleted.
    async fn delete_drained(&mut self, log: usize) -> Result<bool, String> {
        self.logs[log].finish_line(&mut self.history);
        let Some(incarnation) = self.incarnation(log) else { return Ok(false) };
        Ok(self.is_drained(log, incarnation).await?
            && !self.tells_of_copy(log, incarnation)
            && self.logs[log].delete(&mut self.history).is_some())
    }

    async fn delete_held(&mut self, log: usize, lines: u32) -> Result<(), String> {
        // Where few files may be open, it may be closed.
        if self.tailer.is_none() || self.plan.max_open_files < 100 {
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

    async fn delete_oldest(&mut self, log: usize) -> Result<(), String> {
        if let Some(oldest) = self.logs[log].rotated.back().map(|rotated| rotated.incarnation)
            && self.is_drained(log, oldest).await?
            && self.is_anchored_without(log, Some(oldest))
        {
            self.logs[log].delete_oldest();
        }
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
        let awaited: Vec<_> = self.history.awaited().collect();
        self.arrive("everything arrives", &awaited).await
    }
}
