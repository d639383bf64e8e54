//! Redis in trouble, one fault a test: what tailer, relay, reader and health do meanwhile,
//! and that all goes on by itself afterwards, each line once. The table of faults in
//! ARCHITECTURE.md names these tests.

mod clock;
mod keys;
mod refusals;
mod rights;
mod slots;

use std::sync::{Arc, Mutex};

use logrelay::{
    hub,
    serve::Options,
    store::{ConnectOptions, Error, Store},
};
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tracing::subscriber::DefaultGuard;

use crate::{
    outage::Logs,
    spine::{Mirror, Program, Reader},
    support::{TestRedis, cluster::store_over, eventually, relay::TestRelay},
    tailing::Tailing,
};

/// A busy machine is no reason to say that Redis does not answer; what feeds find is said at once.
pub(crate) const PROBE_MS: u64 = 5000;

/// A program that writes to a file, its tailer, a relay, and a reader with an open
/// subscription: everything between a line and who wants it.
struct Bed {
    tailing: Tailing,
    relay: TestRelay,
    live: Reader,
    health: Pulse,
    logs: Logs,
    program: Option<Program>,
    written: u64,
    _guard: DefaultGuard,
}

/// All that health has said.
pub(crate) struct Pulse {
    said: Arc<Mutex<Vec<bool>>>,
    task: JoinHandle<()>,
}

impl Bed {
    async fn start(redis: &TestRedis) -> Self {
        Self::over(redis, redis.options(), redis.options()).await
    }

    /// The same, where tailer and relay have a way of their own to Redis each.
    async fn over(redis: &TestRedis, to_tailer: ConnectOptions, to_relay: ConnectOptions) -> Self {
        let tailing = Tailing::prepare(redis, "*.log", |options| options).over(to_tailer);
        Self::of(tailing, to_relay, |_, _| ()).await
    }

    /// The same of a tailer that does not run yet, where the relay has other options.
    async fn of(
        mut tailing: Tailing,
        to_relay: ConnectOptions,
        change: impl FnOnce(&mut Options, &mut hub::Options),
    ) -> Self {
        let (logs, guard) = Logs::capture();
        tailing.resume();
        let patient = |serve: &mut Options, hub: &mut hub::Options| {
            serve.probe_ms = PROBE_MS;
            change(serve, hub);
        };
        let relay = TestRelay::over(store_over(to_relay), patient).await;
        let live = Reader::start(&relay, tailing.topic());
        let health = Pulse::of(&relay.url).await;
        let mut bed = Self { tailing, relay, live, health, logs, program: None, written: 0, _guard: guard };
        bed.write();
        bed.goes_on().await;
        bed
    }

    /// The program begins to write, or goes on.
    fn write(&mut self) {
        assert!(self.program.is_none(), "it writes");
        self.program = Some(Program::start(self.tailing.path("app.log"), self.written));
    }

    /// The program stops; returns when all of its lines are read.
    async fn is_read_up(&mut self) {
        let (_, written) = self.program.take().unwrap().stop().await;
        self.written = written;
        self.live.until(written).await;
    }

    /// A key of the topic.
    fn key(&self, name: &str) -> String {
        format!("logrelay:{{{}}}:{name}", self.tailing.topic())
    }

    /// Waits until lines come, and health and heartbeats say that all is well.
    async fn goes_on(&self) {
        self.lines_come().await;
        self.health.until(true).await;
        self.live.until_redis_ok(true).await;
    }

    async fn lines_come(&self) {
        let before = self.live.count();
        eventually("lines come", async || self.live.count() > before + 100).await;
    }

    /// Waits until health and heartbeats say that Redis cannot be read.
    async fn reader_waits(&self) {
        self.health.until(false).await;
        self.live.until_redis_ok(false).await;
    }

    /// Waits until a line of the log has all these words.
    async fn says(&self, words: &[&str]) {
        let is_said =
            async || self.logs.text().lines().any(|line| words.iter().all(|word| line.contains(word)));
        eventually(&format!("{words:?} is said"), is_said).await;
    }

    /// The tailer has found out that Redis says this, and waits.
    async fn tailer_hears(&self, code: &str) {
        self.says(&["lines wait where they are", code]).await;
    }

    /// All goes on, and in the end each line was read once and is stored without a hole.
    async fn ends_well(mut self) -> Reader {
        self.goes_on().await;
        self.is_read_up().await;
        self.live.has_each_once(&[(&self.tailing.path("app.log"), self.written)]);
        Mirror::start(&self.relay, self.tailing.topic()).await.shows(&self.tailing).await;
        self.live
    }

    /// The same, where the reader has heard of nothing, and each line is stored once.
    async fn ends_as_if_nothing_happened(self) {
        let (count, topic) = (self.tailing.publisher(), self.tailing.topic().clone());
        let live = self.ends_well().await;
        live.was_told_nothing();
        let stored = count.store().resolve(&topic).await.unwrap().unwrap().timeline.next();
        assert_eq!(stored.get(), live.count(), "lines are stored more than once");
    }
}

impl Pulse {
    /// Listens to the health of a relay.
    pub(crate) async fn of(url: &str) -> Self {
        let channel = Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
        let mut stream =
            HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        let said = Arc::<Mutex<Vec<bool>>>::default();
        let noted = Arc::clone(&said);
        #[expect(clippy::disallowed_methods, reason = "it is aborted at the end")]
        let task = tokio::spawn(async move {
            while let Ok(Some(answer)) = stream.message().await {
                noted.lock().unwrap().push(answer.status() == ServingStatus::Serving);
            }
        });
        Self { said, task }
    }

    /// Waits until it says so.
    pub(crate) async fn until(&self, serving: bool) {
        eventually("health says so", async || self.said().last() == Some(&serving)).await;
    }

    /// Waits until it has said so, after the first `from` answers; for a moment is enough.
    pub(crate) async fn until_said(&self, from: usize, serving: bool) {
        eventually("health said so", async || self.said()[from..].contains(&serving)).await;
    }

    /// What it has said so far, in turn.
    pub(crate) fn said(&self) -> Vec<bool> {
        self.said.lock().unwrap().clone()
    }

    /// That it has said nothing else since it first served.
    fn was_steady(&self) {
        let said = self.said();
        assert!(said.iter().skip_while(|serving| !**serving).all(|serving| *serving), "{said:?}");
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until Redis refuses with this code what health asks it.
async fn until_refused(store: &Store, code: &str) {
    eventually(&format!("{code} is the answer"), async || is_refusal(&store.probe().await, code)).await;
}

fn is_refusal<T>(answer: &Result<T, Error>, code: &str) -> bool {
    matches!(answer, Err(Error::Refused { code: found, .. }) if found == code)
}
