//! Programs that write logs, a few lines at a time and torn anywhere, and rotate them by renaming. Nothing is deleted
//! or truncated: what Redis forgets could not be read again. Nothing is rotated before it was ever seen: a file that no
//! tailer has known by a name that it looks for cannot be found by another.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    ledger::{Written, prefix},
    numbered::Log,
};

/// Running programs.
pub(crate) struct Programs {
    shared: Arc<Shared>,
    running: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    /// Of each log its files, the newest last.
    logs: Mutex<Vec<Vec<Written>>>,
    may_rotate: AtomicBool,
    stop: CancellationToken,
}

impl Programs {
    /// A program for each log, by its id and path.
    pub(crate) fn start(logs: Vec<(String, PathBuf)>, rng: &mut Rng) -> Self {
        let (shared, mut running) = (Arc::<Shared>::default(), JoinSet::new());
        for (at, (id, path)) in logs.into_iter().enumerate() {
            shared.logs.lock().unwrap().push(Vec::new());
            let log = shared.begin(at, &id, &path);
            running.spawn(write(Arc::clone(&shared), at, id, log, rng.fork()));
        }
        Self { shared, running }
    }

    /// All files, and how many whole lines each has.
    pub(crate) fn written(&self) -> Vec<Written> {
        self.shared.logs.lock().unwrap().concat()
    }

    pub(crate) fn rotations(&self) -> usize {
        self.shared.logs.lock().unwrap().iter().map(|files| files.len() - 1).sum()
    }

    /// Whether they rotate their logs from now on.
    pub(crate) fn rotate(&self, may: bool) {
        self.shared.may_rotate.store(may, Ordering::Relaxed);
    }

    /// Waits until each log has a line more, and says what there is then.
    pub(crate) async fn go_on(&self) -> Vec<Written> {
        let lines = || -> Vec<u64> {
            let logs = self.shared.logs.lock().unwrap();
            logs.iter().map(|files| files.iter().map(|file| file.lines).sum()).collect()
        };
        let before = lines();
        while !lines().iter().zip(&before).all(|(now, before)| now > before) {
            sleep(Duration::from_millis(5)).await;
        }
        self.written()
    }

    /// Ends them; each writes the end of its last line.
    pub(crate) async fn stop(mut self) -> Vec<Written> {
        self.shared.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
        self.written()
    }
}

impl Shared {
    /// Begins the next file of a log.
    fn begin(&self, at: usize, id: &str, path: &Path) -> Log {
        let files = &mut self.logs.lock().unwrap()[at];
        let id = format!("{id}.{}", files.len());
        let log = Log::with_prefix(path.to_owned(), prefix(&id));
        files.push(Written { id, lines: 0 });
        log
    }

    fn has(&self, at: usize, log: &Log) {
        self.logs.lock().unwrap()[at].last_mut().unwrap().lines = log.lines();
    }
}

async fn write(shared: Arc<Shared>, at: usize, id: String, mut log: Log, mut rng: Rng) {
    let mut rotations = 0;
    while !shared.stop.is_cancelled() {
        log.write(rng.u64(1..10));
        if shared.may_rotate.load(Ordering::Relaxed) && rng.u32(..150) == 0 {
            rotations += 1;
            log.rename(rotations);
            shared.has(at, &log);
            log = shared.begin(at, &id, log.path());
        }
        shared.has(at, &log);
        sleep(Duration::from_millis(rng.u64(2..40))).await;
    }
    log.finish();
    shared.has(at, &log);
}
