//! A tailer in process that can be stopped, killed and resumed, and what it stored.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use logrelay::{
    proto,
    publish::{self, Publisher},
    record::{Offset, SourceState, Topic},
    store::{self, ConnectOptions, Durability, Entry, Item, Store},
    tail::{self, Following, Handle, Input, Options, Service, TopicRule, discover::Patterns},
};
use prost::Message as _;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{TestRedis, eventually};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A tailer of one folder; its topic is its own among those of its Redis.
pub(crate) struct Tailing {
    folder: std::sync::Arc<TempDir>,
    options: Options,
    topic: Topic,
    connect: ConnectOptions,
    durability: Durability,
    store: Store,
    running: Option<(JoinHandle<bool>, CancellationToken)>,
    handle: Option<Handle>,
    metrics: tail::Metrics,
}

impl Tailing {
    /// A tailer of the files that match `glob` in a new folder, running.
    pub(crate) fn start(redis: &TestRedis, glob: &str) -> Self {
        let mut tailing = Self::prepare(redis, glob, |options| options);
        tailing.resume();
        tailing
    }

    /// The same with other options, not running yet.
    pub(crate) fn prepare(redis: &TestRedis, glob: &str, change: impl Fn(Options) -> Options) -> Self {
        let folder = TempDir::new().unwrap();
        // A file that is missed is looked for in folders beside its own, too: not in those of
        // other tests, whose files begin alike and may have its inode by then.
        let logs = folder.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let topic: Topic = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap();
        let patterns = Patterns::parse(&[logs.join(glob).display().to_string()]).unwrap();
        let input = Input::new(patterns, TopicRule::Fixed(topic.clone()));
        let options = Options::new("host".parse().unwrap(), vec![input]);
        let options = change(Options { poll_interval_ms: 100, linger_ms: 2000, ..options });
        let store = Store::new(store::Options::new(redis.url())).unwrap();
        let folder = std::sync::Arc::new(folder);
        let (running, handle, metrics) = (None, None, tail::Metrics::default());
        let (connect, durability) = (redis.options(), Durability::default());
        Self { folder, options, topic, connect, durability, store, running, handle, metrics }
    }

    /// The same tailer with other options.
    pub(crate) fn with(mut self, change: impl FnOnce(Options) -> Options) -> Self {
        self.options = change(self.options.clone());
        self
    }

    /// The same tailer with other connections; what is asserted still goes past them.
    pub(crate) fn over(mut self, connect: ConnectOptions) -> Self {
        self.connect = connect;
        self
    }

