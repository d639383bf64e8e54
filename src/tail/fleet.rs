//! All files that are followed now, and the sources that Redis knows besides.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Options, StartAt,
    control::{Control, Fate},
    discover::{Found, Problem},
    identity::Surroundings,
    lineage::{FileId, Followed, Known, Launch, displayed, id_of, plan},
    reader::{Reader, off_the_runtime},
    source::{Context, Ended, Source},
};
use crate::{
    publish::{Publisher, Standing},
    record::{Details, Record, SourceKey, SourceState, Token, Topic},
};

/// The sources of a topic that nobody follows.
type Ledger = BTreeMap<SourceKey, Record>;

#[derive(Debug)]
pub(super) struct Fleet {
    options: Options,
    context: Context,
    live: HashMap<FileId, Live>,
    ledgers: BTreeMap<Topic, Ledger>,
    /// The newest source of each path: the next one begins when it is drained.
    newest: HashMap<PathBuf, watch::Receiver<bool>>,
    tasks: JoinSet<(FileId, Ended)>,
    /// What was said already.
    said: HashSet<String>,
    is_first: bool,
}

#[derive(Debug)]
struct Live {
    path: PathBuf,
    control: Arc<Control>,
    standing: Arc<Standing>,
}

impl Fleet {
    pub(super) fn new(options: &Options, publisher: Publisher) -> Self {
        let context = Context {
            publisher,
            max_line_bytes: options.max_line_bytes,
            linger: Duration::from_millis(options.linger_ms),
            stop: CancellationToken::new(),
        };
        Self {
            options: options.clone(),
            context,
            live: HashMap::new(),
            ledgers: BTreeMap::new(),
            newest: HashMap::new(),
            tasks: JoinSet::new(),
            said: HashSet::new(),
            is_first: true,
        }
    }

    /// Says what could not be looked at: once each.
    pub(super) fn report(&mut self, problems: &[Problem]) {
        for problem in problems {
            self.say_once(problem.to_string());
        }
    }

    fn say_once(&mut self, problem: String) {
        if self.said.len() < 10_000 && self.said.insert(problem.clone()) {
            warn!(problem, "cannot follow a file");
        }
    }

    /// Wakes the source at a path.
    pub(super) fn wake(&self, path: &Path) {
        // Few: a write to one of very many files is found by its path in the map of
        // the watcher; here every source with that path is woken.
        for live in self.live.values().filter(|live| live.path == path) {
            live.control.wake();
        }
    }

    /// Waits until a source has ended; true when the files have to be looked at again.
    pub(super) async fn next_ended(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next().await else { return std::future::pending().await };
        match ended {
            Ok((id, ended)) => {
                if let Some(live) = self.live.remove(&id) {
                    let ledger = self.ledgers.entry(live.standing.topic().clone()).or_default();
                    ledger.insert(live.standing.key().clone(), live.standing.confirmed());
                }
                ended == Ended::Replaced
            }
            Err(error) => {
                error!(%error, "a source has failed");
                false
            }
        }
    }

    /// Follows what is new among the files that a look has found, each with the
    /// index of its input.
    pub(super) async fn take_in(&mut self, files: Vec<(usize, Found)>) {
        self.tell_fates(&files);
        let mut by_topic: BTreeMap<Topic, Vec<(usize, Found)>> = BTreeMap::new();
        if self.is_first {
            let fixed = self.options.inputs.iter().filter_map(|input| match &input.topic {
                super::TopicRule::Fixed(topic) => Some(topic.clone()),
                super::TopicRule::FileStem => None,
            });
            by_topic.extend(fixed.map(|topic| (topic, Vec::new())));
        }
        let mut seen = HashSet::new();
        for (input, found) in files {
            if self.live.contains_key(&id_of(&found)) || !seen.insert(id_of(&found)) {
                continue;
            }
            if found.is_compressed() {
                self.say_once(format!("{:?}: compressed files are not read", found.path));
                continue;
            }
            match self.options.inputs[input].topic.topic_of(&found.path) {
                Some(topic) => by_topic.entry(topic).or_default().push((input, found)),
                None => self.say_once(format!("{:?}: no topic can be made of its name", found.path)),
            }
        }
        for (topic, newcomers) in by_topic {
            self.settle(&topic, newcomers).await;
        }
        self.is_first = false;
    }

