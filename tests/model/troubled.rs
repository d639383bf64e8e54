//! A Redis that several sequences share and that any of them may kill or pause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use logrelay::store::{self, RedisUrl, Store};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::suite::support::TestRedis;

/// Short, so that a pause of the server loses answers.
pub(crate) const CONNECT_TIMEOUT_MS: u64 = 500;
pub(crate) const RESPONSE_TIMEOUT_MS: u64 = 250;

pub(crate) struct Troubled {
    redis: Arc<Mutex<TestRedis>>,
    url: RedisUrl,
}

impl Troubled {
    pub(crate) async fn start() -> Self {
        // With `everysec` an answer may be sent before its write: a kill would lose lines
        // that nobody may lose, as files that were deleted cannot be read again.
        let redis = TestRedis::with_args(&["--appendfsync", "no"]).await;
        Self { url: redis.url(), redis: Arc::new(Mutex::new(redis)) }
    }

    pub(crate) fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// A store of this server whose keys are those of one sequence.
    pub(crate) fn store(&self, prefix: &str) -> Store {
        let mut options = store::Options::new(self.url.clone());
        prefix.clone_into(&mut options.prefix);
        options.connect.connect_timeout_ms = CONNECT_TIMEOUT_MS;
        options.connect.response_timeout_ms = RESPONSE_TIMEOUT_MS;
        options.connect.pool_size = 4;
        Store::new(options).unwrap()
    }

    /// Kills the server now; it is back on its data after `away_ms`.
    pub(crate) async fn kill(&self, away_ms: u64) -> JoinHandle<()> {
        let mut redis = Arc::clone(&self.redis).lock_owned().await;
        redis.kill().await;
        later(async move {
            sleep(Duration::from_millis(away_ms)).await;
            redis.start_again().await;
        })
    }

    /// Stops the server from answering for `pause_ms`.
    pub(crate) async fn pause(&self, pause_ms: u64) -> JoinHandle<()> {
        let redis = Arc::clone(&self.redis).lock_owned().await;
        redis.freeze();
        later(async move {
            sleep(Duration::from_millis(pause_ms)).await;
            redis.thaw();
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the handle is awaited by the sequence")]
fn later(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}

/// The longest that anything may take that has to come, in milliseconds.
pub(crate) static PATIENCE_MS: AtomicU64 = AtomicU64::new(60_000);

/// Waits for something that has to come.
pub(crate) async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> Result<T, String> {
    let patience = Duration::from_millis(PATIENCE_MS.load(Ordering::Relaxed));
    timeout(patience, work).await.map_err(|_| format!("it did not come true that {what}"))
}