    /// The same tailer, whose lines have to be so safe.
    pub(crate) fn durable(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The same tailer with other connections, also of what is asserted.
    pub(crate) fn everything_over(mut self, connect: ConnectOptions) -> Self {
        let options = store::Options::new(connect.url.clone());
        self.store = Store::new(store::Options { connect: connect.clone(), ..options }).unwrap();
        self.over(connect)
    }

    /// A second tailer that does the same as `other`.
    pub(crate) fn beside(redis: &TestRedis, other: &Self) -> Self {
        let mut tailing = Self {
            folder: std::sync::Arc::clone(&other.folder),
            options: other.options.clone(),
            topic: other.topic.clone(),
            connect: redis.options(),
            durability: other.durability,
            store: other.store.clone(),
            running: None,
            handle: None,
            metrics: tail::Metrics::default(),
        };
        tailing.resume();
        tailing
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    /// What the one that runs counts.
    pub(crate) fn metrics(&self) -> &tail::Metrics {
        &self.metrics
    }

    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }

    pub(crate) fn publisher(&self) -> Publisher {
        let connect = self.connect.clone();
        let durability = self.durability;
        let options = store::Options::new(self.connect.url.clone());
        let store = Store::new(store::Options { connect, durability, ..options }).unwrap();
        let options = publish::Options { audit_interval_ms: 200, retry_cap_ms: 200, ..Default::default() };
        Publisher::new(store, options, publish::Metrics::default())
    }

    pub(crate) fn resume(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let publisher = self.publisher();
        let shutdown = CancellationToken::new();
        let service = Service::new(self.options.clone(), publisher);
        self.handle = Some(service.handle());
        self.metrics = service.metrics();
        #[expect(clippy::disallowed_methods, reason = "the handle is kept and aborted")]
        let task = tokio::spawn(service.run(shutdown.clone()));
        self.running = Some((task, shutdown));
    }

    /// An input of the files in the folder that match a glob.
    pub(crate) fn input(&self, glob: &str, topic: &Topic) -> Input {
        let patterns = Patterns::parse(&[self.path(glob).display().to_string()]).unwrap();
        Input::new(patterns, TopicRule::Fixed(topic.clone()))
    }

    /// Follows other inputs from now on, and when it is resumed.
    pub(crate) fn replace(&mut self, inputs: Vec<Input>) {
        self.options.inputs.clone_from(&inputs);
        self.handle.as_ref().unwrap().replace(inputs, self.options.limits);
    }

    /// What it follows.
    pub(crate) fn following(&self) -> Following {
        *self.handle.as_ref().unwrap().following().borrow()
    }

    /// Waits until what it was told last is in force; what it follows then.
    pub(crate) async fn applied(&self) -> Following {
        self.handle.as_ref().unwrap().applied().await
    }

    /// Stops in good order.
    pub(crate) async fn stop(&mut self) {
        let (task, shutdown) = self.running.take().unwrap();
        shutdown.cancel();
        assert!(task.await.unwrap(), "it took too long");
    }

    /// Drops everything at whatever it is waiting for.
    pub(crate) async fn kill(&mut self) {
        let (task, _) = self.running.take().unwrap();
        task.abort();
        drop(task.await);
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.resume();
    }

    /// How many lines the topic has.
    pub(crate) async fn count(&self) -> u64 {
        let found = self.store.resolve(&self.topic).await.ok().flatten();
        found.map_or(0, |found| found.timeline.next().get())
    }

    /// Waits until the topic has at least `count` lines.
    pub(crate) async fn until_lines(&self, count: u64) {
        let what = format!("{count} lines of {}", self.topic);
        eventually(&what, async || self.count().await >= count).await;
    }

    /// Waits until so many sources are registered.
    pub(crate) async fn until_sources(&self, count: usize) {
        eventually("sources", async || self.sources().await.len() >= count).await;
    }

    /// Waits until so many sources are marked as gone and drained.
    pub(crate) async fn until_gone(&self, count: usize) {
        eventually("sources are gone", async || {
            let records = self.store.records(&self.topic, &self.options.host).await.unwrap_or_default();
            let gone = records.iter().filter(|(_, record)| record.details.state == SourceState::Gone);
            gone.count() == count
        })
        .await;
    }

    pub(crate) async fn sources(&self) -> Vec<String> {
        let records = self.store.records(&self.topic, &self.options.host).await.unwrap_or_default();
        records.into_iter().map(|(key, _)| key.to_string()).collect()
    }

    pub(crate) async fn epochs(&self) -> usize {
        self.store.resolve(&self.topic).await.unwrap().unwrap().timeline.epochs().len()
    }

    /// All entries, whose offsets have no hole.
    pub(crate) async fn entries(&self) -> Vec<Entry> {
        let (mut next, mut entries) = (Offset::ZERO, Vec::new());
        loop {
            let page = self.store.page(&self.topic, next, 64).await.unwrap();
            if page.is_empty() {
                return entries;
            }
            for item in page {
                let Item::Entry(entry) = item else { panic!("{item:?}") };
                assert_eq!(entry.first, next, "a hole");
                next = entry.next();
                entries.push(entry);
            }
        }
    }

    async fn lines(&self) -> Vec<(String, u64)> {
        let mut lines = Vec::new();
        for entry in self.entries().await {
            for index in 0..entry.batch.lines() {
                let line = entry.batch.line(index).unwrap();
                lines.push((String::from_utf8_lossy(line.content).into_owned(), line.truncated_bytes));
            }
        }
        lines
    }

    /// The lines of the topic as they are stored, each with its number in its source.
    pub(crate) async fn stored(&self) -> Vec<(u64, proto::Line)> {
        let mut lines = Vec::new();
        for entry in self.entries().await {
            let batch = proto::Batch::decode(entry.batch.stored().clone()).unwrap();
            lines.extend((batch.first_line..).zip(batch.lines));
        }
        lines
    }

    /// The lines of the topic, in order.
    pub(crate) async fn contents(&self) -> Vec<String> {
        self.lines().await.into_iter().map(|(content, _)| content).collect()
    }

    pub(crate) async fn truncated_bytes(&self) -> Vec<u64> {
        self.lines().await.into_iter().map(|(_, truncated)| truncated).collect()
    }

    /// That the topic has the first `count` of [`lines`], each once and in order.
    pub(crate) async fn assert_numbered(&self, count: u64) {
        let contents = self.contents().await;
        for (index, content) in contents.iter().enumerate() {
            assert_eq!(*content, numbered(index as u64), "line {index}");
        }
        assert_eq!(contents.len() as u64, count);
    }
}

impl Drop for Tailing {
    fn drop(&mut self) {
        if let Some((task, _)) = self.running.take() {
            task.abort();
        }
    }
}

/// One of [`lines`].
pub(crate) fn numbered(number: u64) -> String {
    format!("line {number:08} of a log that looks like one")
}

/// `count` numbered lines from `first` on.
pub(crate) fn lines(first: u64, count: u64) -> String {
    (first..first + count).map(|number| numbered(number) + "\n").collect()
}

/// Appends to a file as a logging program does.
pub(crate) fn append(path: &Path, text: &str) {
    fs::File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}