    fn tell_fates(&mut self, files: &[(usize, Found)]) {
        let found: HashMap<FileId, &Found> = files.iter().map(|(_, found)| (id_of(found), found)).collect();
        for (id, live) in &self.live {
            match found.get(id) {
                Some(found) => {
                    live.control.meets(if found.path == live.path { Fate::InPlace } else { Fate::Moved });
                    live.control.wake_unless_read(found.len);
                }
                None => {
                    live.control.meets(Fate::Away);
                    live.control.wake();
                }
            }
        }
        self.newest.retain(|_, drained| drained.has_changed().is_ok());
    }

    /// Finds out what the newcomers of a topic are, and follows them.
    async fn settle(&mut self, topic: &Topic, newcomers: Vec<(usize, Found)>) {
        if !self.ledgers.contains_key(topic) {
            let records = self.context.publisher.records(topic, &self.options.host).await;
            // What has a topic that cannot be used is new again at the next look.
            let Some(records) = records else { return };
            self.ledgers.insert(topic.clone(), records.into_iter().collect());
        }
        let inputs: HashMap<FileId, usize> =
            newcomers.iter().map(|(at, found)| (id_of(found), *at)).collect();
        let known = self.known(topic, newcomers.into_iter().map(|(_, found)| found).collect());
        if known.newcomers.is_empty() && known.deserted.is_empty() {
            return;
        }
        let planned = off_the_runtime(move || {
            let plan = plan(&known);
            Ok((known, plan))
        });
        let Ok((known, plan)) = planned.await else { return };
        for (key, record) in plan.lost {
            let replaced = known.newcomers.iter().any(|found| displayed(&found.path) == record.details.path);
            self.give_up(topic, key, record, replaced).await;
        }
        let of_path: HashMap<PathBuf, usize> = known
            .newcomers
            .iter()
            .filter_map(|found| Some((found.path.clone(), *inputs.get(&id_of(found))?)))
            .collect();
        for launch in plan.launches {
            // What was rotated away belongs to the input of the path that it had.
            let input = of_path.get(&launch.path).or_else(|| inputs.get(&id_of(&launch.found)));
            let input = input.copied().unwrap_or_else(|| self.input_of(&launch.path));
            let path = launch.found.path.clone();
            if let Err(problem) = self.launch(topic, input, launch).await {
                self.say_once(format!("{path:?}: {problem}"));
            }
        }
    }

    fn input_of(&self, path: &Path) -> usize {
        self.options.inputs.iter().position(|input| input.patterns.matches(path)).unwrap_or(0)
    }

    fn known(&self, topic: &Topic, newcomers: Vec<Found>) -> Known {
        let ledger = self.ledgers.get(topic).into_iter().flatten();
        let records: Vec<_> = ledger.map(|(key, record)| (key.clone(), record.clone())).collect();
        let followed = self.live.iter().filter(|(_, live)| live.standing.topic() == topic);
        let followed = followed.map(|(&id, live)| Followed {
            id,
            path: live.path.clone(),
            in_place: *live.control.fate().borrow() == Fate::InPlace,
            confirmed: live.standing.confirmed(),
        });
        let deserted: BTreeSet<PathBuf> = match self.is_first {
            true => records
                .iter()
                .filter(|(_, record)| record.details.state == SourceState::Active)
                .map(|(_, record)| PathBuf::from(&record.details.path))
                .filter(|path| self.options.inputs.iter().any(|input| input.patterns.matches(path)))
                .collect(),
            false => BTreeSet::new(),
        };
        Known { newcomers, followed: followed.collect(), records, deserted }
    }

