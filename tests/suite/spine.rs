//! From files to readers in this process: programs that write, and readers that note
//! down all that they hear.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use logrelay::{
    client::{Event, Options, Start, State, Subscription},
    proto::{Batch, subscribe_response::Event as Sent},
    record::Topic,
};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    support::{
        eventually,
        relay::{TestRelay, from_earliest},
    },
    tailing::{Tailing, append, lines, numbered},
};

/// What a reader was told beside lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Rewound {
        from: u64,
        to: u64,
    },
    Reset {
        from: u64,
        to: u64,
    },
    /// What should not have happened: a gap, a lost connection, a refusal.
    Trouble(String),
}

/// What a reader has heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The number in its source and the content of each line, by path.
    lines: BTreeMap<String, Vec<(u64, String)>>,
    count: u64,
    told: Vec<Told>,
    /// What each heartbeat said of Redis.
    beats: Vec<bool>,
}

/// A reader that drops what is sent again, and runs until it is paused.
pub(crate) struct Reader {
    topic: Topic,
    heard: Arc<Mutex<Heard>>,
    stop: CancellationToken,
    task: JoinHandle<State>,
}

/// A reader that is not connected; it kept its state as text.
pub(crate) struct Paused {
    topic: Topic,
    heard: Arc<Mutex<Heard>>,
    state: String,
}

impl Reader {
    /// A reader of all lines of a topic.
    pub(crate) fn start(relay: &TestRelay, topic: &Topic) -> Self {
        let state = serde_json::to_string(&State::default()).unwrap();
        Paused { topic: topic.clone(), heard: Arc::default(), state }.resume(relay)
    }

    pub(crate) async fn pause(self) -> Paused {
        self.stop.cancel();
        let state = serde_json::to_string(&self.task.await.unwrap()).unwrap();
        Paused { topic: self.topic, heard: self.heard, state }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }

    pub(crate) fn count(&self) -> u64 {
        self.heard().count
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.heard().told.clone()
    }

    /// Waits until it has so many lines.
    pub(crate) async fn until(&self, count: u64) {
        eventually(&format!("{count} lines are read"), async || {
            let heard = self.heard();
            assert!(heard.count <= count, "{} of {count} lines: {:?}", heard.count, heard.told);
            heard.count == count
        })
        .await;
    }

    /// Waits until a heartbeat says this of Redis.
    pub(crate) async fn until_redis_ok(&self, ok: bool) {
        eventually("a heartbeat says so", async || self.heard().beats.last() == Some(&ok)).await;
    }

    /// Waits until it was told so many things.
    pub(crate) async fn until_told(&self, count: usize) {
        eventually("it is told", async || self.heard().told.len() >= count).await;
    }

    /// That it has the first lines of every file, each once and in order.
    pub(crate) fn has_each_once(&self, counts: &[(&Path, u64)]) {
        self.has_lines_once(counts);
        assert_eq!(self.heard().lines.len(), counts.len());
    }

    /// The same, where there are other files.
    pub(crate) fn has_lines_once(&self, counts: &[(&Path, u64)]) {
        let heard = self.heard();
        for (path, count) in counts {
            let lines = &heard.lines[path.to_str().unwrap()];
            let expected = (0..*count).map(|number| (number, numbered(number)));
            let wrong = lines.iter().cloned().zip(expected).find(|(found, expected)| found != expected);
            assert_eq!(wrong, None, "{}: {:?}", path.display(), heard.told);
            assert_eq!(lines.len() as u64, *count, "{}", path.display());
        }
    }

    /// That it has the first `count` lines, each once, in whatever files they were.
    pub(crate) fn has_numbered_once(&self, count: u64) {
        let heard = self.heard();
        let mut contents: Vec<_> = heard.lines.values().flatten().map(|(_, line)| line.clone()).collect();
        contents.sort_unstable();
        let wrong = contents.iter().zip(0..).find(|(found, number)| **found != numbered(*number));
        assert_eq!((wrong, contents.len() as u64), (None, count), "{:?}", heard.told);
    }

