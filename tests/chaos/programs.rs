//! Programs that write logs, a few lines at a time and torn anywhere, and rotate them by renaming. Nothing is deleted
//! or truncated: what Redis forgets could not be read again. Nothing is rotated before it was ever seen: a file that no
//! tailer has known by a name that it looks for cannot be found by another.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
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
    logs: Mutex<Vec<Written>>,
    rotations: AtomicUsize,
    may_rotate: AtomicBool,
    stop: CancellationToken,
}

impl Programs {
    /// A program for each log, by its id and path.
    pub(crate) fn start(logs: Vec<(String, PathBuf)>, rng: &mut Rng) -> Self {
        let (shared, mut running) = (Arc::<Shared>::default(), JoinSet::new());
        for (at, (id, path)) in logs.into_iter().enumerate() {
            let log = Log::with_prefix(path, prefix(&id));
            shared.logs.lock().unwrap().push(Written { id, lines: 0 });
            running.spawn(write(Arc::clone(&shared), at, log, rng.fork()));
        }
        Self { shared, running }
    }

    /// All logs, and how many whole lines each has.
    pub(crate) fn written(&self) -> Vec<Written> {
        self.shared.logs.lock().unwrap().clone()
    }

    pub(crate) fn rotations(&self) -> usize {
        self.shared.rotations.load(Ordering::Relaxed)
    }

    /// Whether they rotate their logs from now on.
    pub(crate) fn rotate(&self, may: bool) {
        self.shared.may_rotate.store(may, Ordering::Relaxed);
    }

    /// Waits until each log has a line more, and says what there is then.
    pub(crate) async fn go_on(&self) -> Vec<Written> {
        let before = self.written();
        while !self.written().iter().zip(&before).all(|(now, before)| now.lines > before.lines) {
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
    fn has(&self, at: usize, log: &Log) {
        self.logs.lock().unwrap()[at].lines = log.lines();
    }
}

async fn write(shared: Arc<Shared>, at: usize, mut log: Log, mut rng: Rng) {
    while !shared.stop.is_cancelled() {
        log.write(rng.u64(1..10));
        if shared.may_rotate.load(Ordering::Relaxed) && rng.u32(..150) == 0 {
            log.rotate();
            shared.rotations.fetch_add(1, Ordering::Relaxed);
        }
        shared.has(at, &log);
        sleep(Duration::from_millis(rng.u64(2..40))).await;
    }
    log.finish();
    shared.has(at, &log);
}