    /// Says that a source cannot be found again; where another file has taken its
    /// path, no more can come of it.
    async fn give_up(&mut self, topic: &Topic, key: SourceKey, record: Record, replaced: bool) {
        let (path, position) = (&record.details.path, record.position);
        if !self.said.insert(format!("lost {key}")) {
            return;
        }
        warn!(path, position, source = %key, "a file is not found again: lines after the position may be missing");
        if replaced {
            let publisher = &self.context.publisher;
            let standing = publisher.stand(topic, key.clone(), record.clone());
            let details = Details { state: SourceState::Gone, ..record.details };
            let gone = Record { token: Token::random(), position: record.position, details };
            publisher.append(&standing, gone, None).await;
            self.ledgers.entry(topic.clone()).or_default().insert(key, standing.confirmed());
        }
    }

    async fn launch(&mut self, topic: &Topic, input: usize, launch: Launch) -> std::io::Result<()> {
        if self.live.len() >= self.options.max_open_files {
            let most = self.options.max_open_files;
            return Err(std::io::Error::other(format!("max_open_files ({most}) are open already")));
        }
        let Launch { found, path, record } = launch;
        let place = found.path.clone();
        let reader = off_the_runtime(move || Reader::open(&place)).await?;
        let id = (reader.device, reader.inode);
        if id != id_of(&found) {
            // Exchanged between the look and now: the next look sees the new one.
            return Ok(());
        }
        let is_resumed = record.is_some();
        let standing = match record {
            Some((key, record)) => {
                self.ledgers.entry(topic.clone()).or_default().remove(&key);
                self.context.publisher.stand(topic, key, record)
            }
            None => {
                let details = self.first_details(topic, &path, &found, &reader).await?;
                self.context.publisher.register(topic, &self.options.host, details).await
            }
        };
        let in_place = found.path == path;
        let control = Arc::new(Control::new(if in_place { Fate::InPlace } else { Fate::Moved }));
        let labels = self.options.inputs[input].labels.clone();
        let source = Source::open(
            self.context.clone(),
            found.path.clone(),
            reader,
            Arc::clone(&standing),
            Arc::clone(&control),
            labels,
        );
        let Some(source) = source.await? else {
            let ledger = self.ledgers.entry(topic.clone()).or_default();
            ledger.insert(standing.key().clone(), standing.confirmed());
            return Ok(());
        };
        let position = standing.confirmed().position;
        info!(path = %found.path.display(), %topic, source = %standing.key(), position, is_resumed, "following");
        let before = self.newest.insert(path.clone(), control.drained());
        self.tasks.spawn(async move { (id, source.run(before).await) });
        self.live.insert(id, Live { path, control, standing });
        Ok(())
    }

    /// The record of a new source: at its first line, or at its end where the start
    /// policy says so and nothing was ever read under this path.
    async fn first_details(
        &self,
        topic: &Topic,
        path: &Path,
        found: &Found,
        reader: &Reader,
    ) -> std::io::Result<Details> {
        let text = displayed(path);
        let was_seen =
            self.ledgers.get(topic).into_iter().flatten().any(|(_, record)| record.details.path == text);
        let from_end = self.is_first && self.options.start == StartAt::End && !was_seen;
        let (reader, len) = (reader.clone(), found.len);
        let identity = off_the_runtime(move || {
            let start = if from_end { last_line_end(reader.file(), len)? } else { 0 };
            let around = Surroundings::read(reader.file(), start)?;
            Ok((start, around.identity(reader.device, reader.inode)))
        });
        let (start, identity) = identity.await?;
        Ok(Details { next_line: 0, start, path: text, identity, state: SourceState::Active })
    }

    /// Lets every source append what it has read; false when that took too long.
    pub(super) async fn stop(mut self, limit: Duration) -> bool {
        self.context.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        timeout(limit, all).await.is_ok()
    }
}

/// Where the last complete line of a file ends, looked for before `len`. Blocks.
fn last_line_end(file: &std::fs::File, len: u64) -> std::io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let mut end = len;
    let mut block = vec![0; 64 * 1024];
    while end > 0 {
        let size = usize::try_from(end).unwrap_or(usize::MAX).min(block.len());
        file.read_exact_at(&mut block[..size], end - size as u64)?;
        if let Some(newline) = memchr::memrchr(b'\n', &block[..size]) {
            return Ok(end - (size - newline - 1) as u64);
        }
        end -= size as u64;
    }
    Ok(0)
}