    /// That it has the first `count` lines of a log, each once and in their order over all files
    /// that the log had.
    pub(crate) fn has_log_in_order(&self, log: &Path, count: u64) {
        let heard = self.heard();
        let lines = heard.lines[log.to_str().unwrap()].iter();
        let wrong = lines.clone().zip(0..).find(|((_, line), number)| *line != numbered(*number));
        assert_eq!((wrong, lines.len() as u64), (None, count), "{:?}", heard.told);
    }

    /// That nothing but rewound was said, and that.
    pub(crate) fn was_only_rewound(&self) {
        assert!(!self.told().is_empty());
        self.was_at_most_rewound();
    }

    pub(crate) fn was_at_most_rewound(&self) {
        let told = self.told();
        assert!(told.iter().all(|told| matches!(told, Told::Rewound { .. })), "{told:?}");
    }

    pub(crate) fn was_told_nothing(&self) {
        assert_eq!(self.told(), []);
    }
}

impl Paused {
    /// Goes on where it was.
    pub(crate) fn resume(self, relay: &TestRelay) -> Reader {
        let options = Options {
            relays: vec![relay.url.parse().unwrap()],
            topics: vec![self.topic.clone().into()],
            start: Start::Earliest,
            state: serde_json::from_str(&self.state).unwrap(),
            heartbeat_interval_ms: 1000,
            ..Options::default()
        };
        let (heard, stop) = (Arc::clone(&self.heard), CancellationToken::new());
        let follow = follow(Subscription::new(options).unwrap(), Arc::clone(&heard), stop.clone());
        #[expect(clippy::disallowed_methods, reason = "the reader owns it")]
        let task = tokio::spawn(follow);
        Reader { topic: self.topic, heard, stop, task }
    }

    /// The same place, with what was heard so far, for another reader.
    pub(crate) fn twin(&self) -> Self {
        let heard = self.heard.lock().unwrap();
        let copy = Heard {
            lines: heard.lines.clone(),
            count: heard.count,
            told: heard.told.clone(),
            beats: Vec::new(),
        };
        Self { topic: self.topic.clone(), heard: Arc::new(Mutex::new(copy)), state: self.state.clone() }
    }
}

async fn follow(mut reader: Subscription, heard: Arc<Mutex<Heard>>, stop: CancellationToken) -> State {
    loop {
        let event = tokio::select! {
            biased;
            event = reader.next() => event,
            () = stop.cancelled() => return reader.state().clone(),
        };
        let mut heard = heard.lock().unwrap();
        match event {
            Ok(Some(event)) => heard.note(event),
            other => {
                heard.told.push(Told::Trouble(format!("{other:?}")));
                return reader.state().clone();
            }
        }
    }
}

impl Heard {
    fn note(&mut self, event: Event) {
        match event {
            Event::Lines(lines) => {
                let of_path = self.lines.entry(lines.path().to_owned()).or_default();
                for line in lines.iter() {
                    of_path.push((line.number, String::from_utf8_lossy(line.content).into_owned()));
                }
                self.count += lines.len() as u64;
            }
            Event::Rewound(jump) => {
                self.told.push(Told::Rewound { from: jump.from.get(), to: jump.to.get() });
            }
            Event::Reset(jump) => {
                self.told.push(Told::Reset { from: jump.from.get(), to: jump.to.get() });
            }
            Event::Heartbeat(beat) => self.beats.push(beat.redis_ok),
            Event::Opened { .. } | Event::Joined { .. } | Event::CaughtUp(_) => {}
            trouble @ (Event::Gap(_) | Event::Closing { .. } | Event::Disconnected { .. }) => {
                self.told.push(Told::Trouble(format!("{trouble:?}")));
            }
        }
    }
}

/// A line as it stands in Redis: source, number in it, content.
type Stored = (String, u64, String);

