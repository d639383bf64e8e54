//! Redis is away, full, or has one topic that cannot be used: little is said, little
//! is tried, and everything arrives afterwards.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use logrelay::{
    publish::{Metrics, Options, Outcome, Publisher, Registered, Standing},
    record::{Details, SourceKey, Topic},
    store::{ConnectOptions, Store},
    tail::{self, TopicRule},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    proxy::Proxy,
    support::{TestRedis, eventually},
    tailing::{Tailing, append, lines},
    writing::{Writer, host, record, store_of, topic},
};

const SOURCES: u64 = 20;

/// What was logged by this thread, on which all tasks of a test run.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        Self::capture_of("info")
    }

    /// All that logrelay itself has to say.
    pub(crate) fn capture_all() -> (Self, DefaultGuard) {
        Self::capture_of("logrelay=trace")
    }

    fn capture_of(filter: &str) -> (Self, DefaultGuard) {
        // With a single subscriber, what another thread does not listen to is not logged
        // on this one either: tracing asks the one that comes first, for all.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
        let logs = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(logs.clone())
            .finish();
        (logs, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn count(&self, message: &str) -> usize {
        self.text().lines().filter(|line| line.contains(message)).count()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn assert_one_outage(&self) {
        let counts = (self.count("redis is away"), self.count("redis answers again"));
        assert_eq!(counts, (1, 1), "{}", self.text());
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logs {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Adds `count` lines to each of [`SOURCES`] files.
fn write_to_all(tailing: &Tailing, count: u64) {
    for index in 0..SOURCES {
        append(&tailing.path(&format!("{index}.log")), &lines(0, count));
    }
}

/// How often may be tried since then; a busy machine sleeps longer than it is asked to.
fn tries_in(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap() / 100
}

#[tokio::test]
async fn an_outage_under_many_sources_is_said_once_and_little_is_tried() {
    let (logs, _guard) = Logs::capture();
    let mut redis = TestRedis::with_port(&[]).await;
    let proxy = Proxy::to(redis.port()).await;
    let connect = ConnectOptions { connect_timeout_ms: 500, ..ConnectOptions::new(proxy.url()) };
    let mut tailing = Tailing::prepare(&redis, "*.log", |options| options).over(connect);
    tailing.resume();
    write_to_all(&tailing, 100);
    tailing.until_lines(SOURCES * 100).await;

    redis.stop().await;
    let before = (proxy.connections(), proxy.requests());
    write_to_all(&tailing, 100);
    let began = Instant::now();
    sleep(Duration::from_secs(2)).await;
    let tried = (proxy.connections() - before.0, proxy.requests() - before.1);
    // What was under way for each source, then a try at most each 100 ms (the cap of 200 less
    // its jitter), and the pool's own: sources that each tried for themselves would be hundreds.
    let most = SOURCES + tries_in(began) + 20;
    assert!((1..most).contains(&tried.0), "{tried:?} connections and requests");
    assert_eq!(logs.count("redis answers again"), 0, "{}", logs.text());

    redis.start_again().await;
    tailing.until_lines(SOURCES * 200).await;
    assert_eq!(tailing.contents().await.len() as u64, SOURCES * 200);
    logs.assert_one_outage();
}

#[tokio::test]
async fn a_full_redis_is_one_outage_although_reads_work_all_the_while() {
    let (logs, _guard) = Logs::capture();
    let redis = TestRedis::start().await;
    let tailing = Tailing::start(&redis, "*.log");
    write_to_all(&tailing, 10);
    tailing.until_lines(SOURCES * 10).await;

    let mut control = redis.control().await;
    control.run::<()>("CONFIG SET maxmemory 1").await;
    let before = control.calls("evalsha").await;
    write_to_all(&tailing, 10);
    append(&tailing.path("new.log"), &lines(0, 10));
    let began = Instant::now();
    sleep(Duration::from_millis(1500)).await;
    // A try at most each 100 ms (the cap of 200 less its jitter), and what was on its way.
    let tried = control.calls("evalsha").await - before;
    assert!((5..45 + tries_in(began)).contains(&tried), "{tried} scripts");
    control.run::<()>("CONFIG SET maxmemory 0").await;
    tailing.until_lines(SOURCES * 20 + 10).await;
    assert_eq!(tailing.contents().await.len() as u64, SOURCES * 20 + 10);
    assert_eq!(tailing.sources().await.len() as u64, SOURCES + 1);
    logs.assert_one_outage();
}

fn publisher(redis: &TestRedis) -> (Publisher, JoinSet<()>) {
    let options = Options { audit_interval_ms: 50, retry_cap_ms: 200, ..Options::default() };
    let publisher = Publisher::new(store_of(redis), options, Metrics::default());
    let mut tasks = JoinSet::new();
    let audit = publisher.clone();
    tasks.spawn(async move { match audit.audit().await {} });
    (publisher, tasks)
}

/// A new source, once its topic can be used.
async fn register(publisher: &Publisher, topic: &Topic) -> Arc<Standing> {
    loop {
        if let Some(Registered::New(standing)) =
            publisher.register(topic, &host(), Details::default(), &[]).await
        {
            return standing;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Appends batches of two lines until `count` are stored.
async fn publish(publisher: &Publisher, standing: &Standing, count: u64) {
    for _ in 0..count / 2 {
        let believed = standing.confirmed();
        let writer = Writer {
            store: publisher.store().clone(),
            topic: standing.topic().clone(),
            key: standing.key().clone(),
            record: believed,
        };
        let batch = writer.batch(2);
        let next = writer.record_after(&batch);
        assert_eq!(publisher.append(standing, next, Some(publisher.pack(batch))).await, Outcome::Stored);
    }
}

async fn next_of(store: &Store, topic: &Topic) -> u64 {
    store.resolve(topic).await.ok().flatten().map_or(0, |found| found.timeline.next().get())
}

#[tokio::test]
async fn a_topic_that_cannot_be_used_waits_alone() {
    let (logs, _guard) = Logs::capture();
    let mut redis = TestRedis::with_args(&["--enable-debug-command", "yes"]).await;
    let (publisher, mut tasks) = publisher(&redis);
    let (bad, good) = (topic("bad"), topic("good"));
    let quiet = register(&publisher, &good).await;
    redis.control().await.run::<()>("SET logrelay:{bad}:state mine").await;
    let copy = redis.copy();
    publish(&publisher, &quiet, 10).await;

    for _ in 0..SOURCES {
        let (publisher, bad) = (publisher.clone(), bad.clone());
        tasks.spawn(async move {
            let standing = register(&publisher, &bad).await;
            publish(&publisher, &standing, 10).await;
        });
    }
    eventually("it is said", async || logs.count("the topic cannot be used") > 0).await;
    let busy = register(&publisher, &good).await;
    publish(&publisher, &busy, 1000).await;
    assert_eq!(publisher.records(&bad, &host()).await, None);

    // The quiet source hears of a failover: nobody waits for the bad topic.
    redis.replace_with(&copy).await;
    let challenge = quiet.challenged().await;
    assert_eq!(challenge.stored.unwrap().position, 0);

    redis.control().await.run::<()>("DEL logrelay:{bad}:state").await;
    let store = store_of(&redis);
    eventually("the bad topic has all", async || next_of(&store, &bad).await == SOURCES * 10).await;
    let said = (logs.count("the topic cannot be used"), logs.count("the topic can be used again"));
    assert_eq!(said, (1, 1), "{}", logs.text());
}

#[tokio::test]
async fn files_of_other_topics_are_followed_beside_one_that_cannot_be_used() {
    let redis = TestRedis::start().await;
    redis.control().await.run::<()>("SET logrelay:{bad}:state mine").await;
    let by_name = |mut options: tail::Options| {
        options.inputs[0].topic = TopicRule::FileStem;
        options
    };
    let mut tailing = Tailing::prepare(&redis, "*", by_name);
    let store = store_of(&redis);
    let has = async |name: &str, count| {
        eventually(name, async || next_of(&store, &topic(name)).await == count).await;
    };
    for name in ["bad.log", "good.log"] {
        append(&tailing.path(name), &lines(0, 10));
    }
    tailing.resume();
    has("good", 10).await;
    append(&tailing.path("good.log"), &lines(10, 10));
    append(&tailing.path("later.log"), &lines(0, 10));
    has("good", 20).await;
    has("later", 10).await;
    redis.control().await.run::<()>("DEL logrelay:{bad}:state").await;
    has("bad", 10).await;

    // The same to one that could be used, when it has another new file.
    redis.control().await.run::<()>("RENAME logrelay:{bad}:state kept").await;
    redis.control().await.run::<()>("SET logrelay:{bad}:state mine").await;
    append(&tailing.path("bad.txt"), &lines(0, 10));
    sleep(Duration::from_millis(300)).await;
    append(&tailing.path("good.log"), &lines(20, 10));
    append(&tailing.path("latest.log"), &lines(0, 10));
    has("good", 30).await;
    has("latest", 10).await;
    redis.control().await.run::<()>("RENAME kept logrelay:{bad}:state").await;
    has("bad", 20).await;
}

#[tokio::test]
async fn a_challenge_that_a_later_append_has_answered_is_dropped() {
    let redis = TestRedis::start().await;
    let (publisher, _tasks) = publisher(&redis);
    let standing = register(&publisher, &topic("t")).await;
    let store = store_of(&redis);
    for _ in 0..20 {
        publish(&publisher, &standing, 10).await;
        redis.control().await.run::<()>("CLIENT KILL TYPE normal").await;
    }
    assert_eq!(next_of(&store, &topic("t")).await, 200);
    let challenged = tokio::time::timeout(Duration::from_millis(300), standing.challenged()).await;
    assert!(challenged.is_err(), "{challenged:?}");
}

#[tokio::test]
async fn what_redis_has_otherwise_is_shown_to_the_source() {
    let redis = TestRedis::start().await;
    let (publisher, _tasks) = publisher(&redis);
    let standing = register(&publisher, &topic("t")).await;
    publish(&publisher, &standing, 10).await;
    let other = publisher.stand(&topic("t"), standing.key().clone(), standing.confirmed());
    publish(&publisher, &other, 10).await;
    let next = record(7, Details::default());
    let elsewhere = publisher.append(&standing, next.clone(), None).await;
    assert_eq!(elsewhere, Outcome::Elsewhere(other.confirmed()));
    let unknown: SourceKey = "host/unknown".parse().unwrap();
    let unknown = publisher.stand(&topic("t"), unknown, next.clone());
    assert_eq!(publisher.append(&unknown, next.clone(), None).await, Outcome::Forgotten);
    assert_eq!(publisher.register_again(&unknown, next.clone()).await, Outcome::Stored);
    assert_eq!(unknown.confirmed(), next);
}