/// A reader that takes every message as it comes: what it has after each is what the
/// topic has up to there.
pub(crate) struct Mirror {
    /// The lines from offset 0 on.
    lines: Arc<Mutex<Vec<Stored>>>,
    task: JoinHandle<()>,
}

impl Mirror {
    pub(crate) async fn start(relay: &TestRelay, topic: &Topic) -> Self {
        let mut sent = relay.subscribe(from_earliest(topic.as_str())).await;
        let lines = Arc::<Mutex<Vec<Stored>>>::default();
        let noted = Arc::clone(&lines);
        #[expect(clippy::disallowed_methods, reason = "the mirror owns it")]
        let task = tokio::spawn(async move {
            while let Some(event) = sent.next().await.unwrap() {
                let mut lines = noted.lock().unwrap();
                let next = lines.len() as u64;
                let (from, to) = match event {
                    Sent::Batch(batch) => {
                        assert_eq!(batch.base_offset + first_delta(&batch), next, "a hole or a repeat");
                        lines.extend(stored(&batch));
                        continue;
                    }
                    Sent::Rewound(it) => (it.from_offset, it.to_offset),
                    Sent::Reset(it) => (it.from_offset, it.to_offset),
                    Sent::Opened(_) | Sent::CaughtUp(_) | Sent::Heartbeat(_) => continue,
                    other => panic!("{other:?}"),
                };
                assert_eq!(from, next);
                assert!(to <= from, "lines are left out");
                lines.truncate(usize::try_from(to).unwrap());
            }
        });
        Self { lines, task }
    }

    /// Waits until it has what Redis has.
    pub(crate) async fn shows(&self, tailing: &Tailing) {
        let mut expected = Vec::new();
        for entry in tailing.entries().await {
            let lines = (0..entry.batch.lines()).map(|index| entry.batch.line(index).unwrap());
            let (head, first) = (entry.batch.head(), entry.batch.head().first_line);
            let key = &head.source.as_ref().unwrap().key;
            expected.extend(lines.zip(first..).map(|(line, number)| {
                (key.clone(), number, String::from_utf8_lossy(line.content).into_owned())
            }));
        }
        eventually("the mirror shows all", async || {
            assert!(!self.task.is_finished(), "the mirror broke");
            self.lines.lock().unwrap().len() >= expected.len()
        })
        .await;
        assert!(*self.lines.lock().unwrap() == expected, "other lines than in Redis");
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn first_delta(batch: &Batch) -> u64 {
    batch.offset_deltas.first().map_or(0, |&delta| delta.into())
}

fn stored(batch: &Batch) -> Vec<Stored> {
    let key = batch.source.as_ref().unwrap().key.clone();
    let first = batch.first_line + first_delta(batch);
    let contents = batch.lines.iter().map(|line| String::from_utf8_lossy(&line.content).into_owned());
    contents.zip(first..).map(|(content, number)| (key.clone(), number, content)).collect()
}

/// A program that writes numbered lines to a file, a few at a time.
pub(crate) struct Program {
    path: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<u64>,
}

impl Program {
    /// Goes on after the `written` lines that the file has.
    pub(crate) fn start(path: PathBuf, written: u64) -> Self {
        let stop = CancellationToken::new();
        let write = write(path.clone(), written, stop.clone());
        #[expect(clippy::disallowed_methods, reason = "the program owns it")]
        let task = tokio::spawn(write);
        Self { path, stop, task }
    }

    /// Ends it; its file and how many lines that has.
    pub(crate) async fn stop(self) -> (PathBuf, u64) {
        self.stop.cancel();
        (self.path, self.task.await.unwrap())
    }
}

async fn write(path: PathBuf, mut written: u64, stop: CancellationToken) -> u64 {
    while !stop.is_cancelled() {
        let burst = fastrand::u64(1..20);
        append(&path, &lines(written, burst));
        written += burst;
        sleep(Duration::from_millis(2)).await;
    }
    written
}
